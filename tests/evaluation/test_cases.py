"""The prediction table: rows, files, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from senoscope.errors import MaskError, TableError, UsageError
from senoscope.evaluation.cases import case_row, from_rows, read_table, write_table
from senoscope.schema import Record

Rows = list[dict[str, object]]


def record(**changes: object) -> Record:
    facts: dict[str, object] = {
        "id": "benign (1)",
        "dataset": "busi",
        "image": Path("b.png"),
        "modality": "US",
    }
    return Record(**(facts | {"label": "benign"} | changes))  # type: ignore[arg-type]


def half(side: str, shape: tuple[int, int] = (10, 20)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    if side == "top":
        mask[:5] = True
    elif side == "left":
        mask[:, :10] = True
    return mask


def test_row_by_hand() -> None:
    row = case_row(record(clinical={"BIRADS": 4.0, "Device": "GE"}), half("top"), half("left"), [0.0, np.log(3), 0.0],
                   fold=2, split="valid")  # fmt: skip
    assert (row["p_normal"], row["p_benign"]) == pytest.approx((0.2, 0.6))
    assert (row["area_true"], row["area_pred"], row["intersection"]) == (100, 100, 50)
    assert (row["dice"], row["iou"]) == (0.5, pytest.approx(1 / 3))
    assert (row["width"], row["height"], row["fold"], row["split"]) == (20, 10, 2, "valid")
    assert (row["birads"], row["device"], row["has_mask"]) == ("4", "GE", True)


def test_absent_is_not_empty() -> None:
    unknown = case_row(record(), None, half("top"), None)
    assert (unknown["has_mask"], unknown["area_true"], unknown["area_pred"]) == (False, None, 100)
    assert unknown["dice"] is None
    assert unknown["p_benign"] is None
    empty = case_row(record(label="normal"), half(""), half("top"), [1, 0, 0])
    assert (empty["has_mask"], empty["area_true"], empty["dice"], empty["nsd"]) == (True, 0, None, None)
    missed = case_row(record(), half("top"), half(""), [1, 0, 0])
    assert (missed["dice"], missed["hd95"], missed["nsd"]) == (0.0, None, 0.0)


def test_two_class_system() -> None:
    table = from_rows([case_row(record(), None, None, [0.0, 0.0], ("benign", "malignant"))])
    assert table.probabilities[0].tolist() == [0, 0.5, 0.5]
    assert table.logits[0].tolist() == [-np.inf, 0, 0]


def test_row_refuses() -> None:
    with pytest.raises(MaskError, match=r"predicted mask of 20×10 px for a truth of 21×10 px"):
        case_row(record(), half("top", (10, 21)), half("left"), [0, 0, 0])
    with pytest.raises(UsageError, match="2 logits"):
        case_row(record(), None, None, [0, 0])
    with pytest.raises(UsageError, match="daffodil"):
        case_row(record(), None, None, [0], ["daffodil"])


def test_parquet_keeps_everything(tmp_path: Path, simulate: Callable[..., Rows]) -> None:
    rows = simulate(40)
    rows[0]["extra"] = "kept"
    provenance = {
        "split": "busi-grouped-5fold",
        "split_hash": "ab12",
        "stamps": ["leak override"],
        "system": "x",
    }
    write_table(rows, tmp_path / "t.parquet", provenance)
    table = read_table(tmp_path / "t.parquet")
    again = from_rows(rows, provenance)
    assert table.metadata == provenance
    assert table.stamps == ("leak override",)
    for name in table.__dataclass_fields__:
        if name != "metadata":
            np.testing.assert_array_equal(getattr(table, name), getattr(again, name))
    assert list(tmp_path.iterdir()) == [tmp_path / "t.parquet"]


def test_csv_of_another_tool(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text(
        "\ufeffid,label,p_normal,p_benign,p_malignant,has_mask,area_true,area_pred,intersection\n"
        "a,benign,0.1,0.7,0.2,true,100,100,50\nb,,0.2,0.3,0.5,no,,,\nc,malignant,0,0,1,1,10,0,0\n"
    )
    table = read_table(path)
    assert table.label.tolist() == [1, -1, 2]
    assert table.dice.tolist()[::2] == [0.5, 0.0]
    assert table.iou[0] == pytest.approx(1 / 3)
    assert table.test.all()
    assert np.exp(table.logits[0]) == pytest.approx([0.1, 0.7, 0.2])
    assert table.logits[2, 2] == 0
    assert table.cluster.tolist() == [0, 1, 2]


def test_burnt_in_text_is_joined_from_the_package(tmp_path: Path) -> None:
    """A table that does not say gets what is known of BUSI's images; what a table says stays."""
    cases = [
        "busi:benign (238)",
        "busi:benign (398)",
        "busi:no such image",
    ]  # with "RT UOQ", without, unknown
    rows = [case_row(record(id=name), None, None, [0, 1, 0]) for name in cases]
    assert from_rows(rows).overlay.tolist() == [True, False, None]
    assert from_rows([{**rows[0], "overlay": False}]).overlay.tolist() == [False]
    text = "id,dataset,label,p_normal,p_benign,p_malignant\nbusi:benign (238),busi,benign,0,1,0\n"
    (tmp_path / "t.csv").write_text(text)
    assert read_table(tmp_path / "t.csv").overlay.tolist() == [True]


