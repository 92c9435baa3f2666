"""Reading a lesion's mask files: faithfully, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from senoscope.errors import ImageError, MaskError
from senoscope.imaging.formats import sniff
from senoscope.imaging.raster import open_picture
from senoscope.imaging.raw import Limits
from senoscope.schema import BoolArray

# What each EXIF orientation does to a stored picture to make it upright (Exif 2.32, table 6).
_UPRIGHT: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_mask(
    paths: Sequence[Path], shape: tuple[int, int], *, orientation: int = 1, limits: Limits | None = None
) -> BoolArray:
    """Union of the mask files of one image, bool H×W of ``shape``; no files make an empty mask.

    ``orientation`` is the EXIF orientation that was undone on the image: masks drawn on the stored picture
    and saved without such a tag are turned the same way. Masks are never resized and never thresholded.

    Raises
    ------
    MaskError: a mask has another size than the image, or values other than {0, 1} or {0, 255}.
    ImageError: a mask file cannot be read.
    """
    union = np.zeros(shape, dtype=np.bool_)
    for path in paths:
        union |= _read_one(Path(path), shape, orientation, limits or Limits())
    return union


def _read_one(path: Path, shape: tuple[int, int], orientation: int, limits: Limits) -> BoolArray:
    data = read_bytes(path, limits)
    kind = sniff(data, path.name)
    if kind == "DICOM":
        raise MaskError(
            f"{path.name} is a DICOM file", expected="a mask as PNG, TIFF, BMP or PGM", fix="export it as PNG"
        )
    picture = open_picture(kind, data, path.name, limits)
    picture = _turned(picture, shape, orientation, path.name)
    if (picture.height, picture.width) != shape:
        raise MaskError(
            f"{path.name} is {picture.width}×{picture.height} pixels and its image {shape[1]}×{shape[0]}",
            expected="a mask of exactly the image's size; masks are never resized",
            fix="check that the mask belongs to this image, then export it at the image's size",
        )
    return _binary(_single_channel(picture, path.name), path.name)


def _turned(picture: Image.Image, shape: tuple[int, int], orientation: int, name: str) -> Image.Image:
    """The mask turned like its image, when that was stored turned and the mask has no tag of its own."""
    if orientation == 1 or picture.info["orientation"] != 1:
        return picture
    size = (picture.height, picture.width)
    if size == shape[::-1] and shape[0] != shape[1] and orientation >= 5:
        return picture.transpose(_UPRIGHT[orientation])
    if size == shape and (orientation < 5 or shape[0] == shape[1]):
        raise MaskError(
            f"{name} has no EXIF orientation and its image has {orientation}: it fits both ways round",
            expected="image and mask stored the same way up",
            fix="save the image upright (its EXIF rotation applied) and check where the mask lies",
        )
    return picture


def _single_channel(picture: Image.Image, name: str) -> NDArray[np.generic]:
    if picture.mode == "P":
        picture = picture.convert("RGB")
    if picture.mode == "1":
        picture = picture.convert("L")
    values = np.asarray(picture)
    if values.ndim == 2:
        return values
    colours = (
        values[..., :1] if picture.mode == "LA" else values[..., :3]
    )  # alpha says nothing about the lesion
    if picture.mode not in ("LA", "RGB", "RGBA") or not np.all(colours == colours[..., :1]):
        raise MaskError(
            f"{name} is a coloured picture",
            expected="a black and white mask",
            fix="draw the lesion white on black; several lesions may be several files",
        )
    return np.asarray(colours[..., 0])


def _binary(values: NDArray[np.generic], name: str) -> BoolArray:
    found = np.unique(values)
    if not (np.isin(found, (0, 1)).all() or np.isin(found, (0, 255)).all()):
        shown = ", ".join(str(value) for value in found[:8]) + (", …" if len(found) > 8 else "")
        raise MaskError(
            f"{name} holds the values {shown}",
            expected="only 0 and 1, or only 0 and 255",
            fix="save masks without loss (PNG, never JPEG) and without smoothing; "
            "to use a grey one, threshold it yourself at half and look at the result",
        )
    return np.asarray(values != 0)


def read_bytes(path: Path, limits: Limits) -> bytes:
    """A regular file's bytes, refused when missing, special or too large; raises ``ImageError``."""
    try:
        if not path.is_file():
            what = "is not a file" if path.exists() else "does not exist"
            raise ImageError(f"{path.name} {what}", expected="an image file", fix="check the path")
        size = path.stat().st_size
        if size > limits.max_bytes:
            raise ImageError(
                f"{path.name} is {size / 1024**2:.0f} MB",
                expected=f"at most {limits.max_bytes / 1024**2:.0f} MB",
                fix="export a single still image",
            )
        return path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"{path.name} cannot be opened ({error.strerror or type(error).__name__})",
            expected="a readable file",
            fix="check the path and its permissions",
        ) from error
