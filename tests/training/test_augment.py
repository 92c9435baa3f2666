from __future__ import annotations

import numpy as np
import pytest
import torch

from senoscope.training.augment import augment
from senoscope.training.recipe import Augment

GEOMETRY = Augment(gamma=0, contrast=0, brightness=0, gain=0, speckle=0, blur=0, overlay=0)


def _disks(count: int = 12, size: int = 96) -> torch.Tensor:
    y, x = np.mgrid[:size, :size]
    rng = np.random.default_rng(1)
    disks = [
        (y - rng.uniform(20, 76)) ** 2 + (x - rng.uniform(20, 76)) ** 2 < rng.uniform(5, 14) ** 2
        for _ in range(count)
    ]
    return torch.from_numpy(np.stack(disks)[:, None].astype(np.float32))


def test_image_and_mask_move_together() -> None:
    masks = _disks()
    images, moved = augment(masks.clone(), masks, GEOMETRY, 64, np.random.default_rng(3))
    assert images.shape == moved.shape == (12, 1, 64, 64)
    assert ((images >= 0.5).float() == moved).all()
    assert not (moved == masks[:, :, 16:80, 16:80]).all()


def test_a_lesion_stays_in_the_window() -> None:
    masks = _disks()
    for seed in range(20):
        _, moved = augment(masks.clone(), masks, GEOMETRY, 64, np.random.default_rng(seed))
        assert moved.flatten(1).any(1).all()


def test_larger_images_change_nothing_but_the_sharpness() -> None:
    masks = _disks()
    twice = masks.repeat_interleave(2, 2).repeat_interleave(2, 3)
    _, moved = augment(masks.clone(), masks, GEOMETRY, 64, np.random.default_rng(3))
    _, same = augment(twice.clone(), twice, GEOMETRY, 64, np.random.default_rng(3), side=96)
    _, near = augment(twice.clone(), twice, GEOMETRY, 64, np.random.default_rng(3))
    assert (same != moved).float().mean() < 0.005
    assert near.sum() > 2 * moved.sum()  # without the side, a window shows a third of the larger image


def test_a_batch_is_a_function_of_its_seed() -> None:
    images, masks = torch.rand(4, 1, 64, 64), _disks(4, 64)
    first, second, other = (
        augment(images.clone(), masks, Augment(), 64, np.random.default_rng(s)) for s in (1, 1, 2)
    )
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[0], other[0])
    assert first[0].min() >= 0
    assert first[0].max() <= 1


@pytest.mark.parametrize(
    "name", ["gamma", "contrast", "brightness", "gain", "speckle", "blur", "shadow", "overlay"]
)
def test_appearance_leaves_masks_alone(name: str) -> None:
    images, masks = torch.rand(6, 1, 64, 64) * 0.6 + 0.2, _disks(6, 64)
    still = GEOMETRY.model_copy(
        update={"rotate_degrees": 0.0, "zoom": (1.0, 1.0), "aspect": 0.0, "flip": 0.0}
    )
    changed = still.model_copy(update={name: 0.9})
    plain = augment(images.clone(), masks, still, 64, np.random.default_rng(5))
    found = augment(images.clone(), masks, changed, 64, np.random.default_rng(5))
    assert torch.equal(found[1], plain[1])
    assert not torch.equal(found[0], plain[0])
