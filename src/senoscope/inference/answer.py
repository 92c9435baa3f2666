"""What a network's raw outputs mean: the prediction, the findings' scores, and what must be said beside them.

Whatever a model does not give stays ``None`` and is named in a note.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from senoscope.explain import class_map
from senoscope.imaging.preprocess import Frame
from senoscope.imaging.raw import RawImage
from senoscope.imaging.regions import Region
from senoscope.inference import scope
from senoscope.inference.card import Card
from senoscope.inference.runtimes import RawOutputs
from senoscope.inference.scores import finding_logits, softmax
from senoscope.schema import Box, FloatArray, Prediction

WITHHELD_NORMAL = "{what} was drawn, but the most probable class is normal: no finding is reported."
NO_OUTLINE = "The most probable class is {label}, but no lesion could be outlined: look at the whole image."
NO_BOX = "The model's box lies outside the image: no finding is reported."
DOES_NOT_KNOW = "The model does not know: its classes are nearly equally probable (uncertainty {value:.2f})."
NOT_OUTLINED = "This model does not outline lesions: it only says which class the whole image is."
NOT_CLASSIFIED = "This model does not classify: findings carry no score."
NOT_CALIBRATED = "The probabilities of this model are not calibrated."
UNDIVIDED = (
    "This model does not say where its class came from, so the {count} findings carry no score of their own."
)
BOX_ONLY = (
    "This model draws a box and no outline: the contour is the box's rectangle, and size, shape, orientation and "
    "margin are not given."
)
ALWAYS_A_BOX = "It draws one box on every image, whether or not there is a lesion."


def make_prediction(
    card: Card, raw: RawImage, gray: FloatArray, outputs: RawOutputs, frame: Frame
) -> Prediction:
    """Raw outputs as a prediction in the original frame: calibrated, with scope and quality judged."""
    probabilities = None if outputs.class_logits is None else softmax(outputs.class_logits / card.temperature)
    reasons, quality = scope.judge(raw, gray, card.scope, card.modalities)
    return Prediction(
        classes=card.classes,
        probabilities=probabilities,
        lesion_map=lesion_map(outputs, frame),
        heatmap=_heatmap(card, outputs, frame),
        uncertainty=None if probabilities is None else scope.uncertainty(probabilities),
        in_scope=not reasons,
        reasons=reasons,
        quality=quality,
        boxes=_boxes(outputs, frame),
    )


def lesion_map(outputs: RawOutputs, frame: Frame) -> FloatArray | None:
    """The probability of lesion, 0..1, of every pixel of the image; ``None`` where the network does not outline."""
    return None if outputs.mask_logits is None else frame.to_original(_sigmoid(outputs.mask_logits))


def finding_scores(
    card: Card, prediction: Prediction, outputs: RawOutputs, frame: Frame, regions: Sequence[Region]
) -> list[float | None]:
    """Each region's probability of being malignant; ``None`` where the model has none to give."""
    if len(regions) < 2:  # all the evidence is this finding's: its score is the image's
        return (
            [prediction.probability("malignant") for _ in regions]
            if card.classifies
            else [None] * len(regions)
        )
    if prediction.lesion_map is None or outputs.class_map is None or outputs.pool_weights is None:
        return [None] * len(regions)
    size = prediction.lesion_map.shape
    masks = [frame.to_model(region.full_mask((size[0], size[1])).astype(np.float32)) for region in regions]
    parts = finding_logits(outputs.class_map, outputs.pool_weights, masks)
    malignant = card.classes.index("malignant")
    return [float(softmax(logits / card.temperature)[malignant]) for logits, _ in parts]


def notes(card: Card, prediction: Prediction, found: int) -> tuple[str, ...]:
    """What a reader must know of an image on which ``found`` lesions were outlined or boxed."""
    said = _about_the_class(card, prediction, found)
    if not prediction.locates:
        said.append(NOT_OUTLINED)
    if prediction.probabilities is None:
        said.append(NOT_CLASSIFIED)
    elif card.calibration is None:
        said.append(NOT_CALIBRATED)
    if prediction.lesion_map is None and prediction.boxes is not None:
        said.append(BOX_ONLY)
        if prediction.probabilities is None:
            said.append(ALWAYS_A_BOX)
        if not found:
            said.append(NO_BOX)
    return tuple(said)


def _about_the_class(card: Card, prediction: Prediction, found: int) -> list[str]:
    label, said = prediction.label, []
    if label is None:
        return []
    if prediction.uncertainty is not None and prediction.uncertainty >= card.uncertainty_limit:
        said.append(DOES_NOT_KNOW.format(value=prediction.uncertainty))
    outlined = prediction.lesion_map is not None
    if label == "normal" and found:
        said.append(WITHHELD_NORMAL.format(what="An outline" if outlined else "A box"))
    if label != "normal" and outlined and not found:
        said.append(NO_OUTLINE.format(label=label))
    if label != "normal" and found > 1 and not card.explains:
        said.append(UNDIVIDED.format(count=found))
    return said


def _heatmap(card: Card, outputs: RawOutputs, frame: Frame) -> FloatArray | None:
    """The class's evidence in the original frame; only a class map whose sum *is* the class counts as that."""
    if outputs.class_logits is None or outputs.class_map is None or outputs.pool_weights is None:
        return None
    malignant, benign = card.classes.index("malignant"), card.classes.index("benign")
    evidence = class_map.evidence(outputs.class_map, outputs.pool_weights, malignant, benign)
    return frame.to_original(class_map.enlarge(class_map.to_unit(evidence), card.preprocess.size))


def _boxes(outputs: RawOutputs, frame: Frame) -> tuple[Box, ...] | None:
    if outputs.boxes is None:
        return None
    box = frame.box_to_original(Box(*(float(value) for value in outputs.boxes)))
    return () if box is None else (box,)


def _sigmoid(logits: FloatArray) -> FloatArray:
    return np.reciprocal(np.exp(np.clip(-logits, -60.0, 60.0)) + np.float32(1.0), dtype=np.float32)
