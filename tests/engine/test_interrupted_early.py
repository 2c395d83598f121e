"""A run that is interrupted before its first saved state begins again as the run that it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.contract.commands import Resume, Train
from engine.contract.config import ExperimentConfig
from engine.contract.control import Control
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    STOPPED,
    EpochFinished,
    Event,
    RunFinished,
    RunProgressed,
    RunStarted,
)
from engine.contract.records import RunSummary
from engine.methods.soft_threshold import SoftThreshold
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import small_config, train

FIRST, SECOND, THIRD = (f"Trying a pull of {s:g}" for s in SoftThreshold.strengths[:3])


def stages_of(events: list[Event]) -> list[str]:
    return list(dict.fromkeys(e.stage for e in events if isinstance(e, RunProgressed)))


def asked(
    command: Train | Resume, when: Callable[[Event], bool], ask: str = "interrupt"
) -> tuple[RunFinished, list[Event]]:
    """Perform a command, and ask it for something as soon as an event tells to."""
    control, events = Control(), list[Event]()

    def listen(event: Event) -> None:
        events.append(event)
        if when(event):
            getattr(control, ask)()

    finished = execute(command, listen, control)
    assert isinstance(finished, RunFinished)
    return finished, events


def at_stage(stage: str) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, RunProgressed) and event.stage == stage


def start(project: Path, config: ExperimentConfig) -> Train:
    return Train(project=str(project), config=config)


def go_on(project: Path, run: str) -> Resume:
    return Resume(project=str(project), run=run)


def never(event: Event) -> bool:
    return False


def summary_of(project: Path, run: str) -> RunSummary:
    with Project.open(project, read_only=True) as opened:
        return opened.run_summary(run)


def best_weights(project: Path, run: str) -> dict[str, torch.Tensor]:
    return load_file(project / "runs" / run / "checkpoints" / "best" / "weights.safetensors")


def assert_same(project: Path, one: RunFinished, other: RunFinished) -> None:
    assert (one.outcome, other.outcome) == (COMPLETED, COMPLETED), (one.error, other.error)
    expected, found = best_weights(project, one.run), best_weights(project, other.run)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert one.result["method_facts"] == other.result["method_facts"]
    assert one.result["val_auroc"] == other.result["val_auroc"]


def test_a_run_interrupted_while_it_tries_strengths_takes_up_those_that_were_tried(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SoftThreshold, "strengths", SoftThreshold.strengths[:3])
    config = small_config("soft_threshold", max_epochs=1)
    whole, events = train(study, config)
    assert {FIRST, SECOND, THIRD} <= set(stages_of(events))

    cut, events = asked(start(study, config), at_stage(SECOND))
    assert cut.outcome == CANCELED
    assert stages_of(events)[-1] == SECOND
    again, events = asked(go_on(study, cut.run), at_stage(THIRD))
    assert again.run == cut.run
    tried = [stage for stage in stages_of(events) if stage.startswith("Trying")]
    assert tried == [SECOND, THIRD]
    found = summary_of(study, cut.run)
    assert (found.state, found.is_resumable, found.has_saved_state) == ("interrupted", True, False)

    done, events = asked(go_on(study, cut.run), never)
    assert done.run == cut.run
    assert [event.is_resumed for event in events if isinstance(event, RunStarted)] == [True]
    assert FIRST not in stages_of(events) and SECOND not in stages_of(events)
    assert_same(study, whole, done)
    assert not (study / "runs" / done.run / "trials").exists()
    with Project.open(study, read_only=True) as opened:
        assert len(opened.runs()) == 2
        assert opened.run_config(done.run) == opened.run_config(whole.run)


@pytest.mark.parametrize("method", ["linear_probe", "direct_transfer"])
def test_a_run_without_epochs_that_is_interrupted_begins_again(study: Path, method: str) -> None:
    config = small_config(method)
    cut, _ = asked(start(study, config), at_stage("Describing images"))
    assert cut.outcome == CANCELED
    found = summary_of(study, cut.run)
    assert (found.state, found.is_resumable, found.has_saved_state) == ("interrupted", True, False)
    done, _ = asked(go_on(study, cut.run), never)
    assert done.run == cut.run
    whole, _ = train(study, config)
    assert_same(study, whole, done)


def test_a_trial_that_was_stopped_early_is_not_kept(study: Path) -> None:
    kept: list[int] = []

    def stop(event: Event) -> bool:
        if isinstance(event, EpochFinished):
            kept.append(len(list((study / "runs" / event.run).glob("trials/*"))))
        return isinstance(event, RunProgressed) and event.stage == FIRST

    finished, _ = asked(start(study, small_config("soft_threshold")), stop, "stop")
    assert finished.outcome == STOPPED
    assert kept == [0]


def test_a_canceled_run_leaves_no_trials(study: Path) -> None:
    command = start(study, small_config("soft_threshold"))
    cut, _ = asked(command, at_stage(SECOND), "cancel")
    assert not (study / "runs" / cut.run / "trials").exists()
    found = summary_of(study, cut.run)
    assert (found.state, found.is_resumable) == ("canceled", False)
