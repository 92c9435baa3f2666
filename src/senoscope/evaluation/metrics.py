"""The catalogue of figures: what each key of a summary is called, and all estimators of a table at once.

Definitions, formulas, conventions and sources stand in docs/reference/metrics.md.
"""

from __future__ import annotations

from senoscope.evaluation.classification import class_estimators
from senoscope.evaluation.estimator import Estimator
from senoscope.evaluation.froc import detection_estimators
from senoscope.evaluation.segmentation import mask_estimators
from senoscope.evaluation.table import PredictionTable
from senoscope.schema import CLASSES

TITLES: dict[str, str] = {
    "accuracy": "Accuracy, three classes",
    "balanced_accuracy": "Balanced accuracy",
    **{f"sensitivity_{name}": f"Sensitivity, {name}" for name in CLASSES},
    **{f"specificity_{name}": f"Specificity, {name}" for name in CLASSES},
    **{f"auc_{name}_rest": f"AUC, {name} against the rest" for name in CLASSES},
    **{f"ap_{name}_rest": f"AP, {name} against the rest" for name in CLASSES},
    "auc_benign_malignant": "AUC, benign against malignant",
    "ap_benign_malignant": "AP, benign against malignant",
    "pauc_specificity_80": "Partial AUC, specificity 0.8 to 1, standardised",
    "pauc_sensitivity_90": "Partial AUC, sensitivity 0.9 to 1, standardised",
    "accuracy_benign_malignant": "Accuracy, benign against malignant",
    "sensitivity_benign_malignant": "Sensitivity for malignant at 0.5",
    "specificity_benign_malignant": "Specificity for malignant at 0.5",
    "brier": "Brier score (0 to 2)",
    "log_loss": "Log loss (nats)",
    "ece": "ECE, 15 equal-width bins",
    "ece_equal_mass": "ECE, 15 equal-mass bins",
    "calibration_slope": "Calibration slope, malignant (1 is right)",
    "calibration_intercept": "Calibration intercept, malignant (0 is right)",
    "dice": "Dice per lesion image",
    **{f"dice_{name}": f"Dice per image, {name}" for name in CLASSES},
    "iou": "IoU per lesion image",
    "hd95": "HD95 (px), where an outline is found",
    "hd95_missed_as_diagonal": "HD95 (px), missed lesions as the image diagonal",
    "nsd": "Normalised surface Dice, 2 px",
    "dice_pooled": "Dice, pixels pooled",
    "iou_pooled": "IoU, pixels pooled",
    "missed": "Lesion images without any overlap",
    "dice_with_normals": "Dice per image, normals included",
    "dice_pooled_with_normals": "Dice, pixels pooled, normals included",
    "false_positive_rate": "Normals with any predicted pixel",
    "false_positive_area": "Share of a normal image predicted as lesion",
    "froc_area": "FROC area, up to 1 false mark per image",
    "lesion_sensitivity_fp025": "Lesions found at ¼ false mark per image",
    "lesion_sensitivity_fp1": "Lesions found at 1 false mark per image",
    "afroc_area": "AFROC area, lesions against clean images",
}
"""Key of every figure and how a person reads it, in the order of reports."""

HEADLINES = (
    "accuracy",
    "balanced_accuracy",
    "auc_benign_malignant",
    "dice",
    "hd95",
    "false_positive_rate",
)
"""The figures a person looks at first."""

LOWER_IS_BETTER = frozenset(
    {"brier", "log_loss", "ece", "ece_equal_mass", "hd95", "hd95_missed_as_diagonal", "missed",
     "false_positive_rate", "false_positive_area"}
)  # fmt: skip


def estimators(table: PredictionTable) -> dict[str, Estimator]:
    """Every figure that the table's labels and masks allow, in the order of :data:`TITLES`."""
    found = class_estimators(table) | mask_estimators(table) | detection_estimators(table)
    return {name: found[name] for name in TITLES if name in found}


def point_estimates(table: PredictionTable) -> dict[str, float]:
    """The figures of :func:`estimators` without intervals."""
    return {name: estimator.value for name, estimator in estimators(table).items()}
