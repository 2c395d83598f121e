"""A pre-training that was cut off: asked for again it goes on, and in the end nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.contract.commands import MakeSplit, Pretrain
from engine.contract.control import Control
from engine.contract.events import CANCELED, COMPLETED, FAILED, Event, JobProgressed
from engine.models.weights import added_weights
from engine.project.access import open_alone
from engine.project.pretrainings import read_unfinished
from engine.project.store import Project
from tests.engine.test_pretraining_job import (
    _own_weights,
    _two,
    command,
    perform,
    two,
)
from tests.helpers.tiny_study import run_job

__all__ = ["_own_weights", "_two", "two"]

N_PASSES = 2
ROOT = Path(__file__).resolve().parents[2]


class Watch(Control):
    """Remembers the updates that are told, and makes a request at one of them."""

    def __init__(self, at: int = 0, request: str = "interrupt") -> None:
        super().__init__()
        self.steps: list[int] = []
        self.n_steps = 0
        self._at, self._request = at, request

    def listen(self, event: Event) -> None:
        if isinstance(event, JobProgressed) and event.stage.startswith("Training"):
            self.steps.append(event.done)
            self.n_steps = event.total
            if event.done == self._at:
                getattr(self, self._request)()


def asked(projects: list[Path], **changes: Any) -> Pretrain:
    return command(projects, **({"epochs": N_PASSES} | changes))


def cut_off(projects: list[Path], at: int = 3) -> None:
    control = Watch(at)
    assert perform(asked(projects), control, control.listen).outcome == CANCELED
    assert control.steps[-1] == at


def left_in(projects: list[Path]) -> list[str]:
    return [path.name for project in projects for path in (project / "runs").glob("*")]


def digest() -> str:
    [added] = added_weights("efficientnet_lite0")
    return added.digest


@pytest.fixture(scope="module")
def whole(_two: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the digest of what an uninterrupted pre-training gives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RADTUNE_WEIGHTS", str(tmp_path_factory.mktemp("weights")))
        assert perform(asked(list(_two))).outcome == COMPLETED
        return digest()


def test_the_same_command_goes_on_to_the_same_weights_and_leaves_nothing(two, whole):
    cut_off(two)
    assert len(left_in(two)) == 1
    assert not added_weights()
    control = Watch()
    finished = perform(asked(two), control, control.listen)
    assert finished.outcome == COMPLETED, finished.error
    assert control.steps[0] == 4
    assert digest() == whole
    assert left_in(two) == []
    assert finished.result["epochs"] == N_PASSES


def test_neither_order_nor_paths_of_the_projects_nor_the_name_count(two, whole, tmp_path):
    cut_off(two)
    moved = [two[0].rename(tmp_path / "moved.radtune"), two[1]]
    control = Watch()
    finished = perform(asked(moved[::-1], name="Another"), control, control.listen)
    assert finished.outcome == COMPLETED, finished.error
    assert control.steps[0] == 4
    assert digest() == whole
    assert [share["name"] for share in finished.result["projects"]] == ["Other", "One"]
    assert left_in(moved) == []
    [added] = added_weights("efficientnet_lite0")
    assert added.name == "Another"


@pytest.mark.parametrize("changes", [{"seed": 1}, {"epochs": N_PASSES + 1}])
def test_other_settings_begin_anew_and_leave_what_was_cut_off(two, changes):
    cut_off(two)
    control = Watch(at=1, request="cancel")
    perform(asked(two, **changes), control, control.listen)
    assert control.steps == [1]
    control = Watch(at=4)
    perform(asked(two), control, control.listen)
    assert control.steps == [4]


def test_another_division_begins_anew_and_the_outdated_state_goes(two):
    cut_off(two)
    run_job(MakeSplit(project=str(two[0]), seed=7))
    assert read_unfinished(two[0]) == ()
    control = Watch(at=1)
    perform(asked(two), control, control.listen)
    assert control.steps == [1]
    assert len(left_in(two)) == 1


def test_a_cancel_leaves_nothing(two):
    cut_off(two)
    control = Watch(at=4, request="cancel")
    assert perform(asked(two), control, control.listen).outcome == CANCELED
    assert control.steps == [4]
    assert left_in(two) == []


def test_a_failure_before_anything_was_trained_leaves_nothing(two, monkeypatch):
    monkeypatch.setattr("engine.jobs.pretraining.build_network", None)
    assert perform(asked(two)).outcome == FAILED
    assert left_in(two) == []


def test_what_was_cut_off_can_be_read_with_what_asks_for_it_again(two, tmp_path):
    assert read_unfinished(two[0]) == ()
    cut_off(two)
    [found] = read_unfinished(two[0])
    assert found.projects == ("One", "Other")
    assert found.command == replace(asked(two), projects=tuple(str(path) for path in two))
    assert read_unfinished(two[1]) == ()  # one project keeps it
    two[1].rename(tmp_path / "away.radtune")
    assert read_unfinished(two[0]) == ()


def test_one_that_is_under_way_is_not_offered(two):
    cut_off(two)
    with open_alone(two[1], owner="a test"):
        assert read_unfinished(two[0]) == ()
    assert len(read_unfinished(two[0])) == 1


def test_what_it_keeps_is_no_run(two):
    cut_off(two)
    with Project.open(two[0], read_only=True) as project:
        assert project.runs() == ()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals for one process")
def test_at_a_terminal_it_says_how_to_go_on_and_survives_a_kill(two, tmp_path):
    words = [sys.executable, "-m", "engine", "pretrain", "--projects", *map(str, two)]
    words += ["--name", "Both", "--epochs", "40", "--json"]

    def end_with(number: signal.Signals, after: int) -> tuple[list[int], str, int]:
        """Send a signal when so many updates more are done; return the updates that were told."""
        process = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT, text=True)
        assert process.stdout is not None
        steps, last = [], ""
        for line in process.stdout:
            plain = json.loads(line)
            if str(plain.get("stage", "")).startswith("Training"):
                steps.append(int(plain["done"]))
                if len(steps) == after:
                    process.send_signal(number)
            last = line
        return steps, last, process.wait()

    steps, last, code = end_with(signal.SIGTERM, after=2)
    assert code == 130
    assert "goes on where it was" in json.loads(last)["remedy"]
    assert json_facts_of_state(two)["step"] == steps[-1]
    later, last, code = end_with(signal.SIGKILL, after=8)
    assert code == -signal.SIGKILL, last
    assert later[0] == steps[-1] + 1
    saved = json_facts_of_state(two)
    assert saved["batch"] == 0  # a pass was done, and with it saved
    assert len(read_unfinished(two[0])) == 1


def json_facts_of_state(projects: list[Path]) -> dict[str, Any]:
    [file] = [f for p in projects for f in p.glob("runs/*/checkpoints/last/state.json")]
    return dict(json.loads(file.read_text(encoding="utf-8")))
