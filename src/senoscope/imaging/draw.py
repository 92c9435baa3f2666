"""Pictures for people: findings over the image, heatmaps, panels side by side."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from senoscope.schema import BoolArray, Finding, FloatArray

PALETTE: tuple[tuple[int, int, int], ...] = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (213, 94, 0),
)
"""One colour per finding. Okabe and Ito 2008, told apart with any colour vision; its blue is too dark here."""

# Seventeen equally spaced colours of "inferno" (van der Walt and Smith 2015, CC0); lightness rises evenly.
_INFERNO = np.array(
    [
        (0, 0, 4),
        (11, 7, 36),
        (33, 12, 74),
        (61, 9, 101),
        (87, 16, 110),
        (113, 25, 110),
        (138, 34, 106),
        (163, 44, 97),
        (188, 55, 84),
        (210, 70, 68),
        (228, 90, 49),
        (241, 115, 29),
        (249, 142, 9),
        (252, 172, 17),
        (249, 203, 53),
        (242, 234, 105),
        (252, 255, 164),
    ],
    dtype=np.float32,
)
_Rectangle = tuple[float, float, float, float]
_PAPER = (17, 19, 24)
_INK = (236, 238, 242)
_CASING = (0, 0, 0, 150)  # a dark rim keeps lines visible on bright tissue
_FILL = 18  # out of 255: shows which side is inside without hiding texture


def gray_image(gray: FloatArray) -> Image.Image:
    """Float H×W in 0..1 as an 8-bit grey picture."""
    return Image.fromarray(_bytes(gray))


def mask_image(mask: BoolArray) -> Image.Image:
    """Bool H×W as a lossless black and white picture (0 and 255), readable by ``read_mask``."""
    return Image.fromarray(mask.astype(np.uint8) * np.uint8(255))


def overlay(
    gray: FloatArray, findings: Sequence[Finding], labels: bool = True, size: int | None = None
) -> Image.Image:
    """The image with each finding's contour, box corners and score, as RGB.

    ``size`` is the longer side of the result in pixels; ``None`` keeps the image's. Lines and letters grow with
    the result, so a small image asked for larger gets crisp ones.
    """
    base = gray_image(gray)
    scale = 1.0 if size is None else size / max(base.size)
    width, height = (max(1, round(side * scale)) for side in base.size)
    if scale != 1:
        base = base.resize((width, height), Image.Resampling.BICUBIC)
    layer = _lines((width, height), findings, scale)
    picture = Image.alpha_composite(base.convert("RGBA"), layer)
    if labels:
        _write_labels(picture, findings, scale)
    return picture.convert("RGB")


def heatmap_image(gray: FloatArray, heat: FloatArray, strength: float = 0.75) -> Image.Image:
    """The image with ``heat`` (H×W, 0..1) laid over it: nothing where there is none, bright where it is strong.

    Values outside 0..1 are cut off. ``strength`` is the opacity at heat 1.
    """
    amount = np.clip(np.nan_to_num(heat), 0, 1).astype(np.float32)
    opacity = (strength * np.sqrt(amount))[..., None]  # the square root keeps faint evidence visible
    tissue = np.clip(np.nan_to_num(gray), 0, 1).astype(np.float32)[..., None] * 255
    return Image.fromarray(np.rint(tissue * (1 - opacity) + colour_map(amount) * opacity).astype(np.uint8))


def colour_map(values: FloatArray) -> FloatArray:
    """Inferno: values 0..1 of any shape → RGB 0..255 with a last axis of 3."""
    stops = np.linspace(0, 1, len(_INFERNO))
    return np.stack([np.interp(values, stops, _INFERNO[:, c]) for c in range(3)], axis=-1).astype(np.float32)


def colour_bar(width: int = 160, height: int = 10) -> Image.Image:
    """The heatmap's scale from 0 (left) to 1 (right)."""
    ramp = np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1))
    return Image.fromarray(np.rint(colour_map(ramp)).astype(np.uint8))


def side_by_side(
    images: Sequence[Image.Image], captions: Sequence[str] | None = None, gap: int = 8
) -> Image.Image:
    """Pictures in one row, scaled to the first one's height."""
    height = images[0].height
    scaled = [image.resize((max(1, round(image.width * height / image.height)), height)) for image in images]
    return montage(scaled, captions, columns=len(scaled), gap=gap)


