"""A summary as one self-contained HTML page that works offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from senoscope import __version__
from senoscope._files import write_text
from senoscope.evaluation import charts
from senoscope.evaluation.metrics import LOWER_IS_BETTER, TITLES
from senoscope.evaluation.pictures import pictures, worst_classes, worst_outlines
from senoscope.evaluation.summary import STRATUM_FIGURES, Summary
from senoscope.evaluation.table import PredictionTable
from senoscope.schema import CLASSES, Record

_TILES = ("accuracy", "auc_benign_malignant", "dice", "false_positive_rate")
_GROUPS = {
    "Classes": (
        "accuracy", "balanced_accuracy",
        *(f"{kind}_{name}" for name in CLASSES for kind in ("sensitivity", "specificity")),
        "accuracy_benign_malignant", "sensitivity_benign_malignant", "specificity_benign_malignant",
    ),
    "Ranking": (
        "auc_benign_malignant", "ap_benign_malignant", "pauc_specificity_80", "pauc_sensitivity_90",
        *(f"{kind}_{name}_rest" for name in CLASSES for kind in ("auc", "ap")),
    ),
    "Outlines of lesions": (
        "dice", *(f"dice_{name}" for name in CLASSES), "iou", "nsd", "hd95", "hd95_missed_as_diagonal", "missed",
        "dice_pooled", "iou_pooled",
    ),
    "Outlines, normals included": (
        "dice_with_normals", "dice_pooled_with_normals", "false_positive_rate", "false_positive_area",
    ),
    "Finding lesions": ("froc_area", "lesion_sensitivity_fp025", "lesion_sensitivity_fp1", "afroc_area"),
}  # fmt: skip
_CALIBRATION = ("ece", "ece_equal_mass", "brier", "log_loss", "calibration_slope", "calibration_intercept")
_QUESTIONS = {
    "benign_malignant": (
        "Malignant against benign",
        "Score: p(malignant) ÷ (p(benign) + p(malignant)), calibrated.",
    ),
    "malignant_rest": ("Malignant against all others", "Score: p(malignant), calibrated."),
}


def write_report(
    summary: Summary,
    table: PredictionTable,
    path: Path,
    *,
    records: Sequence[Record] = (),
    folders: Sequence[Path] = (),
    title: str = "",
) -> None:
    """Write the page of a table's summary.

    ``records`` are the dataset's, for pictures of the worst cases; ``folders`` are the tables', where predicted
    masks may lie (see ``maskfiles``). Raises :class:`MissingExtraError` without Matplotlib.
    """
    write_text(path, render(summary, table, records=records, folders=folders, title=title))


def render(
    summary: Summary,
    table: PredictionTable,
    *,
    records: Sequence[Record] = (),
    folders: Sequence[Path] = (),
    title: str = "",
) -> str:
    """The page's text."""
    test = table.where(table.test)
    drawn = _charts(summary, table, test)
    gallery = {
        "Ten worst outlines": pictures(test, worst_outlines(test), records, folders),
        "Ten most confidently wrong classes": pictures(test, worst_classes(test), records, folders),
    }
    template = environment().get_template("evaluation.html.j2")
    return template.render(
        title=title or summary["system"] or "Evaluation",
        summary=summary,
        headlines=[(TITLES[name], summary["figures"][name]) for name in _TILES if name in summary["figures"]],
        groups=_grouped(summary),
        calibration=[name for name in _CALIBRATION if name in summary["figures"]],
        questions=_QUESTIONS,
        stratum_columns=_stratum_columns(summary),
        titles=TITLES,
        lower=LOWER_IS_BETTER,
        charts=drawn,
        gallery=gallery,
        pictured=any(picture.image for part in gallery.values() for picture in part),
        version=__version__,
    )


def _grouped(summary: Summary) -> dict[str, list[str]]:
    present = {group: [n for n in names if n in summary["figures"]] for group, names in _GROUPS.items()}
    return {group: names for group, names in present.items() if names}


def _stratum_columns(summary: Summary) -> dict[str, list[str]]:
    """The figures that at least one stratum of each group has."""
    return {
        group: [name for name in STRATUM_FIGURES if any(name in figures for figures in members.values())]
        for group, members in summary["strata"].items()
    }


def _charts(summary: Summary, table: PredictionTable, test: PredictionTable) -> dict[str, Markup]:
    temperature = {int(fold): value for fold, value in summary["temperature"].items()}
    drawn = {
        "roc": charts.roc_chart(test, summary["operating_points"]),
        "reliability": charts.reliability_chart(table, temperature),
        "confusion": charts.confusion_chart(test),
        "froc": charts.froc_chart(test),
        "decision": charts.decision_chart(summary["decision"]),
        "size": charts.size_chart(test, summary["strata"].get("lesion size", {})),
    }
    # Matplotlib escapes what it writes; the charts hold no text from the table but class names.
    return {name: Markup(svg) for name, svg in drawn.items() if svg}  # noqa: S704


def environment() -> Environment:
    """Jinja's, with this room's templates and filters."""
    loader = PackageLoader("senoscope.evaluation", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["figure"] = _figure
    environment.filters["between"] = _between
    environment.filters["spread"] = _spread
    return environment


def _figure(value: float | None, digits: int = 3) -> str:
    """A number as reports print it; large ones (pixels) with one decimal."""
    if value is None:
        return "–"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.{digits}f}"


def _spread(folds: Mapping[str, float]) -> str:
    """Mean ± standard deviation, both with the mean's decimals."""
    digits = 1 if abs(folds["mean"]) >= 10 else 3
    return f"{folds['mean']:.{digits}f} ± {folds['sd']:.{digits}f}"


def _between(interval: Mapping[str, Any]) -> str:
    if interval["low"] is None:
        return "no interval"
    return f"{_figure(interval['low'])} – {_figure(interval['high'])}"
