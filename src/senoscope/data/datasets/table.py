"""Your own table: a CSV or Parquet manifest with one row per image, beside (or above) the images.

Columns ``id`` and ``image`` are required. Known besides: ``mask`` (several separated by ``;``; ``none`` means
no lesion), ``label``, ``patient``, ``group``, ``split``, ``fold``, ``modality``, ``laterality``, ``view``,
``spacing_row`` and ``spacing_col`` (mm per pixel), and a box in pixels of the image: ``x``, ``y``, ``width``,
``height`` (several separated by ``;``). Every other column goes to ``clinical``. Empty cells are unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from senoscope import catalog
from senoscope.data._cells import Cells, read_cells, write_cells
from senoscope.data._rows import BOX, KNOWN, NO_LESION, REQUIRED, RowReader
from senoscope.errors import LeakageError, TableError
from senoscope.schema import CLASSES, Record

MANIFESTS = ("manifest.csv", "manifest.parquet")
_IN_CLINICAL = ("split", "fold")


def read(root: Path, classes: Sequence[str] | None = CLASSES, *, allow_leaks: bool = False) -> list[Record]:
    """Read a manifest (or the folder that holds ``manifest.csv`` or ``manifest.parquet``) into Records.

    ``classes`` are the labels allowed; ``None`` allows any. Paths are relative to the table and stay below
    it. Raises one ``TableError`` that lists every problem with its row number, and ``LeakageError`` if a
    patient or group stands in several splits or folds, unless ``allow_leaks``.
    """
    path = _manifest(root)
    cells = read_cells(path)
    problems, records = _check_header(cells), []
    if not problems:
        reader = RowReader(path.parent, cells, classes)
        records = [reader.read(number, row) for number, row in cells.rows]
        problems = reader.problems if records else ["it has a header but no row"]
    if problems:
        raise TableError(
            f"{path.name} has {len(problems)} problem{'s' if len(problems) > 1 else ''}:\n  "
            + "\n  ".join(problems),
            expected=f"columns {', '.join(REQUIRED)} and, where known, {', '.join(KNOWN[2:])}",
            fix="mend these rows and read the table again",
        )
    crossings = [] if allow_leaks else _crossings(records)
    if crossings:
        raise LeakageError(
            f"{path.name} has {'; '.join(crossings)}",
            expected="each patient and each group in one split and one fold",
            fix="move all images of a patient to one side",
        )
    return records


def write_table(records: Sequence[Record], path: Path) -> None:
    """Write Records as a manifest that :func:`read` gives back; CSV or Parquet by the suffix.

    ``path`` lies in a folder above every image and mask. Raises ``TableError`` for a file elsewhere.
    """
    keys = dict.fromkeys(key for record in records for key in record.clinical)
    extra = [key for key in keys if key not in _IN_CLINICAL]
    clash = [key for key in extra if key.casefold() in KNOWN]
    if clash:
        raise TableError(f"clinical value '{clash[0]}' has the name of a column", fix="rename it")
    header = [*KNOWN, *extra]
    write_cells(path, header, [_cells(record, path.parent, extra) for record in records])


def _manifest(root: Path) -> Path:
    if not root.is_dir():
        return root
    for name in MANIFESTS:
        if (root / name).is_file():
            return root / name
    raise TableError(
        f"{root} holds no table", expected=" or ".join(MANIFESTS), fix="give the table's own path"
    )


def _check_header(cells: Cells) -> list[str]:
    """Problems of the column names, which are compared without case."""
    names = [name.casefold() for name in cells.header]
    problems = []
    for number, name in enumerate(names, start=1):
        if not name:
            problems.append(f"row 1: column {number} has no name")
        elif names.index(name) < number - 1:
            problems.append(f"row 1: column '{name}' stands twice")
        elif name not in KNOWN:
            # A mistyped known column would silently become a clinical value.
            close = catalog.nearest(name, [known for known in KNOWN if known not in names], cutoff=0.8)
            if close and close[0][0] == name[0]:
                problems.append(f"row 1: column '{name}' looks like '{close[0]}', which is not there")
    return problems + [f"row 1: column '{name}' is missing" for name in REQUIRED if name not in names]


def _crossings(records: Sequence[Record]) -> list[str]:
    """Patients and groups in several splits or folds, in words."""
    found = []
    for word in ("patient", "group"):
        for column in _IN_CLINICAL:
            sides: defaultdict[str, set[str]] = defaultdict(set)
            for record in records:
                name, side = getattr(record, word), record.clinical.get(column)
                if name is not None and side is not None:
                    sides[name].add(f"{side:g}" if isinstance(side, float) else str(side))
            found += [
                f"{word} '{name}' in {column}s {' and '.join(sorted(several))}"
                for name, several in sides.items()
                if len(several) > 1
            ]
    return found


def _cells(record: Record, folder: Path, extra: Sequence[str]) -> list[str]:
    masks = None if record.masks is None else [_relative(mask, folder) for mask in record.masks]
    boxes = record.boxes or ()
    row = {
        "id": record.id,
        "image": _relative(record.image, folder),
        "mask": NO_LESION if masks == [] else ";".join(masks or ()),
        "label": record.label,
        "patient": record.patient,
        "group": record.group,
        "modality": record.modality,
        "laterality": record.laterality,
        "view": record.view,
        "spacing_row": record.spacing[0] if record.spacing else None,
        "spacing_col": record.spacing[1] if record.spacing else None,
    }
    row |= {name: ";".join(_text(getattr(box, name)) for box in boxes) for name in BOX}
    row |= {name: record.clinical.get(name) for name in (*_IN_CLINICAL, *extra)}
    return [_text(row[name]) for name in (*KNOWN, *extra)]


def _relative(path: Path, folder: Path) -> str:
    if not path.is_relative_to(folder) or ";" in path.name:
        raise TableError(
            f"{path} cannot stand in a table in {folder}",
            expected="a file below the table's folder, without ';' in its name",
            fix="write the table into the folder that holds the images",
        )
    return path.relative_to(folder).as_posix()


def _text(value: str | float | None) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)
