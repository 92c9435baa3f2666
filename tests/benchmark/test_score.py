"""Other tools' predictions: what is asked for is exact, all problems come at once, and the figures are ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from senoscope.benchmark.protocol import load_protocol
from senoscope.benchmark.score import score
from senoscope.data import fake, load
from senoscope.errors import TableError, UsageError
from senoscope.evaluation.cases import case_row, read_table, write_table
from senoscope.evaluation.compare import compare
from senoscope.imaging.read import read_sample
from senoscope.schema import CLASSES, Record

pytest.importorskip("pyarrow", reason="needs the [train] extra")
pytest.importorskip("matplotlib", reason="needs the [train] extra")

HEADER = "id,p_normal,p_benign,p_malignant"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake.make("busi", tmp_path_factory.mktemp("busi"), 24)


@pytest.fixture(scope="module")
def records(root: Path) -> list[Record]:
    """The tested cases; the frozen split drops some of the 24 images."""
    found = [r for part in load_protocol("grouped-5fold").cases("busi", root).test.values() for r in part]
    assert 15 < len(found) < 24
    return found


def cells(record: Record, sure: float = 0.8) -> str:
    """A row whose true class has probability ``sure``."""
    rest = (1 - sure) / 2
    return ",".join([record.id, *(f"{sure if name == record.label else rest:.6f}" for name in CLASSES)])


def write(path: Path, lines: list[str], header: str = HEADER, **options: str) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", newline="", **options)  # type: ignore[arg-type]
    return path


def test_figures_folds_and_files(root: Path, records: list[Record], tmp_path: Path) -> None:
    wrong = {records[0].id, records[5].id}
    lines = [cells(record, 0.1 if record.id in wrong else 0.8) for record in records]
    path = write(tmp_path / "their-tool.csv", lines[::-1])
    found = score(path, "busi", root=root)
    assert found.folder == tmp_path / "their-tool-score"
    assert found.summary["figures"]["accuracy"]["value"] == pytest.approx(1 - 2 / len(records))
    assert found.summary["cases"]["folds"] == [1, 2, 3, 4, 5]
    assert found.summary["split"]["name"] == "busi-grouped-5fold"
    assert found.summary["stamps"] == []
    assert any("its author's word" in note for note in found.summary["notes"])
    assert sorted(p.name for p in found.folder.iterdir()) == [
        "predictions.parquet",
        "report.html",
        "summary.json",
    ]
    table = read_table(found.folder / "predictions.parquet")
    assert table.group.tolist() == [record.group for record in records]
    again = compare(found.folder, found.folder, resamples=10)
    assert again["figures"]["accuracy"]["difference"] == 0


def test_one_fold_and_bare_ids_and_a_spreadsheets_csv(
    root: Path, records: list[Record], tmp_path: Path
) -> None:
    cases = load_protocol("grouped-5fold").cases("busi", root)
    lines = [cells(record).removeprefix("busi:").replace(",", ";") for record in cases.test[2]]
    path = tmp_path / "fold2.csv"
    path.write_text("\r\n".join([HEADER.replace(",", ";"), *lines, ""]), encoding="utf-8-sig", newline="")
    found = score(path, "busi", root=root, fold=2, out=tmp_path / "out")
    assert found.summary["cases"]["test"] == len(cases.test[2])
    assert found.summary["cases"]["folds"] == [2]
    with pytest.raises(UsageError, match=r"no fold 9"):
        score(path, "busi", root=root, fold=9)
    with pytest.raises(UsageError, match="is no folder"):
        score(path, "busi", root=root, fold=2, masks=tmp_path / "absent")


def test_all_problems_come_at_once(root: Path, records: list[Record], tmp_path: Path) -> None:
    dropped = next(r for r in load("busi", root) if r.id not in {record.id for record in records})
    lines = [
        cells(records[0]),  # row 2
        cells(records[0]),
        f"{records[1].id},nan,0.5,0.5",
        f"{records[2].id},0,1.5,-0.5",
        f"{records[3].id},0.2,0.2,0.2",
        f"{records[4].id},,0.5,0.5",
        "../../etc/passwd,0,1,0",
        "=cmd|' /C calc'!A0,0,1,0",
        cells(dropped),
        ",0,1,0",
        f"{records[5].id},0,1",
        *[cells(record) for record in records[6:-2]],
    ]
    path = write(tmp_path / "bad.csv", lines)
    with pytest.raises(TableError) as caught:
        score(path, "busi", root=root)
    text = str(caught.value)
    for said in (
        f"duplicate id: row 3 ({records[0].id}, first in row 2)",
        f"probability is NaN: row 4 ({records[1].id})",
        f"probability outside 0..1: row 5 ({records[2].id})",
        "probabilities do not sum to 1: row 6 (0.6)",
        "p_normal is empty or not a number: row 7",
        "id that the dataset does not have: rows 8–9 (../../etc/passwd; =cmd",
        f"extra case, which is not tested here: row 10 ({dropped.id})",
        "empty id: row 11",
        "cells expected, not another number: row 12",
        f"3 of {len(records)} tested cases missing: {records[5].id}; {records[-2].id}; {records[-1].id}",
    ):
        assert said in text, said
    assert [p.name for p in tmp_path.iterdir()] == ["bad.csv"]  # no score, nothing half-written


def test_labels_are_the_datasets(root: Path, records: list[Record], tmp_path: Path) -> None:
    lines = [f"{cells(record)},{record.label}" for record in records]
    good = write(tmp_path / "good.csv", lines, f"{HEADER},label")
    assert score(good, "busi", root=root).summary["figures"]["accuracy"]["value"] == 1
    lines[3] = f"{cells(records[3])},begnin"
    with pytest.raises(
        TableError, match=r"label that is not the dataset's: row 5 \('begnin', in the dataset"
    ):
        score(write(tmp_path / "typo.csv", lines, f"{HEADER},label"), "busi", root=root)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("id,p_malignant", "no column p_normal, no column p_benign"),
        ("id,p_normal,p_benign,p_malignant,id", "the column id twice"),
        ("", "no column id"),
    ],
)
def test_columns(root: Path, tmp_path: Path, header: str, said: str) -> None:
    with pytest.raises(TableError, match=said) as caught:
        score(write(tmp_path / "t.csv", [], header), "busi", root=root)
    assert "p_benign = 1 − p_malignant" in str(caught.value)


def test_another_splits_table_is_refused(root: Path, records: list[Record], tmp_path: Path) -> None:
    rows = [case_row(record, None, None, [0, 1, 0]) for record in records]
    right = load_protocol("grouped-5fold").cases("busi", root).split_hash
    for code, name in ((right, "right"), ("0" * 64, "wrong")):
        write_table(
            rows, tmp_path / f"{name}.parquet", {"split": name, "split_hash": code, "stamps": ["Old stamp"]}
        )
    assert score(tmp_path / "right.parquet", "busi", root=root).summary["stamps"] == ["Old stamp"]
    with pytest.raises(TableError, match="made under the split wrong"):
        score(tmp_path / "wrong.parquet", "busi", root=root)


def test_a_dishonest_protocols_stamp_is_shown(root: Path, tmp_path: Path) -> None:
    tested = load_protocol("leaky-random-split").cases("busi", root).test[1]
    path = write(tmp_path / "leaky.csv", [cells(record) for record in tested])
    found = score(path, "busi", protocol="leaky-random-split", root=root)
    assert "LEAKY" in found.summary["stamps"][0]


def draw(folder: Path, record: Record) -> np.ndarray:
    """A prediction: the true mask moved by three pixels."""
    mask = read_sample(record).mask
    assert mask is not None
    moved = np.roll(mask, 3, axis=1)
    folder.mkdir(exist_ok=True)
    Image.fromarray((255 * moved).astype(np.uint8)).save(folder / f"{record.id.removeprefix('busi:')}.png")
    return moved


def test_masks(root: Path, records: list[Record], tmp_path: Path) -> None:
    dice = []
    for record in records:
        moved, truth = draw(tmp_path / "masks", record), read_sample(record).mask
        if truth is not None and truth.any():
            dice.append(2 * (moved & truth).sum() / (moved.sum() + truth.sum()))
    path = write(tmp_path / "ids.csv", [record.id for record in records], "id")
    figures = score(path, "busi", root=root, masks=tmp_path / "masks").summary["figures"]
    assert figures["dice"]["value"] == pytest.approx(np.mean(dice))
    assert "accuracy" not in figures
    assert len(list((tmp_path / "ids-score" / "masks" / "busi").iterdir())) == len(records)


def test_bad_masks_are_listed_with_bad_rows(root: Path, records: list[Record], tmp_path: Path) -> None:
    for record in records:
        draw(tmp_path / "masks", record)
    names = [record.id.removeprefix("busi:") for record in records]
    (tmp_path / "masks" / f"{names[0]}.png").unlink()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "masks" / f"{names[1]}.png")
    size = read_sample(records[2]).image.shape
    Image.fromarray(np.full(size, 7, np.uint8)).save(tmp_path / "masks" / f"{names[2]}.png")
    lines = [cells(record) for record in records[:-1]]
    with pytest.raises(TableError) as caught:
        score(write(tmp_path / "t.csv", lines), "busi", root=root, masks=tmp_path / "masks")
    text = str(caught.value)
    assert f"1 of {len(records)} tested cases missing: {records[-1].id}" in text
    assert f"without a mask file: {records[0].id}" in text
    assert f"do not fit: {records[1].id}" in text
    assert "9×9" in text
    assert f"{records[2].id}" in text
    assert not (tmp_path / "t-score").exists()
