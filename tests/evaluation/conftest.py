"""A simulated cross-validation: five folds, clustered cases, validation rows, masks as areas."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from senoscope.evaluation.columns import Value
from senoscope.schema import CLASSES

Rows = list[dict[str, Value]]


def simulate_rows(count: int = 300, seed: int = 0, valid: bool = True, masks: bool = True) -> Rows:
    """Test rows of ``count`` cases in five folds, two images per patient; validation rows in the next fold."""
    rng = np.random.default_rng(seed)
    rows: Rows = []
    for case in range(count):
        patient = case // 2
        label = int(rng.choice(3, p=[0.2, 0.5, 0.3]))
        logits = rng.normal(size=3) + 1.5 * np.eye(3)[label]
        row = _row(case, patient, label, logits, rng, masks)
        rows.append({**row, "fold": patient % 5, "split": "test"})
        if valid:
            again = logits + 0.2 * rng.normal(size=3)
            rows.append({**row, **_scores(again), "fold": (patient + 1) % 5, "split": "valid"})
    return rows


def _scores(logits: np.ndarray) -> dict[str, Value]:
    shares = np.exp(logits) / np.exp(logits).sum()
    cells: dict[str, Value] = {f"p_{name}": float(p) for name, p in zip(CLASSES, shares, strict=True)}
    return cells | {f"logit_{name}": float(v) for name, v in zip(CLASSES, logits, strict=True)}


def _row(
    case: int, patient: int, label: int, logits: np.ndarray, rng: np.random.Generator, masks: bool
) -> dict[str, Value]:
    row: dict[str, Value] = {
        "id": f"case {case}", "dataset": "made", "patient": f"p{patient}", "group": None, "label": CLASSES[label],
        "width": 200, "height": 100, "device": ("A", "B")[patient % 2], "birads": None if label == 0 else "4",
    }  # fmt: skip
    row |= _scores(logits)
    if not masks:
        return row | {"has_mask": False}
    true = 0 if label == 0 else int(rng.integers(100, 4000))
    common = int(true * rng.beta(8, 2))
    predicted = common + int(rng.integers(0, 300)) * int(rng.random() < 0.8)
    row |= {"has_mask": True, "area_true": true, "area_pred": predicted, "intersection": common}
    hit = 0 if common > 0.2 * (true + predicted - common) else None
    row |= {"lesions": int(true > 0), "marks": json.dumps([[1 - row["p_normal"], hit]] if predicted else [])}
    if true:
        row |= {"dice": 2 * common / (true + predicted), "iou": common / (true + predicted - common)}
        row |= {"hd95": float(rng.gamma(2, 5)), "nsd": float(rng.random())}
    return row


@pytest.fixture(scope="session")
def simulate() -> Callable[..., Rows]:
    """:func:`simulate_rows`."""
    return simulate_rows
