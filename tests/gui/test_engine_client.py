"""The client with real worker processes: they answer, they end, and they may be killed."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.contract.commands import MakeSample, Resume, Train
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    BatchFinished,
    Event,
    JobFinished,
    JobProgressed,
    RunFinished,
)
from gui.worker.engine_client import EngineClient
from gui.worker.process import WorkerProcess, worker_command
from gui.worker.requests import JobRequests
from tests.helpers.tiny_study import make_study, small_config


@pytest.fixture
def client() -> Iterator[EngineClient]:
    client = EngineClient()
    yield client
    client.close()


@pytest.fixture(scope="module")
def _study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("study"))


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_a_job_runs_in_a_worker_that_stays_for_the_next(
    client: EngineClient, tmp_path: Path
) -> None:
    events: list[Event] = []
    first = client.perform(MakeSample(out=str(tmp_path / "a"), n_images=9), events.append)
    before = _children()
    second = client.perform(MakeSample(out=str(tmp_path / "b"), n_images=9), events.append)
    assert (first.outcome, second.outcome) == (COMPLETED, COMPLETED)
    assert _children() == before
    assert events.count(first) == events.count(second) == 1


def test_a_job_can_be_canceled_from_another_thread(client: EngineClient, tmp_path: Path) -> None:
    requests = JobRequests()

    def cancel(event: Event) -> None:
        if isinstance(event, JobProgressed):
            threading.Thread(target=requests.add, args=("cancel",)).start()

    command = MakeSample(out=str(tmp_path / "a"), n_images=2000)
    finished = client.perform(command, cancel, requests)
    assert finished.outcome == CANCELED


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no such signals to a process")
def test_a_log_off_leaves_the_workers_to_their_window(client: EngineClient, tmp_path: Path) -> None:
    command = MakeSample(out=str(tmp_path / "a"), n_images=9)
    client.perform(command, lambda event: None)
    workers = _children()
    for worker in workers:  # as systemd does with every process of a session
        os.kill(worker, signal.SIGTERM)
        os.kill(worker, signal.SIGHUP)
    again = client.perform(MakeSample(out=str(tmp_path / "b"), n_images=9), lambda event: None)
    assert again.outcome == COMPLETED
    assert _children() == workers


def test_workers_end_with_the_client(tmp_path: Path) -> None:
    before = _children()
    client = EngineClient()
    client.perform(MakeSample(out=str(tmp_path / "a"), n_images=9), lambda event: None)
    client.warm_up("run")
    started = _children() - before
    assert len(started) >= 2
    client.close()
    assert not started & _children()


def test_a_worker_ends_when_its_input_does() -> None:
    worker = WorkerProcess(worker_command("data"))
    worker.close(is_patient=False)
    assert not worker.is_alive


def test_a_killed_run_worker_leaves_a_message_and_a_run_that_goes_on(
    client: EngineClient, _study: Path, tmp_path: Path
) -> None:
    study = Path(shutil.copytree(_study.parent, tmp_path / "study")) / _study.name
    events: list[Event] = []

    def kill(event: Event) -> None:
        events.append(event)
        if isinstance(event, BatchFinished) and event.step == 2:
            for child in psutil.Process().children(recursive=True):
                child.kill()

    command = Train(project=str(study), config=small_config(max_epochs=3))
    finished = client.perform(command, kill)
    assert isinstance(finished, RunFinished)
    assert finished.outcome == FAILED
    assert finished.error
    assert finished.remedy
    assert events[-1] is finished
    assert sum(isinstance(event, RunFinished) for event in events) == 1

    resumed = client.perform(Resume(project=str(study), run=finished.run), events.append)
    assert resumed.outcome == COMPLETED


def test_a_worker_that_dies_in_another_job_is_replaced(
    client: EngineClient, tmp_path: Path
) -> None:
    def kill(event: Event) -> None:
        if isinstance(event, JobProgressed):
            for child in psutil.Process().children(recursive=True):
                child.kill()

    finished = client.perform(MakeSample(out=str(tmp_path / "a"), n_images=500), kill)
    assert isinstance(finished, JobFinished)
    assert finished.outcome == FAILED
    again = client.perform(MakeSample(out=str(tmp_path / "b"), n_images=9), lambda event: None)
    assert again.outcome == COMPLETED


def test_what_a_library_prints_does_not_reach_the_stream(tmp_path: Path) -> None:
    code = (
        "import os, sys, threading; import engine.worker as w;"
        "run = __import__('engine.run').run;"
        "real = run.execute;"
        "run.execute = lambda *a: (print('noise'), os.write(1, b'noise\\n'),"
        " os.system('echo noise'), real(*a))[-1];"
        "w.main('data')"
    )
    command = [*worker_command("data")[:1], "-c", code]
    client = EngineClient(lambda role, environment: WorkerProcess(command, environment))
    seen: list[Event] = []
    finished = client.perform(MakeSample(out=str(tmp_path / "a"), n_images=9), seen.append)
    client.close()
    assert finished.outcome == COMPLETED
    assert len(seen) >= 2


def test_closing_takes_no_longer_than_a_moment(client: EngineClient) -> None:
    client.warm_up("data")
    started = time.monotonic()
    client.close()
    assert time.monotonic() - started < 10
