"""The usual classifier: a convolutional network, global average pooling, one linear layer."""

from __future__ import annotations

from torch import Tensor, nn

from senoscope.models.interface import Outputs


def pooled(features: Tensor, classifier: nn.Linear) -> Outputs:
    """Class logits of features N×F×h×w, with the class activation map that they are the mean of (Zhou et al. 2016).

    For global average pooling the map is exact: every location's evidence, each with the same share.
    """
    evidence = nn.functional.conv2d(features, classifier.weight[:, :, None, None], classifier.bias).float()
    share = evidence.new_full((evidence.shape[0], 1, *evidence.shape[2:]), 1 / evidence[0, 0].numel())
    return Outputs(class_logits=evidence.mean((2, 3)), class_map=evidence, pool_weights=share)
