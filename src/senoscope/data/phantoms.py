"""Simulated B-mode breast ultrasound with exact masks: seeded, quick, free of patients.

A breast is drawn (``_anatomy``), a lesion put into it (``_lesions``), and a scanner looks at it
(``_scanner``, ``_acoustics``). docs/explanation/phantoms.md says what is simulated, from which sources, and
what is not.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from senoscope._files import atomic_path, write_text
from senoscope.data._acoustics import Tissue, b_mode
from senoscope.data._anatomy import build
from senoscope.data._lesion_kinds import draw_lesion
from senoscope.data._lesions import Lesion, insert
from senoscope.data._scanner import Grid, Scanner, beam_grid, draw_scanner, image_grid
from senoscope.errors import DatasetError, UsageError
from senoscope.schema import CLASSES, BoolArray, Record

MANIFEST = "phantoms.csv"
COLUMNS = ("id", "label", "seed", "size", "row_spacing_mm", "column_spacing_mm")
SMALLEST, LARGEST = 64, 2048


@dataclass(frozen=True)
class Phantom:
    """One simulated picture.

    ``image`` uint8 H×W, ``mask`` bool H×W (empty if normal), ``spacing`` (row, column) in mm per pixel.
    """

    image: NDArray[np.uint8]
    mask: BoolArray
    label: str
    spacing: tuple[float, float]
    seed: int


@dataclass(frozen=True)
class Scene:
    """What lies before the probe, on the beam grid, and the scanner that looks at it."""

    tissue: Tissue
    lesions: tuple[Lesion, ...]
    scanner: Scanner
    grid: Grid


def simulate(seed: int, label: str | None = None, size: int = 256) -> Phantom:
    """Simulate one picture; the same seed, label and size give the same bytes.

    Parameters
    ----------
    seed: a whole number, zero or more.
    label: ``"normal"``, ``"benign"`` or ``"malignant"``; ``None`` draws one of the three from the seed.
    size: height and width in pixels, 64 to 2048.

    Raises
    ------
    UsageError: an argument is out of range.
    """
    _check("seed", seed, 0, 2**63 - 1)
    _check("size", size, SMALLEST, LARGEST)
    label = _label(seed, label)
    scene = draw_scene(seed, label, size)
    image = b_mode(_stream(seed, 3), scene.tissue, scene.scanner, scene.grid)
    mask = np.zeros((size, size), bool)
    for lesion in scene.lesions:
        mask |= lesion.mask(image_grid(scene.scanner, size))
    spacing = (scene.scanner.depth / size, scene.scanner.width / size)
    return Phantom(image=image, mask=mask, label=label, spacing=spacing, seed=seed)


def draw_scene(seed: int, label: str, size: int) -> Scene:
    """The breast, lesion and scanner of ``simulate``, before any echo is computed."""
    scanner = draw_scanner(_stream(seed, 0))
    grid = beam_grid(scanner, size)
    tissue, layers = build(_stream(seed, 1), grid)
    lesions: tuple[Lesion, ...] = ()
    if label != "normal":
        rng = _stream(seed, 2)
        lesions = (draw_lesion(rng, label, grid, layers),)
        insert(rng, lesions[0], tissue, grid)
    return Scene(tissue, lesions, scanner, grid)


def write_dataset(root: Path, count: int, seed: int = 0, size: int = 256) -> list[Record]:
    """Write ``count`` phantoms, the three labels in turn, with masks and a manifest; return their records.

    ``root/images/ID.png``, ``root/masks/ID_mask.png`` (0 and 255; none for normals), ``root/phantoms.csv``.

    Raises
    ------
    UsageError: an argument is out of range.
    """
    _check("count", count, 1, 10**6)
    _check("seed", seed, 0, 2**63 - 1)
    _check("size", size, SMALLEST, LARGEST)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    console = Console(stderr=True)
    for index in track(range(count), "Simulating", console=console, transient=True, disable=count < 50):
        child = int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0] >> 1)
        phantom = simulate(child, CLASSES[index % len(CLASSES)], size)
        name = f"phantom-{seed}-{index:05d}"
        _save(phantom.image, root / "images" / f"{name}.png")
        if phantom.mask.any():
            _save(phantom.mask.astype(np.uint8) * np.uint8(255), root / "masks" / f"{name}_mask.png")
        writer.writerow([name, phantom.label, child, size, *(f"{step:.6f}" for step in phantom.spacing)])
    write_text(root / MANIFEST, table.getvalue())
    return read(root)


def read(root: Path) -> list[Record]:
    """Records of a folder that ``write_dataset`` wrote.

    Raises
    ------
    DatasetError: the manifest or a file it names is missing or damaged.
    """
    manifest = root / MANIFEST
    if not manifest.is_file():
        raise DatasetError(
            f"{root} has no {MANIFEST}",
            expected="a folder written by senoscope.data.phantoms.write_dataset",
            fix="write one, or name the folder that holds the manifest",
        )
    try:
        rows = list(csv.reader(io.StringIO(manifest.read_text(encoding="utf-8"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{manifest} is not a CSV text", fix="write the dataset again") from error
    if not rows or tuple(rows[0]) != COLUMNS:
        raise DatasetError(f"{manifest} has other columns: {rows[:1]}", expected=", ".join(COLUMNS))
    return [_record(root, row, line) for line, row in enumerate(rows[1:], start=2)]


def _record(root: Path, row: list[str], line: int) -> Record:
    try:
        name, label, _, _, *steps = row
        spacing = (float(steps[0]), float(steps[1]))
        sound = len(steps) == 2 and all(0 < step < 100 for step in spacing)
    except (ValueError, IndexError):
        sound = False
    if not sound or label not in CLASSES or not name or Path(name).name != name:
        raise DatasetError(
            f"{root / MANIFEST}, line {line}: {','.join(row)}",
            expected=f"{', '.join(COLUMNS)}, with a label of {', '.join(CLASSES)}",
            fix="write the dataset again",
        )
    image = root / "images" / f"{name}.png"
    masks = () if label == "normal" else (root / "masks" / f"{name}_mask.png",)
    for path in (image, *masks):
        if not path.is_file():
            raise DatasetError(
                f"{path} is missing",
                expected=f"every file that {MANIFEST} names",
                fix="write the dataset again",
            )
    return Record(
        id=name,
        dataset="phantoms",
        image=image,
        modality="US",
        label=label,
        masks=masks,
        patient=name,
        spacing=spacing,
    )


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def _stream(seed: int, part: int) -> np.random.Generator:
    """An own random stream per part, so that changing one part leaves the others as they were."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, part])))


def _label(seed: int, label: str | None) -> str:
    if label is None:
        return CLASSES[int(_stream(seed, 4).integers(len(CLASSES)))]
    if label not in CLASSES:
        raise UsageError(f"label {label!r}", expected=f"one of {', '.join(CLASSES)}, or None")
    return label


def _check(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise UsageError(f"{name} {value!r}", expected=f"a whole number from {low} to {high}")
