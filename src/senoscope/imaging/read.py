"""Reading images and masks safely: the front door of every picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from senoscope.imaging.formats import extension_note, sniff
from senoscope.imaging.maskfile import read_bytes, read_mask
from senoscope.imaging.raster import decode
from senoscope.imaging.raw import Limits, RawImage, analysable, colour_fraction, to_gray
from senoscope.schema import Record, Sample

__all__ = [
    "Limits",
    "RawImage",
    "analysable",
    "colour_fraction",
    "decode_image",
    "read_frames",
    "read_image",
    "read_mask",
    "read_sample",
    "to_gray",
]


def read_image(path: Path, *, limits: Limits = Limits()) -> RawImage:  # noqa: B008 - frozen, so shared safely
    """Read a PNG, JPEG, TIFF, BMP, PGM/PPM or DICOM still; the format is told by content, not by name.

    Raises ``ImageError`` for anything missing, empty, cut short, too large, animated, or of another format.
    """
    path = Path(path)
    return decode_image(read_bytes(path, limits), path.name, limits=limits)


def read_frames(path: Path, *, limits: Limits | None = None) -> Iterator[RawImage]:
    """The frames of a DICOM file one at a time, in order; any other picture, and any still, is one frame.

    Memory holds one frame. Raises ``ImageError`` as ``read_image`` does, at the frame that cannot be read.
    """
    path, limits = Path(path), limits or Limits()
    try:
        with path.open("rb") as stream:
            is_dicom = stream.read(132)[128:] == b"DICM"
    except OSError:
        is_dicom = False  # read_bytes says what is wrong with it
    if not is_dicom:
        yield read_image(path, limits=limits)
        return
    from senoscope.imaging.dicom_frames import decode_frames

    yield from decode_frames(path, limits)


def decode_image(data: bytes, source: str, *, limits: Limits = Limits()) -> RawImage:  # noqa: B008
    """The same for bytes already in memory; ``source`` is the name that errors and notes use."""
    kind = sniff(data, source)
    if kind == "DICOM":
        # pydicom takes a fifth of a second to import; most folders hold none of its files
        from senoscope.imaging.dicom import decode_dicom

        raw = decode_dicom(data, source, limits)
    else:
        raw = decode(kind, data, source, limits)
    note = extension_note(kind, source)
    return replace(raw, notes=(note, *raw.notes)) if note else raw


def read_sample(record: Record) -> Sample:
    """A record's image and mask, upright. ``mask`` stays ``None`` when unknown, all-false when known empty.

    Raises ``ImageError`` or ``MaskError`` naming the file.
    """
    raw = read_image(record.image)
    image = to_gray(raw)
    mask = None
    if record.masks is not None:
        mask = read_mask(record.masks, raw.shape, orientation=raw.orientation)
    return Sample(record=record, image=image, mask=mask, label=record.label)
