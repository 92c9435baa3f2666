"""Rows 1 to 12 of the bad-input list: what happens to pictures that are not as they should be.

Each test name carries its row's number.
"""

from __future__ import annotations

import resource
import struct
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from senoscope.errors import ImageError
from senoscope.imaging import Limits, analysable, colour_fraction, decode_image, read_image, to_gray
from senoscope.imaging.raw import RawImage


def refused(data: bytes, name: str = "scan.png", limits: Limits | None = None) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode_image(data, name, limits=limits or Limits())
    assert name in caught.value.found
    assert caught.value.fix
    return caught.value


def test_01_empty_file(save):
    with pytest.raises(ImageError, match=r"nothing\.png is empty"):
        read_image(save("nothing.png", b""))


def test_01_missing_folder_and_special_files(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.png does not exist"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="is not a file"):
        read_image(tmp_path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "PPM"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.97])
def test_02_truncated_anywhere_is_refused(kind, kept, encode, textured):
    whole = encode(textured, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused(whole[: int(len(whole) * kept)])


def test_02_truncated_is_refused_even_when_pillow_is_told_to_fill(encode, textured, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for kind in ("PNG", "JPEG"):
        whole = encode(textured, kind)
        refused(whole[: len(whole) // 2])


def test_02_jpeg_without_end_marker(encode, textured):
    assert "end is missing" in refused(encode(textured, "JPEG")[:-2]).found


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("kept", [0.5, 0.8, 0.95])
def test_02_jpeg_cut_then_closed_is_not_grey_filled(mode, kept, encode, textured):
    whole = encode(Image.fromarray(np.tile(textured, (3, 3))).convert(mode), "JPEG", quality=90)
    closed = whole[: int(len(whole) * kept)] + b"\xff\xd9"
    refused(closed)


def test_02_progressive_jpeg_cut_between_scans(encode, textured):
    whole = encode(textured, "JPEG", progressive=True)
    last_scan = whole.rindex(b"\xff\xda")
    assert "finest scans" in refused(whole[:last_scan] + b"\xff\xd9").found


@pytest.mark.parametrize("progressive", [False, True])
def test_02_whole_jpeg_that_ends_in_mid_grey_is_read(progressive, encode, textured):
    grey = np.pad(textured, ((0, 32), (0, 32)), constant_values=128)
    raw = decode_image(encode(grey, "JPEG", quality=95, progressive=progressive), "grey.jpg")
    assert raw.pixels[-1, -1] == 128
    assert np.abs(raw.pixels[:48, :64].astype(int) - textured).mean() < 4


def test_phone_jpeg_with_a_second_picture_is_its_first(encode, textured):
    first = Image.fromarray(textured)
    mpo = encode(first, "MPO", save_all=True, append_images=[Image.fromarray(textured[::-1].copy())])
    raw = decode_image(mpo, "phone.jpg")
    assert np.abs(raw.pixels.astype(int) - textured).mean() < 10  # the second differs by 50


def test_02_jpeg_with_bytes_after_its_end_is_read(encode, textured):
    raw = decode_image(encode(textured, "JPEG") + b"\0" * 100, "padded.jpg")
    assert raw.shape == textured.shape


def test_02_png_with_a_flipped_bit(encode, textured):
    data = bytearray(encode(textured, "PNG"))
    data[len(data) // 2] ^= 4
    assert "checksum" in refused(bytes(data)).found


def test_02_png_whose_pixel_stream_stops_early(png):
    row = b"\0" + bytes(range(64))
    for count in (0, 20, 47):
        assert "rows" in refused(png(64, 48, zlib.compress(row * count))).found
    assert decode_image(png(64, 48, zlib.compress(row * 48)), "scan.png").pixels[47].tolist() == list(
        range(64)
    )


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (13, 7)])
@pytest.mark.parametrize(("bits", "colour"), [(1, 0), (4, 3), (8, 2), (16, 6)])
def test_02_interlaced_png_needs_exactly_its_seven_passes(size, bits, colour, png):
    width, height = size
    samples = {0: 1, 3: 1, 2: 3, 6: 4}[colour]
    # Adam7: the pass of each pixel within its 8×8 block, as drawn in section 8.2 of the PNG specification.
    grid = ["16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656", "77777777"]
    drawn = np.array([[int(grid[y % 8][x % 8]) for x in range(width)] for y in range(height)])
    stream = b""
    for number in range(1, 8):
        for row in drawn == number:
            if row.any():
                stream += b"\0" * (1 + (int(row.sum()) * bits * samples + 7) // 8)
    palette = b"PLTE" + bytes(3) if colour == 3 else b""
    for kept, sound in ((len(stream), True), (len(stream) - 1, False)):
        data = bytearray(png(width, height, zlib.compress(stream[:kept]), bits, colour, palette))
        data[28] = 1  # interlaced
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        if sound:
            assert decode_image(bytes(data), "scan.png").shape == (height, width)
        else:
            assert "rows" in refused(bytes(data)).found


def test_03_content_decides_and_the_wrong_name_is_noted(save, textured, encode):
    raw = read_image(save("really.jpg", encode(textured, "PNG")))
    assert np.array_equal(raw.pixels, textured)
    assert raw.notes == ("named .jpg but holds PNG: read as PNG",)
    assert read_image(save("right.png", textured)).notes == ()


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04" + b"\0" * 200, "ZIP"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\x93NUMPY" + b"\0" * 100, "no format"),
        (b"just words", "no format"),
    ],
)
def test_03_other_formats_are_named(data, word):
    assert word in refused(data).found


def test_04_png_of_30000_squared_is_refused_from_its_header(png):
    bomb = png(30_000, 30_000, _zeros(30_001 * 30_000))
    assert len(bomb) < 1_000_000
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    error = refused(bomb)
    assert "30000×30000" in error.found
    assert time.process_time() - start < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


def test_05_png_of_13000_squared_is_refused_without_a_warning(png):
    bomb = png(13_000, 13_000, zlib.compress(b"\0" * 1000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "13000×13000" in refused(bomb).found


def test_05_pillow_global_limit_is_left_alone(png):
    before = Image.MAX_IMAGE_PIXELS
    refused(png(13_000, 13_000, b""))
    assert before == Image.MAX_IMAGE_PIXELS


def test_06_jpeg_claiming_65000_squared(encode, textured):
    data = encode(textured, "JPEG")
    frame = data.index(b"\xff\xc0")
    claimed = data[: frame + 5] + struct.pack(">HH", 65_000, 65_000) + data[frame + 9 :]
    assert "65000×65000" in refused(claimed).found


@pytest.mark.parametrize(
    "data",
    [
        b"P5 99999999 99999999 255\n" + b"\0" * 64,
        b"BM"
        + struct.pack("<IHHIIiiHHIIIIII", 200, 0, 0, 54, 40, 60_000, 60_000, 1, 8, 0, 0, 0, 0, 0, 0)
        + b"\0" * 200,
    ],
)
def test_06_other_headers_that_claim_too_much(data):
    assert "pixels" in refused(data).found


def test_06_limits_can_be_raised_and_lowered(encode, textured):
    data = encode(textured, "PNG")
    refused(data, limits=Limits(max_pixels=48 * 64 - 1))
    refused(data, limits=Limits(max_side=63))
    assert decode_image(data, "scan.png", limits=Limits(max_pixels=48 * 64, max_side=64)).shape == (48, 64)


def test_06_file_size_is_checked_before_reading(save, textured):
    path = save("scan.png", textured)
    with pytest.raises(ImageError, match="MB"):
        read_image(path, limits=Limits(max_bytes=100))


def test_07_sixteen_bits_keep_their_depth(save):
    deep = np.array([[0, 1, 32768, 65535]], np.uint16).repeat(4, 0)
    for name in ("deep.png", "deep.tif"):
        raw = read_image(save(name, deep))
        assert raw.pixels.dtype == np.uint16
        assert np.allclose(to_gray(raw)[0], [0, 1 / 65535, 32768 / 65535, 1], atol=1e-7)


def test_07_deep_pgm_counts_from_its_own_maximum(save):
    raw = read_image(save("deep.pgm", b"P5 2 1 1000\n" + struct.pack(">HH", 500, 1000)))
    assert np.allclose(to_gray(raw), [[0.5, 1.0]], atol=1e-4)


def test_07_twelve_bit_tiff_reaches_white(save):
    tiff = _tiff(2, 2, 12, 1, b"\xff\xf0\x00\x80\x0f\xff")
    assert np.allclose(to_gray(read_image(save("twelve.tif", tiff))), [[1, 0], [2048 / 4095, 1]], atol=1e-4)


def test_07_tiff_that_means_white_by_zero(save):
    for bits, body in ((8, bytes([0, 255, 128, 255])), (16, struct.pack("<4H", 0, 65535, 32896, 65535))):
        gray = to_gray(read_image(save(f"inverse{bits}.tif", _tiff(2, 2, bits, 0, body))))
        assert np.allclose(gray, [[1, 0], [127 / 255, 0]], atol=1e-4)


def test_07_luma_is_rec_601(save):
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    gray = to_gray(read_image(save("colour.png", colours)))
    assert np.allclose(gray, [[0.299, 0.587, 0.114, 1.0]], atol=1e-6)


def test_07_grey_saved_as_rgb_or_palette_or_rgba_is_exactly_the_grey(save, textured):
    grey = to_gray(read_image(save("grey.png", textured)))
    picture = Image.fromarray(textured)
    for mode in ("RGB", "RGBA", "LA", "P"):
        assert np.array_equal(to_gray(read_image(save(f"{mode}.png", picture.convert(mode)))), grey), mode


def test_07_transparency_lies_over_black(save):
    pixels = np.array([[[200, 200, 200, 255], [200, 200, 200, 0], [200, 200, 200, 128]]], np.uint8)
    raw = read_image(save("clear.png", pixels))
    assert raw.notes == ("transparency laid over black",)
    assert raw.pixels[0, :, 0].tolist() == pytest.approx([200, 0, 100], abs=1)


def test_07_cmyk_jpeg_is_converted_and_noted(save, textured):
    raw = read_image(save("press.jpg", Image.fromarray(textured).convert("CMYK"), quality=95))
    assert raw.notes == ("CMYK converted to RGB",)
    assert np.abs(to_gray(raw) - textured / 255).mean() < 0.02


def test_07_sixteen_bit_colour_is_noted(save, png):
    row = b"\0" + struct.pack(">6H", 0xFFFF, 0, 0, 0x80FF, 0x80FF, 0x80FF)
    raw = read_image(save("deep-colour.png", png(2, 1, zlib.compress(row), bits=16, colour=2)))
    assert raw.pixels.tolist() == [[[255, 0, 0], [128, 128, 128]]]
    assert raw.notes == ("16-bit colour read as 8-bit",)


def test_07_whole_numbers_beyond_16_bits_are_refused(save):
    with pytest.raises(ImageError, match="70000"):
        read_image(save("wide.tif", np.array([[0, 70_000]], np.int32)))
    with pytest.raises(ImageError, match="-5"):
        read_image(save("negative.tif", np.array([[-5, 10]], np.int32)))


# What a viewer shows for each EXIF orientation of a picture stored as [[1, 2, 3], [4, 5, 6]] (Exif 2.32).
UPRIGHT = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_08_exif_rotation_is_undone(orientation, kind, save):
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw = read_image(save(f"turned.{kind}", np.array(UPRIGHT[1], np.uint8), exif=exif))
    assert raw.pixels.tolist() == UPRIGHT[orientation]
    assert raw.orientation == orientation
    assert bool(raw.notes) == (orientation != 1)


def test_08_exif_rotation_of_a_jpeg(save, textured):
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = read_image(save("phone.jpg", textured, exif=exif, quality=100))
    assert raw.shape == (64, 48)
    assert np.abs(raw.pixels.astype(int) - np.rot90(textured, -1)).mean() < 2


def test_08_nonsense_orientation_is_ignored(save, textured):
    exif = Image.Exif()
    exif[0x0112] = 99
    raw = read_image(save("odd.png", textured, exif=exif))
    assert raw.orientation == 1
    assert np.array_equal(raw.pixels, textured)


@pytest.mark.parametrize(
    ("pixels", "word"),
    [
        (np.full((1, 1), 90, np.uint8), "1×1"),
        (np.arange(5000, dtype=np.uint16).astype(np.uint8).reshape(1, 5000), "5000×1"),
        (np.tile(np.arange(40, dtype=np.uint8), (600, 1)), "strip"),
        (np.zeros((64, 64), np.uint8), "black"),
        (np.full((64, 64), 77, np.uint8), "same brightness"),
        (np.eye(64, dtype=np.uint8) * 255, "2 grey levels"),
    ],
)
def test_09_too_little_to_analyse(pixels, word, save):
    reason = analysable(to_gray(read_image(save("poor.png", pixels))))
    assert reason is not None
    assert word in reason


def test_09_a_real_texture_is_analysable(textured):
    assert analysable((textured / 255).astype(np.float32)) is None


def test_09_numbers_that_are_none_are_not_analysable(textured):
    gray = (textured / 255).astype(np.float32)
    for bad in (np.nan, np.inf):
        gray[3, 3] = bad
        assert "not numbers" in str(analysable(gray))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_10_float_tiff_with_nan_or_infinity(bad, save):
    values = np.full((40, 40), 0.5, np.float32)
    values[7, 9] = bad
    with pytest.raises(ImageError, match="1 pixels that are NaN or infinite"):
        read_image(save("float.tif", values))


def test_10_float_tiff_in_0_to_1_is_exact_and_others_are_refused(save):
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    assert np.array_equal(to_gray(read_image(save("float.tif", values))), values)
    with pytest.raises(ImageError, match="0 to 255"):
        read_image(save("wide.tif", values * 255))


def test_11_gif_animated_png_and_many_pages(encode, textured):
    frames = [Image.fromarray(np.roll(textured, shift)) for shift in range(3)]
    assert "GIF" in refused(encode(frames[0], "GIF", save_all=True, append_images=frames[1:])).found
    assert (
        "frames or pages" in refused(encode(frames[0], "TIFF", save_all=True, append_images=frames[1:])).found
    )
    animated = encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert "frames" in refused(animated).found


@pytest.mark.parametrize(
    "text",
    [
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>',
        b"\xef\xbb\xbf<!DOCTYPE html><html></html>",
        b"\n  <html><body>404 Not Found</body></html>",
    ],
)
def test_12_markup_posing_as_an_image(text, save):
    with pytest.raises(ImageError, match="text document"):
        read_image(save("scan.png", text))


def test_13_colour_is_measured():
    pixels = np.full((10, 10, 3), 90, np.uint8)
    pixels[:3, :, 0] = 200
    pixels[9, :, 0] = 90 + 31  # as much as JPEG's chroma noise may do
    raw = RawImage(pixels=pixels, spacing=None, modality=None, notes=(), source="x")
    assert colour_fraction(raw) == pytest.approx(0.3)
    grey = RawImage(pixels=pixels[..., 0], spacing=None, modality=None, notes=(), source="x")
    assert colour_fraction(grey) == 0.0
    deep = RawImage(pixels=pixels.astype(np.uint16) * 257, spacing=None, modality=None, notes=(), source="x")
    assert colour_fraction(deep) == pytest.approx(0.3)


def test_random_damage_never_escapes_the_boundary(encode, textured):
    """A thousand flipped, cut and swapped files: each is read or refused with our error, nothing else."""
    rng = np.random.default_rng(3)
    read = 0
    for kind in ("PNG", "JPEG", "TIFF", "BMP", "PPM"):
        whole = encode(textured, kind)
        for _ in range(200):
            data = bytearray(whole)
            for position in rng.integers(0, min(len(data), 300), 3):
                data[position] = rng.integers(0, 256)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    decode_image(bytes(data), "fuzzed", limits=Limits(max_pixels=10**6))
                    read += 1
                except ImageError:
                    pass
    assert 0 < read < 1000


def _tiff(width: int, height: int, bits: int, photometric: int, body: bytes) -> bytes:
    """A little-endian TIFF of one uncompressed strip."""
    entries = [
        (256, 3, width),
        (257, 3, height),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, 1),
        (278, 3, height),
        (279, 4, len(body)),
    ]
    padded = body + b"\0" * (len(body) % 2)
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return (
        b"II*\0"
        + struct.pack("<I", 8 + len(padded))
        + padded
        + struct.pack("<H", len(entries))
        + table
        + b"\0" * 4
    )


def _zeros(count: int) -> bytes:
    """A zlib stream of zeros, made from one independent block repeated: quick however long."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    whole, rest = divmod(count, 1 << 20)
    packer = zlib.compressobj(9, wbits=-15)
    tail = packer.compress(bytes(rest)) + packer.flush()
    return b"\x78\xda" + block * whole + tail + struct.pack(">HH", count % 65521, 1)
