"""Encoders from timm, untrained, from its hub, or from a safetensors file with its key names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
from torch import nn

from senoscope.models.blocks.encoder import fit_weights, read_encoder


def backbone(
    name: str, *, encoder_weights: Path | None = None, pretrained: bool = False, **options: Any
) -> nn.Module:
    """A timm model; ``options`` go to ``timm.create_model`` (``num_classes=0``, ``features_only=True``, …).

    ``encoder_weights`` may lack heads and counters, and no more: ``WeightsError`` names what is missing.
    """
    model: nn.Module = timm.create_model(name, pretrained=pretrained and encoder_weights is None, **options)
    if encoder_weights is not None:
        fit_weights(model, read_encoder(encoder_weights), name, encoder_weights)
    return model
