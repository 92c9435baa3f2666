"""Rows 8 and 40 to 43: masks that fit, and masks that do not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from senoscope.errors import ImageError, MaskError
from senoscope.imaging import mask_image, png_bytes, read_mask, read_sample
from senoscope.schema import Record

SHAPE = (48, 64)


@pytest.fixture
def lesion():
    """An asymmetric mask: no turn or flip of it looks the same."""
    mask = np.zeros(SHAPE, bool)
    mask[5:20, 8:40] = True
    mask[20:30, 8:15] = True
    return mask


@pytest.mark.parametrize("white", [1, 255])
@pytest.mark.parametrize("kind", ["png", "tif", "bmp", "pgm"])
def test_two_values_in_every_lossless_format(white, kind, lesion, save):
    path = save(f"m.{kind}", (lesion * white).astype(np.uint8))
    assert np.array_equal(read_mask([path], SHAPE), lesion)


@pytest.mark.parametrize("mode", ["1", "RGB", "RGBA", "LA", "P"])
def test_one_bit_and_colour_formats_whose_channels_agree(mode, lesion, save):
    picture = Image.fromarray(lesion.astype(np.uint8) * 255).convert(mode)
    assert np.array_equal(read_mask([save("m.png", picture)], SHAPE), lesion)


def test_alpha_says_nothing_about_the_lesion(lesion, save):
    pixels = np.repeat((lesion * 255).astype(np.uint8)[..., None], 4, axis=2)
    pixels[..., 3] = np.arange(64)
    assert np.array_equal(read_mask([save("m.png", pixels)], SHAPE), lesion)


def test_several_masks_unite_and_none_make_an_empty_one(lesion, save):
    other = np.zeros(SHAPE, bool)
    other[40:45, 50:60] = True
    paths = [save("m.png", (lesion * 255).astype(np.uint8)), save("m_1.png", (other * 255).astype(np.uint8))]
    assert np.array_equal(read_mask(paths, SHAPE), lesion | other)
    assert not read_mask([], SHAPE).any()
    assert read_mask([], SHAPE).shape == SHAPE


@pytest.mark.parametrize("shape", [(48, 63), (24, 32), (64, 48), (49, 64)])
def test_40_another_size_is_refused_never_resized(shape, save):
    path = save("m.png", np.zeros(shape, np.uint8))
    with pytest.raises(MaskError, match=rf"m\.png is {shape[1]}×{shape[0]} pixels and its image 64×48"):
        read_mask([path], SHAPE)


@pytest.mark.parametrize(
    ("values", "shown"),
    [([0, 254], "0, 254"), ([0, 1, 255], "0, 1, 255"), ([0, 2], "0, 2"), (list(range(20)), "7, …")],
)
def test_41_other_values_are_listed(values, shown, save):
    pixels = np.resize(np.array(values, np.uint8), SHAPE)
    with pytest.raises(MaskError, match=shown) as caught:
        read_mask([save("m.png", pixels)], SHAPE)
    assert "threshold" in caught.value.fix


def test_41_a_jpeg_mask_has_ramps(lesion, save):
    path = save("m.jpg", (lesion * 255).astype(np.uint8))
    with pytest.raises(MaskError, match="never JPEG"):
        read_mask([path], SHAPE)


def test_41_a_coloured_drawing_is_refused(lesion, save):
    pixels = np.zeros((*SHAPE, 3), np.uint8)
    pixels[lesion, 0] = 255
    with pytest.raises(MaskError, match="coloured"):
        read_mask([save("m.png", pixels)], SHAPE)


def test_a_mask_must_be_whole(lesion, save, encode):
    data = encode((lesion * 255).astype(np.uint8), "PNG")
    with pytest.raises(ImageError, match="cut short"):
        read_mask([save("m.png", data[:-20])], SHAPE)


def test_a_dicom_mask_is_refused(dicom, save):
    with pytest.raises(MaskError, match="DICOM"):
        read_mask([save("m.dcm", dicom())], SHAPE)


def test_written_masks_are_read_back(lesion, save):
    assert np.array_equal(read_mask([save("m.png", png_bytes(mask_image(lesion)))], SHAPE), lesion)


def record(image, masks) -> Record:
    return Record(id="x", dataset="test", image=image, modality="US", masks=masks, label="benign")


def test_42_empty_and_missing_masks_are_different(textured, lesion, save):
    image = save("i.png", textured)
    assert read_sample(record(image, None)).mask is None
    empty = read_sample(record(image, ())).mask
    assert empty is not None
    assert not empty.any()
    black = save("black.png", np.zeros(SHAPE, np.uint8))
    assert not read_sample(record(image, (black,))).mask.any()
    sample = read_sample(record(image, (save("m.png", (lesion * 255).astype(np.uint8)),)))
    assert np.array_equal(sample.mask, lesion)
    assert sample.image.dtype == np.float32
    assert np.allclose(sample.image, textured / 255)
    assert sample.label == "benign"


def turned(save, name: str, pixels, orientation: int | None):
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    return save(name, pixels, exif=exif)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_08_a_mask_drawn_on_the_stored_picture_turns_with_it(orientation, textured, lesion, save):
    image = turned(save, "i.png", textured, orientation)
    plain = turned(save, "m.png", (lesion * 255).astype(np.uint8), None)
    tagged = turned(save, "t.png", (lesion * 255).astype(np.uint8), orientation)
    by_image = read_sample(record(image, (plain,))).mask
    by_tag = read_sample(record(image, (tagged,))).mask
    assert by_image.shape == (64, 48)
    assert np.array_equal(by_image, by_tag)
    # The turned mask still covers the pixels it was drawn on.
    sample = read_sample(record(image, (plain,)))
    assert sample.image[by_image].sum() == pytest.approx(textured[lesion].sum() / 255, rel=1e-5)


def test_08_a_mask_drawn_on_the_upright_picture_stays(textured, lesion, save):
    image = turned(save, "i.png", textured, 6)
    upright = np.rot90(lesion, -1)
    path = save("m.png", (upright * 255).astype(np.uint8))
    assert np.array_equal(read_sample(record(image, (path,))).mask, upright)


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_08_a_mask_that_fits_both_ways_round_is_refused(orientation, textured, lesion, save):
    image = turned(save, "i.png", textured, orientation)
    path = save("m.png", (lesion * 255).astype(np.uint8))
    with pytest.raises(MaskError, match="both ways round"):
        read_sample(record(image, (path,)))
    tagged = turned(save, "t.png", (lesion * 255).astype(np.uint8), orientation)
    assert read_sample(record(image, (tagged,))).mask.sum() == lesion.sum()


def test_43_a_mask_of_another_image_is_caught_when_the_sizes_differ(textured, save):
    image = save("i.png", textured)
    with pytest.raises(MaskError, match="belongs to this image"):
        read_sample(record(image, (save("m.png", np.zeros((50, 64), np.uint8)),)))
