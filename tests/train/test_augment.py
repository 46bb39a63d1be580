"""Augmentation: what each change does, that it depends on its generator alone, and that mixing says
who was mixed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sixfold.train.augment import Augment, augment

EVERYTHING = Augment(shift=0.2, flip=True, color=0.3, cutout=0.4, mixup=0.0, cutmix=0.0)


def images(rows: int, side: int = 12, channels: int = 3) -> torch.Tensor:
    values = np.random.default_rng(0).integers(1, 256, (rows, channels, side, side), dtype=np.uint8)
    return torch.from_numpy(values)


def seeded(rows: int, seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed + rows)


def none(**settings: Any) -> Augment:
    return Augment(**({"shift": 0.0} | settings))


def test_nothing_asked_for_changes_nothing() -> None:
    found = augment(images(4), none(), seeded(4))
    assert torch.equal(found.images, images(4).float())
    assert found.partner is None and found.weight is None


def test_the_default_shifts_and_never_mirrors() -> None:
    assert Augment().describe() == (
        "Training images are augmented: shift 8% (never mirrored: flip is false, which is safe for digits and text)."
    )
    assert none(flip=True).describe() == "Training images are augmented: mirrored."
    assert none().describe().startswith("Training images are augmented: not at all")


def test_the_same_draws_change_alike_and_others_otherwise() -> None:
    found = augment(images(16), EVERYTHING, seeded(16)).images
    assert torch.equal(found, augment(images(16), EVERYTHING, seeded(16)).images)
    assert not torch.equal(found, augment(images(16), EVERYTHING, seeded(16, seed=8)).images)


def test_one_change_more_moves_no_other() -> None:
    plain = augment(images(16), none(flip=True), seeded(16)).images
    mixed = augment(images(16), none(flip=True, mixup=0.3), seeded(16))
    assert mixed.partner is not None and mixed.weight is not None
    weight = mixed.weight[:, None, None, None]
    assert torch.allclose(mixed.images, weight * plain + (1 - weight) * plain[mixed.partner])


def test_the_images_given_are_left_as_they_are() -> None:
    given_images = images(6)
    augment(given_images, EVERYTHING, seeded(6))
    assert torch.equal(given_images, images(6))


def test_a_shift_moves_the_image_and_fills_with_zeros() -> None:
    found = augment(images(200), none(shift=0.2), seeded(200)).images
    places = set()
    for row, image in enumerate(images(200).float()):
        padded = torch.nn.functional.pad(image, (2, 2, 2, 2))
        at = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if torch.equal(padded[:, y : y + 12, x : x + 12], found[row])
        ]
        assert len(at) == 1
        places.update(at)
    assert len(places) == 25


def test_half_of_the_images_are_mirrored() -> None:
    found, plain = augment(images(400), none(flip=True), seeded(400)).images, images(400).float()
    mirrored = [torch.equal(found[row], plain[row].flip(2)) for row in range(400)]
    kept = [torch.equal(found[row], plain[row]) for row in range(400)]
    assert all(one != other for one, other in zip(mirrored, kept, strict=True))
    assert 150 < sum(mirrored) < 250


def test_color_changes_brightness_and_contrast_within_its_share() -> None:
    flat = torch.full((300, 3, 4, 4), 100, dtype=torch.uint8)
    found = augment(flat, none(color=0.2), seeded(300)).images
    assert found.min() >= 80 - 1e-3 and found.max() <= 120 + 1e-3
    assert found.min() < 85 and found.max() > 115
    assert augment(images(50), none(color=1), seeded(50)).images.max() <= 255


def test_cutout_blanks_a_square_at_most_of_its_side() -> None:
    found, plain = augment(images(100), none(cutout=0.5), seeded(100)).images, images(100).float()
    for row in range(100):
        blank = (found[row] != plain[row]).any(0)
        rows, columns = torch.nonzero(blank.any(1)).flatten(), torch.nonzero(blank.any(0)).flatten()
        assert 1 <= len(rows) <= 6 and 1 <= len(columns) <= 6
        mean = plain[row].mean((1, 2))
        assert torch.allclose(found[row][:, rows[0], columns[0]], mean)


def test_mixup_is_the_weighted_sum_of_an_image_and_its_partner() -> None:
    found, plain = augment(images(64), none(mixup=0.4), seeded(64)), images(64).float()
    assert found.partner is not None and found.weight is not None
    assert (found.partner != torch.arange(64)).all()
    weight = found.weight[:, None, None, None]
    assert torch.allclose(found.images, weight * plain + (1 - weight) * plain[found.partner])


def test_the_weights_of_mixup_follow_the_beta_distribution() -> None:
    from scipy.stats import beta, kstest

    found = augment(torch.zeros(2000, 1, 1, 1), none(mixup=0.4), seeded(2000))
    assert found.weight is not None
    assert kstest(found.weight.numpy(), beta(0.4, 0.4).cdf).pvalue > 0.01


def test_cutmix_pastes_a_box_and_weighs_by_its_true_area() -> None:
    found, plain = augment(images(64), none(cutmix=1), seeded(64)), images(64).float()
    assert found.partner is not None and found.weight is not None
    own = (found.images == plain).all(1)
    other = (found.images == plain[found.partner]).all(1)
    assert (own | other).all()
    assert torch.allclose(found.weight, own.float().mean((1, 2)), atol=1e-3)
    assert 0.3 < found.weight.mean() < 0.8
