"""The documents: every link leads somewhere, and the tables are what the results say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

import senoscope
from senoscope.data.overlays import has_text, read_text_column

LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+(?:\([^()]*\))?)\)")
SOURCE = re.compile(r'<(?:img|a)\b[^>]*?\b(?:src|href)="([^"]+)"')


def prose(text: str) -> str:
    """The text without code, where brackets mean something else."""
    return re.sub(r"`[^`\n]+`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def links(text: str) -> Iterator[str]:
    yield from LINK.findall(prose(text))
    yield from SOURCE.findall(prose(text))


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as the usual renderers make them."""
    headings = re.findall(r"^#{1,6} +(.+?) *#*$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).strip().replace(" ", "-")
        for heading in headings
    }


def test_every_link_leads_somewhere(root: Path, tracked: list[Path]) -> None:
    broken = []
    pages = [path for path in tracked if path.suffix == ".md"]
    assert Path("README.md") in pages
    for page in pages:
        for link in links((root / page).read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = (root / page.parent / name).resolve() if name else root / page
            if not target.exists():
                broken.append(f"{page}: {link} (no such file)")
            elif (
                anchor
                and target.suffix == ".md"
                and anchor not in anchors(target.read_text(encoding="utf-8"))
            ):
                broken.append(f"{page}: {link} (no such heading)")
    assert broken == []


def test_every_page_is_reachable_from_the_index(root: Path, tracked: list[Path]) -> None:
    """Starting at the README, links reach every page of docs/."""
    seen: set[Path] = set()
    queue = [root / "README.md"]
    while queue:
        page = queue.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        queue += [
            (page.parent / link.partition("#")[0]).resolve()
            for link in links(page.read_text(encoding="utf-8"))
        ]
    pages = {root / path for path in tracked if path.parts[0] == "docs" and path.suffix == ".md"}
    assert sorted(str(path.relative_to(root)) for path in pages - seen) == []


def test_pages_say_research_use_only(root: Path) -> None:
    for page in ("README.md", "docs/index.md"):
        assert "research use only" in (root / page).read_text(encoding="utf-8").lower(), page


def test_architecture_names_every_room_and_only_files_that_exist(root: Path) -> None:
    text = (root / "docs/architecture.md").read_text(encoding="utf-8")
    source = root / "src/senoscope"
    rooms = re.findall(r"^\| (`[^|]+`) \|(.*)\|$", text[text.index("## The rooms") :], re.MULTILINE)
    named = {name.rstrip("/") for room, _ in rooms for name in re.findall(r"`([^`]+)`", room)}
    present = {path.name for path in source.iterdir() if not path.name.startswith("_")} - {"py.typed"}
    assert named == present
    for room, contents in rooms:
        (folder, *_) = re.findall(r"`([^`]+)`", room)
        for name in re.findall(r"`([\w/.]+(?:\.py|\.toml|/))`", contents):
            assert (source / folder / name).exists(), f"{folder}{name}"


@pytest.mark.parametrize(
    ("page", "by"),
    [
        ("README.md", "make_results"),
        ("docs/how-to/serve.md", "make_results"),
        ("docs/how-to/systems.md", "make_results"),
        ("docs/explanation/transfer.md", "make_transfer"),
        ("docs/explanation/leakage.md", "make_transfer"),
    ],
)
def test_results_table_is_what_was_measured(
    page: str, by: str, root: Path, script: Callable[[str], ModuleType]
) -> None:
    maker = script(f"docs/{by}.py")
    text = (root / page).read_text(encoding="utf-8")
    assert maker.updated(text) == text, "the table is out of date: make docs"


@pytest.mark.parametrize(("dataset", "title"), [("busi", "BUSI"), ("bus-bra", "BUS-BRA")])
def test_the_agreement_that_the_docs_tell_is_that_of_the_images_read(
    dataset: str, title: str, root: Path
) -> None:
    read = read_text_column(root / "docs/results/overlays-by-eye.csv")
    mine = {case: text for case, text in read.items() if case.startswith(f"{dataset}:")}
    found = {case: bool(has_text(dataset, case)) for case in mine}
    both = sum(found[case] for case, text in mine.items() if text)
    besides = sum(found[case] for case, text in mine.items() if not text)
    agree = sum(found[case] == text for case, text in mine.items())
    page = (root / "docs/explanation/leakage.md").read_text(encoding="utf-8")
    (row,) = (line for line in page.splitlines() if line.startswith(f"| {title} | ") and " of 60 |" in line)
    cells = [cell.split(" (")[0].strip() for cell in row.strip("|").split("|")]
    assert cells == [title, str(sum(mine.values())), str(both), str(besides), f"{agree} of {len(mine)}"]


def test_python_example_of_the_readme_runs(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        senoscope.load_bundle("senoscope-us")
    except senoscope.SenoscopeError as error:
        pytest.skip(f"the shipped bundle is not there: {error}")
    (example,) = re.findall(
        r"```python\n(.*?)```", (root / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    Image.fromarray(senoscope.simulate(12, "malignant").image).save("picture.png")
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - our own example is what is tested
    shown = capsys.readouterr().out
    assert shown.startswith("analysed")
    assert "score" in shown
