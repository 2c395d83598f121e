"""What the command line says and does when it is asked to end, at every moment."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import engine.run
import engine.worker
from engine.__main__ import main
from engine.contract.commands import Resume, RunAll, Scan, Search, Train
from engine.contract.config import preset_config
from engine.contract.control import Control
from engine.contract.events import CANCELED, Event, RunFinished, RunStarted
from engine.contract.shell import shell_line
from engine.ending import way_on

PROJECT = str(Path("chest x-rays.radtune").absolute())  # to be typed in any folder
TRAIN = ("train", "--project", PROJECT)
RESUME = ("resume", "--project", PROJECT, "--run", "r7")
GO_ON = f"Go on with: {shell_line(('radtune-engine', *RESUME))}\n"
AGAIN = "Start it again when you like.\n"


@pytest.fixture(autouse=True)
def _own_signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the signals of the tests' own process as they were."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr("atexit.register", lambda function: function)
    monkeypatch.setattr(engine.worker, "keep_crashes", lambda role: None)
    monkeypatch.setattr(engine.worker, "load_training", lambda: None)
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])


def begun(monkeypatch: pytest.MonkeyPatch, *, n_signals: int) -> None:
    """Let a run be interrupted that often after it began."""

    def execute(command: Any, emit: Callable[[Event], None], control: Control) -> RunFinished:
        emit(
            RunStarted(
                run="r7",
                preset="quick",
                backbone="b",
                method="m",
                max_epochs=1,
                n_train=1,
                n_val=1,
            )
        )
        for _ in range(n_signals):
            signal.raise_signal(signal.SIGINT)
        assert control.interrupted
        return RunFinished(run="r7", outcome=CANCELED)

    monkeypatch.setattr(engine.run, "execute", execute)


@pytest.mark.parametrize("n_signals", [1, 2])
@pytest.mark.parametrize("arguments", [TRAIN, RESUME])
def test_an_interrupted_run_names_what_to_type_to_go_on(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    n_signals: int,
) -> None:
    begun(monkeypatch, n_signals=n_signals)
    assert main(arguments) == 130
    assert capsys.readouterr().err.endswith(f"Interrupted.\n{GO_ON}")


@pytest.mark.parametrize(("arguments", "remedy"), [(TRAIN, AGAIN), (RESUME, GO_ON)])
def test_what_only_loads_ends_at_once(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    remedy: str,
) -> None:
    def load() -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(engine.worker, "load_training", load)
    monkeypatch.setattr(engine.run, "execute", lambda *_: pytest.fail("it began nevertheless"))
    assert main(arguments) == 130
    assert capsys.readouterr().err == f"Interrupted.\n{remedy}"


def test_each_kind_of_job_says_whether_it_goes_on() -> None:
    config = preset_config("quick")
    goes_on = "Give the same command again when you like: it goes on where it was."
    assert way_on(RunAll(source="s", out="o"), "r7") == goes_on
    assert way_on(Search(project="p", config=config, minutes=5.0)) == goes_on
    assert way_on(Scan(source="s", project="p")) == AGAIN.strip()
    assert way_on(Train(project="p", config=config)) == AGAIN.strip()
    assert way_on(None) == AGAIN.strip()
    expected = "Go on with: radtune-engine resume --project p --run r7"
    assert way_on(Train(project="p", config=config), "r7") == expected
    assert way_on(Resume(project="p", run="r7")) == expected
    assert way_on(Resume(project="p", run="r7", anyway=True)) == f"{expected} --anyway"


def test_names_with_spaces_are_quoted_as_each_system_wants_it() -> None:
    words = ("radtune-engine", "--project", "my lungs")
    assert shell_line(words, is_windows=True) == 'radtune-engine --project "my lungs"'
    assert shell_line(words, is_windows=False) == "radtune-engine --project 'my lungs'"
