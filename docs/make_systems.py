"""Write docs/reference/systems.md from the systems' rows. Run with ``make docs``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from senoscope import catalog, models
from senoscope._files import write_text
from senoscope.models.page import render

DOCS = Path(__file__).resolve().parent
OUT = DOCS / "reference/systems.md"
FOLD = DOCS / "results/systems-busi-fold1.json"

HEAD = """# Systems of the literature

Written by `docs/make_systems.py` from the rows in `src/senoscope/models/systems/`. `senoscope models list` shows the
same, `senoscope train --system NAME --data busi` trains one: [how to](../how-to/systems.md). *Claimed* is the paper's
figure, never ours; ours for one fold stand below. *Fidelity*: **exact**,
published in full; **close**, public parts in full, gaps filled and named; **interpretation**, only the idea is public.

| System | Task | Year | Parameters | GMACs | at px | Fidelity | Claimed |
|---|---|---|---|---|---|---|---|
"""


FOLD_HEAD = """## One honest fold

{protocol} (`benchmarks/systems_fold.py`, {machine}; brackets: {interval}).
Encoders start untrained and fifteen epochs are few, so this compares how quickly the systems learn from 540 images,
not what they can reach. It is one fold, the hardest of the five; the README has `senoscope-us`, pretrained, on all.

| System | Accuracy, 3 classes | AUC, benign or malignant | Dice per lesion image | n |
|---|---|---|---|---|
"""


def one_fold() -> str:
    """The table of one fold, best Dice and AUC first, and who is missing."""
    if not FOLD.is_file():
        return ""
    content = json.loads(FOLD.read_text(encoding="utf-8"))
    found: dict[str, Any] = content["systems"]
    lines = []
    for name in sorted(found, key=lambda name: _rank(found[name]), reverse=True):
        keys = ("accuracy", "auc_benign_malignant", "dice")
        cells = " | ".join(_cell(found[name].get(key)) for key in keys)
        lines.append(f"| [{name}](#{name}) | {cells} | {_cases(found[name])} |")
    head = FOLD_HEAD.format(**content)
    missing = ", ".join(content["missing"])
    return head + "\n".join(lines) + (f"\n\nNot trained yet: {missing}.\n\n" if missing else "\n\n")


def _rank(figures: dict[str, Any]) -> float:
    judged = [figures[key]["value"] for key in ("dice", "auc_benign_malignant") if key in figures]
    return sum(judged) / len(judged)


def _cell(leaf: dict[str, Any] | None) -> str:
    return f"{leaf['value']:.3f} ({leaf['low']:.3f}–{leaf['high']:.3f})" if leaf else "–"


def _cases(figures: dict[str, Any]) -> int:
    return max(leaf["n"] for leaf in figures.values() if isinstance(leaf, dict))


def page() -> str:
    """The whole page."""
    rows = [catalog.load(models.CATALOG)[name] for name in models.names()]
    lines = []
    for row in rows:
        facts = row.facts
        lines.append(
            f"| [{row.name}](#{row.name}) | {facts['task']} | {facts['year']} | {facts['params'] / 1e6:.2f} M "
            f"| {facts['gmacs']:.2f} | {facts['native_size']} | {facts['fidelity']} | {facts['claimed'] or '–'} |"
        )
    pages = [render(row).replace("# ", "## ", 1) for row in rows]
    return HEAD + "\n".join(lines) + "\n\n" + one_fold() + "\n".join(pages)


if __name__ == "__main__":
    write_text(OUT, page())
