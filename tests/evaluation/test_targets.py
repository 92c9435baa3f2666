"""A run as a target: its own test fold, other data, and the folds and data that it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from scipy.special import softmax

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("pyarrow", reason="needs the [train] extra")

from senoscope.data.phantoms import read, write_dataset  # noqa: E402
from senoscope.data.splits import make_split, save_split  # noqa: E402
from senoscope.errors import UsageError  # noqa: E402
from senoscope.evaluation import corruptions  # noqa: E402
from senoscope.evaluation.cases import read_table  # noqa: E402
from senoscope.evaluation.robustness import robustness  # noqa: E402
from senoscope.evaluation.targets import open_target  # noqa: E402
from senoscope.imaging.read import read_sample  # noqa: E402
from senoscope.training import runs  # noqa: E402
from senoscope.training.build import build_system  # noqa: E402
from senoscope.training.data import collect  # noqa: E402
from senoscope.training.predict import load_run  # noqa: E402
from senoscope.training.recipe import make_recipe  # noqa: E402


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    write_dataset(folder, 24, seed=3, size=64)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A finished run of an untrained network, with fold 2 of three held out."""
    split = tmp_path_factory.mktemp("split") / "thirds.csv"
    save_split(make_split(read(root), 3, 0, name="thirds"), split)
    source = {"name": "phantoms", "root": str(root), "split": str(split), "fold": 2}
    recipe = make_recipe(
        {"name": "tiny", "system": "cnn3", "data": [source], "valid_fraction": 0.3, "preprocess": {"size": 64},
         "train_size": 64, "options": {"widths": [4, 4, 4], "hidden": 8}, "threads": 1}
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    runs.open_run(folder, recipe, collect(recipe), resume=False)
    torch.manual_seed(0)
    runs.close_run(folder, build_system(recipe).state_dict(), [])
    return folder


def test_a_run_is_measured_on_its_own_fold(run: Path, root: Path, tmp_path: Path) -> None:
    target = open_target(run)
    recipe, model = load_run(run)
    assert {record.id for record in target.records} == {record.id for record in collect(recipe).test}
    assert 0 < len(target.records) < 24
    assert target.title == "tiny"

    options = {"names": ["flip", "gain"], "severities": [4], "adversarial": True, "out": tmp_path}
    summary = robustness(run, **options).summary
    assert summary["cases"]["test"] == len(target.records)
    assert list(summary["attacks"]) == ["fgsm", "pgd"]
    assert summary == json.loads((tmp_path / "robustness.json").read_text())

    # The kept row is the network's own answer to the corrupted picture.
    record = target.records[0]
    image, _ = corruptions.corrupt("gain", 4, read_sample(record).image, None, seed=0, case=record.id)
    with torch.inference_mode():
        logits = (
            model(torch.from_numpy(recipe.preprocess.apply(image)[0])[None, None]).class_logits[0].numpy()
        )
    kept = read_table(tmp_path / "tables" / "gain-4.parquet")
    np.testing.assert_allclose(
        kept.probabilities[kept.id.tolist().index(record.id)], softmax(logits), atol=1e-5
    )


def test_other_data_is_measured_whole(run: Path, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "benign").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 255, (64, 64), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "benign" / f"{number}.png")
    target = open_target(run, "folder", tmp_path)
    assert len(target.records) == 2
    assert target.split == "all of folder"


def test_what_a_run_or_its_start_has_seen_is_left_out_of_other_data(
    run: Path, root: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    copytree(run, copy)
    other = write_dataset(tmp_path / "other", 3, seed=90, size=64)
    with (copy / "cases.csv").open("a") as stream:
        stream.write(f"{other[1].id},phantoms,before,,\n")
    target = open_target(copy, "phantoms", tmp_path / "other")
    assert [record.id for record in target.records] == [other[0].id, other[2].id]
    assert target.stamps == ("1 of 3 images of phantoms were seen in training and left out.",)
    assert {r.id for r in open_target(run, "phantoms", root).records} == {
        r.id for r in open_target(run).records
    }


def test_wrong_folds_and_runs_without_a_test_fold(run: Path, tmp_path: Path) -> None:
    assert open_target(run, fold=2).records == open_target(run).records
    with pytest.raises(UsageError, match="does not test fold 1"):
        open_target(run, fold=1)
    lines = (run / "cases.csv").read_text().replace(",test,", ",train,")
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in run.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    (copy / "cases.csv").write_text(lines)
    with pytest.raises(UsageError, match="leaves no image to test on"):
        open_target(copy)
    (copy / "weights.safetensors").unlink()
    with pytest.raises(UsageError, match="is not finished"):
        open_target(copy)
