"""Pixels of a project: made once, and the same wherever they are needed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from engine.contract.commands import Scan
from engine.contract.config import ImageContract
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import DatasetError
from engine.data.decode_pool import Limits
from engine.data.pixels import load_pixels, open_pixels
from engine.data.scan import scan
from engine.project.labels import exclude
from engine.project.store import Project


@pytest.fixture
def project(tmp_path):
    for name in ("normal", "sick"):
        (tmp_path / "study" / name).mkdir(parents=True)
        for i in range(3):
            noise = np.random.default_rng(i).integers(0, 256, (700, 900), np.uint8)
            Image.fromarray(noise).save(tmp_path / "study" / name / f"{i}.jpg")
    target = tmp_path / "project.radtune"
    scan(Scan(source=str(tmp_path / "study"), project=str(target)), lambda _: None, Control())
    with Project.open(target) as opened:
        yield opened


def paths_and_rows(project):
    records = project.records()
    return project.original_paths([r.id for r in records]), [r.row for r in records]


def test_the_project_s_own_pixels_are_there_after_the_import(project):
    calls = []
    reader = open_pixels(project, project.image_contract, lambda *done: calls.append(done))
    assert len(reader) == 6
    assert calls == []


@pytest.mark.parametrize(
    "contract",
    [
        ImageContract(),
        ImageContract(size_px=64),
        ImageContract(size_px=96, channels=3, depth_bits=16),
        ImageContract(size_px=320, fit="center_crop", window="robust"),
    ],
)
def test_kept_pixels_are_those_of_the_file_alone(project, contract):
    # So that a bundle, which has no project, predicts from the same values.
    calls = []
    reader = open_pixels(project, contract, lambda *done: calls.append(done))
    paths, rows = paths_and_rows(project)
    for path, row in zip(paths, rows, strict=True):
        alone, _ = load_pixels(path, contract)
        np.testing.assert_array_equal(reader.row(row), alone)
    assert calls == ([] if contract == ImageContract() else [(i, 6) for i in range(1, 7)])
    calls.clear()
    assert len(open_pixels(project, contract, lambda *done: calls.append(done))) == 6
    assert calls == []


def test_missing_originals_are_said_and_excluded_ones_are_not_needed(project):
    paths, _ = paths_and_rows(project)
    paths[0].unlink()
    other = replace(ImageContract(), size_px=64)
    with pytest.raises(DatasetError, match="1 of 6 original images are needed at 64 pixels"):
        open_pixels(project, other)
    exclude(project, [project.records()[0].id], "gone")
    assert len(open_pixels(project, other)) == 5


def test_making_pixels_can_be_canceled_and_goes_on_later(project):
    control = Control()
    other = replace(ImageContract(), size_px=64)

    def cancel_after_three(done: int, _total: int) -> None:
        if done == 3:
            control.cancel()

    with pytest.raises(JobCanceled):
        open_pixels(project, other, cancel_after_three, control)
    assert len(open_pixels(project, other)) == 6


def test_originals_on_a_disk_that_is_gone_are_said(project, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.data.pixels._LIMITS", Limits(gone_s=0))
    (tmp_path / "study").rename(tmp_path / "away")
    with pytest.raises(DatasetError, match="6 of 6 original images are needed"):
        open_pixels(project, replace(ImageContract(), size_px=64))
