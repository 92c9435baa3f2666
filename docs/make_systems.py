"""Write docs/reference/systems.md from the systems' rows. Run with ``make docs``."""

from __future__ import annotations

from pathlib import Path

from senoscope import catalog, models
from senoscope._files import write_text
from senoscope.models.page import render

DOCS = Path(__file__).resolve().parent
OUT = DOCS / "reference/systems.md"

HEAD = """# Systems of the literature

Written by `docs/make_systems.py` from the rows in `src/senoscope/models/systems/`. `senoscope models list` shows the
same, `senoscope train --system NAME --data busi` trains one: [how to](../how-to/systems.md). *Claimed* is the paper's
figure, never ours; what each reaches without leaks stands in [the leaderboard](../leaderboard.md). *Fidelity*:
**exact**, published in full; **close**, public parts in full, gaps filled and named; **interpretation**, only the idea
is public.

| System | Task | Year | Parameters | GMACs | at px | Fidelity | Claimed |
|---|---|---|---|---|---|---|---|
"""


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
    return HEAD + "\n".join(lines) + "\n\n" + "\n".join(pages)


if __name__ == "__main__":
    write_text(OUT, page())
