"""From what a user names (a bundle or run, corruptions, severities) to figures and a page of its robustness."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from senoscope._files import write_text
from senoscope.errors import UsageError
from senoscope.evaluation import corruptions
from senoscope.evaluation.cases import Row
from senoscope.evaluation.conditions import CLEAN, Condition, Failures, RowMaker, failures_of, measure, plan
from senoscope.evaluation.predict import Progress
from senoscope.evaluation.robustness_figures import summarise
from senoscope.evaluation.robustness_report import write_report
from senoscope.evaluation.targets import Target, open_target
from senoscope.schema import Sample

JSON, REPORT = "robustness.json", "robustness.html"
DEFAULT_SEVERITIES = (1, 3, 5)


@dataclass(frozen=True, slots=True)
class Robustness:
    """What was measured and where it lies; ``failures`` are (condition and case, reason) of images unanswered."""

    summary: dict[str, Any]
    folder: Path
    failures: Failures


def robustness(
    source: str | Path,
    *,
    data: str | None = None,
    root: Path | None = None,
    fold: int | None = None,
    names: Sequence[str] = (),
    severities: Sequence[int] = DEFAULT_SEVERITIES,
    adversarial: bool = False,
    limit: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    allow_in_sample: bool = False,
    progress: Progress | None = None,
) -> Robustness:
    """Measure a bundle or run clean, corrupted and (``adversarial``) attacked; write JSON and an HTML page.

    ``names`` are corruptions (all if empty); one that lacks a severity is measured at its highest instead. ``limit``
    draws as many cases at random by ``seed``. What is finished in ``out`` is not measured again. Raises what
    :func:`targets.open_target` raises, ``UsageError`` for wrong names or numbers and for a folder that holds another
    measurement, and ``TableError`` when no case of a condition could be analysed.
    """
    planned = plan(names, severities)
    target = open_target(source, data, root, fold=fold, allow_in_sample=allow_in_sample)
    if limit is not None:
        target = _limited(target, limit, seed)
    folder = out or _default_folder(source, data)
    make = _row_maker(target, seed)
    if adversarial:
        from senoscope.evaluation.attacks import ATTACKS, EPSILONS

        planned += [Condition(name, level, attack=True) for name in ATTACKS for level in EPSILONS]
        make = _with_attacks(target, make, seed)
    tables = measure(target, planned, folder, make, seed=seed, progress=progress)
    summary = summarise(tables) | {"seed": seed, "machine": f"{os.cpu_count()} × {platform.machine()} CPU"}
    write_text(folder / JSON, json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    write_report(summary, folder / REPORT)
    return Robustness(summary, folder, failures_of(tables))


def _row_maker(target: Target, seed: int) -> RowMaker:
    def make(condition: Condition, sample: Sample) -> Row:
        if condition == CLEAN:
            return target.row(sample)
        image, mask = corruptions.corrupt(
            condition.name, condition.level, sample.image, sample.mask, seed=seed, case=sample.record.id
        )
        return target.row(replace(sample, image=image, mask=mask))

    return make


def _with_attacks(target: Target, corrupted: RowMaker, seed: int) -> RowMaker:
    from senoscope.evaluation.attacks import attack

    network = target.network()

    def make(condition: Condition, sample: Sample) -> Row:
        if not condition.attack:
            return corrupted(condition, sample)
        rng = corruptions.generator(seed, sample.record.id, condition.name, condition.level)
        return network.row(
            sample, attack(condition.name, condition.level / 255, sample, network.preprocess, rng)
        )

    return make


def _limited(target: Target, limit: int, seed: int) -> Target:
    if limit < 1:
        raise UsageError(f"a limit of {limit} cases", expected="1 or more")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(target.records))[:limit])
    stamp = f"{len(chosen)} of {len(target.records)} cases, drawn at random."
    stamps = (*target.stamps, stamp) if len(chosen) < len(target.records) else target.stamps
    return replace(target, records=tuple(target.records[int(row)] for row in chosen), stamps=stamps)


def _default_folder(source: str | Path, data: str | None) -> Path:
    if (Path(source) / "manifest.json").is_file():
        return Path(source) / (f"robustness-{data}" if data else "robustness")
    return Path(re.sub(r"[^\w.-]+", "-", f"robustness-{Path(source).name}-{data}"))
