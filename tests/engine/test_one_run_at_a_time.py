"""Never two runs on one project, whoever starts them; and how the command line is asked to end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.contract.control import Control
from engine.contract.shell import shell_line
from engine.ending import Ending, Hurried
from engine.project.lock import ProjectLock, is_in_use
from engine.project.store import Project

ROOT = Path(__file__).resolve().parents[2]
IS_WINDOWS = os.name == "nt"
LONG = ("--set", "method.max_epochs=200", "--set", "method.patience=200")


def start(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "engine", *map(str, arguments), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        **options,
    )


def lines_of(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.communicate()[0].splitlines()]


def wait_for_batch(process: subprocess.Popen[str]) -> str:
    """Read until the first update, and return the run's id."""
    assert process.stdout is not None
    for line in process.stdout:
        fact = json.loads(line)
        if fact["type"] == "BatchFinished":
            return str(fact["run"])
    raise AssertionError("the training ended before its first update")


def test_the_command_line_is_refused_beside_a_window(study: Path) -> None:
    with ProjectLock(study, "the RadTune window"):
        done = start("train", "--project", study)
        last = lines_of(done)[-1]
    assert done.returncode == 1
    where = socket.gethostname()
    assert last["message"] == f"This project is in use by the RadTune window on {where}."
    assert last["remedy"] == "Close it there, then try again."
    with Project.open(study) as project:
        assert project.runs() == ()


def test_a_second_training_is_refused_and_a_killed_one_keeps_nobody_out(study: Path) -> None:
    first = start("train", "--project", study, *LONG)
    run = wait_for_batch(first)
    assert is_in_use(study)
    second = start("train", "--project", study)
    assert "in use by a training on" in lines_of(second)[-1]["message"]
    assert second.returncode == 1
    first.kill()
    first.communicate()
    assert not is_in_use(study)
    with Project.open(study) as project:
        assert project.run_summary(run).state == "running"
    third = start("split", "--project", study)
    assert lines_of(third)[-1]["type"] == "result"
    with Project.open(study) as project:
        assert project.run_summary(run).state == "interrupted"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "CTRL_BREAK_EVENT"])
def test_being_asked_to_end_keeps_the_run(study: Path, name: str) -> None:
    if (number := getattr(signal, name, None)) is None or (IS_WINDOWS and name == "SIGTERM"):
        pytest.skip(f"this system has no {name} for one process")
    flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    process = start("train", "--project", study, *LONG, creationflags=flags)
    run = wait_for_batch(process)
    process.send_signal(number)
    last = lines_of(process)[-1]
    assert process.returncode == 130
    go_on = shell_line(("radtune-engine", "resume", "--project", str(study), "--run", run))
    assert (last["type"], last["remedy"]) == ("error", f"Go on with: {go_on}")
    with Project.open(study) as project:
        summary = project.run_summary(run)
    assert (summary.state, summary.is_resumable) == ("interrupted", True)


def test_windows_break_is_heeded_as_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: dict[int, Callable[..., None]] = {}
    monkeypatch.setattr(signal, "SIGBREAK", 21, raising=False)
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_DFL)
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr("atexit.register", lambda function: function)
    control = Control()
    ending = Ending(control)
    ending.heed_signals()
    ending.begins()
    handlers[21](21, None)
    assert control.interrupted
    with pytest.raises(Hurried):
        handlers[21](21, None)
