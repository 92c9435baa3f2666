"""The plan and its time: cheapest first, refusals with reasons, folds, and seconds from known rates."""

from __future__ import annotations

from pathlib import Path

import pytest

from senoscope import models
from senoscope.benchmark.cost import ONE_CORE, estimate
from senoscope.benchmark.jobs import TRACKS, Job, Plan, make_plan
from senoscope.benchmark.protocol import load_protocol
from senoscope.benchmark.results import Result
from senoscope.data import fake
from senoscope.data.splits import load_split
from senoscope.errors import UsageError
from senoscope.evaluation.cases import from_rows

QUICK = TRACKS["quick"]


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    return {"busi": fake.make("busi", folder, 60), "bus-bra": fake.make("bus-bra", folder, 40)}


def plan(
    roots: dict[str, Path], *systems: str, protocols: tuple[str, ...] = ("grouped-5fold",), **options: object
) -> Plan:
    return make_plan(
        QUICK, systems, ["busi"], [load_protocol(name) for name in protocols], roots=roots, **options
    )  # type: ignore[arg-type]


def test_cheapest_first(roots: dict[str, Path]) -> None:
    found = plan(roots, "unet", "cnn3", "transunet", "senoscope-us")
    assert len(found.jobs) == 4 * 5
    order = list(dict.fromkeys(job.system for job in found.jobs))
    # GMACs of the rows, scaled by area to 128 px (or the next size): 48.1/4, 0.49·(128/224)², 29.2·(128/224)², 0.91/4.
    assert order == ["cnn3", "senoscope-us", "transunet", "unet"]
    assert [job.fold for job in found.jobs if job.system == "unet"] == [1, 2, 3, 4, 5]


def test_size_is_the_tracks_or_the_next_larger_one() -> None:
    for name in models.names():
        facts = models.info(name).facts
        side = QUICK.size(name)
        assert side >= 128
        assert side % facts.get("size_multiple", 1) == 0
        models.check_image_size(models.info(name), side)
        assert TRACKS["full"].size(name) == facts["native_size"]
    assert QUICK.gmacs("unet") == pytest.approx(models.info("unet").facts["gmacs"] / 4)


def test_what_a_protocol_cannot_take_is_left_out_with_the_reason(roots: dict[str, Path]) -> None:
    found = plan(roots, "unet", "imagemasknet", protocols=("mask-given", "as-published"))
    assert {job.system for job in found.jobs} == {"imagemasknet"}
    assert found.refused == (
        "mask-given: unet takes no mask",
        "as-published: the row of unet does not say what its published code does",
    )


def test_folds_and_seeds_narrow_the_plan(roots: dict[str, Path]) -> None:
    found = plan(roots, "unet", folds=(2, 4), seeds=(7, 8))
    assert {(job.fold, job.seed) for job in found.jobs} == {(2, 7), (2, 8), (4, 7), (4, 8)}
    with pytest.raises(UsageError, match="fold 9 is in no division"):
        plan(roots, "unet", folds=(1, 9))
    with pytest.raises(UsageError, match="no system 'unett'"):
        plan(roots, "unett")


def known(system: str, images_per_second: float) -> Result:
    rows = [{"id": "a", "label": "benign", "p_normal": 0.2, "p_benign": 0.5, "p_malignant": 0.3}]
    manifest = {"images_per_second": images_per_second}
    return Result(Job("quick", "busi", "grouped-5fold", system, 1, 0), from_rows(rows), manifest)


def one_core(system: str) -> float:
    return ONE_CORE[0] + ONE_CORE[1] * QUICK.gmacs(system)


def test_time_from_known_rates(roots: dict[str, Path]) -> None:
    # Two machine-wide outliers in five do not move the median: this machine is twice as quick.
    factor = {"unet": 0.5, "cnn3": 0.5, "senoscope-us": 0.5, "medt": 10.0, "resnet50": 0.01}
    results = [known(name, 1 / (times * one_core(name))) for name, times in factor.items()]
    images = sum(row.fold not in (None, 1) for row in load_split("busi-grouped-5fold").rows)
    for name, rate in (("transunet", 0.5 * one_core("transunet")), ("medt", 10 * one_core("medt"))):
        found = plan(roots, name, folds=(1,))
        assert estimate(found, found.jobs, results) == pytest.approx(images * 15 * rate), name
        assert estimate(found, found.jobs) == pytest.approx(images * 15 * one_core(name))


def test_time_counts_the_images_that_are_trained_on(
    roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENOSCOPE_DATA", "/nonexistent")
    for protocol, images in (("as-published", 60), ("leave-one-dataset-out", None)):
        found = plan(roots, "imagemasknet", protocols=(protocol,))
        wanted = images or sum(row.fold is not None for row in load_split("bus-bra-official").rows)
        assert estimate(found, found.jobs) == pytest.approx(wanted * 15 * one_core("imagemasknet")), protocol
