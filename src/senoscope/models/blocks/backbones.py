"""Encoders from timm, untrained, from its hub, or from a safetensors file with its key names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
from torch import nn

from senoscope.errors import WeightsError
from senoscope.models.blocks.encoder import read_encoder


def backbone(
    name: str, *, encoder_weights: Path | None = None, pretrained: bool = False, **options: Any
) -> nn.Module:
    """A timm model; ``options`` go to ``timm.create_model`` (``num_classes=0``, ``features_only=True``, …).

    ``encoder_weights`` may lack heads and counters, and no more: ``WeightsError`` names what is missing.
    """
    model: nn.Module = timm.create_model(name, pretrained=pretrained and encoder_weights is None, **options)
    if encoder_weights is None:
        return model
    state = read_encoder(encoder_weights)
    own = model.state_dict()
    fits = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    missing = [k for k in own if k not in fits and "num_batches" not in k]
    if missing:
        raise WeightsError(
            f"{encoder_weights}: {len(missing)} of {len(own)} tensors of {name} are missing or of another shape, "
            f"first {missing[0]}",
            expected=f"the weights of timm's {name}",
            fix="pass the file of that encoder to --encoder-weights",
        )
    model.load_state_dict(fits, strict=False)
    return model
