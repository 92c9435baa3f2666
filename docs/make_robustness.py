"""Draw ``docs/images/robustness.svg`` and write the table of ``docs/how-to/robustness.md`` from what was measured.

Nobody types a figure: ``senoscope benchmark robustness`` measures and writes JSON (``benchmark/robustness/``), this
script shows it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from senoscope._files import atomic_path, write_text

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURE = ROOT / "docs/how-to/robustness.md", ROOT / "docs/images/robustness.svg"
RUNS = {
    "busi-fold1": ("same hospital: BUSI's fold 1", "#1668b8", "o"),
    "bus-bra-on-busi": ("other hospital: trained on BUS-BRA, tested on BUSI", "#c24a0c", "^"),
}
ATTACKED = "busi-fold1-attacked"
FIGURES = {
    "balanced_accuracy": "Balanced accuracy, three classes",
    "auc_benign_malignant": "AUC, benign against malignant",
    "dice": "Dice",
}
ERRORS = {"balanced_accuracy": "balanced error", "auc_benign_malignant": "1 − AUC", "dice": "1 − Dice"}
WORST = 4
BLOCK = re.compile(r"(<!-- measured:begin[^>]*-->\n).*?(<!-- measured:end -->)", re.DOTALL)

Summary = dict[str, Any]


def summaries() -> dict[str, Summary]:
    """What was measured, by run, in the order of :data:`RUNS`."""
    return {name: read(name) for name in RUNS}


def read(name: str) -> Summary:
    """One measurement."""
    path = ROOT / "benchmark/robustness" / name / "robustness.json"
    found: Summary = json.loads(path.read_text(encoding="utf-8"))
    return found


def signed(found: Summary) -> str:
    """An increase with its interval."""
    return f"{found['value']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})".replace("-", "−")


def table(runs: dict[str, Summary]) -> str:
    """Errors without a corruption, their mean increase over the corruptions, and the corruptions that harm most."""
    lines = [
        "| Training | Error | Clean | Corrupted, on average | Most harm |",
        "|---|---|---|---|---|",
    ]
    for name, run in runs.items():
        levels = sorted(map(int, max(run["corruptions"].values(), key=len)))  # mirroring has one only
        said = f"{RUNS[name][0]}; {run['cases']['test']} images, severity {', '.join(map(str, levels))}"
        for figure, what in ERRORS.items():
            errors = run["errors"][figure]
            harm = {key: found["increase"] for key, found in errors["corruptions"].items()}
            most = sorted(harm, key=lambda key: -harm[key]["value"])[:WORST]
            shown = ", ".join(f"`{key}` {harm[key]['value']:+.3f}" for key in most).replace("-", "−")
            mean = signed(errors["mean"]["increase"])
            lines.append(f"| {said} | {what} | {errors['clean']:.3f} | {mean} | {shown} |")
            said = ""
    return "\n".join(lines) + "\n"


def attacks(run: Summary) -> str:
    """The figures without and under attack."""
    lines = [
        f"| Attack; {run['cases']['test']} images | " + " | ".join(FIGURES.values()) + " |",
        "|---" * (1 + len(FIGURES)) + "|",
    ]
    shown = {"none": {"": run["clean"]}} | {key.upper(): found for key, found in run["attacks"].items()}
    for attack, levels in shown.items():
        for level, found in levels.items():
            cells = ["{value:.3f} ({low:.3f} to {high:.3f})".format(**found[figure]) for figure in FIGURES]
            lines.append(f"| {attack}{level and f', {level}/255'} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(runs: dict[str, Summary], path: Path) -> None:
    """One panel per figure: a row per corruption, a mark per run and severity, a line where the run is without any."""
    first = next(iter(runs.values()))["errors"]["balanced_accuracy"]["corruptions"]
    order = sorted(first, key=lambda name: first[name]["increase"]["value"])
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "senoscope", "font.size": 10}):
        figure = Figure(figsize=(10.6, 5.4), layout="constrained", facecolor="white")
        for axes, (name, title) in zip(figure.subplots(1, 3, sharey=True), FIGURES.items(), strict=True):
            for shift, (run, summary) in zip((0.16, -0.16), runs.items(), strict=True):
                label, colour, mark = RUNS[run]
                axes.axvline(summary["clean"][name]["value"], color=colour, linewidth=1, linestyle=":")
                for y, corruption in enumerate(order):
                    levels = summary["corruptions"][corruption]
                    values = [found[name]["value"] for found in levels.values()]
                    worst = levels[max(levels, key=int)][name]
                    axes.plot(
                        [worst["low"], worst["high"]], [y + shift] * 2, color=colour, alpha=0.3, linewidth=3
                    )
                    axes.plot(values, [y + shift] * len(values), color=colour, linewidth=0.8)
                    for level, value in zip(levels, values, strict=True):
                        size = 3 + int(level) * 0.8 if len(levels) > 1 else 7
                        shown = label if (y, level) == (0, max(levels, key=int)) else None
                        axes.plot(
                            value,
                            y + shift,
                            mark,
                            color=colour,
                            markersize=size,
                            linestyle="none",
                            label=shown,
                        )
            axes.set_xlabel(title)
            axes.grid(axis="x", alpha=0.3)
            axes.set_yticks(range(len(order)), order)
            axes.spines[["top", "right"]].set_visible(False)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})


def page(runs: dict[str, Summary]) -> str:
    """The page with its block written anew."""
    return BLOCK.sub(
        lambda found: f"{found[1]}{table(runs)}\n{attacks(read(ATTACKED))}{found[2]}",
        PAGE.read_text(encoding="utf-8"),
    )


if __name__ == "__main__":
    measured = summaries()
    draw(measured, PICTURE)
    write_text(PAGE, page(measured))
