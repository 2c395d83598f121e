"""Pixels to batches, augmentation and test-time views."""

import math

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from engine.contract.config import AugmentationConfig
from engine.data import transforms
from engine.data.image_quality import add_noise, gaussian_blur
from engine.data.transforms import Augment, change_greys, move, pixels_to_batch

STILL = {"rotation_deg": 0.0, "shift": 0.0, "zoom": 0.0}
PLAIN = {"brightness": 0.0, "contrast": 0.0, "gamma": 0.0}


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _one(value):
    return torch.tensor([float(value)])


def _moved(batch, *, angle=0.0, x=0.0, y=0.0, zoom=1.0, padding="black"):
    return move(
        batch,
        angle_deg=_one(angle),
        shift_x=_one(x),
        shift_y=_one(y),
        zoom=_one(zoom),
        padding=padding,
    )


def _dot(row, column, size=64):
    batch = torch.zeros(1, 1, size, size)
    batch[0, 0, row - 1 : row + 2, column - 1 : column + 2] = 1.0
    return batch


def _centre(batch):
    weights = batch[0, 0] / batch.sum()
    n = torch.arange(batch.shape[-1], dtype=torch.float32)
    return float((weights.sum(1) * n).sum()), float((weights.sum(0) * n).sum())


@pytest.mark.parametrize(("dtype", "largest"), [(np.uint8, 255), (np.uint16, 65535)])
def test_the_full_range_of_pixels_becomes_zero_to_one(dtype, largest):
    pixels = np.array([[[0, largest], [largest // 5, 0]]], dtype=dtype)
    batch = pixels_to_batch(pixels)
    assert batch.shape == (1, 1, 2, 2)
    assert batch.dtype == torch.float32
    expected = torch.tensor([[0.0, 1.0], [0.2, 0.0]])
    torch.testing.assert_close(batch[0, 0], expected)


def test_colour_pixels_become_channels():
    pixels = np.zeros((2, 4, 5, 3), dtype=np.uint8)
    pixels[..., 2] = 255
    batch = pixels_to_batch(pixels)
    assert batch.shape == (2, 3, 4, 5)
    assert batch[:, 2].min() == 1.0
    assert batch[:, :2].max() == 0.0


def test_a_batch_does_not_share_memory_with_the_cache():
    pixels = np.zeros((1, 4, 4), dtype=np.uint8)
    pixels_to_batch(pixels).add_(1.0)
    assert pixels.max() == 0


def test_shifts_and_zooms_move_in_the_direction_that_they_name():
    batch = _dot(20, 40)
    row, column = _centre(_moved(batch, x=0.125, y=0.25))
    assert (row, column) == (pytest.approx(36, abs=0.1), pytest.approx(48, abs=0.1))
    row, column = _centre(_moved(batch, zoom=1.5))
    assert row == pytest.approx(31.5 + 1.5 * (20 - 31.5), abs=0.2)
    assert column == pytest.approx(31.5 + 1.5 * (40 - 31.5), abs=0.2)


def test_rotation_is_clockwise_about_the_centre():
    row, column = _centre(_moved(_dot(12, 32), angle=90.0))  # from the top to the right
    assert row == pytest.approx(32, abs=0.6)
    assert column == pytest.approx(31.5 + 19.5, abs=0.6)


def test_the_letterbox_value_comes_in_at_the_borders():
    batch = torch.full((1, 1, 32, 32), 0.8)
    batch[:, :, :6] = batch[:, :, -6:] = 0.3  # bars above and below, of the frame's mean
    assert _moved(batch, y=0.25, padding="edge_mean")[0, 0, :6].sub(0.3).abs().max() < 1e-5
    assert _moved(batch, x=0.25, padding="edge_mean")[0, 0, :, :6].sub(0.3).abs().max() < 1e-5
    assert _moved(batch, y=0.25, padding="black")[0, 0, :6].max() == 0.0


def test_bars_left_and_right_are_found_too():
    batch = torch.rand(2, 1, 32, 32, generator=_generator())
    batch[..., :4] = batch[..., -4:] = 0.25
    values = transforms._padding_values(batch)
    torch.testing.assert_close(values, torch.full((2, 1, 1, 1), 0.25))


def test_an_image_without_bars_gets_the_mean_of_its_frame():
    batch = torch.rand(1, 1, 8, 8, generator=_generator())
    frame = torch.ones(8, 8, dtype=torch.bool)
    frame[1:-1, 1:-1] = False
    expected = batch[0, 0][frame].mean()
    torch.testing.assert_close(transforms._padding_values(batch)[0, 0, 0, 0], expected)


def test_grey_values_follow_the_formula_and_stay_in_range():
    values = torch.tensor([[[[0.0, 0.25, 0.5, 1.0]]]])
    out = change_greys(values, brightness=_one(0.1), contrast=_one(1.2), gamma=_one(2.0))
    expected = [(v**2 - 0.5) * 1.2 + 0.5 + 0.1 for v in (0.0, 0.25, 0.5, 1.0)]
    torch.testing.assert_close(out[0, 0, 0], torch.tensor(expected).clamp(0.0, 1.0))


def test_padding_and_new_borders_stay_alike_whatever_the_grey_values_do():
    batch = torch.rand(16, 1, 48, 48, generator=_generator())
    batch[:, :, :16] = batch[:, :, -16:] = 0.0
    out = Augment(AugmentationConfig(shift=0.1))(batch, _generator(1))
    corners = torch.stack([out[:, 0, r, c] for r in (0, -1) for c in (0, -1)], dim=1)
    torch.testing.assert_close(corners, corners[:, :1].expand(-1, 4))


@pytest.mark.parametrize("padding", ["black", "edge_mean"])
def test_no_change_gives_the_image_back(padding):
    batch = torch.rand(3, 1, 32, 32, generator=_generator())
    config = AugmentationConfig(**STILL, **PLAIN)
    torch.testing.assert_close(Augment(config, padding=padding)(batch, _generator()), batch)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_augmented_batches_keep_shape_range_and_input(n_channels):
    batch = torch.rand(8, n_channels, 32, 32, generator=_generator())
    before = batch.clone()
    out = Augment(AugmentationConfig(), padding="edge_mean")(batch, _generator())
    assert out.shape == batch.shape
    assert out.min() >= 0.0
    assert out.max() <= 1.0
    assert torch.equal(batch, before)
    assert not torch.equal(out, batch)


def test_the_generator_alone_decides_and_every_image_differs():
    batch = torch.rand(1, 1, 32, 32, generator=_generator()).expand(4, -1, -1, -1)
    augment = Augment(AugmentationConfig())
    first = augment(batch, _generator(3))
    torch.manual_seed(99)
    assert torch.equal(augment(batch, _generator(3)), first)
    assert not torch.equal(augment(batch, _generator(4)), first)
    assert not torch.equal(first[0], first[1])


def test_nothing_is_ever_mirrored():
    batch = torch.zeros(64, 1, 64, 64)
    batch[:, :, 24:40, 44:52] = 1.0  # on the right
    out = Augment(AugmentationConfig(**PLAIN))(batch, _generator())
    n = torch.arange(64.0)
    columns = (out.sum(dim=(1, 2)) * n).sum(1) / out.sum(dim=(1, 2, 3))
    assert columns.min() > 32 + 6


def test_changes_stay_within_their_limits():
    config = AugmentationConfig(rotation_deg=0.0, shift=0.1, zoom=0.0, **PLAIN)
    out = Augment(config)(_dot(32, 32).expand(200, -1, -1, -1), _generator())
    centres = [_centre(image[None]) for image in out]
    largest = max(max(abs(r - 32), abs(c - 32)) for r, c in centres)
    assert 0.8 * 6.4 < largest <= 6.4 + 0.1
    assert math.isclose(sum(r for r, _ in centres) / 200, 32, abs_tol=0.8)


def test_views_start_with_the_image_itself_and_differ():
    batch = torch.rand(2, 1, 32, 32, generator=_generator())
    views = transforms.test_time_views(batch, 16)
    assert len(views) == 16
    assert torch.equal(views[0], batch)
    assert all(view.shape == batch.shape for view in views)
    assert all(not torch.equal(a, b) for i, a in enumerate(views) for b in views[:i])
    again = transforms.test_time_views(batch, 4)
    assert all(torch.equal(a, b) for a, b in zip(again, views[:4], strict=True))


@pytest.mark.parametrize("n", [0, 17])
def test_more_views_than_there_are_is_a_mistake(n):
    with pytest.raises(ValueError, match="views"):
        transforms.test_time_views(torch.zeros(1, 1, 8, 8), n)


def test_blur_equals_that_of_torchvision_for_each_image():
    batch = torch.rand(3, 3, 56, 56, generator=_generator())
    blurred = gaussian_blur(batch, torch.tensor([0.0, 4.0, 8.0]))  # of 224 px: 0, 1 and 2 here
    torch.testing.assert_close(blurred[0], batch[0])
    for k, sigma in ((1, 1.0), (2, 2.0)):
        expected = v2.functional.gaussian_blur(batch[k], [13, 13], [sigma, sigma])
        inner = (slice(None), slice(6, -6), slice(6, -6))  # torchvision mirrors at the border
        torch.testing.assert_close(blurred[k][inner], expected[inner], atol=2e-3, rtol=0)


def test_noise_has_the_standard_deviation_of_its_image():
    grey = torch.full((2, 1, 200, 200), 0.5)
    noisy = add_noise(grey, torch.tensor([0.0, 0.05]), _generator())
    assert torch.equal(noisy[0], grey[0])
    assert float(noisy[1].mean()) == pytest.approx(0.5, abs=0.001)
    assert float(noisy[1].std()) == pytest.approx(0.05, rel=0.02)


def test_augmentation_with_blur_and_noise_is_the_same_for_the_same_seed_and_stays_in_range():
    augment = Augment(AugmentationConfig(**STILL, **PLAIN, noise=0.1, blur=2.0))
    batch = torch.rand(4, 1, 32, 32, generator=_generator()).round()
    first, again = augment(batch, _generator(5)), augment(batch, _generator(5))
    assert torch.equal(first, again)
    assert not torch.equal(first, augment(batch, _generator(6)))
    assert float(first.min()) >= 0.0
    assert float(first.max()) <= 1.0
    assert not torch.equal(first, batch)
