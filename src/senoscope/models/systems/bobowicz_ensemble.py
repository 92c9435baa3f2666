"""Three segmenters, then three classifiers of what they cut out, by vote (Bobowicz et al. 2024)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.regions import crop, grow
from senoscope.models.interface import Outputs, System
from senoscope.models.systems.caranet import CaraNet
from senoscope.models.systems.fcbformer import FCBFormer
from senoscope.models.systems.pranet import PraNet

_TIE = 0.1
"""Weight of the mean probability beside the votes: breaks ties, and never outweighs a vote of three."""


class BobowiczEnsemble(System):
    """PraNet, CaraNet and FCBFormer averaged; the full image, the lesion's box and the masked lesion classified.

    The lesion is the mask the segmenters agree on, at least half sure, plus ``margin`` pixels; without one, the whole
    image. In training each member learns by itself (all outputs are auxiliary) and the classifiers see the masks of
    the moment, which their losses do not change.
    """

    def __init__(
        self,
        classes: int = 3,
        *,
        margin: int = 30,
        classifier: str = "densenet121",
        pranet: dict[str, Any] | None = None,
        caranet: dict[str, Any] | None = None,
        fcbformer: dict[str, Any] | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.segmenters = nn.ModuleList(
            [
                PraNet(pretrained=pretrained, **pranet or {}),
                CaraNet(pretrained=pretrained, **caranet or {}),
                FCBFormer(pretrained=pretrained, **fcbformer or {}),
            ]
        )
        self.classifiers = nn.ModuleList(
            backbone(classifier, pretrained=pretrained, num_classes=classes) for _ in range(3)
        )

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits (log shares of the votes) and mask logits N×1×H×W."""
        segmented = [segmenter(image) for segmenter in self.segmenters]
        probability = torch.stack([found.mask_logits.sigmoid() for found in segmented]).mean(0)
        lesion = grow((probability.detach() > 0.5).to(image.dtype), self.margin)
        views = (image, crop(image, lesion), crop(image * lesion, lesion))
        pairs = zip(self.classifiers, views, strict=True)
        classified = [classify(to_rgb(view)).float() for classify, view in pairs]
        if self.training:
            masks = [part for found in segmented for part in (found._replace(auxiliary=()), *found.auxiliary)]
            return Outputs(auxiliary=(*masks, *(Outputs(class_logits=logits) for logits in classified)))
        return Outputs(class_logits=_vote(torch.stack(classified, 1)), mask_logits=probability.logit(1e-6))

    @torch.no_grad()
    def shift_classes(self, offset: Tensor) -> None:
        """Add ``offset`` (C) to every classifier's logits, before they vote."""
        for classifier in self.classifiers:
            last: Any = classifier.get_classifier()  # type: ignore[operator]  # as timm's models have it
            last.bias += offset.to(last.bias)


def _vote(logits: Tensor) -> Tensor:
    """Logits N×members×C to the logarithm of each class's share of the votes N×C, ties broken by the mean."""
    votes = (logits == logits.amax(2, keepdim=True)).to(logits.dtype).mean(1)
    shares = (votes + _TIE * logits.softmax(2).mean(1)) / (1 + _TIE)
    return shares.clamp(min=1e-6).log()
