"""Knowledge distillation: a network learns from a trained one's class probabilities beside the labels."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from senoscope import models
from senoscope.errors import ConfigError
from senoscope.models.interface import System
from senoscope.training import runs
from senoscope.training.predict import load_run
from senoscope.training.recipe import Recipe

TEMPERATURE = 2.0
"""What both sides' logits are divided by, so that the smaller probabilities are learnt too (Hinton et al. 2015)."""


def teacher_weights(recipe: Recipe) -> Path | None:
    """The weights of the recipe's teacher, if it has one."""
    return recipe.teacher / runs.WEIGHTS if recipe.teacher else None


def load_teacher(recipe: Recipe) -> System | None:
    """The recipe's teacher, in evaluation mode; ``None`` if it has none.

    Raises ``UsageError`` if it is no finished run, ``ConfigError`` if it or the pupil does not classify, or the teacher
    cannot look at the pupil's training windows.
    """
    if recipe.teacher is None:
        return None
    taught, teacher = load_run(recipe.teacher)
    for name in (recipe.system, taught.system):
        if "class_logits" not in models.info(name).facts["gives"]:
            raise ConfigError(f"teacher = {recipe.teacher}: {name} does not classify", expected="two that do")
    if taught.preprocess.model_copy(update={"size": recipe.preprocess.size}) != recipe.preprocess:
        raise ConfigError(
            f"the teacher {recipe.teacher} was trained with another preprocess",
            expected=f"but for its size: {recipe.preprocess}",
        )
    try:
        with torch.inference_mode():
            teacher(torch.rand(1, 1, recipe.train_size, recipe.train_size))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"the teacher {recipe.teacher} cannot look at windows of {recipe.train_size} px: {error}",
            expected=f"the pupil's train_size as the teacher's: {taught.train_size}",
        ) from error
    return teacher.requires_grad_(requires_grad=False)


def distillation(pupil: Tensor, teacher: Tensor, weights: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the pupil's class probabilities from the teacher's, mean over the batch.

    ``pupil`` and ``teacher`` are logits N×C, ``weights`` (C) the classes' in the pupil's cross-entropy: what a weighted
    cross-entropy learns is the natural probability times the weight, so the teacher's, which is natural, is weighted
    alike. Both are softened by ``TEMPERATURE``, and its square keeps the gradient's size (Hinton et al. 2015, sec. 2).
    """
    wanted = functional.log_softmax((teacher.float() + weights.log()) / TEMPERATURE, 1)
    said = functional.log_softmax(pupil.float() / TEMPERATURE, 1)
    return TEMPERATURE**2 * functional.kl_div(said, wanted, reduction="batchmean", log_target=True)
