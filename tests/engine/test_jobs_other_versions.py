"""Jobs that go on after the program changed say so; others say nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.contract.commands import Crossval, Search
from engine.contract.control import Control
from engine.contract.events import CANCELED, Event, JobProgressed, Warned
from engine.project import run_data
from engine.run import execute
from tests.engine.test_pretraining_goes_on import asked
from tests.engine.test_pretraining_job import _own_weights, _two, two
from tests.helpers.tiny_study import small_config

__all__ = ["_own_weights", "_two", "two"]


def cross_validation(projects: list[Path]) -> Any:
    return Crossval(project=str(projects[0]), config=small_config("linear_probe"), folds=2)


def search(projects: list[Path]) -> Any:
    return Search(
        project=str(projects[0]),
        config=small_config("linear_probe"),
        minutes=1,
        backbones=("efficientnet_lite0",),
        methods=("linear_probe",),
    )


JOBS: dict[str, tuple[Callable[[list[Path]], Any], str]] = {
    "cross-validation": (cross_validation, "Part 1 of 2: describing"),
    "search": (search, "Round"),
    "pre-training": (asked, "Training, pass 1"),
}


def begin(command: Any, stage: str) -> list[Warned]:
    """Begin a job or go on with it, interrupt it in a stage, and return what it warned of."""
    control, told = Control(), []

    def listen(event: Event) -> None:
        if isinstance(event, JobProgressed) and event.stage.startswith(stage):
            control.interrupt()
        elif isinstance(event, Warned):
            told.append(event)

    assert execute(command, listen, control).outcome == CANCELED
    return told


def other_version(patch: pytest.MonkeyPatch) -> str:
    patch.setattr(run_data, "VERSION", "99.0")
    return "RadTune is version 99.0 now; it began with "


def other_code(patch: pytest.MonkeyPatch) -> str:
    patch.setattr(run_data, "code_digest", lambda: "0123456789ab")
    return "RadTune's own code that trains is other code now"


@pytest.mark.parametrize("kind", JOBS)
@pytest.mark.parametrize("change", [other_version, other_code])
def test_a_job_that_goes_on_with_another_program_says_so(
    two: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    change: Callable[[pytest.MonkeyPatch], str],
) -> None:
    make, stage = JOBS[kind]
    command = make(two)
    before = begin(command, stage)
    assert begin(command, stage) == before
    sentence = change(monkeypatch)
    [told] = [warned for warned in begin(command, stage) if warned not in before]
    assert sentence in told.message
    assert "start it again" in told.remedy
    assert len({path.name for project in two for path in (project / "runs").iterdir()}) == 1
