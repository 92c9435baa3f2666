"""Write the tables of ``docs/explanation/mammography.md`` from the files in ``docs/results/``. Run with ``make docs``.

Nobody types a figure: ``benchmarks/mammography.py`` and ``benchmarks/flowers.py`` measure and write JSON, this script
shows it between the page's markers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from senoscope._files import write_text

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/explanation/mammography.md"
FILMS, FLOWERS = ROOT / "docs/results/mammography.json", ROOT / "docs/results/flowers17.json"
BLOCK = re.compile(r"(<!-- (\w+):begin[^>]*-->\n).*?(<!-- \2:end -->)", re.DOTALL)
PENDING = "Not measured yet.\n"

Results = dict[str, Any]


def interval(leaf: Results | None) -> str:
    """A figure with its interval, or a dash where it is undefined."""
    if not leaf or leaf["value"] is None:
        return "–"
    bounds = f" ({leaf['low']:.2f}–{leaf['high']:.2f})" if leaf["low"] is not None else ""
    return f"**{leaf['value']:.3f}**{bounds}"


def sizes(films: Results, _: Results) -> Iterator[str]:
    """How small the findings are."""
    found, width = films["sizes"], films["sizes"]["diameter_at_224_px"]
    counts = ", ".join(f"{count} {label}" for label, count in found["counts"].items())
    yield (
        f"{found['films']} films of {found['women']} women ({counts}); {found['findings']} circles, "
        f"{found['unmarked']} films with a finding that is not marked. On a film shrunk to 224 pixels the middle "
        f"circle is {width['median']:.0f} pixels wide (half lie between {width['quarter']:.0f} and "
        f"{width['three_quarters']:.0f}), the least {width['least']:.1f}; the middle one covers "
        f"{100 * found['share_of_film']['median']:.1f} % of the film."
    )


def classes(films: Results, _: Results) -> Iterator[str]:
    """The arms that classify."""
    yield (
        "| Setting | n | Accuracy | Always one class | Balanced accuracy | AUC, finding or none "
        "| AUC, benign or malignant |"
    )
    yield "|---|---|---|---|---|---|---|"
    for arm in films["arms"].values():
        if "always" not in arm:
            continue
        accuracy = arm.get("accuracy") or arm["accuracy_benign_malignant"]
        cells = (
            arm["what"],
            accuracy["n"],
            interval(accuracy),
            f"{arm['always_right']:.3f} ({arm['always']})",
            interval(arm.get("balanced_accuracy")),
            interval(arm.get("auc_normal_rest")),
            interval(arm.get("auc_benign_malignant")),
        )
        yield f"| {' | '.join(map(str, cells))} |"


def outlines(films: Results, _: Results) -> Iterator[str]:
    """The arms that outline, and the outline that looks at no pixel."""
    yield "| Setting | n | Dice per image | Pixels pooled | Nothing right |\n|---|---|---|---|---|"
    for name, arm in films["arms"].items():
        if name.startswith("outline"):
            figures = [interval(arm.get(key)) for key in ("dice", "dice_pooled", "missed")]
            yield f"| {arm['what']} | {arm['dice']['n']} | {' | '.join(figures)} |"
    for kind, what in (("whole", "whole films"), ("crops", "crops")):
        leaf = films[f"prior_{kind}"]
        yield f"| One outline for all {what}, no pixel looked at | {leaf['n']} | {interval(leaf)} | | |"


def flowers(_: Results, found: Results) -> Iterator[str]:
    """The sanity check."""
    about = found["about"]
    folds = ", ".join(f"{value:.3f}" for value in found["folds"].values())
    yield (
        f"{interval(found['accuracy'])} of {found['accuracy']['n']} held-out photographs are right (folds: {folds}; "
        f"encoder `{about['settings']['encoder']}`, {about['settings']['epochs']} epochs at "
        f"{about['settings']['size']} pixels; {about['protocol']})."
    )


PARTS: dict[str, tuple[tuple[Path, ...], Callable[[Results, Results], Iterator[str]]]] = {
    "sizes": ((FILMS,), sizes),
    "classes": ((FILMS,), classes),
    "outlines": ((FILMS,), outlines),
    "flowers": ((FLOWERS,), flowers),
}


def body(name: str) -> str:
    """The text of one marked part."""
    needed, make = PARTS[name]
    if not all(path.is_file() for path in needed):
        return PENDING
    films, flower = (
        json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {} for path in (FILMS, FLOWERS)
    )
    return "\n".join(make(films, flower)) + "\n"


def updated(text: str) -> str:
    """A page with the parts between its markers written again."""
    return BLOCK.sub(lambda block: f"{block[1]}{body(block[2])}{block[3]}", text)


if __name__ == "__main__":
    write_text(PAGE, updated(PAGE.read_text(encoding="utf-8")))
    print(f"wrote {PAGE.relative_to(ROOT)}")
