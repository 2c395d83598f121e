"""Preparing a project's images at another size."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.contract.commands import PrepareImages
from engine.contract.control import Control
from engine.contract.errors import ConfigError
from engine.contract.events import CANCELED, FAILED, Event, JobProgressed
from engine.data.pixels import pixel_kind
from engine.project.segment_reader import SegmentReader
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import make_study, run_job


def _size(folder: Path) -> int:
    with Project.open(folder, read_only=True) as project:
        return project.image_contract.size_px


def test_every_usable_image_is_made_and_the_project_takes_the_size(study: Path) -> None:
    events: list[Event] = []
    before = _size(study)
    finished = execute(PrepareImages(project=str(study), size_px=96), events.append, Control())
    with Project.open(study, read_only=True) as project:
        table = project.training_table()
        reader = SegmentReader(project, pixel_kind(project.image_contract))
        assert project.image_contract.size_px == 96
        assert len(reader.missing(table.rows)) == 0
        assert reader.read(table.rows[:1]).shape == (1, 96, 96)
        reader.close()
    n_images = len(table.rows)
    assert finished.result == {"size_px": 96, "size_before_px": before, "n_images": n_images}
    told = [event for event in events if isinstance(event, JobProgressed)]
    assert told[-1].done == told[-1].total == n_images


def test_one_that_is_canceled_leaves_the_size_and_goes_on_where_it_was(study: Path) -> None:
    before, control = _size(study), Control()

    def cancel(event: Event) -> None:
        if isinstance(event, JobProgressed) and event.done:
            control.cancel()

    command = PrepareImages(project=str(study), size_px=80)
    assert execute(command, cancel, control).outcome == CANCELED
    assert _size(study) == before
    run_job(command)
    assert _size(study) == 80


def test_missing_originals_leave_the_size_and_say_so(tmp_path: Path) -> None:
    study = make_study(tmp_path, n_patients=12)
    before = _size(study)
    shutil.rmtree(tmp_path / "images")
    finished = execute(PrepareImages(project=str(study), size_px=72), lambda _: None, Control())
    assert finished.outcome == FAILED
    assert finished.remedy
    assert _size(study) == before


def test_the_size_that_there_is_changes_nothing(study: Path) -> None:
    size_px = _size(study)
    with Project.open(study, read_only=True) as project:
        digest = project.data_digest()
    run_job(PrepareImages(project=str(study), size_px=size_px))
    with Project.open(study, read_only=True) as project:
        assert project.data_digest() == digest


@pytest.mark.parametrize("size_px", [0, 31, 1025])
def test_sizes_beyond_the_limits_are_refused(size_px: int) -> None:
    with pytest.raises(ConfigError):
        PrepareImages(project="p", size_px=size_px)
