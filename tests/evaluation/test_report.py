"""The report: self-contained, escaped, whole with and without pictures."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from senoscope.evaluation.cases import case_row, from_rows
from senoscope.evaluation.maskfiles import load_mask, mask_path, save_mask
from senoscope.evaluation.pictures import pictures, worst_classes, worst_outlines
from senoscope.evaluation.report import render
from senoscope.evaluation.summary import summarise
from senoscope.schema import Record

pytest.importorskip("matplotlib")
Simulate = Callable[..., list[dict[str, Any]]]
EVIL = "<script>alert('x')</script>"


class Outline(HTMLParser):
    """Tags that are open and not closed, and every address that a browser would fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "img", "br", "link"):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(simulate: Simulate) -> str:
    provenance = {
        "split": "made",
        "split_hash": "a" * 64,
        "stamps": [f"Leak override {EVIL}"],
        "system": EVIL,
    }
    rows = simulate(150)
    rows[0]["id"] = rows[1]["id"] = EVIL
    rows[0] |= {"dice": 0.0, "intersection": 0, "label": "benign", "area_true": 50, "iou": 0.0}
    table = from_rows([{**row, "device": f"{row['device']} {EVIL}"} for row in rows], provenance)
    return render(summarise(table, resamples=50), table)


def test_is_whole_and_self_contained(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    assert all(address.startswith(("#", "data:")) for address in outline.addresses)
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page).replace("http-equiv", "")
    assert "default-src 'none'" in page


def test_escapes_everything_that_tables_bring(page: str) -> None:
    assert EVIL not in page
    assert "script" not in Outline(page).tags
    assert page.count("&lt;script&gt;") >= 4  # title, heading, stamp, strata, worst case


def test_stamp_and_research_notice_come_first(page: str) -> None:
    assert (
        page.index("not a medical device")
        < page.index("Leak override")
        < page.index("Accuracy, three classes")
    )


def test_charts_and_figures_are_there(page: str, simulate: Simulate) -> None:
    for text in ("ROC, malignant against benign", "Reliability", "Decision curve", "FROC, lesions",
                 "Calibration slope", "By class", "Confusion", "Dice by lesion size", "Operating points",
                 "By lesion size", "By device", "Ten worst outlines", "images are not at hand"):  # fmt: skip
        assert text in page, text
    assert page.count("<svg ") == 6
    assert not re.search(r"#[0-9a-f]{6}", "".join(re.findall(r"<svg .*?</svg>", page, re.DOTALL))), (
        "fixed colours"
    )


def test_same_table_same_page(simulate: Simulate) -> None:
    table = from_rows(simulate(40))
    summary = summarise(table, resamples=10)
    assert render(summary, table) == render(summary, table)


def test_systems_that_do_one_thing_only(simulate: Simulate) -> None:
    blank = dict.fromkeys(
        f"{kind}_{name}" for kind in ("p", "logit") for name in ("normal", "benign", "malignant")
    )
    masks_only = from_rows([row | blank for row in simulate(30)])
    page = render(summarise(masks_only, resamples=10), masks_only)
    assert "Dice by lesion size" in page
    assert "Confusion" not in page
    classes_only = from_rows(simulate(30, valid=False, masks=False))
    page = render(summarise(classes_only, resamples=10), classes_only)
    assert "Confusion" in page
    assert "Dice by lesion size" not in page
    assert Outline(page).open == []


def exam(folder: Path, name: str, label: str = "benign") -> Record:
    rows, columns = np.mgrid[:60, :80]
    disc = (rows - 30) ** 2 + (columns - 40) ** 2 < 15**2
    folder.mkdir(exist_ok=True)
    Image.fromarray((200 - 150 * disc).astype(np.uint8)).save(folder / f"{name}.png")
    Image.fromarray((255 * disc).astype(np.uint8)).save(folder / f"{name}_mask.png")
    return Record(id=f"d/{name}", dataset="made", image=folder / f"{name}.png", masks=(folder / f"{name}_mask.png",),
                  modality="US", label=label)  # fmt: skip


def test_pictures_of_the_worst(tmp_path: Path) -> None:
    records = [exam(tmp_path / "data", str(number)) for number in range(3)]
    rows = []
    for number, record in enumerate(records):
        truth = np.asarray(Image.open(record.masks[0])) > 0  # type: ignore[index]
        predicted = np.roll(truth, 10 * number, axis=1)
        rows.append(case_row(record, truth, predicted, [0, 3 - 2 * number, 0]))
        if number == 2:
            save_mask(tmp_path, "made", record.id, predicted)
    table = from_rows(rows)
    worst = worst_outlines(table, 2)
    assert table.id[worst].tolist() == ["d/2", "d/1"]
    first, second = pictures(table, worst, records[1:], [tmp_path])
    assert first.image is not None
    assert first.image.startswith("data:image/jpeg;base64,")
    assert (first.width, first.height) == (80, 60)
    assert first.truth.startswith("M")
    assert first.predicted not in ("", first.truth)
    xs = [float(x) for x in re.findall(r"[ML]([\d.]+) ", first.predicted)]
    assert np.mean(xs) == pytest.approx(40.5 + 20, abs=1)  # the disc, rolled by 20 px
    assert second.predicted == ""
    assert second.missing == "predicted mask not stored"
    assert pictures(table, worst, [], [])[0].missing == "image not at hand"
    page = render(summarise(table, resamples=10), table, records=records, folders=[tmp_path])
    assert page.count("data:image/jpeg") == len(worst_outlines(table)) + len(worst_classes(table))
    assert Outline(page).open == []


def test_a_bad_image_is_named_and_does_not_stop_the_report(tmp_path: Path) -> None:
    record = exam(tmp_path / "data", "a")
    truth = np.asarray(Image.open(record.masks[0])) > 0  # type: ignore[index]
    table = from_rows([case_row(record, truth, ~truth, [0, 1, 0])])
    record.image.write_bytes(b"not an image")
    picture = pictures(table, worst_outlines(table), [record], [])[0]
    assert picture.image is None
    assert "a.png" in picture.missing


def test_worst_classes_are_the_most_confidently_wrong(simulate: Simulate) -> None:
    table = from_rows(simulate(80, valid=False))
    rows = worst_classes(table)
    told = table.probabilities[rows, table.label[rows]]
    wrong = table.probabilities.argmax(1) != table.label
    assert wrong[rows].all()
    assert told.tolist() == sorted(table.probabilities[np.arange(80), table.label][wrong])[:10]


def test_masks_come_back_under_any_id(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random((7, 9)) < 0.5
    for case in ("busi:benign (1)", "../../evil", "ä/b", "a" * 60):
        save_mask(tmp_path, "busi", case, mask)
        path = mask_path(tmp_path, "busi", case)
        assert path.parent == tmp_path / "masks" / "busi"
        np.testing.assert_array_equal(load_mask(tmp_path, "busi", case, (7, 9)), mask)
    assert load_mask(tmp_path, "busi", "absent", (7, 9)) is None
    assert load_mask(tmp_path, "busi", "ä/b", (9, 7)) is None
    assert mask_path(tmp_path, "..", "x").resolve().is_relative_to((tmp_path / "masks").resolve())
