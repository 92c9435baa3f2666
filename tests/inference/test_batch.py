from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from senoscope.errors import UsageError
from senoscope.inference.analyzer import Analyzer
from senoscope.inference.batch import examine_all, find_images


def touch(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_folders_are_searched_in_natural_order_without_masks_and_hidden_files(tmp_path: Path) -> None:
    wanted = ["benign (1).png", "benign (2).png", "benign (10).PNG", "sub/a.dcm", "sub/IM0001"]
    for name in wanted[:-1]:
        touch(tmp_path / name)
    touch(tmp_path / "sub" / "IM0001", b"\0" * 128 + b"DICM")
    for name in (
        "benign (1)_mask.png",
        "benign (1)_mask_1.png",
        "notes.txt",
        ".hidden.png",
        ".git/x.png",
        "noext",
    ):
        touch(tmp_path / name)
    found = [path.relative_to(tmp_path).as_posix() for path in find_images([tmp_path])]
    assert found == ["benign (1).png", "benign (2).png", "benign (10).PNG", "sub/a.dcm", "sub/IM0001"]


def test_results_among_the_images_are_not_read_again(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    touch(tmp_path / "out" / "overlays" / "a.png")
    assert find_images([tmp_path], skip=tmp_path / "out") == [tmp_path / "a.png"]


def test_a_file_named_twice_is_analysed_once_and_a_named_mask_is_taken(tmp_path: Path) -> None:
    first = touch(tmp_path / "a.png")
    mask = touch(tmp_path / "a_mask.png")
    assert find_images([tmp_path, first, str(mask)]) == [first, mask]


def test_nothing_to_analyse_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no images in") as caught:
        find_images([tmp_path])
    assert caught.value.exit_code == 2


def test_a_bad_file_does_not_stop_the_good_ones(fake: ModuleType, fake_folder: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    Image.fromarray((fake.draw_exam((120, 130, 40, 0.02)) * 255).astype(np.uint8)).save(good)
    cut = touch(tmp_path / "cut.png", good.read_bytes()[:2000])
    files = [cut, good, tmp_path / "absent.png", tmp_path, touch(tmp_path / "page.png", b"<svg></svg>")]
    reports = [analysis.report for analysis in examine_all(files, Analyzer(fake_folder, threads=1))]
    assert [report.status for report in reports] == ["failed", "analysed", "failed", "failed", "failed"]
    assert "cut.png" in reports[0].notes[0]
    assert reports[2].source == str(tmp_path / "absent.png")
    assert reports[2].notes[0]


def test_burnt_in_text_is_noted(fake: ModuleType, fake_folder: Path, tmp_path: Path) -> None:
    picture = Image.fromarray((fake.draw_exam((160, 130, 40, 0.02), size=(320, 320)) * 120).astype(np.uint8))
    ImageDraw.Draw(picture).text((20, 20), "LEFT BREAST 12", fill=255, font=ImageFont.load_default(22))
    picture.save(tmp_path / "labelled.png")
    (analysis,) = examine_all([tmp_path / "labelled.png"], Analyzer(fake_folder, threads=1))
    assert any("burnt-in text" in note for note in analysis.report.prediction.quality)
