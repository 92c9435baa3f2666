"""12-bit JPEG Extended (ITU-T T.81, process 4), decoded by GDCM where it is installed.

pydicom's own way to GDCM leaves it out, because older versions of GDCM got it wrong. This one gives what DCMTK gives,
bit by bit (tests/imaging/test_jpeg12.py). A plug-in in the form that pydicom asks for.
"""

from __future__ import annotations

import threading
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, JPEGExtended12Bit

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

DECODER_DEPENDENCIES = {JPEGExtended12Bit: ("gdcm>=3.0.24",)}
_NAME = "senoscope"
_LOCK = threading.Lock()


def is_available(_: UID) -> bool:
    """Whether GDCM is installed."""
    return find_spec("gdcm") is not None


def register() -> None:
    """Have pydicom know this decoder; once is enough, more do no harm."""
    with _LOCK:
        decoder = get_decoder(JPEGExtended12Bit)
        if _NAME not in (*decoder.available_plugins, *decoder._unavailable):
            decoder.add_plugin(_NAME, (__name__, "decode_frame"))


def decode_frame(frame: bytes, runner: DecodeRunner) -> bytes:
    """One frame's samples, 16 bits each. Raises ``ValueError`` for anything but 12-bit grey."""
    gdcm: Any = import_module("gdcm")  # it has no types

    if runner.bits_allocated != 16 or not 8 < runner.bits_stored <= 12 or runner.samples_per_pixel != 1:
        raise ValueError("not 12-bit grey")
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetDataElement(element)
    kind: Any = gdcm.PhotometricInterpretation.GetPIType(str(runner.photometric_interpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    syntax: Any = gdcm.TransferSyntax.GetTSType(str(JPEGExtended12Bit))
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    stored = runner.bits_stored
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, stored, stored - 1, runner.pixel_representation))
    samples = image.GetBuffer().encode("utf-8", "surrogateescape")
    if len(samples) != 2 * runner.rows * runner.columns:
        raise ValueError("GDCM gave another number of samples")
    return bytes(samples)
