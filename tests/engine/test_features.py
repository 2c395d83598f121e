"""Features computed once and kept in the project."""

import numpy as np
import pytest
import torch

from engine.contract.config import ImageContract
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import ProjectError
from engine.hardware import Runtime
from engine.models import features
from engine.models.features import cached_features, extract, features_kind
from engine.models.registry import build_network
from engine.project.segment_reader import SegmentReader
from engine.project.segments import SegmentWriter
from engine.project.store import Project

CONTRACT = ImageContract(size_px=32)
RUNTIME = Runtime(threads=1)


@pytest.fixture(scope="module")
def network():
    return build_network("squeezenet1_0", 2, weights="scratch", seed=0)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (10, 32, 32), dtype=np.uint8)


@pytest.fixture
def project(tmp_path, pixels):
    with Project.create(tmp_path / "study") as project:
        kind = f"pixels-{CONTRACT.key()}"
        with SegmentWriter(project, kind, (32, 32), np.uint8, first_row=0) as writer:
            writer.append(pixels)
        yield project


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(features, "BATCH_SIZE", 3)
    monkeypatch.setattr(features, "_ROWS_PER_COMMIT", 4)


class _Counting:
    """Lets a network say how many images it has described."""

    def __init__(self, network, monkeypatch):
        self.n = 0
        describe = network.features

        def counted(images):
            self.n += len(images)
            return describe(images)

        monkeypatch.setattr(network, "features", counted)


def _expected(network, pixels):
    images = torch.from_numpy(pixels.astype(np.float32) / 255).unsqueeze(1)
    with torch.inference_mode():
        return network.features(images).numpy()


def test_features_are_the_networks_for_each_row_in_the_order_asked(network, project, pixels):
    reader = SegmentReader(project, f"pixels-{CONTRACT.key()}")
    rows = np.array([7, 0, 3])
    found = extract(network, reader, rows, RUNTIME)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, _expected(network, pixels[rows]), rtol=1e-3, atol=1e-4)


def test_colour_and_16_bit_pixels_are_described_too(network):
    class Rows:
        def __init__(self, values):
            self.values = values

        def read(self, rows):
            return self.values[rows]

    grey = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    rows = np.arange(2)
    plain = extract(network, Rows(grey), rows, RUNTIME)
    colour = extract(network, Rows(np.repeat(grey[..., None], 3, axis=3)), rows, RUNTIME)
    deep = extract(network, Rows(grey.astype(np.uint16) * 257), rows, RUNTIME)
    np.testing.assert_allclose(colour, plain, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(deep, plain, rtol=1e-4, atol=1e-5)


def test_progress_counts_images_and_the_mode_is_kept(network, project, small_batches):
    seen = []
    network.train()
    extract(
        network,
        SegmentReader(project, f"pixels-{CONTRACT.key()}"),
        np.arange(8),
        RUNTIME,
        on_progress=lambda *progress: seen.append(progress),
    )
    assert seen == [(3, 8), (6, 8), (8, 8)]
    assert network.training
    network.eval()


def test_only_missing_rows_are_computed(network, project, pixels, monkeypatch):
    counting = _Counting(network, monkeypatch)
    first = cached_features(project, network, CONTRACT, np.array([1, 4]), RUNTIME)
    assert counting.n == 2
    rows = np.array([4, 2, 1, 2])
    second = cached_features(project, network, CONTRACT, rows, RUNTIME)
    assert counting.n == 3
    np.testing.assert_array_equal(second[[2, 0]], first)
    np.testing.assert_array_equal(second[1], second[3])
    np.testing.assert_allclose(second, _expected(network, pixels[rows]), rtol=1e-3, atol=1e-4)


def test_features_survive_closing_the_project(network, project, monkeypatch):
    first = cached_features(project, network, CONTRACT, np.arange(5), RUNTIME)
    counting = _Counting(network, monkeypatch)
    with Project.open(project.folder) as again:
        second = cached_features(again, network, CONTRACT, np.arange(5), RUNTIME)
    assert counting.n == 0
    np.testing.assert_array_equal(first, second)


def test_a_cancel_keeps_what_was_finished(network, project, small_batches, monkeypatch):
    control = Control()

    def cancel_late(done, total):
        assert total == 10
        if done >= 7:
            control.cancel()

    with pytest.raises(JobCanceled):
        cached_features(
            project,
            network,
            CONTRACT,
            np.arange(10),
            RUNTIME,
            on_progress=cancel_late,
            control=control,
        )
    counting = _Counting(network, monkeypatch)
    cached_features(project, network, CONTRACT, np.arange(10), RUNTIME)
    assert counting.n == 6  # the first 4 rows were committed


def test_no_rows_give_no_features(network, project):
    found = cached_features(project, network, CONTRACT, np.empty(0, np.int64), RUNTIME)
    assert found.shape == (0, network.n_features)


def test_rows_without_pixels_are_an_error_for_the_user(network, project):
    with pytest.raises(ProjectError):
        cached_features(project, network, CONTRACT, np.array([99]), RUNTIME)


def test_whatever_changes_features_gets_a_cache_of_its_own(network):
    def scratch(seed=0, **settings):
        return build_network("squeezenet1_0", 2, weights="scratch", seed=seed, **settings)

    kinds = {
        features_kind(network, CONTRACT, RUNTIME),
        features_kind(network, CONTRACT, RUNTIME, body="b"),
        features_kind(scratch(seed=1), CONTRACT, RUNTIME),
        features_kind(scratch(features="last"), CONTRACT, RUNTIME),
        features_kind(scratch(mean=(0.5, 0.5, 0.5)), CONTRACT, RUNTIME),
        features_kind(scratch(std=(0.5, 0.5, 0.5)), CONTRACT, RUNTIME),
        features_kind(network, ImageContract(size_px=64), RUNTIME),
        features_kind(network, CONTRACT, Runtime(precision="bf16")),
        features_kind(network, CONTRACT, Runtime(device="cuda")),
    }
    assert len(kinds) == 9
    assert all(kind.startswith("features-") for kind in kinds)
    threads = features_kind(scratch(), CONTRACT, Runtime(threads=9))
    assert threads in kinds
