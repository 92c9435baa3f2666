"""Who is trained on and tested: duplicates cross the random split on purpose, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from senoscope.benchmark.divisions import Division
from senoscope.benchmark.expected import all_folds, expected_split
from senoscope.benchmark.protocol import load_protocol
from senoscope.data import fake, load
from senoscope.data.splits import load_split
from senoscope.errors import UsageError

FROZEN = "busi-grouped-5fold"


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Made-up copies whose ids are those of the frozen splits, so that its groups are found in them."""
    folder = tmp_path_factory.mktemp("data")
    return {"busi": fake.make("busi", folder, 240), "bus-bra": fake.make("bus-bra", folder, 12)}


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENOSCOPE_DATA", str(tmp_path / "none"))


def divide(protocol: str, roots: dict[str, Path], seed: int = 0, dataset: str = "busi") -> Division:
    return load_protocol(protocol).divide(dataset, roots, seed)


def crossing(division: Division, fold: int) -> set[str]:
    """Groups with an image among the fold's test cases and another in training."""
    tested = {record.id for record in division.test[fold]}
    test = {record.group for record in division.test[fold] if record.group}
    train = {
        row.group for row in division.split.rows if row.fold not in (None, fold) and row.id not in tested
    }
    return test & train


def test_the_random_split_has_duplicates_on_both_sides(roots: dict[str, Path]) -> None:
    division = divide("leaky-random-split", roots)
    assert list(division.test) == [1]
    assert len(division.test[1]) == pytest.approx(240 / 5, abs=2)
    assert len(crossing(division, 1)) > 5
    assert len(division.split.rows) == 240, "conflicting and duplicated images included"
    assert division.made
    again, other = divide("leaky-random-split", roots), divide("leaky-random-split", roots, seed=1)
    assert again.hash == division.hash != other.hash


def test_the_frozen_split_has_none(roots: dict[str, Path]) -> None:
    division = divide("grouped-5fold", roots)
    assert list(division.test) == [1, 2, 3, 4, 5]
    assert division.hash == load_split(FROZEN).hash
    assert [crossing(division, fold) for fold in division.test] == [set()] * 5
    tested = [record.id for records in division.test.values() for record in records]
    dropped = {row.id for row in load_split(FROZEN).rows if row.fold is None}
    assert sorted(tested) == sorted({r.id for r in load("busi", roots["busi"])} - dropped)


def test_everything_is_on_both_sides(roots: dict[str, Path]) -> None:
    division = divide("as-published", roots)
    assert len(division.test[1]) == len(division.split.rows) == 240
    assert {row.fold for row in division.split.rows} == {1}
    assert division.made


def test_other_datasets_are_trained_on_and_all_of_this_one_is_tested(roots: dict[str, Path]) -> None:
    division = divide("leave-one-dataset-out", roots)
    assert division.sources == ("bus-bra",)
    assert division.hash == load_split("bus-bra-official").hash
    kept = {row.id for row in load_split(FROZEN).rows if row.fold is not None}
    own = {record.id for record in load("busi", roots["busi"])}
    assert {record.id for record in division.test[1]} == own & kept
    assert not division.made
    with pytest.raises(UsageError, match="no other dataset of modality US is at hand"):
        divide("leave-one-dataset-out", {"busi": roots["busi"]})


def test_a_dataset_without_what_a_protocol_needs(roots: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="busi has no folds of its owner"):
        divide("official", roots)
    assert divide("official", roots, dataset="bus-bra").hash == load_split("bus-bra-official").hash


def test_what_is_expected_is_known_without_images() -> None:
    split = expected_split("grouped-5fold", "busi")
    assert split is not None
    assert split.hash == load_split(FROZEN).hash
    assert all_folds("grouped-5fold", "busi") == (1, 2, 3, 4, 5)
    for protocol in ("leaky-random-split", "as-published", "leave-one-dataset-out"):
        assert expected_split(protocol, "busi") is None
        assert all_folds(protocol, "busi") == (1,)


def test_cases_of_a_protocol_carry_its_stamp(roots: dict[str, Path]) -> None:
    cases = load_protocol("leaky-random-split").cases("busi", roots["busi"])
    assert cases.stamps[0].startswith("LEAKY REPLICA")
    assert load_protocol("grouped-5fold").cases("busi", roots["busi"]).stamps == ()
    with pytest.raises(UsageError, match="perhaps you mean 'grouped-5fold'"):
        load_protocol("grouped-5folds")
