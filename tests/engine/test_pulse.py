"""A worker's heartbeats: they show that the work moves, and the log shows where it hangs."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.contract.control import Control
from engine.contract.events import JobStarted
from engine.contract.heartbeat import STARTING, WAITING, WORKING, Heartbeat
from engine.contract.protocol import (
    DUMP_STACKS,
    Request,
    decode_from_worker,
    decode_message,
    encode_heartbeat,
    encode_request,
)
from engine.pulse import Pulse
from engine.trainer.time_limit import TimedControl

ROOT = Path(__file__).resolve().parents[2]


def test_a_heartbeat_survives_the_line():
    beat = Heartbeat(state=WORKING, n_moves=12, cpu_s=3.25)
    assert decode_from_worker(encode_heartbeat(beat)) == beat
    assert decode_message(encode_request(Request(DUMP_STACKS))) == Request(DUMP_STACKS)


def test_the_number_grows_with_safe_points_and_events_alone():
    pulse, control = Pulse(io.StringIO(), None), Control()
    pulse.expect(control)
    assert pulse.heartbeat().state == STARTING
    pulse.begin(control)
    before = pulse.heartbeat()
    assert before.state == WORKING
    assert pulse.heartbeat().n_moves == before.n_moves
    control.safe_point()
    assert pulse.heartbeat().n_moves == before.n_moves + 1
    pulse.emit(JobStarted(kind="scan"))
    assert pulse.heartbeat().n_moves == before.n_moves + 2


def test_a_job_within_a_job_moves_it_too():
    control = Control()
    TimedControl(control, 60.0).safe_point()
    assert control.n_moves == 1


def test_a_paused_job_waits_and_then_works_again():
    pulse, control = Pulse(io.StringIO(), None), Control()
    pulse.begin(control)
    control.pause()
    job = threading.Thread(target=control.safe_point)
    job.start()
    while pulse.heartbeat().state != WAITING:
        time.sleep(0.01)
    before = pulse.heartbeat().n_moves
    control.proceed()
    job.join(10)
    assert pulse.heartbeat().state == WORKING
    assert pulse.heartbeat().n_moves > before


# The job of this worker: "sleep" hangs in Python, "hold" in native code that keeps the interpreter
# (a regular expression that takes longer than the universe is old).
HANGS = """
import re, sys, time
import engine.pulse, engine.run
import engine.worker as worker

engine.pulse._STUCK_S = 1.0
engine.pulse.BEAT_S = 0.1

def hang(command, emit, control):
    if sys.argv[1] == "sleep":
        time.sleep(600)
    re.match("(a+)+$", "a" * 60 + "b")

engine.run.execute = hang
worker.main("data")
"""


@pytest.fixture
def log_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if os.name == "nt":
        pytest.skip("platformdirs asks Windows itself for the folder of logs")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


class Hanging:
    """A worker with a job that hangs, as the window holds it."""

    def __init__(self, how: str) -> None:
        from gui.worker.process import WorkerProcess

        self.worker = WorkerProcess([sys.executable, "-c", HANGS, how])
        self.worker.send(json.dumps({"type": "methods"}))
        self.lines: Iterator[str] = self.worker.lines()

    def first_beat(self) -> Any:
        return decode_from_worker(next(self.lines))


@pytest.fixture
def hanging() -> Iterator[Any]:
    made: list[Hanging] = []

    def make(how: str) -> Hanging:
        made.append(Hanging(how))
        return made[-1]

    yield make
    for each in made:
        each.worker.kill()
        each.worker.close(is_patient=False)


def wait_for(is_so: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_a_hung_worker_writes_its_stacks_when_asked(log_folder, hanging):
    worker = hanging("sleep")
    seen = [worker.first_beat() for _ in range(3)]
    assert [beat.n_moves for beat in seen] == [seen[0].n_moves] * 3
    worker.worker.send(encode_request(Request(DUMP_STACKS)))
    wait_for(lambda: any("in hang" in p.read_text() for p in log_folder.rglob("hang-data.log")))
    (log,) = log_folder.rglob("hang-data.log")
    assert "no progress" in log.read_text(encoding="utf-8")


def test_one_that_keeps_the_interpreter_writes_them_by_itself(log_folder, hanging):
    hanging("hold").first_beat()
    wait_for(lambda: any("in hang" in p.read_text() for p in log_folder.rglob("hang-data.log")))


PARENT = """
import json, sys
from gui.worker.process import WorkerProcess

worker = WorkerProcess([sys.executable, "-c", sys.argv[1], sys.argv[2]])
worker.send(json.dumps({"type": "methods"}))
next(worker.lines())
print(worker.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["sleep", "hold"])
def test_a_hung_worker_dies_with_its_window(how):
    if how == "hold" and sys.platform == "darwin":
        pytest.skip("macOS has no way to end a process whose interpreter is held")
    window = subprocess.Popen(
        [sys.executable, "-c", PARENT, HANGS, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert window.stdout is not None
    worker = psutil.Process(int(window.stdout.readline()))
    time.sleep(0.5)
    window.kill()
    window.communicate()
    wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
