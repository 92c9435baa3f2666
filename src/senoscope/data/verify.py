"""Is a dataset on disk as its owner packs it? Every deviation names the file, what was found, and the fix."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.progress import track

from senoscope import catalog
from senoscope.data import find_root, info
from senoscope.data._layout import IMAGE_SUFFIXES, decode, image_size, is_dicom
from senoscope.errors import ImageError, SenoscopeError
from senoscope.schema import Record

LEVELS = ("error", "warning", "info")
_CLUTTER = (".*", "Thumbs.db", "desktop.ini", "__MACOSX")


@dataclass(frozen=True, slots=True)
class Problem:
    """One deviation. ``level``: error (cannot be used), warning (look at it) or info (a smaller copy)."""

    file: str
    found: str
    expected: str
    fix: str
    level: str = "error"

    def as_dict(self) -> dict[str, str]:
        """The problem as plain JSON-able values."""
        return asdict(self)


def verify(name: str, root: Path | str | None = None, *, pixels: bool = False) -> list[Problem]:
    """Everything about a dataset's copy that is not as expected, worst first; empty if all is well.

    Reads headers only, or with ``pixels`` decodes every file, which also finds files cut short. Raises
    ``UsageError`` for an unknown name and ``DatasetError`` where there is no copy at all.
    """
    row = info(name)
    place = find_root(name, Path(root) if root is not None else None)
    base = place / row.text("folder") if (place / row.text("folder")).is_dir() else place
    problems: list[Problem] = []
    try:
        problems.extend(_specific(row, base))
        records = cast("Callable[[Path], list[Record]]", row.resolve())(place)
    except ImageError:
        return [*_unreadable(base), *problems]  # the reader stopped at the first of them
    except SenoscopeError as error:
        return [Problem(place.name, error.found, error.expected, error.fix), *problems]
    problems += _headers(records, pixels)
    problems += _records(records, row)
    problems += _strangers(records, base, row)
    problems += _counts(records, row)
    return sorted(problems, key=lambda problem: LEVELS.index(problem.level))


def _specific(row: catalog.Row, base: Path) -> Iterable[Problem]:
    """What only this dataset's layout can say, by the catalog's ``check``."""
    if not row.text("check") or not base.is_dir():
        return ()
    return cast("Callable[[Path], Iterable[Problem]]", catalog.resolve(row.text("check")))(base)


def _unreadable(base: Path) -> Iterator[Problem]:
    for path in sorted(base.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            try:
                if not is_dicom(path):
                    image_size(path)
            except ImageError as error:
                yield _broken(path, error)


def _broken(path: Path, error: ImageError) -> Problem:
    return Problem(path.name, error.found, "a readable image", "copy or download it again")


def _headers(records: Sequence[Record], pixels: bool) -> Iterator[Problem]:
    console = Console(stderr=True)
    steps = track(records, "Verifying", console=console, transient=True, disable=not console.is_terminal)
    for record in steps:
        sizes: dict[Path, tuple[int, int]] = {}
        for path in (record.image, *(record.masks or ())):
            if is_dicom(path):
                continue
            try:
                sizes[path] = image_size(path)
                if pixels:
                    decode(path)
            except ImageError as error:
                yield _broken(path, error)
        if record.image in sizes:
            yield from _geometry(record, sizes)


def _geometry(record: Record, sizes: Mapping[Path, tuple[int, int]]) -> Iterator[Problem]:
    """Masks of another size than their image, and boxes that leave it."""
    size = sizes[record.image]
    for mask in record.masks or ():
        if sizes.get(mask, size) != size:
            yield Problem(
                mask.name,
                f"mask of {sizes[mask][0]}×{sizes[mask][1]} pixels",
                f"{size[0]}×{size[1]} pixels, as {record.image.name}",
                "copy both files again; masks are never resized silently",
            )
    for box in record.boxes or ():
        # One pixel of slack: boxes of scaled copies are rounded.
        if min(box.x, box.y) < -1 or box.x + box.width > size[0] + 1 or box.y + box.height > size[1] + 1:
            yield Problem(
                record.image.name,
                f"box {tuple(round(value, 1) for value in box)} leaves the image",
                f"a box within {size[0]}×{size[1]} pixels",
                "check the annotation's frame",
                "warning",
            )


def _records(records: Sequence[Record], row: catalog.Row) -> Iterator[Problem]:
    """What the Records say among themselves."""
    for name, times in Counter(record.id for record in records).items():
        if times > 1:
            yield Problem(name, f"{times} records of this id", "one", "remove the copies")
    classes = row.facts.get("classes")
    folds: defaultdict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.masks is None and row.facts.get("has_masks"):
            yield Problem(record.image.name, "no mask file", "a mask, empty if normal", "download the masks")
        if classes and record.label not in classes:
            expected = f"one of {', '.join(classes)}"
            yield Problem(record.image.name, f"label {record.label}", expected, "correct the annotation")
        if record.patient is not None and record.clinical.get("fold") is not None:
            folds[record.patient].add(f"{record.clinical['fold']}")
    for patient, several in folds.items():
        if len(several) > 1:
            found = f"patient in folds {' and '.join(sorted(several))}"
            yield Problem(patient, found, "one fold", "move all images of the patient to one fold")


def _strangers(records: Sequence[Record], base: Path, row: catalog.Row) -> Iterator[Problem]:
    """Files that no record mentions: masks without image, images without annotation, other things."""
    folder = base if base.is_dir() else base.parent
    known = {path for record in records for path in (record.image, *(record.masks or ()))}
    expected = [*row.facts.get("other_files", ()), *_CLUTTER]
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path in known or any(fnmatch(part, pattern) for part in parts for pattern in expected):
            continue
        if path.is_file():
            yield Problem(
                path.relative_to(folder).as_posix(),
                "belongs to no record",
                "only files of the owner's layout"
                if row.text("folder")
                else "a row, or an image beside its mask",
                "look whether its image or annotation is missing or misnamed; else move it away",
                "warning",
            )


def _counts(records: Sequence[Record], row: catalog.Row) -> Iterator[Problem]:
    """How the copy differs in number from the owner's release."""
    official = row.facts.get("n")
    if official is None or len(records) == official:
        return
    labels = Counter(record.label for record in records)
    by_class = ", ".join(f"{label} {count}" for label, count in labels.most_common(3))
    yield Problem(
        row.text("folder"),
        f"{len(records)} images ({by_class}{', …' if len(labels) > 3 else ''})",
        f"{official} images in the official release",
        row.text("partial") or f"download all of it from {row.text('homepage')}",
        "info",
    )
