"""The audit finds what is planted, reports it as table, JSON, CSV and page, and survives bad files."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from senoscope import data
from senoscope.data.audit import CHECKS, AuditResult, audit
from senoscope.data.overlays import read_text_column
from senoscope.data.splits import load_split
from senoscope.errors import UsageError
from senoscope.schema import Record

SIZE = (96, 120)


def speckle(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = np.abs(ndimage.gaussian_filter(rng.normal(size=SIZE), (1.2, 2)))
    layers = ndimage.gaussian_filter1d(rng.normal(size=SIZE[0]), 6)[:, None]
    return (np.clip(0.2 + 0.9 * noise / noise.max() + 0.3 * layers, 0, 0.95) * 200).astype(np.uint8)


class Cohort:
    """A dataset on disk, built case by case."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records: list[Record] = []

    def add(
        self,
        id: str,
        pixels: np.ndarray | bytes,
        label: str | None = "benign",
        mask: np.ndarray | str | None = "blob",
        patient: str | None = None,
    ) -> None:
        number = len(self.records)
        image = self.root / f"{number}.png"
        if isinstance(pixels, bytes):
            image.write_bytes(pixels)
        else:
            Image.fromarray(pixels).save(image)
        masks: tuple[Path, ...] | None = None
        if isinstance(mask, str):
            mask = np.zeros(SIZE, dtype=np.uint8)
            mask[30:50, 40:70] = 255
        if mask is not None:
            masks = (self.root / f"{number}_mask.png",)
            Image.fromarray(mask).save(masks[0])
        self.records.append(
            Record(
                id=id, dataset="mine", image=image, modality="US", label=label, masks=masks, patient=patient
            )
        )


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    made = Cohort(tmp_path_factory.mktemp("cohort"))
    for i in range(9):
        made.add(f"plain{i}", speckle(i), patient=f"p{i}")
    made.add("twin", speckle(0), "malignant", patient="p100")  # of plain0: another label, another patient
    made.add("mirrored", speckle(1)[:, ::-1], patient="p1")  # of plain1: same label, same patient
    lettered = Image.fromarray(speckle(20) // 3)
    ImageDraw.Draw(lettered).text((10, 60), "RT UOQ", fill=255, font=ImageFont.load_default(14))
    made.add("lettered", np.asarray(lettered))
    coloured = np.repeat(speckle(21)[..., None], 3, axis=2)
    coloured[10:20, 10:20] = (255, 0, 0)
    made.add("coloured", coloured)
    empty = np.zeros(SIZE, dtype=np.uint8)
    made.add("no lesion", speckle(22), mask=empty)
    made.add("normal with lesion", speckle(23), "normal")
    made.add("normal", speckle(24), "normal", mask=empty)
    made.add("unmasked", speckle(25), mask=None)
    made.add("normal unmasked", speckle(26), "normal", mask=None)
    speck = empty.copy()
    speck[30:60, 30:60] = 255
    speck[70:72, 80:82] = 255
    made.add("speck", speckle(27), mask=speck)
    edge = empty.copy()
    edge[80:, 10:30] = 255
    made.add("edge", speckle(28), mask=edge)
    made.add("wrong mask", speckle(29), mask=np.zeros((50, 50), dtype=np.uint8))
    made.add("soft mask", speckle(30), mask=np.full(SIZE, 128, dtype=np.uint8))
    made.add("small", speckle(31)[:40, :50], mask=None, label=None)
    made.add("dark", speckle(32) // 6)
    made.add("<script>alert(1)</script>", b"not an image")
    return made


@pytest.fixture(scope="module")
def result(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> AuditResult:
    return audit(cohort.records, out=tmp_path_factory.mktemp("out"), progress=False)


EXPECTED = {
    "unreadable": [("<script>alert(1)</script>",)],
    "duplicates": [("plain0", "twin"), ("plain1", "mirrored")],
    "label conflicts": [("plain0", "twin")],
    "patient crossings": [("plain0", "twin")],
    "split leaks": [],
    "burnt-in text": [("lettered",)],
    "colour": [("coloured",)],
    "mask unreadable": [("wrong mask",), ("soft mask",)],
    "mask missing": [("unmasked",), ("small",)],
    "mask empty": [("no lesion",)],
    "mask on normal": [("normal with lesion",)],
    "mask in pieces": [("speck",)],
    "mask at border": [("edge",)],
    "odd size": [("small",)],
    "odd brightness": [("dark",)],
}


@pytest.mark.parametrize("check", CHECKS)
def test_every_check_finds_what_was_planted_and_nothing_else(result: AuditResult, check: str) -> None:
    found = [issue.ids for issue in result.of(check)]
    assert [ids for ids in dict.fromkeys(found) if check != "odd brightness" or ids == ("dark",)] == EXPECTED[
        check
    ]


def test_the_table_counts_issues_and_images(result: AuditResult) -> None:
    rows = {row["check"]: row for row in result.table()}
    assert list(rows) == list(CHECKS)
    assert (rows["duplicates"]["issues"], rows["duplicates"]["images"]) == (2, 4)
    assert rows["split leaks"]["issues"] == 0


def test_evidence_is_named(result: AuditResult) -> None:
    same, mirrored = (issue.detail for issue in result.of("duplicates"))
    assert same == "same, 0 bits apart, correlation 1.000"
    assert mirrored.startswith("mirrored, ")
    assert "benign and malignant" in result.of("label conflicts")[0].detail


def test_the_page_is_self_contained_and_escapes_names(result: AuditResult) -> None:
    assert result.page is not None
    page = result.page.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:image/jpeg;base64,|#)', page)
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("data:image/jpeg;base64,") >= 15
    assert "research use only" in page.lower()


def test_json_and_csv_say_the_same(result: AuditResult) -> None:
    assert result.page is not None
    written = json.loads((result.page.parent / "audit.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(result.as_dict()))
    assert written["duplicate_groups"] == {"groups": 2, "images": 4, "pairs": 2, "sizes": {"2": 2}}
    with (result.page.parent / "audit.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["check"] for row in rows] == [issue.check for issue in result.issues]


def test_the_column_of_burnt_in_text(result: AuditResult, cohort: Cohort) -> None:
    assert result.page is not None
    column = read_text_column(result.page.parent / "text.csv")
    assert [id for id, text in column.items() if text] == ["lettered"]
    assert list(column) == [record.id for record in cohort.records][:-1], "all but the one that is no image"


def test_nothing_is_written_unless_asked(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert audit(cohort.records[:3], progress=False).page is None
    assert list(tmp_path.iterdir()) == []


def test_no_records_are_refused() -> None:
    with pytest.raises(UsageError, match="no records"):
        audit([], progress=False)


def test_a_group_across_the_folds_of_the_frozen_split_is_reported(tmp_path: Path) -> None:
    """A copy of BUSI in which two pictures of different folds are one."""
    split = load_split("busi-grouped-5fold")
    one, other = (
        "benign (1)",
        next(
            row.id.removeprefix("busi:")
            for row in split.rows
            if row.label == "benign" and row.fold not in (None, split.fold_of("benign (1)"))
        ),
    )
    for label in ("normal", "malignant", "benign"):
        (tmp_path / "Dataset_BUSI_with_GT" / label).mkdir(parents=True)
    for name, seed in ((one, 1), (other, 1), ("benign (7)", 2)):
        Image.fromarray(speckle(seed)).save(tmp_path / "Dataset_BUSI_with_GT" / "benign" / f"{name}.png")
    [leak] = audit("busi", tmp_path / "Dataset_BUSI_with_GT", progress=False).of("split leaks")
    assert set(leak.ids) == {f"busi:{one}", f"busi:{other}"}
    assert "busi-grouped-5fold" in leak.detail


@pytest.mark.slow
def test_real_conflicts_of_busi_are_found() -> None:
    if not data.is_found("busi"):
        pytest.skip("no copy of busi: SENOSCOPE_DATA names no folder that holds it")
    wanted = ("(433)", "(145)", "(131)", "(51)", "(399)", "(93)", "(406)", "(94)", "(333)", "(77)")
    records = [r for r in data.load("busi") if r.id.endswith(wanted)]
    found = {issue.ids for issue in audit(records, progress=False).of("label conflicts")}
    assert found == {
        ("busi:benign (131)", "busi:malignant (51)"),
        ("busi:benign (333)", "busi:malignant (77)"),
        ("busi:benign (399)", "busi:malignant (93)"),
        ("busi:benign (406)", "busi:malignant (94)"),
        ("busi:benign (433)", "busi:malignant (145)"),
    }
