"""`verify` on fake copies that are sound, and on copies with one thing wrong each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from senoscope import data
from senoscope.data import fake
from senoscope.data.verify import Problem, verify

COUNT = 13


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("copies")
    return {name: fake.make(name, root, COUNT, seed=1) for name in data.names()}


def damaged(
    name: str, copies: dict[str, Path], tmp_path: Path, damage: Callable[[Path], object]
) -> list[Problem]:
    """Problems of a copy after `damage`, without the remark that it is smaller than the release."""
    source = copies[name]
    root = source if source.is_dir() else source.parent
    copy = tmp_path / root.name
    shutil.copytree(root, copy)
    damage(copy)
    place = copy if source.is_dir() else copy / source.name
    return [problem for problem in verify(name, place, pixels=True) if problem.level != "info"]


@pytest.mark.parametrize("name", data.names())
def test_a_sound_copy_has_no_problem_but_its_size(name: str, copies: dict[str, Path]) -> None:
    problems = verify(name, copies[name], pixels=True)
    official = data.info(name).facts.get("n")
    assert [problem.level for problem in problems] == (["info"] if official else [])
    for problem in problems:
        assert problem.found.startswith(f"{COUNT} images")
        assert problem.expected == f"{official} images in the official release"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def resize(path: Path) -> None:
    with Image.open(path) as image:
        smaller = image.resize((10, 10))
    smaller.save(path)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


CASES: list[tuple[str, Callable[[Path], object], str, str, str]] = [
    (
        "busi",
        lambda root: (root / "benign/benign (3)_mask.png").unlink(),
        "benign (3).png",
        "no mask file",
        "error",
    ),
    (
        "busi",
        lambda root: resize(root / "benign/benign (3)_mask.png"),
        "benign (3)_mask.png",
        "mask of 10×10",
        "error",
    ),
    (
        "busi",
        lambda root: (root / "benign/benign (3).png").write_bytes(b""),
        "benign (3).png",
        "no readable",
        "error",
    ),
    (
        "busi",
        lambda root: cut(root / "benign/benign (3).png"),
        "benign (3).png",
        "cannot be decoded",
        "error",
    ),
    (
        "busi",
        lambda root: (root / "benign/extra.txt").touch(),
        "benign/extra.txt",
        "belongs to no record",
        "warning",
    ),
    ("busi", lambda root: (root / "benign/benign (3).png").unlink(), "benign/", "no image 3", "warning"),
    (
        "bus-bra",
        lambda root: (root / "Images/bus_0002-l.png").unlink(),
        "Images/bus_0002-l.png",
        "missing",
        "error",
    ),
    (
        "bus-bra",
        lambda root: (root / "Masks/mask_0002-l.png").unlink(),
        "bus_0002-l.png",
        "no mask file",
        "error",
    ),
    (
        "bus-bra",
        lambda root: replace(root / "5-fold-cv.csv", "bus_0002-l", "bus_9999-l"),
        "bus_data.csv",
        "bus_0002-l is not in 5-fold-cv.csv",
        "error",
    ),
    (
        "bus-bra",
        lambda root: replace(root / "5-fold-cv.csv", "bus_0002-l", "bus_9999-l"),
        "5-fold-cv.csv",
        "bus_9999-l is not in bus_data.csv",
        "error",
    ),
    (
        "bus-bra",
        lambda root: replace(root / "5-fold-cv.csv", "bus_0002-l,benign,2", "bus_0002-l,benign,4"),
        "bus-bra:2",
        "patient in folds 2 and 4",
        "error",
    ),
    (
        "bus-bra",
        lambda root: (root / "5-fold-cv.csv").unlink(),
        "5-fold-cv.csv",
        "missing or empty",
        "warning",
    ),
    (
        "bus-bra",
        lambda root: resize(root / "Images/bus_0002-l.png"),
        "Images/bus_0002-l.png",
        "10×10 pixels",
        "error",
    ),
    (
        "bus-bra",
        lambda root: replace(root / "bus_data.csv", "bus_0002-l", "bus_0001-l"),
        "bus_data.csv",
        "bus_0001-l in 2 rows",
        "error",
    ),
    (
        "bus-bra",
        lambda root: replace(root / "bus_data.csv", "bus_0002-l", "bus_0001-l"),
        "Images/bus_0002-l.png",
        "belongs to no record",
        "warning",
    ),
    (
        "bus-bra",
        lambda root: (root / "Images/bus_0002-l.png").write_bytes(b"x"),
        "bus_0002-l.png",
        "no readable",
        "error",
    ),
    (
        "bus-bra",
        lambda root: replace(root / "bus_data.csv", "Pathology", "Diagnosis"),
        "BUSBRA",
        "no column Pathology",
        "error",
    ),
    ("mini-mias", lambda root: (root / "mdb002.pgm").unlink(), "mdb002.pgm", "missing", "error"),
    (
        "mini-mias",
        lambda root: replace(root / "Info.txt", "mdb002", "xxx002"),
        "mdb002.pgm",
        "belongs to no record",
        "warning",
    ),
    (
        "mini-mias",
        lambda root: Image.new("L", (64, 60)).save(root / "mdb002.pgm"),
        "mdb002.pgm",
        "64×60 pixels",
        "error",
    ),
    (
        "mini-mias",
        lambda root: replace(
            root / "Info.txt", "mdb001 G CIRC B", "mdb001 G CIRC B 9000 9000 10\nmdb001 G CIRC B"
        ),
        "mdb001.pgm",
        "leaves the image",
        "warning",
    ),
    (
        "flowers17",
        lambda root: (root / "jpg/image_0001.jpg").rename(root / "jpg/image_9001.jpg"),
        "jpg/image_9001.jpg",
        "belongs to no record",
        "warning",
    ),
    (
        "folder",
        lambda root: (root / "benign/case1.png").unlink(),
        "benign/case1_mask.png",
        "belongs to no record",
        "warning",
    ),
    (
        "folder",
        lambda root: resize(root / "masks/malignant/case2.png"),
        "case2.png",
        "mask of 10×10",
        "error",
    ),
    (
        "table",
        lambda root: (root / "images/3.png").unlink(),
        "manifest.csv",
        "image 'images/3.png' does not exist",
        "error",
    ),
    (
        "table",
        lambda root: Image.new("L", (8, 8)).save(root / "images/new.png"),
        "images/new.png",
        "belongs to no record",
        "warning",
    ),
]


@pytest.mark.parametrize(
    ("name", "damage", "file", "found", "level"),
    CASES,
    ids=[f"{case[0]}-{case[3]}" for case in CASES],
)
def test_one_thing_wrong_is_named(
    name: str, damage: Callable[[Path], object], file: str, found: str, level: str,
    copies: dict[str, Path], tmp_path: Path,
) -> None:  # fmt: skip
    problems = damaged(name, copies, tmp_path, damage)
    matching = [problem for problem in problems if problem.file == file and found in problem.found]
    assert {problem.level for problem in matching} == {level}, problems
    assert all(problem.expected and problem.fix for problem in problems)


def test_dicom_is_left_to_its_own_reader(copies: dict[str, Path], tmp_path: Path) -> None:
    def damage(root: Path) -> None:
        (root / "benign" / "scan.dcm").write_bytes(bytes(128) + b"DICM" + bytes(8))
        (root / "benign" / "fake.dcm").write_bytes(bytes(140))

    problems = damaged("folder", copies, tmp_path, damage)
    assert [(problem.file, problem.level) for problem in problems] == [("fake.dcm", "error")]


def test_every_unreadable_file_is_listed_where_the_reader_stops_at_the_first(
    copies: dict[str, Path], tmp_path: Path
) -> None:
    def damage(root: Path) -> None:
        for name in ("Images/bus_0001-l.png", "Images/bus_0003-r.png", "Masks/mask_0002-l.png"):
            (root / name).write_bytes(b"")

    files = [problem.file for problem in damaged("bus-bra", copies, tmp_path, damage)]
    assert files == ["bus_0001-l.png", "bus_0003-r.png", "mask_0002-l.png"]


def test_the_worst_comes_first_and_clutter_is_ignored(copies: dict[str, Path], tmp_path: Path) -> None:
    def damage(root: Path) -> None:
        (root / "benign" / "Thumbs.db").touch()
        (root / ".DS_Store").touch()
        (root / "zz.txt").touch()
        (root / "malignant" / "malignant (1)_mask.png").unlink()

    problems = damaged("busi", copies, tmp_path, damage)
    assert [(problem.level, problem.file) for problem in problems] == [
        ("error", "malignant (1).png"),
        ("warning", "zz.txt"),
    ]
