"""A run's folder: recipe, cases, manifest, metrics, curves, state, weights."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import subprocess
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from senoscope import __version__, _locks
from senoscope._files import atomic_path, write_text
from senoscope.data.identity import identity, is_digest
from senoscope.errors import UsageError
from senoscope.training.checkpoint import State
from senoscope.training.data import Parts
from senoscope.training.lineage import BEFORE, CASES, seen_datasets
from senoscope.training.recipe import Recipe, read_recipe, write_recipe

RECIPE, MANIFEST, METRICS = "recipe.yaml", "manifest.json", "metrics.jsonl"
CURVES, STATE, WEIGHTS = "curves.png", "state.safetensors", "weights.safetensors"

_PACKAGES = ("torch", "timm", "lightning-fabric", "numpy", "pillow", "scipy", "scikit-learn")


def is_leader() -> bool:
    """Whether this process leads: where several devices train, Fabric starts the others with a rank of their own."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def locked(folder: Path) -> AbstractContextManager[None]:
    """Hold a run's folder for this process; raises ``LockedError`` if another process works in it."""
    return _locks.locked(folder / ".lock")


def open_run(folder: Path, recipe: Recipe, parts: Parts, *, resume: bool) -> None:
    """Start or continue a run; raises ``UsageError`` if the folder holds a run that is not this one.

    CPU threads are no part of what a run is: with others it differs in the last bits. The manifest lists all it had.
    """
    known, threads = folder / RECIPE, torch.get_num_threads()
    if known.is_file():
        if not resume:
            raise UsageError(
                f"{folder} holds a run already", fix="add --resume to go on with it, or name another --out"
            )
        started = read_recipe(known)
        if started.model_copy(update={"threads": recipe.threads}) != recipe:
            raise UsageError(
                f"{known} is not the recipe given",
                expected="the recipe the run was started with",
                fix="resume with that recipe, or name another --out",
            )
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["data_hash"] != parts.data_hash:
            raise UsageError(
                f"the data of {folder} has changed since the run was started",
                expected=f"cases with hash {manifest['data_hash'][:12]}",
                fix="restore the data, or name another --out",
            )
        had = manifest.get("threads", [started.threads] if started.threads else [])
        if threads not in had:
            write_text(
                folder / MANIFEST, json.dumps(manifest | {"threads": [*had, threads]}, indent=2) + "\n"
            )
        return
    write_text(folder / CASES, _cases(parts))
    manifest = _manifest(recipe, parts) | {"threads": [threads]}
    write_text(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    write_recipe(recipe, known)


def _cases(parts: Parts) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("id", "dataset", "side", "label", "image"))
    for side, records in (("train", parts.train), ("valid", parts.valid), ("test", parts.test)):
        for r in records:
            key = identity(r)
            writer.writerow((r.id, r.dataset, side, r.label or "", key if is_digest(key) else ""))
    writer.writerows((key, dataset, BEFORE, "", "") for dataset, key in parts.before)
    return table.getvalue()


def _manifest(recipe: Recipe, parts: Parts) -> dict[str, Any]:
    return {
        "senoscope": __version__,
        "commit": _commit(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "python": platform.python_version(),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.system()},
        "seed": recipe.seed,
        "splits": parts.splits,
        "data_hash": parts.data_hash,
        "cases": {
            "train": len(parts.train),
            "valid": len(parts.valid),
            "test": len(parts.test),
            "phantoms": recipe.phantoms,
        },
        "before": seen_datasets(parts),
        "stamps": list(parts.stamps),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the source tree this package runs from, if it is one."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def write_history(folder: Path, history: list[dict[str, float]]) -> None:
    """Write one JSON line per finished epoch."""
    write_text(folder / METRICS, "".join(json.dumps(row) + "\n" for row in history))


def close_run(folder: Path, weights: State, history: list[dict[str, float]]) -> None:
    """Write the chosen weights and the curves."""
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file({k: v.detach().cpu().contiguous() for k, v in weights.items()}, temporary)
    _draw_curves(folder / CURVES, history)


def _draw_curves(path: Path, history: list[dict[str, float]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    for axes, names in ((losses, ("loss", "class_loss", "mask_loss")), (scores, ("dice", "auc", "accuracy"))):
        for name in names:
            points = [(row["epoch"], row[name]) for row in history if name in row]
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=name)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    losses.set_title("training")
    scores.set_title("validation")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
