"""A run or job that waits for its disk, or for a driver, is asked to end: it does so at once."""

from __future__ import annotations

import ast
import errno
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.contract.commands import Command, Crossval, Resume, Search, Train
from engine.contract.config import ExperimentConfig, RuntimeConfig
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import StorageError
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    BatchFinished,
    Event,
    JobProgressed,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    Warned,
)
from engine.hardware import nvidia, place_run, preflight
from engine.hardware.nvidia import Card, DriverAnswer
from engine.project.store import Project
from engine.run import execute
from engine.trainer import full_disk, saving
from engine.trainer.checkpoint import save_state
from engine.trainer.full_disk import when_there_is_room
from engine.trainer.time_limit import TimedControl
from tests.helpers.failing_disk import BrokenFolder
from tests.helpers.killable import kept_bytes
from tests.long.disk_faults import fault_config

FULL = StorageError("The disk is full.", remedy="Free some space.")
ROOT = Path(__file__).resolve().parents[2]
TRIES_A_DEVICE = ("place_run", "load_run", "Predictor", "facts_of")
LONG_S = 3600.0
"""A wait that nothing but a request ends: a test that waits for it hangs."""


@pytest.fixture
def never_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_disk, "_TRY_AGAIN_S", LONG_S)


def refused() -> None:
    raise FULL


def asking(control: Control, ask: str, events: list[Event]) -> Callable[[Event], None]:
    """Return a listener that asks from another thread as soon as it hears of the wait."""

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, RunPaused):
            threading.Thread(target=getattr(control, ask)).start()

    return listen


# The wait itself


@pytest.mark.parametrize("ask", ["stop", "cancel", "interrupt"])
@pytest.mark.usefixtures("never_tries_again")
def test_every_way_to_end_ends_the_wait(ask: str) -> None:
    control = Control()
    events: list[Event] = []
    with pytest.raises(JobCanceled):
        when_there_is_room(refused, run="r", emit=asking(control, ask, events), control=control)
    assert control.interrupted is (ask != "cancel")
    (event,) = events
    assert isinstance(event, RunPaused)
    assert event.reason.startswith("The disk is full. Free some space.")
    assert event.reason.endswith("Stop ends it with what was saved last.")


@pytest.mark.usefixtures("never_tries_again")
def test_a_request_that_comes_while_it_is_tried_is_not_slept_over() -> None:
    control = Control()

    def act() -> None:
        control.cancel() if control.n_requests else control.stop()
        raise FULL

    with pytest.raises(JobCanceled):
        when_there_is_room(act, run="r", emit=lambda _: None, control=control)


@pytest.mark.usefixtures("never_tries_again")
def test_what_can_be_saved_when_a_stop_comes_is_saved_and_the_stop_is_an_ordinary_one() -> None:
    control = Control()
    events: list[Event] = []
    tries: list[int] = []

    def act() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise FULL
        return "saved"

    listen = asking(control, "stop", events)
    assert when_there_is_room(act, run="r", emit=listen, control=control) == "saved"
    assert (control.stop_requested, control.cancel_requested) == (True, False)
    assert [type(event) for event in events] == [RunPaused, RunResumed]


def test_a_stop_from_before_the_wait_gives_the_disk_one_more_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(full_disk, "_TRY_AGAIN_S", 0.01)
    control = Control()
    tries: list[int] = []

    def act() -> None:
        tries.append(1)
        raise FULL

    control.stop()
    with pytest.raises(JobCanceled):
        when_there_is_room(act, run="r", emit=lambda _: None, control=control)
    assert len(tries) == 2


def test_a_trial_whose_time_is_up_goes_on_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_disk, "_TRY_AGAIN_S", 0.01)
    inner = Control()
    tries: list[int] = []
    timed = TimedControl(inner, seconds=0.0)

    def act() -> None:
        tries.append(1)
        if len(tries) < 5:
            raise FULL

    when_there_is_room(act, run="r", emit=lambda _: None, control=timed)
    assert (timed.stop_requested, inner.interrupted) == (True, False)


@pytest.mark.usefixtures("never_tries_again")
def test_a_stop_ends_the_wait_of_a_trial_too() -> None:
    inner = Control()
    events: list[Event] = []
    timed = TimedControl(inner)
    with pytest.raises(JobCanceled):
        when_there_is_room(refused, run="r", emit=asking(inner, "stop", events), control=timed)
    assert timed.interrupted


# Runs


class FullFrom:
    """Refuses to save from a step on until it is let; asks something once the run waits."""

    def __init__(self, patch: pytest.MonkeyPatch, step: int, control: Control, ask: str) -> None:
        self.events: list[Event] = []
        self.is_full = True
        self._step, self._control, self._ask = step, control, ask
        patch.setattr(saving, "save_state", self._save)
        patch.setattr(saving, "_EVERY_S", 0.0)
        patch.setattr(saving, "_SHARE", 0.0)

    def _save(self, *arguments: Any) -> None:
        if self.is_full and arguments[1].step >= self._step:
            raise FULL
        save_state(*arguments)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, RunPaused):
            getattr(self._control, self._ask)()

    def told(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]


