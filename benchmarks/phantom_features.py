"""How far single features, and all together, tell benign phantoms from malignant; writes phantoms-features.json.

The phantoms are meant to overlap in every single feature and to separate in their combination. Features are
measured with the exact mask, so this says what the pictures hold, not what a network finds.
"""

from __future__ import annotations

import json
from pathlib import Path

import contourpy
import numpy as np
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict

from senoscope._files import write_text
from senoscope.data.phantoms import Phantom, simulate

OUT = Path(__file__).resolve().parents[1] / "docs/results/phantoms-features.json"
FIRST_SEED = 10_000


def features(phantom: Phantom) -> dict[str, float]:
    """Shape, orientation, echo, contrast, texture, rim and posterior echo of one phantom's lesion."""
    mask, gray = phantom.mask, phantom.image.astype(float)
    down, across = phantom.spacing
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    lines = contourpy.contour_generator(z=ndimage.gaussian_filter(mask.astype(float), 0.7)).lines(0.5)
    length = sum(np.hypot(*(np.diff(line, axis=0) * [across, down]).T).sum() for line in lines)
    area = mask.sum() * down * across
    near = ndimage.binary_dilation(mask, iterations=3) & ~mask
    ring = ndimage.binary_dilation(mask, iterations=8) & ~ndimage.binary_dilation(mask, iterations=2)
    inner = ndimage.binary_erosion(mask, iterations=2)
    quarter, under = len(columns) // 4, slice(rows[-1] + 4, rows[-1] + 30)
    below = gray[under, columns[0] + quarter : columns[-1] - quarter + 1]
    beside = np.r_[
        max(0, columns[0] - 25) : columns[0], columns[-1] + 1 : min(gray.shape[1], columns[-1] + 26)
    ]
    return {
        "area": area,
        "compactness": 4 * np.pi * area / length**2,
        "height_over_width": len(rows) * down / (len(columns) * across),
        "fill_of_box": mask.sum() / (len(rows) * len(columns)),
        "echo": gray[inner].mean(),
        "contrast": gray[ring].mean() - gray[inner].mean(),
        "texture": ndimage.gaussian_filter(gray, 2)[inner].std(),
        "rim": gray[near].mean() - gray[ring].mean(),
        "posterior_echo": below.mean() - gray[under, beside].mean(),
    }


def accuracy(columns: np.ndarray, labels: np.ndarray, leaf: int) -> dict[str, float]:
    """Accuracy of a random forest in five-fold cross-validation, with Wilson's 95 % interval."""
    forest = RandomForestClassifier(300, min_samples_leaf=leaf, random_state=0)
    hits, n, z = float(np.mean(cross_val_predict(forest, columns, labels, cv=5) == labels)), len(labels), 1.96
    middle, half = hits + z**2 / (2 * n), z * np.sqrt(hits * (1 - hits) / n + z**2 / (4 * n**2))
    low, high = ((middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    return {"value": round(hits, 3), "low": round(float(low), 3), "high": round(float(high), 3), "n": n}


def measure(count: int = 300) -> dict[str, dict[str, float]]:
    """Accuracy of each feature alone and of all together on ``count`` phantoms, half of them malignant."""
    labels = np.arange(count) % 2
    rows = [features(simulate(FIRST_SEED + i, ("benign", "malignant")[labels[i]])) for i in range(count)]
    table = np.array([list(row.values()) for row in rows])
    found = {name: accuracy(table[:, [i]], labels, leaf=10) for i, name in enumerate(rows[0])}
    return found | {"all": accuracy(table, labels, leaf=1)}


if __name__ == "__main__":
    how = "random forest, 5-fold cross-validated accuracy benign or malignant, 95 % Wilson interval"
    result = {"phantom_features": measure() | {"how": how}}
    write_text(OUT, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
