"""Whether two cases are one: by id in a public dataset, by the file's content in a user's own."""

from __future__ import annotations

import hashlib
from pathlib import Path

from senoscope import data
from senoscope.data import fake
from senoscope.data.identity import cases_hash, identity, own_datasets
from senoscope.schema import Record


def record(dataset: str, image: Path, id: str = "a") -> Record:
    return Record(id=id, dataset=dataset, image=image, modality="US")


def test_only_what_users_bring_is_their_own() -> None:
    assert own_datasets() == ("folder", "table")


def test_a_public_case_is_its_id_and_an_own_one_its_file(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(b"pixels")
    digest = "sha256:" + hashlib.sha256(b"pixels").hexdigest()[:16]
    assert identity(record("busi", image)) == "a"
    assert identity(record("folder", image)) == identity(record("table", image, "b")) == digest
    moved = image.rename(tmp_path / "b.png")
    assert identity(record("folder", moved)) == digest
    moved.write_bytes(b"other pixels")
    assert identity(record("folder", moved)) != digest


def test_a_file_that_cannot_be_read_keeps_its_id(tmp_path: Path) -> None:
    assert identity(record("folder", tmp_path / "none.png")) == "a"


def test_cases_hash_to_the_same_in_any_order(tmp_path: Path) -> None:
    one, two = record("busi", tmp_path, "1"), record("busi", tmp_path, "2")
    assert cases_hash([two, one]) == hashlib.sha256(b"busi\t1\nbusi\t2").hexdigest()


def test_two_folders_with_the_same_names_are_told_apart(tmp_path: Path) -> None:
    here, there = (fake.make("folder", tmp_path / str(seed), count=6, seed=seed) for seed in (0, 1))
    first, second = data.load("folder", here), data.load("folder", there)
    assert [r.id for r in first] == [r.id for r in second]
    assert not {identity(r) for r in first} & {identity(r) for r in second}
    assert cases_hash(first) != cases_hash(second)
