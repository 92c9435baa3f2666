"""Splits: the frozen ones' invariants, leaks refused, folds fair, bad tables named by row."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from senoscope import data
from senoscope.data import fake
from senoscope.data.duplicates import Duplicates, Pair
from senoscope.data.freeze import check, decide, freeze
from senoscope.data.splits import (
    Split,
    SplitRow,
    check_leaks,
    find_leaks,
    load_split,
    make_split,
    require_no_leaks,
    save_split,
    validation_ids,
)
from senoscope.errors import LeakageError, TableError, UsageError
from senoscope.schema import Record

BUSI, BUS_BRA, MIAS = "busi-grouped-5fold", "bus-bra-official", "mini-mias-paired-5fold"


def record(
    id: str, label: str | None = "benign", patient: str | None = None, group: str | None = None
) -> Record:
    return Record(
        id=id, dataset="d", image=Path(f"{id}.png"), modality="US", label=label, patient=patient, group=group
    )


def cohort(count: int = 100) -> list[Record]:
    """Every fourth malignant; patients of three images; every tenth image in one of two groups across patients."""
    return [
        record(
            f"i{i:03d}",
            "malignant" if i % 4 == 0 else "benign",
            patient=f"p{i // 3}",
            group=f"g{i // 50}" if i % 10 == 0 else None,
        )
        for i in range(count)
    ]


# The frozen splits. Results are reported against these hashes: a change here is a new split under a new name.


@pytest.mark.parametrize(
    ("name", "sha256", "rows", "dropped"),
    [
        (BUSI, "2d58ae338e01b8d2df31f7ae44a9e66e253c0fe05f3ccf071cf503808f94270f", 780, 18),
        (BUS_BRA, "7a56c909da5fcace64729032413beb3db33a037ce30d4ca37d3fa6a0d0e3dbac", 1492, 2),
        (MIAS, "e34ec82c8e3f1995a66338b86828df299e34dc2bf2741058e3e396ee2a51372b", 322, 0),
    ],
)
def test_frozen_splits_are_what_they_were(name: str, sha256: str, rows: int, dropped: int) -> None:
    split = load_split(name)
    assert split.hash == sha256
    assert len(split.rows) == rows
    assert sum(row.decision == "drop" for row in split.rows) == dropped
    assert all(row.note for row in split.rows if row.decision == "drop")
    assert check_leaks(split) == []
    assert require_no_leaks(split) == ()


def test_busi_folds_hold_alike_shares_of_every_class() -> None:
    split = load_split(BUSI)
    assert split.folds == (1, 2, 3, 4, 5)
    kept = Counter(row.label for row in split.rows if row.fold)
    assert kept == {"benign": 437 - 10, "malignant": 210 - 6, "normal": 133 - 2}
    for fold in split.folds:
        labels = Counter(split.row(id).label for id in split.test(fold))  # type: ignore[union-attr]
        for label, total in kept.items():
            assert abs(labels[label] - total / 5) <= 1, (fold, label)


def test_busi_drops_the_pictures_with_two_labels() -> None:
    split = load_split(BUSI)
    for one, two in (
        ("benign (433)", "malignant (145)"),
        ("benign (131)", "malignant (51)"),
        ("benign (437)", "normal (34)"),
    ):
        first, second = split.row(one), split.row(two)
        assert first is not None
        assert second is not None
        assert first.fold is None
        assert second.fold is None
        assert first.group == second.group
        assert two in first.note
    assert split.fold_of("benign (435)") is not None  # another frame of the same lesion: kept, in their group
    assert split.row("benign (435)").group == split.row("benign (433)").group  # type: ignore[union-attr]


def test_bus_bra_keeps_the_owners_folds_but_one_patient_once() -> None:
    split = load_split(BUS_BRA)
    assert split.fold_of("bus_0001-l") == split.fold_of("bus-bra:bus_0001-l") == 3
    assert split.fold_of("bus_0044-l") == 3
    assert split.fold_of("bus_0065-l") is None  # the same woman under another case number, in fold 1
    assert len(split.test(2)) == 385


def test_mini_mias_keeps_both_breasts_of_a_woman_together() -> None:
    split = load_split(MIAS)
    folds = {int(row.id.removeprefix("mini-mias:mdb")): row.fold for row in split.rows}
    assert sorted(folds) == list(range(1, 323))
    assert all(folds[odd] == folds[odd + 1] for odd in range(1, 323, 2))
    for fold in range(1, 6):
        labels = Counter(split.row(id).label for id in split.test(fold))  # type: ignore[union-attr]
        assert abs(labels["normal"] - 207 / 5) <= 2, fold
        assert 12 <= labels["benign"] <= 13, fold
        assert 10 <= labels["malignant"] <= 11, fold


@pytest.mark.parametrize("name", ["busi", "bus-bra", "mini-mias"])
def test_frozen_splits_know_every_image(name: str) -> None:
    if not data.is_found(name):
        pytest.skip(f"{name} is not in the shared data folder")
    records = data.load(name)
    split = load_split(data.info(name).text("split"))
    assert {row.id for row in split.rows} == {record.id for record in records}
    assert {record.id: record.label for record in records} == {row.id: row.label for row in split.rows}
    assert check_leaks(split, records) == []
    if name == "bus-bra":
        assert all(split.fold_of(r.id) in (None, r.clinical["fold"]) for r in records)


def test_names_that_do_not_exist() -> None:
    with pytest.raises(UsageError, match="busi-grouped-5fold"):
        load_split("busi-5fold")
    with pytest.raises(UsageError, match="no fold 7"):
        load_split(BUSI).test(7)


# Making splits


def test_made_folds_keep_patients_and_groups_together_and_classes_even() -> None:
    records = cohort()
    split = make_split(records, 5, seed=1)
    assert check_leaks(split, records) == []
    assert sorted(id for fold in split.folds for id in split.test(fold)) == [r.id for r in records]
    for fold in split.folds:
        labels = Counter(split.row(id).label for id in split.test(fold))  # type: ignore[union-attr]
        assert 3 <= labels["malignant"] <= 7, labels  # 25 in all; the two groups chain five patients each
        assert 12 <= labels["benign"] <= 18, labels


def test_a_split_depends_on_the_seed_but_not_on_the_order_of_records() -> None:
    records = cohort()
    split = make_split(records, 5, seed=1)
    assert make_split(records[::-1], 5, seed=1).hash == split.hash
    assert make_split(records, 5, seed=2).hash != split.hash


def test_patients_linked_through_a_group_stay_in_one_fold() -> None:
    # a-b share a patient, b-c a group, c-d a patient: all four are one cluster.
    chain = [
        record("a", patient="1"),
        record("b", patient="1", group="g"),
        record("c", patient="2", group="g"),
        record("d", patient="2"),
    ]
    split = make_split([*chain, *(record(f"x{i}") for i in range(8))], 3)
    assert len({split.fold_of(r.id) for r in chain}) == 1


def test_unlinked_split_leaks_and_says_so() -> None:
    records = cohort()
    leaks = check_leaks(make_split(records, 5, by=()), records)
    assert {leak.kind for leak in leaks} == {"patient", "group"}


def test_too_few_clusters_and_double_ids_are_refused() -> None:
    with pytest.raises(UsageError, match="3 images in 1 clusters cannot make 2 folds"):
        make_split([record(id, patient="1") for id in "abc"], 2)
    with pytest.raises(TableError, match="1 ids stand twice: a"):
        make_split([record("a"), record("a"), record("b")], 2)


def test_validation_is_grouped_stratified_and_outside_the_test_fold() -> None:
    split = load_split(BUSI)
    for fold in split.folds:
        chosen = validation_ids(split, fold, 0.15)
        train = set(split.train(fold))
        assert set(chosen) <= train
        rest = train - set(chosen)
        rows = {row.id: row for row in split.rows}
        assert not {rows[id].group for id in chosen if rows[id].group} & {rows[id].group for id in rest}
        for label in ("benign", "malignant", "normal"):
            total = sum(rows[id].label == label for id in train)
            assert sum(rows[id].label == label for id in chosen) / total == pytest.approx(0.15, abs=0.02)
    assert validation_ids(split, 1) != validation_ids(split, 1, seed=1)
    with pytest.raises(UsageError, match="fraction is 0"):
        validation_ids(split, 1, 0)


# Leaks


def leaking() -> Split:
    rows = [
        SplitRow(id="a", dataset="d", patient="7", fold=1),
        SplitRow(id="b", dataset="d", patient="7", fold=2),
        SplitRow(id="c", dataset="e", patient="7", fold=2),  # another dataset's patient 7
        SplitRow(id="e", dataset="d", patient="7", decision="drop"),
    ]
    return Split("mine", tuple(rows))


def test_a_patient_in_two_folds_is_refused_by_name() -> None:
    with pytest.raises(LeakageError) as caught:
        require_no_leaks(leaking())
    assert "patient 7 (fold 1: a; fold 2: b)" in caught.value.found
    assert "e" not in caught.value.found.split("(fold")[1]


def test_an_allowed_leak_stamps_every_report() -> None:
    stamps = require_no_leaks(leaking(), allow=True)
    assert stamps == ("LEAKING SPLIT mine: 1 patient stand in several folds; its figures are too good.",)


def test_groups_that_only_the_records_know_are_leaks_too() -> None:
    rows = (SplitRow(id="a", dataset="d", fold=1), SplitRow(id="b", dataset="d", fold=2))
    split = Split("mine", rows)
    assert check_leaks(split) == []
    [leak] = check_leaks(split, [record("a", group="g1"), record("b", group="g1")])
    assert (leak.kind, leak.name, dict(leak.sides)) == ("group", "g1", {"fold 1": ("a",), "fold 2": ("b",)})


def test_an_image_on_both_sides_is_a_leak() -> None:
    [leak] = find_leaks({"train": [record("a"), record("b")], "test": [record("b")]})
    assert str(leak) == "image b (train: b; test: b)"


# Files


def test_a_split_survives_its_file(tmp_path: Path) -> None:
    rows = (
        SplitRow(id="=cmd|' /C calc'!A0", dataset="d", label="benign", fold=1, note='a "quoted",\nnote'),
        SplitRow(id="b", dataset="d", decision="drop", note="why"),
    )
    save_split(Split("s", rows), tmp_path / "s.csv")
    assert load_split(tmp_path / "s.csv").rows == rows
    text = (tmp_path / "s.csv").read_text(encoding="utf-8")
    assert "\n=cmd" not in text  # no spreadsheet runs it
    assert "'=cmd" in text


def test_the_hash_leaves_out_order_and_notes_but_nothing_else() -> None:
    rows = tuple(SplitRow(id=id, dataset="d", label="benign", fold=i % 2) for i, id in enumerate("abc"))
    split = Split("s", rows)
    assert Split("t", (*rows[::-1][:2], replace(rows[0], note="seen"))).hash == split.hash
    for change in ({"fold": 5}, {"group": "g"}, {"patient": "p"}, {"label": None}, {"id": "z"}):
        assert Split("s", (replace(rows[0], **change), *rows[1:])).hash != split.hash, change


@pytest.mark.parametrize(
    "text",
    [
        "id,fold,note\na,1,x\nb,2,\n",
        "\ufeffid,fold,note\r\na,1,x\r\nb,2,\r\n",
        "id;fold;note\na;1;x\nb;2;\n",
        'note,id,fold\n"x",a,1\n"",b,2\n\n',
    ],
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(text.encode())
    split = load_split(path)
    assert [(row.id, row.fold, row.note) for row in split.rows] == [("a", 1, "x"), ("b", 2, "")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("id,group\na,1\n", "lacks the column fold"),
        ("id,fold,fold\na,1,1\n", "has the column fold twice"),
        ("id,fold\n", "no rows below the header"),
        ("id,fold\na,1\na,2\n", "row 3: id a stands already in row 2"),
        ("id,fold\n,1\nb,x\nc,-1\n", "row 2: no id; row 3: fold 'x' is not a whole number; row 4: fold '-1'"),
        ("id,fold\na\n", "row 2 has 1 cells, not 2"),
        (
            "id,fold,decision\na,1,maybe\nb,2,drop\n",
            "row 2: decision 'maybe' .*; row 3: dropped, yet in fold 2",
        ),
        (
            "id,fold,label\na,1,benign\nb,1,maligant\n",
            "row 3: label 'maligant' is none of normal, benign, malignant",
        ),
        ('id,fold\n"a,1\n', "is not a CSV table"),
    ],
)
def test_bad_tables_are_refused_with_row_numbers(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TableError, match=message):
        load_split(path)


def test_a_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes("id,fold\nа,1\n".encode("utf-16"))
    with pytest.raises(TableError, match="not UTF-8"):
        load_split(path)


# From dataset to file


def test_deciding_drops_conflicts_and_groups_pairs() -> None:
    records = [
        record("a"),
        record("b", "malignant"),
        record("c"),
        record("d"),
        *(record(f"x{i}") for i in range(6)),
    ]
    pairs = (
        Pair(first=0, second=1, transform="same", hamming=0, correlation=1.0),
        Pair(first=2, second=3, transform="crop", hamming=8, correlation=0.8),
    )
    split = decide(records, Duplicates(pairs, len(records)), 2, 0)
    assert [row.id for row in split.rows] == [r.id for r in records]
    assert [row.decision for row in split.rows[:4]] == ["drop", "drop", "keep", "keep"]
    assert split.rows[0].note == "same picture as b under another label: the label is unknown"
    assert split.rows[2].fold == split.rows[3].fold
    assert split.rows[2].group == split.rows[3].group == "d:g002"
    assert check_leaks(split) == []


def test_freezing_and_checking_a_dataset_on_disk(tmp_path: Path) -> None:
    place = fake.make("busi", tmp_path)
    out = tmp_path / "split.csv"
    records = data.load("busi", place)
    made = freeze("busi", place, 2, 0, out)
    assert {row.id for row in made.rows} == {r.id for r in records}
    loaded, leaks = check(str(out), "busi", place)
    assert loaded.hash == made.hash
    assert leaks == []
    with pytest.raises(TableError, match="bus-bra-official knows none of the"):
        check(BUS_BRA, "busi", place)
