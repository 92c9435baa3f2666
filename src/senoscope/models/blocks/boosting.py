"""Growing boosted trees with LightGBM, its settings chosen by Optuna."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from senoscope.models.blocks.trees import Trees

FOLDS = 5


def grow(features: NDArray[np.float32], labels: NDArray[np.int64], settings: dict[str, Any]) -> str:
    """LightGBM's model for features N×F and labels N, as ``Trees.fill`` takes them."""
    import lightgbm

    return lightgbm.train(settings, lightgbm.Dataset(features, labels)).model_to_string()


def defaults(trees: Trees, images: int, seed: int) -> dict[str, Any]:
    """LightGBM's settings within the room that ``trees`` has; few images may have small leaves."""
    return {
        "objective": "multiclass",
        "num_class": trees.classes,
        "num_iterations": min(100, trees.rounds),
        "num_leaves": trees.leaves,
        "max_depth": trees.depth,
        "min_data_in_leaf": max(1, min(20, images // 20)),
        "min_data_in_bin": 1,
        "use_missing": False,
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }


def tuned(
    features: NDArray[np.float32], labels: NDArray[np.int64], trees: Trees, seed: int, trials: int
) -> dict[str, Any]:
    """The best settings of ``trials`` by cross-validated log loss (Akiba et al. 2019, Optuna's TPE sampler).

    With fewer images of a class than folds there is nothing to choose by: the defaults are returned.
    """
    basis = defaults(trees, len(labels), seed)
    if trials < 1 or np.unique(labels, return_counts=True)[1].min() < FOLDS:
        return basis
    import lightgbm
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    optuna.logging.set_verbosity(level)
    best, best_loss = basis, np.inf
    for _ in range(trials):
        trial = study.ask()
        settings = {
            **basis,
            "num_iterations": trees.rounds,
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 4, trees.leaves),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 2, 40),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
            "lambda_l2": trial.suggest_float("lambda_l2", 1e-3, 10.0, log=True),
        }
        history = lightgbm.cv(
            settings,
            lightgbm.Dataset(features, labels),
            nfold=FOLDS,
            seed=seed,
            callbacks=[lightgbm.early_stopping(20, verbose=False)],
        )
        losses = np.asarray(history["valid multi_logloss-mean"])
        study.tell(trial, float(losses.min()))
        if losses.min() < best_loss:
            best_loss = float(losses.min())
            best = {**settings, "num_iterations": int(losses.argmin()) + 1}
    return best
