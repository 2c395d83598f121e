"""Degraded images."""

from __future__ import annotations

import math

import pytest
import torch

from engine.evaluate.corruptions import CORRUPTIONS, N_SEVERITIES, corrupt

SIDE = 64


@pytest.fixture
def images():
    """Soft blobs with an edge, as in a radiograph, away from black and white."""
    at = torch.linspace(-1, 1, SIDE)
    y, x = torch.meshgrid(at, at, indexing="ij")
    generator = torch.Generator().manual_seed(0)
    centers = torch.rand(6, 2, generator=generator) - 0.5
    blobs = [0.2 + 0.5 * torch.exp(-4 * ((x - a) ** 2 + (y - b) ** 2)) for a, b in centers]
    made = torch.stack(blobs)[:, None]
    made[:, :, 21:43, 21:43] += 0.1
    return made


@pytest.mark.parametrize("key", CORRUPTIONS)
def test_severity_0_changes_nothing(images, key):
    assert torch.equal(corrupt(images, key, 0), images)


@pytest.mark.parametrize("key", CORRUPTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_severity_is_further_from_the_image_and_stays_an_image(images, key, channels):
    images = images.expand(-1, channels, -1, -1)
    before = 0.0
    for severity in range(1, N_SEVERITIES + 1):
        changed = corrupt(images, key, severity, seed=1)
        assert changed.shape == images.shape and changed.dtype == images.dtype
        assert changed.min() >= 0 and changed.max() <= 1
        distance = float((changed - images).square().mean().sqrt())
        assert distance > before
        before = distance
        assert torch.equal(changed, corrupt(images, key, severity, seed=1))


def test_noise_has_its_standard_deviation():
    grey = torch.full((20, 1, SIDE, SIDE), 0.5)
    for severity, level in enumerate(CORRUPTIONS["noise"].levels, start=1):
        found = float((corrupt(grey, "noise", severity) - grey).std())
        assert math.isclose(found, level, rel_tol=0.02)


def test_contrast_keeps_the_mean_and_scales_the_deviation(images):
    changed = corrupt(images, "contrast", 2)
    assert torch.allclose(changed.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)), atol=1e-5)
    ratio = changed.std(dim=(1, 2, 3)) / images.std(dim=(1, 2, 3))
    assert torch.allclose(ratio, torch.full((6,), 0.6), atol=1e-4)


def test_blur_spreads_a_point_by_its_width():
    """The second moment of a Gaussian is the square of its width: 3.5 px of 224 are 1 px of 64."""
    point = torch.zeros(1, 1, SIDE, SIDE)
    point[0, 0, 32, 32] = 1.0
    changed = corrupt(point, "blur", 5)[0, 0]
    at = torch.arange(SIDE) - 32.0
    variance = float((changed.sum(dim=0) * at**2).sum() / changed.sum())
    assert math.isclose(variance, 1.0, rel_tol=0.05)
    assert math.isclose(float(changed.sum()), 1.0, rel_tol=1e-4)


def test_exposure_errs_to_both_sides_equally_often(images):
    change = (corrupt(images, "exposure", 3) - images).mean(dim=(1, 2, 3))
    assert int((change > 0).sum()) == 3


def test_rotation_turns_by_its_angle_to_both_sides():
    """A point 24 px to the right of the centre rises or sinks by 24 sin(25°) = 10.1 px."""
    image = torch.zeros(2, 1, 129, 129)
    image[:, :, 63:66, 87:90] = 1.0
    changed = corrupt(image, "rotation", 5)
    at = torch.arange(129) - 64.0
    heights = [float((one[0].sum(dim=1) * at).sum() / one.sum()) for one in changed]
    assert sorted(round(height) for height in heights) == [-10, 10]


def test_resolution_of_half_the_pixels_loses_a_pattern_of_single_pixels():
    columns = torch.arange(SIDE).remainder(2).float().expand(1, 1, SIDE, SIDE)
    changed = corrupt(columns, "resolution", 2)
    assert torch.allclose(changed, torch.full_like(changed, 0.5), atol=1e-6)


def test_unknown_kinds_and_severities_are_refused(images):
    for key, severity in (("fog", 1), ("noise", 6), ("noise", -1)):
        with pytest.raises(ValueError):
            corrupt(images, key, severity)