def performed(
    project: Path,
    listen: Callable[[Event], None],
    control: Control,
    config: ExperimentConfig | None = None,
) -> RunFinished:
    command = Train(project=str(project), config=config or fault_config())
    finished = execute(command, listen, control)
    assert isinstance(finished, RunFinished)
    return finished


def state_of(project: Path, run: str) -> str:
    with Project.open(project, read_only=True) as opened:
        return opened.run_summary(run).state


@pytest.mark.usefixtures("never_tries_again")
def test_a_stop_on_a_full_disk_ends_an_interrupted_run_that_goes_on_with_the_same_bits(
    study: Path, untouched: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Control()
    with monkeypatch.context() as patch:
        fault = FullFrom(patch, 3, control, "stop")
        finished = performed(study, fault, control)
    assert finished.outcome == CANCELED
    assert "stopped while it waited" in (finished.error or "")
    assert "Continue it" in (finished.remedy or "")
    assert state_of(study, finished.run) == "interrupted"
    (lost,) = [text for text in fault.told() if "couldn't be saved" in text]
    assert lost.startswith("The last step of training, done since ")  # the third of two saved
    again = execute(Resume(project=str(study), run=finished.run), lambda _: None, Control())
    assert again.outcome == COMPLETED, again.error
    assert kept_bytes(study, finished.run) == untouched


@pytest.mark.parametrize(("ask", "state"), [("cancel", "canceled"), ("interrupt", "interrupted")])
@pytest.mark.usefixtures("never_tries_again")
def test_a_run_that_waits_is_canceled_or_interrupted_at_once(
    study: Path, monkeypatch: pytest.MonkeyPatch, ask: str, state: str
) -> None:
    control = Control()
    with monkeypatch.context() as patch:
        fault = FullFrom(patch, 3, control, ask)
        finished = performed(study, fault, control)
    assert (finished.outcome, finished.error) == (CANCELED, None)
    assert state_of(study, finished.run) == state


@pytest.mark.usefixtures("never_tries_again")
def test_proceed_tries_at_once(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control = Control()
    with monkeypatch.context() as patch:
        fault = FullFrom(patch, 3, control, "proceed")
        patch.setattr(control, "proceed", _both(fault, control.proceed))
        finished = performed(study, fault, control)
    assert finished.outcome == COMPLETED


def _both(fault: FullFrom, proceed: Callable[[], None]) -> Callable[[], None]:
    def act() -> None:
        fault.is_full = False
        proceed()

    return act


# Going on with a run on a full disk


def cut_off(project: Path) -> str:
    control = Control()

    def listen(event: Event) -> None:
        if isinstance(event, BatchFinished) and event.step == 3:
            control.interrupt()

    finished = performed(project, listen, control)
    assert finished.outcome == CANCELED
    return finished.run


@pytest.mark.usefixtures("tries_again_soon")
def test_going_on_with_a_run_waits_for_a_full_disk(
    study: Path, untouched: dict[str, bytes]
) -> None:
    run = cut_off(study)
    events: list[Event] = []
    broken = BrokenFolder(study, errno.ENOSPC, 1)

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, RunPaused):
            broken.mend()

    with pytest.MonkeyPatch.context() as patch:
        broken.install(patch)
        finished = execute(Resume(project=str(study), run=run), listen, Control())
    assert broken.n_refused
    assert finished.outcome == COMPLETED, finished.error
    told = [event for event in events if isinstance(event, RunPaused | RunResumed | RunStarted)]
    assert [type(event) for event in told] == [RunPaused, RunResumed, RunStarted]
    assert isinstance(told[0], RunPaused)
    assert told[0].run == run and "disk is full" in told[0].reason
    assert kept_bytes(study, run) == untouched


@pytest.mark.parametrize("ask", ["stop", "cancel", "interrupt"])
@pytest.mark.usefixtures("never_tries_again")
def test_going_on_that_waits_can_be_given_up_and_leaves_the_run_as_it_was(
    study: Path, ask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, control = cut_off(study), Control()
    events: list[Event] = []
    with monkeypatch.context() as patch:
        patch.setattr("engine.jobs.beginning.open_alone", lambda *_, **__: refused())
        command = Resume(project=str(study), run=run)
        finished = execute(command, asking(control, ask, events), control)
    assert finished.outcome == CANCELED
    assert events[-1] == finished
    assert state_of(study, run) == "interrupted"


@pytest.mark.usefixtures("never_tries_again")
def test_going_on_where_nothing_can_ever_be_written_is_refused(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = cut_off(study)

    def read_only(*_: Any) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr("engine.project.lock._open_lock", read_only)
    finished = execute(Resume(project=str(study), run=run), lambda _: None, Control())
    assert finished.outcome == FAILED
    assert "read-only" in (finished.error or "")


# Other jobs


def job(kind: str, project: Path) -> Command:
    where, config = str(project), fault_config()
    if kind == "crossval":
        return Crossval(project=where, config=config, folds=2)
    return Search(project=where, config=config, minutes=5.0)


@pytest.mark.parametrize("kind", ["crossval", "search"])
@pytest.mark.usefixtures("never_tries_again")
def test_a_stop_ends_the_wait_of_other_jobs_and_what_they_kept_stays(
    study: Path, kind: str
) -> None:
    control = Control()
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        broken = BrokenFolder(study, errno.ENOSPC, 1)

        def listen(event: Event) -> None:
            if isinstance(event, JobProgressed) and not told:
                broken.install(patch)
            if isinstance(event, Warned) and "disk is full" in event.message:
                told.append(event.message)
                threading.Thread(target=control.stop).start()

        finished = execute(job(kind, study), listen, control)
    assert told and told[0].endswith("Stop ends it with what was saved last.")
    assert finished.outcome == CANCELED
    assert len(list((study / "runs").glob(f"{kind}-*"))) == 1


# A driver that doesn't answer


@pytest.fixture
def hanging_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver's tool that never answers."""
    real = nvidia._run
    hang = [sys.executable, "-c", "import time; time.sleep(3600)"]
    monkeypatch.setattr("engine.hardware.nvidia.shutil.which", lambda _: "nvidia-smi")
    monkeypatch.setattr(nvidia, "_run", lambda _, safe_point: real(hang, safe_point))
    monkeypatch.setattr(nvidia, "_TIMEOUT_S", LONG_S)
    monkeypatch.setattr(preflight, "_usable", None)


@pytest.fixture
def hanging_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card whose driver lets torch hang in the process that lists devices."""
    card = DriverAnswer(cards=(Card(index=0, name="A card", memory_mb=1),), is_there=True)
    hang = [sys.executable, "-c", "import time; time.sleep(3600)"]
    monkeypatch.setattr(preflight, "ask_driver", lambda _: card)
    monkeypatch.setattr(preflight, "check_command", lambda: hang)
    monkeypatch.setattr(preflight, "_usable", None)


@pytest.mark.parametrize("what", ["hanging_tool", "hanging_torch"])
@pytest.mark.parametrize("ask", ["stop", "cancel", "interrupt"])
def test_a_request_ends_the_trial_of_a_device(
    request: pytest.FixtureRequest, what: str, ask: str
) -> None:
    request.getfixturevalue(what)
    control, since = Control(), time.monotonic()
    threading.Timer(0.3, getattr(control, ask)).start()
    with pytest.raises(JobCanceled):
        place_run(RuntimeConfig(), safe_point=control.wait_point)
    assert time.monotonic() - since < 100  # not the three minutes that the trial may take
    assert control.interrupted is (ask != "cancel")


def test_a_pause_during_the_trial_of_a_device_is_told_and_is_not_taken_for_its_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The child answers while the run is paused for longer than an answer may take."""
    answer = "import time; time.sleep(0.5); print('{\"devices\": []}', flush=True)"
    card = DriverAnswer(cards=(Card(index=0, name="A card", memory_mb=1),), is_there=True)
    monkeypatch.setattr(preflight, "ask_driver", lambda _: card)
    monkeypatch.setattr(preflight, "_usable", None)
    control = Control()
    told: list[str] = []

    def on_pause() -> None:
        told.append("paused")
        threading.Timer(2.5, control.proceed).start()

    control.pause()
    with control.pausing(on_pause, lambda: told.append("going on")):
        found = preflight.find_devices(
            command=[sys.executable, "-c", answer], safe_point=control.wait_point, limit_s=2.0
        )
    assert (found, told) == ((), ["paused", "going on"])


def on_any_device() -> ExperimentConfig:
    return replace(fault_config(), runtime=RuntimeConfig(precision="fp32", threads=1))


@pytest.mark.usefixtures("hanging_torch")
def test_a_run_that_is_stopped_while_its_device_is_tried_can_be_continued(study: Path) -> None:
    control = Control()

    def listen(event: Event) -> None:
        if isinstance(event, RunStarted):
            threading.Timer(0.3, control.stop).start()

    finished = performed(study, listen, control, on_any_device())
    assert finished.outcome == CANCELED
    assert state_of(study, finished.run) == "interrupted"


def test_every_place_that_tries_a_device_hears_requests_meanwhile() -> None:
    deaf = []
    for path in sorted((ROOT / "engine").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or "safe_point" in {w.arg for w in node.keywords}:
                continue
            if getattr(node.func, "id", "") in TRIES_A_DEVICE:
                deaf.append(f"{path.name}: {ast.unparse(node)}")
    assert deaf == [
        "write.py: Predictor(read_bundle(folder), loaded.runtime)",  # it is given the runtime
    ]
