"""How much burnt-in text does ``senoscope deidentify`` remove, and how much picture with it?

Made-up names, identifiers and dates are drawn into simulated exams: on tissue or in the black band beside it, in
several sizes, fonts and contrasts, on files that mark no ultrasound region (where regions are marked, everything
outside them is blackened; that is checked too). Each file goes through the whole of ``deidentify_file``. Of each word
three things are told, because tesseract, which finds some of them, must not be the only judge: whether at least 95 % of
its ink was blackened (``removed``); and whether tesseract, shown the place of the word enlarged and in the right
polarity, reads it before (``readable_before``) and after (``readable_after``). On exams without text, whatever is
blackened is an error. Writes docs/results/clinic-deidentify.json, with Wilson intervals; words of one picture are not
independent, so the true intervals are wider.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset, dcmread
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/clinic/gateway"))
import parts

from clinic_server import RESULTS, machine
from senoscope._files import write_text
from senoscope.clinic.deidentify import ocr
from senoscope.clinic.deidentify.folder import deidentify_file
from senoscope.clinic.deidentify.keyed import new_key
from senoscope.data.phantoms import simulate

Picture = NDArray[np.uint8]

HEIGHT, WIDTH, LEFT, SIDE = 400, 560, 160, 400  # a screen: a band for text on the left, the exam on the right
SIZES = (10, 14, 20)  # px; a capital letter is 0.73 of it high
FONTS = ("DejaVuSans", "DejaVuSansMono-Bold", "STIXGeneral")
CONTRASTS = {"bright": 235, "faint": 150, "dark": 15}  # on the band, which is black, "dark" is left out
NAMES = (
    "Almeida", "Brandt", "Castellano", "Dubrovsky", "Eriksson", "Fontaine", "Grimaldi", "Hakobyan", "Ivanova",
    "Jankowska", "Kowalczyk", "Lindqvist", "Moreau", "Nakamura", "Okonkwo", "Petrova", "Quintero", "Rasmussen",
    "Schneider", "Takahashi", "Ulrich", "Vasquez", "Weinstein", "Yilmaz", "Zielinska",
)  # fmt: skip
CLEAN = 24


@dataclass(slots=True)
class Word:
    """A word in a picture: where its box is, which pixels are its ink, and what became of it."""

    text: str
    size: int
    font: str
    contrast: str
    place: str
    box: tuple[int, int, int, int]
    ink: NDArray[np.bool_] = field(repr=False)
    removed: bool = False
    readable_before: bool = False
    readable_after: bool = False


def some_text(pick: random.Random) -> str:
    """A name, an identifier or a date, as scanners write them."""
    kind = pick.randrange(3)
    if kind == 0:
        name = pick.choice(NAMES)
        return name.upper() if pick.random() < 0.5 else name
    if kind == 1:
        return f"{pick.choice('ABHMP')}{pick.randrange(10**6, 10**8)}"
    day, month, year = pick.randint(1, 28), pick.randint(1, 12), pick.randint(1935, 2005)
    return pick.choice(
        (f"{day:02}.{month:02}.{year}", f"{year}-{month:02}-{day:02}", f"{month:02}/{day:02}/{year}")
    )


def screen(seed: int) -> Picture:
    """A simulated exam beside a black band, uint8 H×W."""
    whole = np.zeros((HEIGHT, WIDTH), np.uint8)
    whole[:, LEFT:] = simulate(seed, ("malignant", "benign", "normal")[seed % 3], SIDE).image
    return whole


def write(
    picture: Picture, pick: random.Random, size: int, name: str, contrast: str
) -> tuple[Picture, list[Word]]:
    """Words in one size, font and contrast: a column of them in the band, and some on the tissue."""
    font = ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts/ttf" / f"{name}.ttf"), size)
    words = []
    step = int(2.2 * size) + 8
    spots = [("band", 6, y) for y in range(8, HEIGHT - step, 3 * step)] if contrast != "dark" else []
    spots += [("tissue", LEFT + pick.randint(8, 60) + 170 * k, y + pick.randint(0, 6))
              for y in range(12, HEIGHT - step, 2 * step) for k in (0, 1)]  # fmt: skip
    for place, x, y in spots[:14]:
        text = some_text(pick)
        sheet = Image.new("L", (WIDTH, HEIGHT))
        ImageDraw.Draw(sheet).text((x, y), text, 255, font)
        alpha = np.asarray(sheet)
        rows, columns = np.nonzero(alpha)
        if columns.max() >= (LEFT - 2 if place == "band" else WIDTH - 2):
            continue
        share = alpha / np.float32(255)
        picture = np.uint8(picture * (1 - share) + CONTRASTS[contrast] * share)
        box = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
        words.append(Word(text, size, name, contrast, place, tuple(map(int, box)), alpha > 128))
    return picture, words


def exam(picture: Picture, number: int, *, marked: bool) -> Dataset:
    """The picture as an ultrasound image; ``marked``: the file says where on the screen the exam is."""
    made = parts.exam(picture, number)
    if marked:
        region = Dataset()
        region.RegionLocationMinX0, region.RegionLocationMaxX1 = LEFT, WIDTH - 1
        region.RegionLocationMinY0, region.RegionLocationMaxY1 = 0, HEIGHT - 1
        region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
        region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
        region.PhysicalDeltaX = region.PhysicalDeltaY = 0.01
        made.SequenceOfUltrasoundRegions = [region]
    return made


def cleaned(picture: Picture, folder: Path, *, marked: bool = False) -> tuple[Picture, float]:
    """What ``deidentify_file`` makes of a picture, and the seconds it took."""
    source = folder / "source.dcm"
    exam(picture, 1, marked=marked).save_as(source, enforce_file_format=True)
    start = time.perf_counter()
    made = deidentify_file(source, folder / "out", new_key())
    return dcmread(folder / "out" / made["file"]).pixel_array, time.perf_counter() - start


def readable(picture: Picture, words: list[Word]) -> list[bool]:
    """Which words tesseract reads, shown each one's place by itself: enlarged, dark on light, one below the other."""
    if not words:
        return []
    height, width = 96, 900
    page = Image.new("L", (width, height * len(words)), 255)
    for number, word in enumerate(words):
        top, bottom, left, right = word.box
        piece = picture[max(0, top - 3) : bottom + 3, max(0, left - 3) : right + 3]
        piece = piece if word.contrast == "dark" else 255 - piece
        enlarged = Image.fromarray(piece)
        scale = 60 / enlarged.height
        enlarged = enlarged.resize(
            (min(width - 40, round(enlarged.width * scale)), 60), Image.Resampling.BICUBIC
        )
        page.paste(enlarged, (20, height * number + 18))
    stream = BytesIO()
    page.save(stream, "PNG")
    command = ["tesseract", "stdin", "stdout", "--psm", "6", "tsv"]
    told = subprocess.run(
        command, input=stream.getvalue(), capture_output=True, check=True,
        env={**os.environ, "OMP_THREAD_LIMIT": "1"},
    )  # fmt: skip
    read = [""] * len(words)
    for row in csv.DictReader(StringIO(told.stdout.decode()), delimiter="\t", quoting=csv.QUOTE_NONE):
        middle = int(row["top"]) + int(row["height"]) // 2
        if row["text"] and row["text"].strip() and middle // height < len(words):
            read[middle // height] += row["text"]
    return [
        difflib.SequenceMatcher(None, plain(text), plain(word.text)).ratio() >= 0.6
        for text, word in zip(read, words, strict=True)
    ]


def plain(text: str) -> str:
    """Letters and digits in lower case."""
    return "".join(c for c in text.lower() if c.isalnum())


def share(of: Iterable[bool]) -> dict[str, float]:
    """A proportion with its 95 % Wilson interval."""
    values = list(of)
    interval = binomtest(sum(values), len(values)).proportion_ci(method="wilson")
    return {
        "value": round(sum(values) / len(values), 4),
        "low": round(interval.low, 4),
        "high": round(interval.high, 4),
        "n": len(values),
    }


def summary(words: list[Word]) -> dict[str, Any]:
    """The shares of a group of words. A word is given away if it could be read before and still can be."""
    return {
        "removed": share(w.removed for w in words),
        "readable_before": share(w.readable_before for w in words),
        "not_readable_after": share(not w.readable_after for w in words),
    }


def main() -> None:
    """Draw, clean, read, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1, help="pictures per size, font and contrast")
    parser.add_argument("--out", type=Path, default=RESULTS / "clinic-deidentify.json")
    options = parser.parse_args()
    if not ocr.available():
        raise SystemExit("tesseract is not installed")
    pick = random.Random(options.seed)  # noqa: S311
    before, words, marked, seconds = machine(), [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        conditions = itertools.product(SIZES, FONTS, CONTRASTS, range(options.rounds))
        for number, (size, font, contrast, _) in enumerate(conditions):
            picture, drawn = write(screen(options.seed + number), pick, size, font, contrast)
            made, took = cleaned(picture, folder)
            seconds.append(took)
            for word, first in zip(drawn, readable(picture, drawn), strict=True):
                word.removed = bool((made[word.ink] == 0).mean() >= 0.95)
                word.readable_before = first
            left = [word for word in drawn if not word.removed]
            for word, last in zip(left, readable(made, left), strict=True):
                word.readable_after = last
            words += drawn
            print(number, f"{took:.0f} s", f"{len(left)} of {len(drawn)} left", file=sys.stderr)
            if number % 9 == 0:
                made, _ = cleaned(picture, folder, marked=True)
                marked += [bool((made[word.ink] == 0).all()) for word in drawn if word.place == "band"]
        wrong = []
        for number in range(CLEAN):
            picture = screen(1000 + options.seed + number)
            made, _ = cleaned(picture, folder)
            wrong.append(float(((made == 0) & (picture > 0)).sum() / (HEIGHT * SIDE)))
    report = {
        **before,
        "tesseract": subprocess.run(["tesseract", "--version"], capture_output=True, text=True, check=True)
        .stdout.splitlines()[0],
        "seed": options.seed,
        "all": summary(words),
        **{key: groups(words, key) for key in ("place", "contrast", "size", "font")},
        "tissue_by_contrast_and_size": {
            f"{contrast}, {size} px": summary(found)
            for contrast in CONTRASTS
            for size in SIZES
            if (found := [w for w in words if (w.place, w.contrast, w.size) == ("tissue", contrast, size)])
        },
        "outside_marked_regions": {"removed": share(marked)},
        "without_text": {
            "pictures_touched": share(amount > 0 for amount in wrong),
            "area_blackened_mean": round(float(np.mean(wrong)), 6),
            "area_blackened_most": round(max(wrong), 6),
        },
        "seconds_per_picture_median": round(float(np.median(seconds)), 2),
    }  # fmt: skip
    write_text(options.out, json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


def groups(words: list[Word], key: str) -> dict[str, Any]:
    """A summary per value of one attribute."""
    found: dict[str, list[Word]] = defaultdict(list)
    for word in words:
        found[str(getattr(word, key))].append(word)
    return {name: summary(group) for name, group in found.items()}


if __name__ == "__main__":
    main()