def test_clusters_join_patients_and_groups() -> None:
    keys = [("p1", None), ("p1", "g1"), ("p2", "g1"), ("p3", None), (None, None), (None, None), (None, "g2")]
    rows = [
        case_row(record(id=str(i), patient=patient, group=group), None, None, [0, 0, 0])
        for i, (patient, group) in enumerate(keys)
    ]
    rows.append(case_row(record(id="6", dataset="other", group="g2"), None, None, [0, 0, 0]))
    cluster = from_rows(rows).cluster
    assert len(set(cluster[:3])) == 1
    assert len(set(cluster)) == 6  # {0,1,2}, 3, 4, 5, 6, and the other dataset's group of the same name


def broken(rows: Rows, **changes: object) -> Rows:
    return [{**row, **changes} if index == 2 else row for index, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label": "cancer"}, r"label 'cancer' in row 3 \(case 2\).*normal, benign, malignant"),
        ({"split": "train"}, "split 'train' in row 3"),
        ({"fold": None}, None),
        ({"fold": -1}, "fold that is not a whole number"),
        ({"id": ""}, "empty id in row 3"),
        ({"id": "case 0"}, r"duplicated id in row 3 \(case 0\)"),
        ({"p_benign": 0.9, "p_normal": 0.9, "p_malignant": 0.1}, r"sum to 1\.9 in row 3"),
        ({"p_benign": -0.1, "p_normal": 1.0, "p_malignant": 0.1}, r"outside 0\.\.1"),
        ({"p_benign": None}, "partly missing in row 3"),
        ({"p_benign": float("nan")}, "partly missing in row 3"),
        ({"logit_benign": 30.0}, "not the softmax of the logits in row 3"),
        ({"area_true": -1}, "impossible areas in row 3"),
        ({"intersection": 10**6}, "impossible areas in row 3"),
        ({"area_true": None, "dice": None, "intersection": None}, "has_mask without area_true in row 3"),
        ({"dice": 0.123456}, "dice that its areas contradict in row 3"),
        ({"nsd": 1.5}, "nsd out of range in row 3"),
        ({"hd95": float("inf")}, "hd95 out of range in row 3"),
    ],
)
def test_bad_values_are_named(
    simulate: Callable[..., Rows], tmp_path: Path, changes: dict[str, object], said: str | None
) -> None:
    rows = broken(simulate(6, valid=False), **changes)
    if said is None:
        write_table(rows, tmp_path / "t.parquet", {})
        return
    with pytest.raises(TableError, match=said):
        write_table(rows, tmp_path / "t.parquet", {})
    assert not list(tmp_path.iterdir())


def test_folds_may_share_validation_cases_but_not_test_them(simulate: Callable[..., Rows]) -> None:
    rows = simulate(10)
    from_rows(rows)
    with pytest.raises(TableError, match="also tested in the same fold"):
        from_rows([{**row, "fold": 0} for row in rows])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,label\na,benign\n", "no column p_normal, p_benign, p_malignant"),
        ("id,label,p_normal,p_benign,p_malignant\n", "no rows"),
        ("id,label,p_normal,p_benign,p_malignant\na,benign,high,0,0\n", "p_normal is 'high' in row 1"),
        ("id,label,p_normal,p_benign,p_malignant\na,benign,0,1\n", "line 2 has another number of cells"),
        ("id,label,p_normal,p_benign,p_malignant,fold\na,benign,0,1,0,1.5\n", "fold is '1.5' in row 1"),
        ("id,id,label,p_normal,p_benign,p_malignant\na,a,benign,0,1,0\n", "stands twice"),
        ("", "no column id"),
    ],
)
def test_bad_csv(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(TableError, match=said):
        read_table(tmp_path / "t.csv")


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        read_table(tmp_path / "absent.parquet")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(TableError, match="not a readable Parquet file"):
        read_table(tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_bytes(b"id,label\n\xff\xfe")
    with pytest.raises(TableError, match="not a readable CSV file"):
        read_table(tmp_path / "t.csv")


def test_many_bad_rows_are_counted(simulate: Callable[..., Rows]) -> None:
    rows = [{**row, "label": "?"} for row in simulate(9, valid=False)]
    with pytest.raises(TableError, match=r"row 1 \(case 0\), .* and 4 more"):
        from_rows(rows)
