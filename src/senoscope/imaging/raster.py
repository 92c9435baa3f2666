"""Ordinary pictures (PNG, JPEG, TIFF, BMP, PNM) through Pillow, without touching its global state."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile

from senoscope.errors import ImageError, SenoscopeError
from senoscope.imaging import jpeg
from senoscope.imaging.formats import check_complete, damaged
from senoscope.imaging.raw import Limits, Pixels, RawImage

# Made directly rather than with Image.open: its size limit is one number for the whole process and only warns
# up to twice that number. These constructors read the header and nothing more.
_OPENERS: dict[str, type[ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
    "PNM": PpmImageFile,
}


_EIGHT_BIT = ("RGB", "RGBA", "LA", "CMYK")


def open_picture(kind: str, data: bytes, source: str, limits: Limits) -> Image.Image:
    """Decode to an upright Pillow image whose ``info["orientation"]`` says what was undone.

    Raises ``ImageError`` for files too large, cut short, damaged, or with several frames.
    """
    try:
        opened = _OPENERS[kind](BytesIO(data))
        limits.check_size(opened.width, opened.height, source)
        if getattr(opened, "is_animated", False):
            limits.check_frames(None, source)  # counting a long chain of pages would cost time
        check_complete(kind, data, source)
        deep = opened.mode in _EIGHT_BIT and ";16" in str(opened.tile)
        orientation = int(opened.getexif().get(ExifTags.Base.Orientation, 1))  # may load the pixels
        opened.load()
        if kind == "JPEG" and _mid_grey_end(opened) and jpeg.is_filled(data):
            raise damaged(source, "its end is missing")
    except SenoscopeError:
        raise
    except (
        Exception
    ) as error:  # a decoder fed hostile bytes may raise anything; none of it may pass this boundary
        raise ImageError(
            f"{source} cannot be decoded as {kind} ({_reason(error)})",
            expected=f"a complete, undamaged {kind} file",
            fix="copy or export it again",
        ) from error
    if not 2 <= orientation <= 8:
        orientation = 1
    # TIFF is turned upright by Pillow while loading; the others are turned here.
    upright = ImageOps.exif_transpose(opened) if orientation > 1 and kind != "TIFF" else opened
    upright.info.update(orientation=orientation, deep=deep, tiff=_tiff_facts(opened))
    return upright


def _mid_grey_end(picture: Image.Image) -> bool:
    """True if the last pixel has the value libjpeg fills with (CMYK is stored inverted: 127)."""
    last = np.asarray(picture.getpixel((picture.width - 1, picture.height - 1)))
    return bool(np.isin(last, (127, 128)).all())


def _tiff_facts(opened: ImageFile) -> tuple[int, bool]:
    """Bits per sample and whether 0 means white: what Pillow leaves undone for deep grey pixels."""
    if not isinstance(opened, TiffImageFile):
        return 0, False
    bits = opened.tag_v2.get(258, (1,))
    return int(bits[0]), opened.tag_v2.get(262) == 0


def decode(kind: str, data: bytes, source: str, limits: Limits) -> RawImage:
    """An ordinary picture as ``RawImage``. What becomes of each kind of pixel: docs/reference/imaging.md."""
    picture = open_picture(kind, data, source, limits)
    notes: list[str] = []
    pixels = _pixels(picture, source, notes)
    if picture.info["deep"]:
        notes.append("16-bit colour read as 8-bit")
    orientation: int = picture.info["orientation"]
    if orientation != 1:
        notes.append(f"turned upright (EXIF orientation {orientation})")
    return RawImage(
        pixels=pixels, spacing=None, modality=None, notes=tuple(notes), source=source, orientation=orientation
    )


def _pixels(picture: Image.Image, source: str, notes: list[str]) -> Pixels:
    mode = picture.mode
    if picture.has_transparency_data and not mode.startswith("I"):
        return _flattened(picture, notes)
    if mode in ("L", "RGB"):
        return np.asarray(picture, dtype=np.uint8)
    if mode == "1":
        return np.asarray(picture.convert("L"), dtype=np.uint8)
    if mode in ("P", "CMYK", "YCbCr"):
        notes.append({"P": "palette", "CMYK": "CMYK", "YCbCr": "YCbCr"}[mode] + " converted to RGB")
        return np.asarray(picture.convert("RGB"), dtype=np.uint8)
    if mode == "F" or mode.startswith("I"):
        return _deep(picture, source)
    raise ImageError(
        f"{source} holds {mode} pixels", expected="grey, RGB, palette or CMYK pixels", fix="export it as PNG"
    )


def _deep(picture: Image.Image, source: str) -> Pixels:
    """Grey of more than 8 bits, black at 0 and white at the type's maximum."""
    bits, white_is_zero = picture.info["tiff"]
    if picture.mode == "F":
        values = _floats(np.asarray(picture, dtype=np.float32), source)
        return np.float32(1) - values if white_is_zero else values
    whole = _integers(np.asarray(picture).astype(np.int32), source)
    if bits == 12:
        whole = np.rint(whole * (65535 / 4095)).astype(np.uint16)
    return np.uint16(65535) - whole if white_is_zero else whole


def _flattened(picture: Image.Image, notes: list[str]) -> NDArray[np.uint8]:
    """Transparent pixels over black, as on a reading screen; opaque ones unchanged."""
    rgba = picture.convert("RGBA")
    if np.asarray(rgba.getchannel("A")).min() == 255:
        return np.asarray(rgba.convert("RGB"), dtype=np.uint8)
    notes.append("transparency laid over black")
    black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
    return np.asarray(Image.alpha_composite(black, rgba).convert("RGB"), dtype=np.uint8)


def _integers(values: NDArray[np.int32], source: str) -> NDArray[np.uint16]:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError(
            f"{source} holds whole numbers from {low} to {high}",
            expected="0 to 65535",
            fix="scale it to 16 bits; how bright is white cannot be guessed",
        )
    return values.astype(np.uint16)


def _floats(values: NDArray[np.float32], source: str) -> NDArray[np.float32]:
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise ImageError(
            f"{source} holds {bad} pixels that are NaN or infinite",
            expected="finite brightness everywhere",
            fix="find what made them; they are never replaced silently",
        )
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        raise ImageError(
            f"{source} holds fractional brightness from {low:.4g} to {high:.4g}",
            expected="0 to 1",
            fix="divide by the brightness that means white, or save as 8 or 16 bits",
        )
    return values


def _reason(error: Exception) -> str:
    """The decoder's words without anything it quotes from the file."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text[:120]
