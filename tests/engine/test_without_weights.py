"""Jobs on a backbone without pre-trained weights: refused in time, or said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.contract.commands import Crossval, LrRange, RefitHead, Resume, Train
from engine.contract.config import BackboneConfig, ExperimentConfig
from engine.contract.control import Control
from engine.contract.events import FAILED, Event, Warned
from engine.contract.methods import METHODS
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import small_config

KEY = "squeezenet1_0"


@pytest.fixture(autouse=True)
def _no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(tmp_path / "none"))


def without_weights(method: str) -> ExperimentConfig:
    return replace(small_config(method, max_epochs=1), backbone=BackboneConfig(key=KEY))


def perform(command: Any) -> tuple[Any, list[Event]]:
    events: list[Event] = []
    return execute(command, events.append, Control()), events


@pytest.mark.parametrize("method", ["soft_threshold", "l2_sp", "lora"])
def test_a_method_about_pre_trained_weights_is_refused_before_there_is_a_run(study, method):
    title = next(card.title for card in METHODS if card.key == method)
    for make in (Train, Crossval):
        finished, _ = perform(make(project=str(study), config=without_weights(method)))
        assert finished.outcome == FAILED
        assert finished.error.startswith(f"{title} needs a pre-trained backbone")
        assert "weights file" in finished.remedy
    with Project.open(study, read_only=True) as project:
        assert project.runs() == ()
    assert list((study / "runs").iterdir()) == []


def test_a_run_that_an_earlier_version_entered_all_the_same_cannot_go_on(study):
    config = without_weights("lora")
    config = replace(config, backbone=BackboneConfig(key=KEY, weights="scratch"))
    with Project.open(study) as project:
        table = project.training_table()
        project.run_folder("old").mkdir()
        project.keep_run_data("old", table)
        project.add_run("old", config)
        project.update_run("old", outcome=FAILED, epochs=0, seconds=0.0)
    finished, _ = perform(Resume(project=str(study), run="old"))
    assert "needs a pre-trained backbone" in (finished.error or "")


@pytest.mark.parametrize("job", ["lr-range", "refit-head"])
def test_a_job_on_random_weights_says_so(study, job):
    command: Any = RefitHead(project=str(study), backbone=KEY)
    if job == "lr-range":
        config = without_weights("full_finetune")
        command = LrRange(project=str(study), config=config, steps=20)
    finished, events = perform(command)
    told = [e for e in events if isinstance(e, Warned)]
    assert ["from scratch" in warned.message for warned in told] == [True], finished.error
    assert "weights file" in told[0].remedy
