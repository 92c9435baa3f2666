"""Entries: who is ranked, tested against whom, refused, marked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata

from senoscope import models
from senoscope.benchmark.external import read_external
from senoscope.benchmark.figures import FIGURES
from senoscope.benchmark.jobs import Job
from senoscope.benchmark.leaderboard import Entry, make_entries, read_results
from senoscope.benchmark.results import load_results, pooled
from senoscope.benchmark.rows import BEST, make_tables
from senoscope.benchmark.significance import compare
from senoscope.errors import TableError, UsageError

Fill = Callable[..., list[Path]]
BOTH = ("senoscope-us", "multirusnet", "mtl-aumente", "ucapsnet")


def entries_of(results: Path) -> dict[tuple[str, str], Entry]:
    return {(e.key.protocol, e.key.label): e for e in make_entries(read_results(results).values())}


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, fill: Fill) -> dict[tuple[str, str], Entry]:
    results = tmp_path_factory.mktemp("bench") / "results"
    fill(results, "senoscope-us", 1.0)
    fill(results, "multirusnet", 1.3)
    fill(results, "mtl-aumente", 0.2)
    fill(results, "ucapsnet", 3.0, folds=(1, 2))
    fill(results, "resnet18", 0.9)
    fill(results, "unet", 1.2)
    fill(results, "senoscope-us", 2.0, folds=(1,), protocol="leaky-random-split", stamps=["LEAKY"])
    fill(results, "densenet121", 2.0, folds=(1,), protocol="leaky-random-split", stamps=["LEAKY"])
    return entries_of(results)


def test_a_partial_row_is_shown_but_not_ranked(board: dict[tuple[str, str], Entry]) -> None:
    partial, full = board["grouped-5fold", "ucapsnet"], board["grouped-5fold", "multirusnet"]
    value = {
        name: (entry.figures["accuracy"]["value"] or 0)
        for (_, name), entry in board.items()
        if "accuracy" in entry.figures
    }
    assert value["ucapsnet"] > value["multirusnet"], "the partial one has the best figure, and must not win"
    assert (len(partial.folds), partial.of_folds, partial.complete) == (2, 5, False)
    assert not partial.ranked
    assert partial.ranks == {}
    assert full.ranks["accuracy"] == 1
    assert all(against.best != "ucapsnet" for entry in board.values() for against in entry.tests.values())


def test_a_partial_row_is_compared_on_the_cases_that_both_tested(board: dict[tuple[str, str], Entry]) -> None:
    partial, full = board["grouped-5fold", "ucapsnet"], board["grouped-5fold", "multirusnet"]
    test = partial.tests["accuracy"].test
    assert test.n == len(partial.tables[0]) < len(full.tables[0])
    (ours,), (theirs,) = partial.tables, full.tables
    shared = np.isin(theirs.id.astype(str), ours.id.astype(str))
    right = theirs.probabilities.argmax(1) == theirs.label
    assert test.second == pytest.approx(right[shared].mean())
    assert test.first == pytest.approx(partial.figures["accuracy"]["value"])


def test_ranks_count_the_better_ones(board: dict[tuple[str, str], Entry]) -> None:
    full = {name: e for (protocol, name), e in board.items() if protocol == "grouped-5fold" and e.ranked}
    for figure in FIGURES:
        values = {name: e.figures[figure]["value"] or 0.0 for name, e in full.items() if figure in e.figures}
        sign = 1 if figure in ("ece", "false_positive_rate") else -1
        wanted = rankdata([sign * value for value in values.values()], method="min")
        assert [full[name].ranks[figure] for name in values] == wanted.tolist(), figure


def test_holm_is_applied_to_the_tables_systems(board: dict[tuple[str, str], Entry]) -> None:
    for figure in ("accuracy", "dice", "auc_benign_malignant"):
        tested = [e.tests[figure] for e in board.values() if figure in e.tests]
        ordered = sorted(tested, key=lambda against: against.test.p or 0)
        assert len(ordered) in (4, 5)  # with unet or resnet18, one being the best
        worst = 0.0
        for number, against in enumerate(ordered):
            worst = max(worst, min(1.0, (against.test.p or 0) * (len(ordered) - number)))
            assert against.p_holm == pytest.approx(worst)
    weak = board["grouped-5fold", "mtl-aumente"].tests["accuracy"]
    assert not weak.tied
    assert weak.test.difference < 0


def test_leaky_replicas_are_never_ranked(board: dict[tuple[str, str], Entry]) -> None:
    leaky = board["leaky-random-split", "senoscope-us"]
    assert not leaky.honest
    assert leaky.ranks == leaky.tests == {}
    assert leaky.stamps == ("LEAKY",)
    tables = make_tables(list(board.values()))
    assert [table.protocol for table in tables] == ["grouped-5fold", ""]
    row = next(row for row in tables[0].rows if row.label == "senoscope-us")
    assert [entry.key.protocol for entry in row.leaky] == ["leaky-random-split"]
    assert [row.label for row in tables[1].rows] == ["densenet121"]
    assert tables[0].having("accuracy")[0].mark("accuracy") == BEST
    assert tables[0].having("accuracy")[-1].label == "ucapsnet", "partial ones come last"


def test_balanced_accuracy_is_tested_as_the_mean_over_classes(board: dict[tuple[str, str], Entry]) -> None:
    first, second = (board["grouped-5fold", name] for name in ("senoscope-us", "multirusnet"))
    found = compare(first.tables, second.tables, "balanced_accuracy")
    assert found is not None
    assert found.first == pytest.approx(first.figures["balanced_accuracy"]["value"])
    assert found.second == pytest.approx(second.figures["balanced_accuracy"]["value"])
    turned = compare(second.tables, first.tables, "balanced_accuracy")
    assert turned is not None
    assert turned.difference == pytest.approx(-found.difference)


def test_several_seeds(tmp_path: Path, fill: Fill) -> None:
    for seed in (0, 1, 2):
        fill(tmp_path, "senoscope-us", 1.0, folds=(1, 2, 3) if seed < 2 else (1,), seed=seed)
    fill(tmp_path, "multirusnet", 1.0, folds=(1, 2, 3))
    found = entries_of(tmp_path)
    entry, other = found["grouped-5fold", "senoscope-us"], found["grouped-5fold", "multirusnet"]
    assert entry.seeds == (0, 1)
    assert entry.left_out == ("seed 2: 1 of 5 folds",)
    assert entry.ranked
    singles = [compare([table], other.tables, "auc_benign_malignant") for table in entry.tables]
    both = compare(entry.tables, other.tables, "auc_benign_malignant")
    assert both is not None
    assert both.first == pytest.approx(entry.figures["auc_benign_malignant"]["value"])
    assert both.difference == pytest.approx(np.mean([s.difference for s in singles if s]))
    assert compare([entry.tables[0]] * 2, other.tables, "auc_benign_malignant") == pytest.approx(singles[0])


def test_another_split_is_refused_and_the_file_named(tmp_path: Path, fill: Fill) -> None:
    paths = fill(tmp_path, "unet", 1.0, folds=(1, 2))
    (wrong,) = fill(tmp_path, "resnet18", 1.0, folds=(3,), split_hash="a" * 64)
    with pytest.raises(
        TableError, match=r"resnet18-fold3-seed0\.parquet is a result of the split aaaaaaaaaaaa"
    ):
        read_results(tmp_path)
    with pytest.raises(TableError, match="results of the split"):
        pooled(list(load_results(tmp_path))[:1], expected_hash="b" * 64)
    wrong.unlink()
    assert list(read_results(tmp_path)) == paths


def test_replicas_of_two_random_splits_are_refused(tmp_path: Path, fill: Fill) -> None:
    options: dict[str, Any] = {"folds": (1,), "protocol": "leaky-random-split"}
    fill(tmp_path, "unet", 1.0, **options)
    fill(tmp_path, "resnet18", 1.0, **options, split_hash="b" * 64)
    with pytest.raises(TableError, match=r"of 2 splits: .*resnet18.*unet"):
        read_results(tmp_path)


def test_training_on_another_split_of_the_other_datasets_is_refused(tmp_path: Path, fill: Fill) -> None:
    options: dict[str, Any] = {"folds": (1,), "protocol": "leave-one-dataset-out"}
    fill(tmp_path, "unet", 1.0, **options)
    assert len(read_results(tmp_path)) == 1
    (wrong,) = fill(tmp_path, "unet", 1.0, **options, split_hash="c" * 64)
    with pytest.raises(TableError, match=str(wrong)):
        read_results(tmp_path)


def test_one_job_in_two_files_and_unknown_names_are_refused(
    tmp_path: Path, fill: Fill, write_rows: Any, rows_of: Any
) -> None:
    with pytest.raises(UsageError, match="there is no result"):
        read_results(tmp_path)
    (path,) = fill(tmp_path, "unet", 1.0, folds=(1,))
    copy = path.with_name("copy.parquet")
    copy.write_bytes(path.read_bytes())
    with pytest.raises(TableError, match=r"copy\.parquet and .*unet-fold1-seed0\.parquet are both"):
        read_results(tmp_path)
    copy.unlink()
    job = Job("quick", "busi", "grouped-5fold", "unet", 2, 0)
    write_rows(tmp_path, job, rows_of(job, 1.0), benchmark={"job": {**job.__dict__, "system": "onet"}})
    with pytest.raises(TableError, match="the system 'onet'"):
        read_results(tmp_path)


def test_a_collapsed_training_is_marked(tmp_path: Path, write_rows: Any, rows_of: Any) -> None:
    for fold in (1, 2):
        job = Job("quick", "busi", "grouped-5fold", "senoscope-us", fold, 0)
        rows = rows_of(job, 1.0)
        for row in rows if fold == 1 else ():
            row.update(p_normal=0.1, p_benign=0.7, p_malignant=0.2)
            row.update(dict.fromkeys(("logit_normal", "logit_benign", "logit_malignant")))
            if row["area_true"]:
                row.update(area_pred=0, intersection=0, dice=0.0, iou=0.0)
        write_rows(tmp_path, job, rows)
    entry = entries_of(tmp_path)["grouped-5fold", "senoscope-us"]
    assert entry.collapsed == ("calls every image benign in 1 of 2 runs", "outlines nothing in 1 of 2 runs")


def test_other_settings_stand_in_a_row_of_their_own(
    tmp_path: Path, fill: Fill, write_rows: Any, rows_of: Any
) -> None:
    fill(tmp_path, "unet", 1.0, folds=(1,))
    job = Job("quick", "busi", "grouped-5fold", "unet", 1, 0, "large")
    manifest = {
        "job": job.__dict__, "epochs": 30, "recipe": {"preprocess": {"size": 256}},
        "weights": {"encoder_weights": "net.safetensors"},
    }  # fmt: skip
    write_rows(tmp_path, job, rows_of(job, 2.0), benchmark=manifest)
    (table,) = make_tables(make_entries(read_results(tmp_path).values()))
    plain, large = table.rows
    assert (plain.label, large.label) == ("unet", "unet+large")
    assert plain.entry is not None
    assert large.entry is not None
    assert (plain.entry.start, large.entry.start) == ("random weights", "net.safetensors")
    assert (plain.entry.image_size, large.entry.image_size, large.entry.epochs) == (128, 256, "30")
    assert large.gmacs == pytest.approx(4 * plain.gmacs)
    assert large.mark("dice") == "", "not ranked, and nothing is the best of one"


def test_other_settings_are_never_the_best(tmp_path: Path, fill: Fill, write_rows: Any, rows_of: Any) -> None:
    fill(tmp_path, "unet", 1.0, folds=(1, 2))
    fill(tmp_path, "mobile-unet", 0.1, folds=(1, 2))
    for fold in (1, 2, 3):
        job = Job("quick", "busi", "grouped-5fold", "unet", fold, 0, "large")
        write_rows(tmp_path, job, rows_of(job, 30.0))
    (table,) = make_tables(make_entries(read_results(tmp_path).values()))
    rows = {row.label: row for row in table.rows}
    large, best = rows["unet+large"], rows["unet"]
    assert large.entry is not None
    assert best.entry is not None
    assert (large.variant, best.variant) == ("large", "")
    assert (large.entry.ranked, best.entry.ranked) == (False, True)
    assert best.mark("dice") == BEST
    against = large.entry.tests["dice"]
    assert (against.best, against.tied, against.test.difference > 0) == ("unet", False, True)
    assert large.mark("dice") == "", "better than the best, so neither tied nor worse"
    assert [row.label for row in table.having("dice")] == ["unet", "mobile-unet", "unet+large"]


def test_a_collapsed_training_is_never_the_best(
    tmp_path: Path, fill: Fill, write_rows: Any, rows_of: Any
) -> None:
    """Who outlines nothing has no false outline, and would win that column."""
    fill(tmp_path, "unet", 1.0, folds=(1,))
    fill(tmp_path, "mobile-unet", 0.5, folds=(1,))
    job = Job("quick", "busi", "grouped-5fold", "squeeze-unet", 1, 0)
    rows = rows_of(job, 1.0)
    for row in rows:
        row.update(area_pred=0, intersection=0, **({"dice": 0.0, "iou": 0.0} if row["area_true"] else {}))
    write_rows(tmp_path, job, rows)
    (table,) = make_tables(make_entries(read_results(tmp_path).values()))
    *ranked, nothing = table.having("false_positive_rate")
    assert nothing.label == "squeeze-unet"
    assert nothing.entry is not None
    assert nothing.entry.collapsed == ("outlines nothing in 1 of 1 runs",)
    assert nothing.figure("false_positive_rate")["value"] == 0  # type: ignore[index]
    assert (nothing.entry.ranked, nothing.mark("false_positive_rate")) == (False, "")
    assert ranked[0].mark("false_positive_rate") == BEST


def test_one_system_with_more_folds_leaves_the_others_ranked(tmp_path: Path, fill: Fill) -> None:
    for system in ("mobile-unet", "squeeze-unet"):
        fill(tmp_path, system, 1.0, folds=(1,))
    fill(tmp_path, "unet", 1.0, folds=(1, 2, 3))
    entries = entries_of(tmp_path)
    ranked = {name: entry.ranked for (_, name), entry in entries.items()}
    assert ranked == {"mobile-unet": True, "squeeze-unet": True, "unet": False}
    test = entries["grouped-5fold", "unet"].tests["dice"].test
    assert test.n == entries["grouped-5fold", "mobile-unet"].figures["dice"]["n"], (
        "on the fold that both tested"
    )


def test_systems_without_a_result_are_named(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path, "imagemasknet", 1.0, folds=(1,))
    fill(tmp_path, "unet", 1.0, folds=(1,), protocol="leaky-random-split")
    honest, replicas = make_tables(make_entries(read_results(tmp_path).values()))
    assert set(honest.missing) == set(models.names()) - {"imagemasknet"}
    assert replicas.missing == ()


def test_external_tables_stand_apart(tmp_path: Path, fill: Fill, write_rows: Any, rows_of: Any) -> None:
    fill(tmp_path, "unet", 1.0, folds=(1,))
    job = Job("quick", "busi", "grouped-5fold", "senoscope-us", 1, 0)
    path = write_rows(
        tmp_path / "elsewhere", job, rows_of(job, 2.0), external={"name": "Shipped", "note": "pretrained"}
    )
    target = tmp_path / "external" / "busi" / "shipped.parquet"
    target.parent.mkdir(parents=True)
    path.rename(target)
    assert [result.job.system for result in load_results(tmp_path)] == ["unet"]
    (found,) = read_external(tmp_path)
    assert (found.dataset, found.name, found.note, found.folds) == ("busi", "Shipped", "pretrained", 1)
    assert found.figures["dice"]["n"] > 0
    write_rows(tmp_path / "elsewhere", job, rows_of(job, 2.0)).rename(target)
    with pytest.raises(TableError, match="does not say what it is"):
        read_external(tmp_path)
