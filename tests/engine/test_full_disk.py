"""A disk that is really full: a small one in memory, mounted for the test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import engine.trainer.full_disk
from engine.contract.commands import Command, Evaluate, Export, MakeSplit, Resume, Scan, Train
from engine.contract.control import Control
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    BatchFinished,
    EpochFinished,
    Event,
    RunFinished,
    RunPaused,
    RunResumed,
)
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import run_job, small_config

Disk = Callable[[int], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Return a function that makes a disk of so many kilobytes and says where it is."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("FULL DISK NOT TESTED: only root on Linux can mount a small disk")
    mounted: list[Path] = []

    def make(kilobytes: int) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode != 0:
            pytest.skip("FULL DISK NOT TESTED: this machine doesn't allow mounting")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Fill a disk to the last byte, and return the file to delete for room."""
    ballast = disk / "ballast"
    try:
        with ballast.open("ab", buffering=0) as stream:
            while stream.write(b"x" * 65536):
                pass
    except OSError:
        pass
    return ballast


def perform(command: Command) -> Any:
    return execute(command, lambda event: None, Control())


@pytest.mark.parametrize("kilobytes", [8, 40, 120, 1500])
def test_an_import_without_room_is_refused_and_leaves_nothing(
    study: Path, disk: Disk, kilobytes: int
) -> None:
    folder = disk(kilobytes)
    finished = perform(Scan(source=str(study.parent / "images"), project=str(folder / "p")))
    assert finished.outcome == FAILED
    assert "disk" in finished.error
    assert finished.remedy
    assert list(folder.iterdir()) == []


class FullFrom:
    """Fills the disk at a batch, and makes room again at the first pause."""

    def __init__(self, folder: Path, step: int, control: Control, *, gives_up: bool) -> None:
        self.events: list[Event] = []
        self._folder, self._step, self._control = folder, step, control
        self._gives_up = gives_up

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, BatchFinished) and event.step == self._step:
            fill(self._folder)
        if isinstance(event, RunPaused):
            if self._gives_up:
                self._control.interrupt()
            else:
                (self._folder / "ballast").unlink()


def _train_on_full(study: Path, folder: Path, *, gives_up: bool) -> tuple[RunFinished, FullFrom]:
    control = Control()
    listener = FullFrom(folder, 2, control, gives_up=gives_up)
    finished = execute(Train(project=str(study), config=small_config()), listener, control)
    assert isinstance(finished, RunFinished)
    return finished, listener


def test_a_run_pauses_on_a_full_disk_and_goes_on_when_there_is_room(
    study: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.trainer.full_disk, "_TRY_AGAIN_S", 0.05)
    folder = disk(200_000)
    project = Path(shutil.copytree(study.parent, folder / "study")) / study.name
    finished, listener = _train_on_full(project, folder, gives_up=False)
    assert finished.outcome == COMPLETED, finished.error
    told = [e for e in listener.events if isinstance(e, RunPaused | RunResumed | EpochFinished)]
    assert [type(event) for event in told] == [RunPaused, RunResumed, EpochFinished, EpochFinished]
    assert isinstance(told[0], RunPaused)
    assert "disk is full" in told[0].reason and "Free some space" in told[0].reason
    run_folder = project / "runs" / finished.run
    log = (run_folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(log) == len(set(log))
    assert [json.loads(line)["type"] for line in log].count("RunPaused") == 1
    assert json.loads(log[-1])["type"] == "RunFinished"
    assert len((run_folder / "history.csv").read_text(encoding="utf-8").splitlines()) == 3
    with Project.open(project) as opened:
        assert opened.run_summary(finished.run).state == COMPLETED
    run_job(Evaluate(project=str(project), run=finished.run))


def test_a_run_interrupted_while_the_disk_is_full_can_be_resumed_later(
    study: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.trainer.full_disk, "_TRY_AGAIN_S", 0.05)
    folder = disk(200_000)
    project = Path(shutil.copytree(study.parent, folder / "study")) / study.name
    finished, _ = _train_on_full(project, folder, gives_up=True)
    assert finished.outcome == CANCELED
    (folder / "ballast").unlink()
    assert perform(Resume(project=str(project), run=finished.run)).outcome == COMPLETED


def test_other_commands_on_a_full_disk_say_so_and_change_nothing(
    trained: tuple[Path, str], disk: Disk
) -> None:
    folder = disk(100_000)
    project = Path(shutil.copytree(trained[0].parent, folder / "study")) / trained[0].name
    where, run = str(project), trained[1]
    ballast = fill(folder)
    commands: list[Command] = [
        MakeSplit(project=where, seed=3),
        Train(project=where, config=small_config()),
        Evaluate(project=where, run=run),
        Export(project=where, run=run, out=str(folder / "bundle")),
        Scan(source=str(project.parent / "images"), project=where),
    ]
    for command in commands:
        finished = perform(command)
        assert finished.outcome == FAILED
        assert "full" in finished.error, finished.error
        assert finished.remedy
    assert not (folder / "bundle").exists()
    ballast.unlink()
    with Project.open(project) as opened:
        assert opened.run_summary(run).looks == 0
    run_job(Evaluate(project=where, run=run))  # still on the split that it was trained on


def test_a_read_only_disk_gives_its_images_but_takes_no_changes(
    trained: tuple[Path, str], disk: Disk, tmp_path: Path
) -> None:
    folder = disk(100_000)
    project = Path(shutil.copytree(trained[0].parent, folder / "study")) / trained[0].name
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    where, images = str(project), str(project.parent / "images")
    for command in (
        Scan(source=images, project=str(folder / "new")),
        Scan(source=images, project=where),
        MakeSplit(project=where),
        Train(project=where, config=small_config()),
        Evaluate(project=where, run=trained[1]),
    ):
        finished = perform(command)
        assert finished.outcome == FAILED
        assert "read-only" in finished.error, finished.error
    assert run_job(Scan(source=images, project=str(tmp_path / "p")))["n_images"] == 60
