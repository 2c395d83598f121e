"""A pre-training one of whose projects goes away, or can't be read: it waits, and loses nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import engine.jobs.pretraining
from engine.contract.control import Control
from engine.contract.events import COMPLETED, Event, JobProgressed, Recovered, Warned
from engine.models.network import Network
from engine.models.registry import build_network
from engine.project.segment_file import SegmentFile
from tests.engine.test_out_of_memory import CUDA, Once, _own_cache, as_method
from tests.engine.test_pretraining_goes_on import asked, cut_off, digest, left_in, whole
from tests.engine.test_pretraining_job import _own_weights, _two, perform, two

__all__ = ["_own_cache", "_own_weights", "_two", "two", "whole"]

renames_open_projects = pytest.mark.skipif(
    os.name == "nt", reason="Windows renames no folder in which a file is open"
)
pytestmark = pytest.mark.usefixtures("tries_again_soon")


class Fault:
    """Does something at an update or a stage, and something else once it was told of."""

    def __init__(self, at: str, begin: Callable[[], Any], end: Callable[[], Any]) -> None:
        self.told: list[str] = []
        self._at, self._begin, self._end = at, begin, end
        self._is_done = False

    def __call__(self, event: Event) -> None:
        if isinstance(event, JobProgressed) and not self._is_done:
            if f"{event.stage} {event.done}".startswith(self._at):
                self._is_done = True
                self._begin()
        elif isinstance(event, Warned):
            self.told.append(event.message)
            self._end()


@pytest.mark.parametrize("at", ["Describing", "Training, pass 1 2"])
@pytest.mark.parametrize("which", [0, 1])
def test_it_waits_while_the_images_of_a_project_can_not_be_read(
    two: list[Path], whole: str, monkeypatch: pytest.MonkeyPatch, at: str, which: int
) -> None:
    real, broken = SegmentFile._opened, set[Path]()

    class BrokenFile:
        """A file whose disk fails every read."""

        def seek(self, _position: int) -> None:
            pass

        def readinto(self, _buffer: Any) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        def close(self) -> None:
            pass

    def opened(file: SegmentFile) -> Any:
        is_broken = any(folder in Path(file.path).parents for folder in broken)
        return BrokenFile() if is_broken else real(file)

    monkeypatch.setattr(SegmentFile, "_opened", opened)
    fault = Fault(at, lambda: broken.add(two[which]), broken.clear)
    finished = perform(asked(two), on_event=fault)
    assert finished.outcome == COMPLETED, finished.error
    (reason,) = fault.told
    assert "could not be read" in reason
    assert digest() == whole


@renames_open_projects
def test_it_waits_for_the_project_that_keeps_it_and_makes_nothing_in_the_old_place(
    two: list[Path], whole: str
) -> None:
    elsewhere, seen = two[0].with_name("renamed.radtune"), []

    def bring_back() -> None:
        seen.append(two[0].exists())
        elsewhere.rename(two[0])

    fault = Fault("Training, pass 1 2", lambda: two[0].rename(elsewhere), bring_back)
    finished = perform(asked(two), on_event=fault)
    assert finished.outcome == COMPLETED, finished.error
    (reason,) = fault.told
    assert "isn't there any more" in reason
    assert seen == [False]
    assert digest() == whole
    assert left_in(two) == []


def test_a_state_that_can_not_be_read_for_a_moment_is_waited_for(
    two: list[Path], whole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(two)
    real, is_held = Path.read_bytes, True

    def read_bytes(path: Path) -> bytes:
        if is_held and path.parent.name in ("last", "previous"):
            raise PermissionError(errno.EACCES, "held by a scanner")
        return real(path)

    def listen(event: Event) -> None:
        nonlocal is_held
        if isinstance(event, Warned):
            told.append(event.message)
            is_held = False

    told: list[str] = []
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    finished = perform(asked(two), Control(), listen)
    assert finished.outcome == COMPLETED, finished.error
    (reason,) = told
    assert "can't be read just now" in reason
    assert digest() == whole


def test_memory_that_ran_short_is_told_and_ends_nothing(
    two: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    monkeypatch.setattr(Network, "forward", as_method(Once(Network.forward, CUDA, 2)))
    finished = perform(asked(two), on_event=events.append)
    assert finished.outcome == COMPLETED, finished.error
    (recovered,) = (event for event in events if isinstance(event, Recovered))
    assert "Memory ran short, so 8 images are computed at a time" in recovered.message


@renames_open_projects
def test_the_note_of_what_was_learned_from_waits_for_its_project(
    two: list[Path], whole: str
) -> None:
    elsewhere, told, seen = two[1].with_name("renamed.radtune"), [], []

    def listen(event: Event) -> None:
        if isinstance(event, JobProgressed) and event.stage.startswith("Training"):
            if event.done == event.total:
                two[1].rename(elsewhere)
        elif isinstance(event, Warned):
            told.append(event.message)
            seen.append(two[1].exists())
            elsewhere.rename(two[1])

    finished = perform(asked(two), on_event=listen)
    assert finished.outcome == COMPLETED, finished.error
    (reason,) = told
    assert "isn't there any more" in reason
    assert seen == [False]
    assert [path.stem for path in (two[1] / "pretrained").iterdir()] == [digest()]


@renames_open_projects
def test_a_state_whose_project_is_away_while_the_network_is_built_is_taken_up_later(
    two: list[Path], whole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(two)
    keeper = next(folder for folder in two if left_in([folder]))
    elsewhere, told, steps = keeper.with_name("renamed.radtune"), [], []

    def build(*arguments: Any, **named: Any) -> Network:
        keeper.rename(elsewhere)
        return build_network(*arguments, **named)

    def listen(event: Event) -> None:
        if isinstance(event, Warned):
            told.append(event.message)
            elsewhere.rename(keeper)
        elif isinstance(event, JobProgressed) and event.stage.startswith("Training"):
            steps.append(event.done)

    monkeypatch.setattr(engine.jobs.pretraining, "build_network", build)
    finished = perform(asked(two), on_event=listen)
    assert finished.outcome == COMPLETED, finished.error
    assert len(told) == 1 and "isn't there any more" in told[0]
    assert steps[0] > 1
    assert digest() == whole
