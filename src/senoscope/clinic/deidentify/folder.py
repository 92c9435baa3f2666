"""A folder of DICOM images to a folder of copies that name nobody: what ``senoscope deidentify`` runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ExplicitVRLittleEndian

from senoscope._files import atomic_path, write_text
from senoscope.clinic.deidentify import ocr
from senoscope.clinic.deidentify.attributes import cleaned
from senoscope.clinic.deidentify.keyed import Key, load_key, new_key
from senoscope.clinic.deidentify.pixels import blacken, plan
from senoscope.clinic.deidentify.profile import EDITION
from senoscope.clinic.deidentify.residual import found_in, identifying_values
from senoscope.clinic.dicom.identity import short
from senoscope.clinic.dicom.source import read_source
from senoscope.errors import ImageError, SenoscopeError, UsageError
from senoscope.imaging.dicom import guarded
from senoscope.imaging.dicom_checks import OtherKindError
from senoscope.imaging.read import read_frames
from senoscope.inference.batch import find_images

INDEX = "deidentified.json"
MAX_BYTES = 2 * 1024**3
"""Unpacked pixels beyond this are refused before memory is spent on them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went: one entry per source file, which must not be handed on with the copies (they name sources)."""

    out: Path
    items: tuple[dict[str, Any], ...]

    @property
    def counts(self) -> dict[str, int]:
        """Files by what became of them."""
        return dict(Counter(str(item["status"]) for item in self.items))

    @property
    def exit_code(self) -> int:
        """1 if any file was refused, else 0."""
        return int(any(item["status"] == "refused" for item in self.items))


def deidentify_folder(
    paths: Sequence[Path],
    out: Path,
    *,
    key: Path | None = None,
    on_item: Callable[[dict[str, Any]], None] | None = None,
) -> Outcome:
    """Copy every image among and below ``paths`` without what identifies the patient; sources stay as they are.

    Copies lie in ``out``/<pseudonym>/<study>/<instance>.dcm, all hashes. ``key`` is a file (made if it is not there)
    under which pseudonyms, UIDs and shifts are the same from run to run; without it they hold for this run alone.
    Entries say source, status (written, skipped: no image, refused), note, and of written ones file, text_lines
    and flagged (text although the file said there is none). Raises ``UsageError`` for a wrong key or no files.
    """
    secret = load_key(key, outside=out) if key else new_key()
    files = [file for file in find_images(paths, skip=out) if _is_dicom(file)]
    if not files:
        raise UsageError(
            "no DICOM files there", expected="a folder of DICOM files", fix="name another folder"
        )
    items = []
    for file in files:
        item = _item(file, out, secret)
        items.append(item)
        if on_item:
            on_item(item)
    _write_index(items, out)
    return Outcome(out, tuple(items))


def deidentify_file(path: Path, out: Path, key: Key) -> dict[str, Any]:
    """One file; raises ``ImageError`` rather than leave a copy that is not clean."""
    source = read_source(path)
    header = source.header
    _check_size(path, int(header.Rows) * int(header.Columns) * source.frames)
    with guarded(path.name):
        original = dcmread(path)
        original.decode()
    cleaning = plan(read_frames(path), original, source.frames)
    with guarded(path.name):
        made = cleaned(original, key)
        _put_pixels(made, original, cleaning.mask)
        values = identifying_values(original)
    flagged = bool(cleaning.lines) and original.get("BurnedInAnnotation") == "NO"
    target = out / str(made.PatientID) / short(made.StudyInstanceUID) / f"{short(made.SOPInstanceUID)}.dcm"
    with atomic_path(target) as temporary:
        made.save_as(temporary, enforce_file_format=True)
        left = found_in(temporary, values)
        if left:
            raise ImageError(
                f"{path.name}: identifying values are still in {', '.join(sorted(set(left)))}",
                expected="none anywhere in the copy, which was therefore not kept",
                fix="look at these attributes in the source; leave the file out if they cannot be mended",
            )
    return {
        "file": target.relative_to(out).as_posix(),
        "frames": source.frames,
        "text_lines": cleaning.lines,
        "flagged": flagged,
    }


def _put_pixels(made: Dataset, original: Dataset, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
    """Uncompressed pixels with the mask applied, in RGB if they were in colour."""
    pixels = pixel_array(original)
    if int(original.get("SamplesPerPixel", 1)) == 3:
        made.PhotometricInterpretation, made.PlanarConfiguration = "RGB", 0
    clean = blacken(pixels, mask, made)
    data = np.ascontiguousarray(clean).astype(clean.dtype.newbyteorder("<")).tobytes()
    made.PixelData = data + b"\0" * (len(data) % 2)
    made["PixelData"].VR = "OB" if made.BitsAllocated == 8 else "OW"
    made.BurnedInAnnotation = "NO"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID


def _check_size(path: Path, pixels: int) -> None:
    if 2 * pixels > MAX_BYTES or path.stat().st_size > MAX_BYTES:
        raise ImageError(
            f"{path.name} holds {pixels:,} pixels",
            expected=f"up to {MAX_BYTES // 2:,}",
            fix="cut the loop into parts",
        )


def _item(file: Path, out: Path, key: Key) -> dict[str, Any]:
    try:
        made = deidentify_file(file, out, key)
    except OtherKindError as error:
        return {"source": str(file), "status": "skipped", "note": str(error)}
    except (SenoscopeError, OSError) as error:
        return {"source": str(file), "status": "refused", "note": str(error)}
    note = "it said that no text is burnt in, but there was: blackened, look at it" if made["flagged"] else ""
    return {"source": str(file), "status": "written", "note": note, **made}


def _is_dicom(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _write_index(items: Sequence[dict[str, Any]], out: Path) -> None:
    """What lies in ``out``; without the sources, whose names may name patients."""
    kept = ("file", "frames", "text_lines", "flagged")
    document = {
        "profile": EDITION,
        "text_found_by": "burnt-in detector and tesseract" if ocr.available() else "burnt-in detector",
        "files": [{name: item[name] for name in kept} for item in items if item["status"] == "written"],
        "left_out": sum(item["status"] != "written" for item in items),
    }
    write_text(out / INDEX, json.dumps(document, indent=1) + "\n")
