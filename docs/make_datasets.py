"""Write ``docs/reference/datasets.md`` from the dataset catalog. Run with ``make docs``; a test says when it is old."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from senoscope import catalog
from senoscope._files import write_text

PAGE = Path(__file__).resolve().parent / "reference" / "datasets.md"


def page() -> str:
    """The page's text: a table of all datasets, then one section for each."""
    rows = catalog.load("senoscope.data").values()
    return "\n".join([*_head(), *(line for row in rows for line in _section(row))])


def _head() -> Iterator[str]:
    yield "<!-- Written by docs/make_datasets.py (make docs). Change src/senoscope/data/catalog.toml instead. -->\n"
    yield "# Datasets\n"
    yield (
        "What `senoscope.data.load(name, root)` reads, in its owner's layout and file names. Without a root, the "
        "folder named below is looked for where `SENOSCOPE_DATA` points. "
        "`senoscope datasets verify NAME --root DIR` says what is missing or different in a copy.\n"
    )
    yield "| Name | | Modality | Images | Licence |\n|---|---|---|---|---|"
    for row in catalog.load("senoscope.data").values():
        cells = (
            f"[{row.name}](#{row.name})",
            row.title,
            row.text("modality"),
            row.text("n"),
            row.text("licence"),
        )
        yield f"| {' | '.join(cells)} |"


def _section(row: catalog.Row) -> Iterator[str]:
    facts = row.facts
    yield f"\n## {row.name}\n\n{row.title}.\n"
    yield f"- **For**: {facts['task']}"
    if facts["classes"]:
        counts = facts.get("counts", {})
        classes = [f"{name} ({counts[name]})" if name in counts else name for name in facts["classes"]]
        yield f"- **Classes**: {', '.join(classes)}"
    yield f"- **Masks**: {facts['masks']}\n- **Patients**: {facts['patients']}"
    if facts["folder"]:
        yield f"- **Folder**: `{facts['folder']}/`" + (f"; {facts['partial']}" if "partial" in facts else "")
    if facts["split"]:
        yield f"- **Frozen split**: `{facts['split']}`"
    if facts["homepage"]:
        yield f"- **Where**: <{facts['homepage']}>"
    if facts["citation"]:
        yield f"- **Cite**: {facts['citation']} doi:[{facts['doi']}](https://doi.org/{facts['doi']})"
    yield from (f"- {note}" for note in facts["notes"])


if __name__ == "__main__":
    write_text(PAGE, page() + "\n")
    print(f"wrote docs/reference/{PAGE.name}")
