"""Grad-CAM: where a network looked for a class (Selvaraju et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.interface import System


def grad_cam(system: System, image: Tensor, layer: nn.Module, target_class: int) -> Tensor:
    """Heatmap H×W in 0..1 of what in ``image`` (1×1×H×W in 0..1) speaks for a class, as one layer saw it.

    The layer's features (1×F×h×w) are summed, each weighted by the mean of its gradient of the class's logit, and what
    is negative is dropped (Selvaraju et al. 2017, Eq. 1 and 2); the map is enlarged to the image and divided by its
    largest value, all zero if nothing speaks for the class. The system is asked in evaluation mode and left as it was.

    Raises ``ValueError`` for more than one image, a system without classes, or a layer it does not pass through.
    """
    if image.shape[0] != 1:
        raise ValueError(f"one image at a time, not {image.shape[0]}")
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    training = system.training
    try:
        with torch.enable_grad():
            logits = system.eval()(image.detach().requires_grad_()).class_logits
            if logits is None or not seen:
                raise ValueError("the system gives no class, or does not pass through the layer")
            (gradient,) = torch.autograd.grad(logits[0, target_class], seen[-1])
    finally:
        hook.remove()
        system.train(training)
    weights = gradient.mean((2, 3), keepdim=True)
    heat = (weights * seen[-1].detach()).sum(1, keepdim=True).clamp(min=0)
    heat = functional.interpolate(heat, size=image.shape[-2:], mode="bilinear", align_corners=False)[0, 0]
    return heat / heat.max().clamp(min=torch.finfo(heat.dtype).tiny)
