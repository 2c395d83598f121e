"""A run whose project goes away, or can't be read for a while: it waits, and loses nothing."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.contract.commands import Crossval, Resume, Train
from engine.contract.control import Control
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    BatchFinished,
    EpochFinished,
    Event,
    JobFinished,
    Recovered,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    Warned,
)
from engine.project.lock import ProjectLock
from engine.project.segment_file import SegmentFile
from engine.project.store import Project
from engine.run import execute
from tests.helpers.killable import kept_bytes
from tests.helpers.tiny_study import small_config
from tests.long.disk_faults import fault_config

renames_open_projects = pytest.mark.skipif(
    os.name == "nt", reason="Windows renames no folder in which a file is open"
)
cuts_open_files = pytest.mark.skipif(os.name == "nt", reason="Windows cuts no file that is open")


pytestmark = pytest.mark.usefixtures("tries_again_soon")


class Fault:
    """Does something at a batch, and something else at the pause that follows."""

    def __init__(self, *, at_step: int, begin: Callable[[], Any], end: Callable[[], Any]) -> None:
        self.events: list[Event] = []
        self._at_step, self._begin, self._end = at_step, begin, end

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, BatchFinished) and event.step == self._at_step:
            self._begin()
        if isinstance(event, RunPaused):
            self._end()

    @property
    def pauses(self) -> list[str]:
        """The reasons of the pauses; every one must have ended."""
        told = [event for event in self.events if isinstance(event, RunPaused | RunResumed)]
        assert [type(event) for event in told] == [RunPaused, RunResumed] * (len(told) // 2)
        return [event.reason for event in told if isinstance(event, RunPaused)]


def train_with(project: Path, fault: Fault, control: Control | None = None) -> RunFinished:
    command = Train(project=str(project), config=fault_config())
    finished = execute(command, fault, control or Control())
    assert isinstance(finished, RunFinished)
    return finished


@renames_open_projects
def test_a_run_waits_for_its_renamed_project_and_makes_nothing_in_the_old_place(
    study: Path, untouched: dict[str, bytes]
) -> None:
    elsewhere = study.with_name("renamed.radtune")
    seen: list[bool] = []

    def bring_back() -> None:
        seen.append(study.exists())
        elsewhere.rename(study)

    fault = Fault(at_step=2, begin=lambda: study.rename(elsewhere), end=bring_back)
    finished = train_with(study, fault)
    assert finished.outcome == COMPLETED, finished.error
    (reason,) = fault.pauses
    assert "project's folder or drive isn't there any more" in reason
    assert "former name" in reason and "cancel" in reason
    assert seen == [False]
    assert kept_bytes(study, finished.run) == untouched
    with Project.open(study) as project:
        assert project.run_summary(finished.run).state == COMPLETED


@renames_open_projects
def test_a_run_that_is_given_up_while_its_project_is_elsewhere_can_go_on_there(
    study: Path, untouched: dict[str, bytes]
) -> None:
    elsewhere, control = study.with_name("renamed.radtune"), Control()
    fault = Fault(at_step=2, begin=lambda: study.rename(elsewhere), end=control.interrupt)
    finished = train_with(study, fault, control)
    assert finished.outcome == CANCELED
    assert not study.exists()
    with Project.open(elsewhere) as project:
        summary = project.run_summary(finished.run)
    assert (summary.state, summary.is_resumable) == ("interrupted", True)
    goes_on = execute(Resume(project=str(elsewhere), run=finished.run), lambda _: None, Control())
    assert goes_on.outcome == COMPLETED, goes_on.error
    assert kept_bytes(elsewhere, finished.run) == untouched


@renames_open_projects
@pytest.mark.parametrize("has_ended", [False, True])
def test_a_run_whose_project_another_session_opened_meanwhile_ends_and_touches_nothing(
    study: Path, has_ended: bool
) -> None:
    """The lock is lost with a drive that is pulled out, so that another computer can take it."""
    elsewhere, kept = study.with_name("renamed.radtune"), study.with_name("kept.radtune")
    other = ProjectLock(study, owner="the other window")

    def bring_back() -> None:
        elsewhere.rename(kept)
        shutil.copytree(kept, study)  # whose lock is nobody's
        other.acquire()
        with Project.open(study) as project:
            project.interrupt_leftovers()
        if has_ended:
            other.release()
        before.update(_bytes_below(study))

    before: dict[str, bytes] = {}
    fault = Fault(at_step=2, begin=lambda: study.rename(elsewhere), end=bring_back)
    finished = train_with(study, fault)
    assert finished.outcome == FAILED
    assert "another RadTune window or command opened it" in (finished.error or "")
    assert before and _bytes_below(study) == before
    other.release()
    with Project.open(study, read_only=True) as project:
        assert project.run_summary(finished.run).state == "interrupted"
    again = execute(Resume(project=str(study), run=finished.run), lambda _: None, Control())
    assert again.outcome == COMPLETED, again.error


def _bytes_below(folder: Path) -> dict[str, bytes]:
    """Return what lies below a folder, without what SQLite keeps while a database is open."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".db-shm", ".db-wal")
    }


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[tuple[Path, Callable[[], None], Callable[[], None]]]:
    """Return a mounted folder, what takes it off and what brings it back."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("PULLED DRIVE NOT TESTED: only root on Linux can mount a folder")
    content, place = tmp_path / "content", tmp_path / "stick"
    content.mkdir()
    place.mkdir()

    def mount() -> None:
        command = ["mount", "--bind", str(content), str(place)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("PULLED DRIVE NOT TESTED: this machine doesn't allow mounting")

    def take_off() -> None:
        subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)

    mount()
    yield place, take_off, mount
    take_off()


def test_a_run_waits_for_a_drive_that_was_taken_off_and_leaves_its_place_empty(
    study: Path,
    untouched: dict[str, bytes],
    stick: tuple[Path, Callable[[], None], Callable[[], None]],
) -> None:
    place, take_off, mount = stick
    project = Path(shutil.copytree(study, place / study.name))
    found: list[list[Path]] = []

    def bring_back() -> None:
        found.append(list(place.iterdir()))
        mount()

    fault = Fault(at_step=2, begin=take_off, end=bring_back)
    finished = train_with(project, fault)
    assert finished.outcome == COMPLETED, finished.error
    (reason,) = fault.pauses
    assert "drive isn't there any more" in reason
    assert found == [[]]
    assert kept_bytes(project, finished.run) == untouched


def _pixel_file(project: Path) -> Path:
    (file,) = (project / "cache").glob("pixels-*.npy")
    return file


class _BrokenFile:
    """A file whose disk fails every read."""

    def __init__(self, code: int) -> None:
        self._code = code

    def seek(self, _position: int) -> None:
        pass

    def readinto(self, _buffer: Any) -> int:
        raise OSError(self._code, os.strerror(self._code))

    def close(self) -> None:
        pass


@pytest.mark.parametrize("code", [errno.EIO, getattr(errno, "ESTALE", errno.EIO)])
@pytest.mark.parametrize("at_step", [1, 5])
def test_a_run_waits_while_its_images_can_not_be_read(
    study: Path,
    untouched: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    at_step: int,
) -> None:
    real, is_broken = SegmentFile._opened, threading.Event()

    def opened(file: SegmentFile) -> Any:
        return _BrokenFile(code) if is_broken.is_set() else real(file)

    monkeypatch.setattr(SegmentFile, "_opened", opened)
    fault = Fault(at_step=at_step, begin=is_broken.set, end=is_broken.clear)
    finished = train_with(study, fault)
    assert finished.outcome == COMPLETED, finished.error
    (reason,) = fault.pauses
    assert "could not be read" in reason
    assert kept_bytes(study, finished.run) == untouched


@cuts_open_files
def test_a_pixel_file_that_was_cut_short_ends_the_run_with_a_sentence_and_it_can_go_on(
    study: Path, untouched: dict[str, bytes]
) -> None:
    file = _pixel_file(study)
    fault = Fault(at_step=5, begin=lambda: os.truncate(file, 128), end=lambda: None)
    finished = train_with(study, fault)
    assert finished.outcome == FAILED
    assert "cache" in (finished.error or "") and finished.remedy
    goes_on = execute(Resume(project=str(study), run=finished.run), lambda _: None, Control())
    assert goes_on.outcome == COMPLETED, goes_on.error
    assert kept_bytes(study, finished.run) == untouched


@pytest.mark.parametrize("names", [("last",), ("last", "previous")])
def test_a_state_that_can_not_be_read_for_a_moment_is_waited_for(
    study: Path,
    untouched: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
) -> None:
    control = Control()

    def end(event: Event) -> None:
        if isinstance(event, EpochFinished):
            control.interrupt()

    finished = execute(Train(project=str(study), config=fault_config()), end, control)
    assert isinstance(finished, RunFinished)
    state = study / "runs" / finished.run / "checkpoints" / "last" / "state.json"
    saved_step = json.loads(state.read_text(encoding="utf-8"))["step"]
    real, is_held = Path.read_bytes, True

    def read_bytes(path: Path) -> bytes:
        if is_held and path.parent.name in names:
            raise PermissionError(errno.EACCES, "held by a scanner")
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    events: list[Event] = []

    def let_go(event: Event) -> None:
        nonlocal is_held
        events.append(event)
        is_held = is_held and not isinstance(event, RunPaused)

    goes_on = execute(Resume(project=str(study), run=finished.run), let_go, Control())
    assert goes_on.outcome == COMPLETED, goes_on.error
    (pause,) = [event for event in events if isinstance(event, RunPaused)]
    assert "can't be read just now" in pause.reason and "Nothing is lost" in pause.reason
    assert not [event for event in events if isinstance(event, Recovered)]
    steps = [event.step for event in events if isinstance(event, BatchFinished)]
    assert steps[0] == saved_step + 1
    assert kept_bytes(study, finished.run) == untouched


@renames_open_projects
def test_a_cross_validation_waits_for_its_project_too(study: Path) -> None:
    elsewhere, is_done = study.with_name("renamed.radtune"), False
    events: list[Event] = []

    def listen(event: Event) -> None:
        nonlocal is_done
        events.append(event)
        if "training" in getattr(event, "stage", "") and not is_done:
            is_done = True
            study.rename(elsewhere)
        reason = getattr(event, "message", "")
        if "isn't there any more" in reason:
            assert not study.exists()
            elsewhere.rename(study)

    command = Crossval(project=str(study), config=fault_config(), folds=2)
    finished = execute(command, listen, Control())
    assert isinstance(finished, JobFinished)
    assert finished.outcome == COMPLETED, finished.error
    assert is_done and not elsewhere.exists()


@renames_open_projects
def test_a_run_whose_project_is_away_when_it_goes_on_takes_up_its_state_later(
    study: Path, untouched: dict[str, bytes]
) -> None:
    control, elsewhere = Control(), study.with_name("renamed.radtune")

    def end(event: Event) -> None:
        if isinstance(event, EpochFinished):
            control.interrupt()

    first = execute(Train(project=str(study), config=fault_config()), end, control)
    assert isinstance(first, RunFinished)
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, RunStarted):
            study.rename(elsewhere)
        if isinstance(event, RunPaused):
            elsewhere.rename(study)

    goes_on = execute(Resume(project=str(study), run=first.run), listen, Control())
    assert goes_on.outcome == COMPLETED, goes_on.error
    (pause,) = [event for event in events if isinstance(event, RunPaused)]
    assert "isn't there any more" in pause.reason
    assert next(event for event in events if isinstance(event, BatchFinished)).epoch == 2
    assert kept_bytes(study, first.run) == untouched


@renames_open_projects
def test_a_cross_validation_waits_for_its_project_between_two_parts(study: Path) -> None:
    elsewhere, waited = study.with_name("renamed.radtune"), []

    def listen(event: Event) -> None:
        if "Part 1 of 2: AUROC" in getattr(event, "stage", ""):
            study.rename(elsewhere)
        if isinstance(event, Warned) and event.is_waiting:
            waited.append(event.message)
            elsewhere.rename(study)

    command = Crossval(project=str(study), config=small_config("linear_probe"), folds=2)
    finished = execute(command, listen, Control())
    assert finished.outcome == COMPLETED, finished.error
    assert len(waited) == 1 and "isn't there any more" in waited[0]
