"""Every row of the catalog: its fake exists, its reader reads it, and the oddities are really in it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from senoscope import catalog, data
from senoscope.data import fake
from senoscope.errors import UsageError
from senoscope.schema import Record

COUNT = 18


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Record]]:
    root = tmp_path_factory.mktemp("fakes")
    return {name: data.load(name, fake.make(name, root, COUNT)) for name in data.names()}


@pytest.mark.parametrize("name", data.names())
def test_every_dataset_can_be_faked_and_read(name: str, copies: dict[str, list[Record]]) -> None:
    row, records = data.info(name), copies[name]
    assert callable(catalog.resolve(row.text("fake")))
    assert len(records) == COUNT
    assert len({record.id for record in records}) == COUNT
    for record in records:
        assert record.dataset == name
        assert record.image.is_file()
        assert record.modality == row.text("modality") or row.text("modality") == "any"
        assert all(mask.is_file() for mask in record.masks or ())
        if row.facts["classes"]:
            assert record.label in row.facts["classes"]


@pytest.mark.parametrize("name", data.names())
def test_catalog_rows_are_complete(name: str) -> None:
    row = data.info(name)
    assert {"modality", "task", "classes", "masks", "patients", "licence", "notes", "folder", "split"} <= set(
        row.facts
    )
    if row.facts.get("n"):
        assert row.text("citation")
        assert row.text("doi").startswith("10.")
        assert row.text("homepage").startswith("http")
        assert sum(row.facts.get("counts", {"": row.facts["n"]}).values()) == row.facts["n"]
        assert row.text("folder")
        assert set(row.facts.get("counts", row.facts["classes"])) == set(row.facts["classes"])
    json.dumps(row.as_dict())


@pytest.mark.parametrize("name", data.names())
def test_the_same_seed_writes_the_same_bytes(name: str, tmp_path: Path) -> None:
    def digest(folder: str, seed: int) -> str:
        fake.make(name, tmp_path / folder, 4, seed)
        total = hashlib.sha256()
        for path in sorted((tmp_path / folder).rglob("*")):
            if path.is_file():
                total.update(path.relative_to(tmp_path / folder).as_posix().encode() + path.read_bytes())
        return total.hexdigest()

    first = digest("a", 7)
    assert digest("b", 7) == first
    assert digest("c", 8) != first


def test_busi_fake_holds_the_odd_masks(copies: dict[str, list[Record]]) -> None:
    records = {record.id: record for record in copies["busi"]}
    assert len(records["busi:benign (1)"].masks or ()) == 2
    modes = {}
    for name in ("benign (2)", "benign (3)", "normal (1)"):
        (mask,) = records[f"busi:{name}"].masks or ()
        with Image.open(mask) as image:
            modes[name] = image.mode
            lesion = np.asarray(image.convert("L")).max()
        assert lesion == (0 if name.startswith("normal") else 255)
    assert modes == {"benign (2)": "RGBA", "benign (3)": "1", "normal (1)": "RGB"}


def test_bus_bra_boxes_are_those_of_the_masks(copies: dict[str, list[Record]]) -> None:
    """The owner's way of counting, undone by the reader, gives the mask's own box; at half size too."""
    sizes = set()
    for record in copies["bus-bra"]:
        assert record.masks is not None
        assert record.boxes is not None
        with Image.open(record.masks[0]) as image:
            rows, columns = np.nonzero(np.asarray(image))
        box = record.boxes[0]
        assert (box.x, box.y) == (columns.min(), rows.min())
        assert (box.width, box.height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
        sizes.add(record.clinical["side"])
    assert sizes == {"left", "right"}


def test_mias_fake_holds_two_findings_and_missing_coordinates(copies: dict[str, list[Record]]) -> None:
    records = copies["mini-mias"]
    assert len(records[0].boxes or ()) == 2
    assert {record.label for record in records if record.boxes is None} == {"benign", "malignant"}
    assert len({record.patient for record in records}) == COUNT // 2


def test_folder_and_table_fakes_hold_unknowns(copies: dict[str, list[Record]]) -> None:
    assert {record.label for record in copies["folder"]} == {"normal", "benign", "malignant", None}
    assert {len(record.masks) for record in copies["folder"] if record.masks is not None} == {0, 1, 2}
    assert {record.clinical["age"] for record in copies["table"]} >= {40.5, None}
    assert copies["table"][0].clinical["remark"] == "first line\nsecond; quoted"


def test_misuse_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="count 0"):
        fake.make("busi", tmp_path, 0)
    with pytest.raises(UsageError, match="no dataset 'bussi'"):
        fake.make("bussi", tmp_path)
