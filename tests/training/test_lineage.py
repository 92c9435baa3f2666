"""What a training starts from must not have seen what it is tested on."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest
from PIL import Image

from senoscope import data as datasets
from senoscope.data.identity import identity
from senoscope.data.phantoms import simulate
from senoscope.data.splits import make_split, save_split
from senoscope.errors import LeakageError, WeightsError
from senoscope.evaluation.cases import read_table
from senoscope.evaluation.evaluate import evaluate
from senoscope.evaluation.predict import in_sample_stamps
from senoscope.evaluation.runs import predict_run
from senoscope.evaluation.table import PredictionTable
from senoscope.export import export_run
from senoscope.inference.bundle import load_bundle
from senoscope.schema import CLASSES, Record
from senoscope.training import runs
from senoscope.training.data import Parts
from senoscope.training.lineage import is_seen, require_unseen, seen_by
from senoscope.training.loop import train
from senoscope.training.recipe import Recipe, make_recipe


def table(folder: Path, *rows: tuple[str, str, str]) -> Path:
    """A run's cases, and the place its weights would have."""
    folder.mkdir(parents=True)
    with (folder / "cases.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("id", "dataset", "side", "label"), *((*row, "") for row in rows)])
    return folder / runs.WEIGHTS


def case(id: str, **facts: Any) -> Record:
    return Record(id=id, dataset="busi", image=Path(id), modality="US", **facts)


def test_the_seen_are_those_trained_and_chosen_on_and_those_before(tmp_path: Path) -> None:
    weights = table(
        tmp_path / "run",
        ("a", "busi", "train"),
        ("b", "busi", "valid"),
        ("c", "busi", "test"),
        ("d", "x", "before"),
    )
    assert seen_by(weights) == {("busi", "a"), ("busi", "b"), ("x", "d")}
    assert seen_by(tmp_path / "elsewhere.safetensors") == {("?", "*")}


def test_a_held_out_image_patient_or_group_that_was_seen_is_refused(tmp_path: Path) -> None:
    weights = table(tmp_path / "run", ("a", "busi", "train"), ("b", "busi", "train"), ("e", "other", "train"))
    clean = Parts(
        train=[case("a", patient="1"), case("b", group="g")], test=[case("c", patient="2"), case("e")]
    )
    require_unseen(clean, weights)
    assert clean.before == [("other", "e")]
    assert clean.stamps == ()
    for held in (case("a"), case("c", patient="1"), case("c", group="g")):
        parts = Parts(train=clean.train, test=[held, case("z")])
        with pytest.raises(LeakageError, match=rf"has seen 1 of 2 held-out images \({held.id}\)"):
            require_unseen(parts, weights)
        require_unseen(parts, weights, allow=True)
        assert "LEAKING START" in parts.stamps[0]


def test_a_bundle_has_seen_its_datasets_whole(tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    card.write_text(
        json.dumps({"data": [{"name": "busi", "split": "s"}, {"name": "phantoms", "split": "simulated"}]})
    )
    weights = tmp_path / "weights.safetensors"
    assert seen_by(weights) == {("busi", "*")}
    with pytest.raises(LeakageError, match="1 of 1"):
        require_unseen(Parts(test=[case("a")]), weights)
    card.write_text("{")
    with pytest.raises(WeightsError, match="trained on cannot be read"):
        seen_by(weights)


def test_of_ones_own_data_the_file_tells_and_not_its_name(tmp_path: Path) -> None:
    """A run on a folder: another hospital's image of the same name is new, a renamed copy and a table's row are not."""
    weights = tmp_path / "run" / runs.WEIGHTS
    for name, pixels in (("here.png", b"1"), ("there.png", b"2")):
        (tmp_path / name).write_bytes(pixels)
    here = Record(id="benign/1.png", dataset="folder", image=tmp_path / "here.png", modality="US")
    recipe = make_recipe({"name": "own", "data": [{"name": "folder"}]})
    runs.open_run(weights.parent, recipe, Parts(train=[here]), resume=False)
    seen = seen_by(weights)
    assert seen == {("folder", identity(here))}
    assert is_seen(here, seen)
    assert is_seen(replace(here, id="renamed", dataset="table"), seen)
    assert not is_seen(replace(here, image=tmp_path / "there.png"), seen)
    older = table(tmp_path / "older", ("benign/1.png", "folder", "train"))  # before files were looked at
    assert is_seen(here, seen_by(older))


def test_a_bundle_of_ones_own_data_has_seen_its_images(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(
        json.dumps({"data": [{"name": "folder", "split": "none", "images": ["sha256:0123456789abcdef"]}]})
    )
    assert seen_by(tmp_path / "weights.safetensors") == {("folder", "sha256:0123456789abcdef")}


def own_folder(root: Path, seed: int) -> Path:
    """Simulated exams as a user's folder; the names do not depend on the seed."""
    for number in range(12):
        phantom = simulate(100 * seed + number, CLASSES[number % 3], 96)
        place = root / phantom.label
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(phantom.image).save(place / f"{number}.png")
        if phantom.label != "normal":
            Image.fromarray(phantom.mask).save(place / f"{number}_mask.png")
    return root


def test_trained_on_ones_own_folder_tested_on_anothers(tmp_path: Path, small: dict[str, Any]) -> None:
    """The names are the same at both hospitals; a picture that came along under another name is found."""
    here, there = own_folder(tmp_path / "here", 1), own_folder(tmp_path / "there", 2)
    recipe = make_recipe({**small, "data": [{"name": "folder", "root": str(here)}], "epochs": 1})
    run = train(recipe, tmp_path / "run", progress=False)
    names = sorted(r.id for r in datasets.load("folder", there))
    assert sorted(r.id for r in datasets.load("folder", here)) == names

    def tested(root: Path) -> PredictionTable:
        evaluation = evaluate(run, data="folder", root=root, out=tmp_path / "report")
        table = read_table(run / "predictions-folder.parquet")
        assert evaluation.summary["cases"]["test"] == table.test.sum()
        return table

    table = tested(there)
    assert (sorted(table.id[table.test]), table.stamps) == (names, ())
    known = datasets.load("folder", here)[0]
    copyfile(known.image, there / "benign/came-along.png")
    table = tested(there)  # asked again, not remembered
    assert (sorted(table.id[table.test]), table.stamps) == (
        names,
        ("1 of 13 images of folder were seen in training and left out.",),
    )

    bundle = load_bundle(export_run(run, tmp_path / "bundle", progress=False))
    records = datasets.load("folder", there)
    with pytest.raises(LeakageError, match=r"trained on 1 of these 13 images \(benign/came-along\.png\)"):
        in_sample_stamps(bundle, records, allow=False)
    assert in_sample_stamps(bundle, [r for r in records if "came-along" not in r.id], allow=False) == []

    # What it started from may have seen images that nobody listed: then the whole name is refused, as it was before.
    with (run / "cases.csv").open("a") as stream:
        stream.write("benign/unlisted.png,folder,before,,\n")
    unsure = load_bundle(export_run(run, tmp_path / "unsure", progress=False))
    assert [source.images for source in unsure.card.data] == [()]
    with pytest.raises(LeakageError, match="was trained on folder"):
        in_sample_stamps(unsure, records, allow=False)


def held_out(small: dict[str, Any], split: Path, fold: int, **keys: Any) -> Recipe:
    source = {**small["data"][0], "split": str(split), "fold": fold}
    return make_recipe({**small, "data": [source], "epochs": 1, **keys})


def test_it_holds_from_run_to_run_to_bundle(
    tmp_path: Path, small: dict[str, Any], phantom_root: Path
) -> None:
    """A run on fold 1, one from it on fold 1 again, one on fold 2, which is refused; a bundle of the first."""
    split = tmp_path / "split.csv"
    records = datasets.load("phantoms", phantom_root)
    save_split(make_split(records, 3, 0), split)
    first = train(held_out(small, split, 1), tmp_path / "first", progress=False)
    start = {"init_weights": str(first / runs.WEIGHTS)}
    second = train(held_out(small, split, 1, **start), tmp_path / "second", progress=False)
    assert json.loads((second / runs.MANIFEST).read_text())["stamps"] == []
    with pytest.raises(LeakageError, match="held out the same fold"):
        train(held_out(small, split, 2, **start), tmp_path / "third", progress=False)
    assert not (tmp_path / "third").exists()
    third = train(held_out(small, split, 2, **start), tmp_path / "third", allow_leaks=True, progress=False)
    stamps = read_table(predict_run(third, masks=False, progress=False)).stamps
    assert any("LEAKING START" in stamp for stamp in stamps)
    again = {"init_weights": str(third / runs.WEIGHTS)}
    with pytest.raises(
        LeakageError
    ):  # a leak that was allowed once is not forgotten by who starts from there
        train(held_out(small, split, 2, **again), tmp_path / "again", progress=False)
    (tmp_path / "loose.safetensors").write_bytes((first / runs.WEIGHTS).read_bytes())
    loose = {"init_weights": str(tmp_path / "loose.safetensors")}
    fourth = train(held_out(small, split, 1, **loose), tmp_path / "fourth", progress=False)
    assert (
        "UNKNOWN TRAINING (loose.safetensors)"
        in json.loads((fourth / runs.MANIFEST).read_text())["stamps"][0]
    )
    chosen = train(held_out(small, split, 1, judge="test"), tmp_path / "chosen", progress=False)
    assert len(seen_by(chosen / runs.WEIGHTS)) == 24 > len(seen_by(first / runs.WEIGHTS))
    manifest = json.loads((first / runs.MANIFEST).read_text())
    assert manifest["before"] == {}
    (first / runs.MANIFEST).write_text(json.dumps(manifest | {"before": {"busi": 7, "bus-bra": None}}))
    card = load_bundle(export_run(first, tmp_path / "bundle", progress=False)).card
    assert [(source.name, source.n) for source in card.data] == [
        ("phantoms", 16),
        ("busi", 7),
        ("bus-bra", None),
    ]