def montage(
    images: Sequence[Image.Image], captions: Sequence[str] | None = None, columns: int = 4, gap: int = 8
) -> Image.Image:
    """Pictures in rows on a dark sheet, in cells of the largest one's size, captions below."""
    if not images:
        return Image.new("RGB", (1, 1), _PAPER)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    cell_width, cell_height = max(i.width for i in images), max(i.height for i in images)
    font = _font(max(11, round(cell_height / 22)))
    line = round(font.size * 1.6) if captions else 0
    step_x, step_y = cell_width + gap, cell_height + line + gap
    sheet = Image.new("RGB", (columns * step_x + gap, rows * step_y + gap), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, image in enumerate(images):
        x, y = gap + index % columns * step_x, gap + index // columns * step_y
        sheet.paste(
            image.convert("RGB"), (x + (cell_width - image.width) // 2, y + cell_height - image.height)
        )
        if captions:
            text = _shortened(captions[index], font, cell_width)
            draw.text((x + cell_width / 2, y + cell_height + line / 2), text, _INK, font, anchor="mm")
    return sheet


def png_bytes(image: Image.Image) -> bytes:
    """The picture as a PNG file."""
    stream = BytesIO()
    image.save(stream, "PNG", optimize=False)
    return stream.getvalue()


def jpeg_data_uri(image: Image.Image, quality: int = 85) -> str:
    """The picture as a ``data:`` address, for pages that must work without other files."""
    stream = BytesIO()
    image.convert("RGB").save(stream, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def score_text(score: float) -> str:
    """A probability as a percentage that never claims certainty."""
    if score < 0.01:
        return "<1%"
    return ">99%" if score > 0.99 else f"{score:.0%}"


def _bytes(gray: FloatArray) -> NDArray[np.uint8]:
    return np.rint(np.clip(np.nan_to_num(gray), 0, 1) * 255).astype(np.uint8)


def _colour(index: int) -> tuple[int, int, int]:
    return PALETTE[index % len(PALETTE)]


def _line_width(size: tuple[int, int]) -> float:
    """Pen width in pixels: 1.5 on a 400-pixel image, growing with it."""
    return max(1.25, max(size) / 270)


def _lines(size: tuple[int, int], findings: Sequence[Finding], scale: float) -> Image.Image:
    """Contours and box corners on a transparent layer, drawn large and shrunk: that smooths their edges."""
    fine = 4 if max(size) <= 1024 else 2 if max(size) <= 4096 else 1
    large = Image.new("RGBA", (size[0] * fine, size[1] * fine), (0, 0, 0, 0))
    draw = ImageDraw.Draw(large)
    pen = _line_width(size) * fine
    zoom = scale * fine
    for index, finding in reversed(list(enumerate(findings))):  # the first finding ends on top
        colour = _colour(index)
        points = [(float(x + 0.5) * zoom, float(y + 0.5) * zoom) for x, y in _smoothed(finding.contour)]
        if len(points) > 2:
            draw.polygon(points, fill=(*colour, _FILL))
            closed = [*points, points[0], points[1]]
            draw.line(closed, fill=_CASING, width=round(pen * 2.2), joint="curve")
            draw.line(closed, fill=(*colour, 255), width=round(pen), joint="curve")
        for corner in _corners(finding, zoom, pen, large.size):
            draw.line(corner, fill=_CASING, width=round(pen * 1.8), joint="curve")
            draw.line(corner, fill=(*colour, 255), width=max(1, round(pen * 0.8)), joint="curve")
    return large.resize(size, Image.Resampling.BOX) if fine > 1 else large


def _smoothed(contour: FloatArray) -> FloatArray:
    """The contour without its pixel steps, for the eye only: points move by less than a pixel."""
    points = contour[:-1] if len(contour) > 1 and np.array_equal(contour[0], contour[-1]) else contour
    if len(points) < 24:
        return points
    return np.asarray(ndimage.gaussian_filter1d(points, 1.5, axis=0, mode="wrap"), dtype=np.float32)


def _corners(
    finding: Finding, zoom: float, pen: float, size: tuple[int, int]
) -> list[list[tuple[float, float]]]:
    """Four angles around the box, a little outside it so that they never hide the contour."""
    room = 3 * pen
    x0, y0 = max(finding.box.x * zoom - room, pen / 2), max(finding.box.y * zoom - room, pen / 2)
    x1 = min((finding.box.x + finding.box.width) * zoom + room, size[0] - 1 - pen / 2)
    y1 = min((finding.box.y + finding.box.height) * zoom + room, size[1] - 1 - pen / 2)
    arm = 0.18 * min(x1 - x0, y1 - y0)
    return [
        [(x + dx * arm, y), (x, y), (x, y + dy * arm)]
        for x, y, dx, dy in ((x0, y0, 1, 1), (x1, y0, -1, 1), (x0, y1, 1, -1), (x1, y1, -1, -1))
    ]


def _write_labels(picture: Image.Image, findings: Sequence[Finding], scale: float) -> None:
    """A plate with number and score at each box, where it hides no other plate and no finding."""
    draw = ImageDraw.Draw(picture, "RGBA")
    font = _font(max(11, round(max(picture.size) / 30)))
    pad = font.size * 0.3
    boxes: list[_Rectangle] = [finding.box.scaled(scale, scale) for finding in findings]
    taken: list[_Rectangle] = []
    for index, finding in enumerate(findings):
        number = f"{index + 1}  " if len(findings) > 1 else ""
        text = number + ("no score" if finding.score is None else score_text(finding.score))
        plate_size = (draw.textlength(text, font) + 2 * pad, font.size + 2 * pad)
        left, top, width, height = _place(boxes[index], plate_size, picture.size, [*boxes, *taken])
        taken.append((left, top, width, height))
        draw.rounded_rectangle((left, top, left + width, top + height), radius=pad, fill=(*_PAPER, 215))
        draw.rectangle((left, top + pad, left + max(1.0, pad / 2), top + height - pad), fill=_colour(index))
        draw.text((left + 1.25 * pad, top + height / 2), text, _INK, font, anchor="lm")


def _place(
    box: _Rectangle, plate: tuple[float, float], picture: tuple[int, int], taken: Sequence[_Rectangle]
) -> _Rectangle:
    """Above the box, else below, right or left of it; the place that hides least of what is there."""
    room = 5 * _line_width(picture)
    x, y, width, height = box
    wanted = (
        (x - room / 2, y - room - plate[1]),
        (x - room / 2, y + height + room),
        (x + width + room, y),
        (x - room - plate[0], y),
    )
    inside: list[_Rectangle] = [
        (
            min(max(left, 0), max(picture[0] - plate[0], 0)),
            min(max(top, 0), max(picture[1] - plate[1], 0)),
            *plate,
        )
        for left, top in wanted
    ]
    return min(inside, key=lambda spot: sum(_shared(spot, other) for other in taken))  # ties: the first


def _shared(a: _Rectangle, b: _Rectangle) -> float:
    """Area that two (x, y, width, height) have in common."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(across, 0) * max(down, 0)


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own scalable typeface, so that pictures look alike on every machine."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # noqa: S101 - the bitmap fallback has no sizes
    return font


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
