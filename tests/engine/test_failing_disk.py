"""A disk that fills up or turns read-only in the midst of a run: it waits, and loses nothing.

``tests.long.disk_faults`` breaks every single step of writing.
"""

from __future__ import annotations

import errno
from contextlib import ExitStack
from pathlib import Path

import pytest

from engine.contract.commands import Train
from engine.contract.control import Control
from engine.contract.events import (
    COMPLETED,
    BatchFinished,
    Event,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
)
from engine.project.store import Project
from engine.run import execute
from tests.helpers.failing_disk import BrokenFolder, without_permission
from tests.helpers.killable import kept_bytes
from tests.long.disk_faults import fault_config, train_on_broken

pytestmark = pytest.mark.usefixtures("tries_again_soon")


@pytest.mark.parametrize(
    ("error", "at", "word"),
    [
        (errno.ENOSPC, 14, "full"),
        (errno.EACCES, 23, "read-only"),
        (errno.EROFS, 37, "read-only"),
        (errno.EIO, 52, "error"),
    ],
)
def test_a_run_waits_while_its_folder_refuses_and_then_goes_on_as_if_nothing_had_been(
    study: Path, untouched: dict[str, bytes], error: int, at: int, word: str
) -> None:
    done = train_on_broken(study, error, at)
    assert done.finished.outcome == COMPLETED, done.finished.error
    assert done.broken.n_refused >= 1
    (pause,) = done.pauses
    assert word in pause.reason
    assert kept_bytes(study, done.finished.run) == untouched


def test_a_run_folder_whose_permission_is_taken_and_given_back(
    study: Path, untouched: dict[str, bytes]
) -> None:
    with ExitStack() as stack:
        control = Control()
        events: list[Event] = []
        give_back = None

        def listen(event: Event) -> None:
            nonlocal give_back
            events.append(event)
            if isinstance(event, BatchFinished) and event.step == 2:
                give_back = stack.enter_context(without_permission(study / "runs" / event.run))
            if isinstance(event, RunPaused) and give_back is not None:
                with pytest.raises(OSError):
                    (study / "runs" / event.run / "anything").touch()
                give_back()

        finished = execute(Train(project=str(study), config=fault_config()), listen, control)
    assert isinstance(finished, RunFinished)
    assert finished.outcome == COMPLETED, finished.error
    told = [event for event in events if isinstance(event, RunPaused | RunResumed)]
    assert [type(event) for event in told] == [RunPaused, RunResumed]
    assert isinstance(told[0], RunPaused) and "read-only" in told[0].reason
    assert kept_bytes(study, finished.run) == untouched


def test_a_run_that_is_interrupted_while_it_waits_can_go_on_later(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Control()

    def listen(event: Event) -> None:
        if isinstance(event, RunStarted):
            folder = study / "runs" / event.run
            broken.append(BrokenFolder(folder, errno.ENOSPC, at=30))
            broken[0].install(monkeypatch)
        if isinstance(event, RunPaused):
            control.interrupt()

    broken: list[BrokenFolder] = []
    finished = execute(Train(project=str(study), config=fault_config()), listen, control)
    assert isinstance(finished, RunFinished)
    broken[0].mend()
    with Project.open(study) as project:
        summary = project.run_summary(finished.run)
    assert (summary.state, summary.is_resumable) == ("interrupted", True)
    assert list((study / "runs" / finished.run / "checkpoints").iterdir())
