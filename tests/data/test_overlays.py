"""The kept columns of burnt-in text: whole, of the right images, what the detector says, and joined to every table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from senoscope import data
from senoscope.data.overlays import FOLDER, has_text, read_text_column, write_text_column
from senoscope.data.splits import load_split
from senoscope.errors import TableError
from senoscope.imaging.burnt_in import text_lines
from senoscope.imaging.read import read_image, to_gray


@pytest.mark.parametrize(
    ("dataset", "split", "with_text"),
    [("busi", "busi-grouped-5fold", 137), ("bus-bra", "bus-bra-official", 1025)],
)
def test_every_image_of_the_frozen_split_was_looked_at(dataset: str, split: str, with_text: int) -> None:
    column = read_text_column(FOLDER / f"{dataset}.csv")
    assert set(column) == {row.id for row in load_split(split).rows}
    assert sum(column.values()) == with_text  # docs/explanation/leakage.md


@pytest.mark.parametrize("dataset", ["busi", "bus-bra"])
def test_the_column_is_what_the_detector_says_of_the_images(dataset: str) -> None:
    if not data.is_found(dataset):
        pytest.skip(f"no copy of {dataset}: SENOSCOPE_DATA names no folder that holds it")
    records = data.load(dataset, group=False)
    for row in np.random.default_rng(0).permutation(len(records))[:8]:
        record = records[row]
        gray = to_gray(read_image(record.image))
        if max(gray.shape) > 416:
            pytest.skip(
                "the columns are of copies scaled to 416 px; at another size a faint label may be judged otherwise"
            )
        assert has_text(dataset, record.id) == bool(text_lines(gray)), record.id


def test_what_was_never_looked_at_is_unknown() -> None:
    assert has_text("busi", "busi:benign (238)") is True
    assert has_text("busi", "busi:no such image") is None
    for name in ("mini-mias", "", "../overlays/busi", "busi.csv", "x" * 5000, "a\0b"):
        assert has_text(name, "busi:benign (238)") is None


def test_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "text.csv"
    write_text_column({"a, b": True, "ü": False}, path)
    assert path.read_text(encoding="utf-8") == 'id,text\n"a, b",yes\nü,no\n'
    assert read_text_column(path) == {"a, b": True, "ü": False}


@pytest.mark.parametrize("content", ["", "id,words\na,yes\n", "id,text\na,maybe\n", "id,text\na\n"])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "text.csv"
    path.write_text(content)
    with pytest.raises(TableError, match="no column of burnt-in text"):
        read_text_column(path)
