"""Cross-validation of a project."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from engine.contract.commands import Crossval
from engine.contract.control import Control
from engine.contract.events import CANCELED, Event, JobFinished, JobProgressed
from engine.project.searching import read_crossvals
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import run_job, small_config


def _cross_validate(project: Path, method: str = "linear_probe", folds: int = 3):
    return Crossval(project=str(project), config=small_config(method), folds=folds)


def test_every_training_and_validation_image_is_predicted_once_and_no_test_image(
    study: Path,
) -> None:
    with Project.open(study, read_only=True) as project:
        table = project.training_table()
    result = run_job(_cross_validate(study))
    assert result["n_images"] == int((table.split != 2).sum())
    assert sum(fold["n_held_out"] for fold in result["folds"]) == result["n_images"]
    assert result["looks"] == 0
    aurocs = [fold["auroc"] for fold in result["folds"]]
    assert np.isclose(result["mean"], np.mean(aurocs))
    assert np.isclose(result["sd"], np.std(aurocs, ddof=1))
    assert result["auroc"]["low"] <= result["auroc"]["value"] <= result["auroc"]["high"]
    for fold in result["folds"]:
        # Early stopping has images of its own: a fold's others are more than it learns from.
        assert fold["n_train"] + fold["n_held_out"] < result["n_images"]


def test_no_run_and_no_look_is_added_to_the_history(study: Path) -> None:
    run_job(_cross_validate(study))
    with Project.open(study, read_only=True) as project:
        assert project.runs() == ()
    assert len(read_crossvals(study)) == 1


def test_an_interrupted_one_goes_on_after_its_finished_folds(study: Path) -> None:
    command, control = _cross_validate(study, "full_finetune"), Control()
    events: list[Event] = []

    def interrupt_after_one(event: Event) -> None:
        if isinstance(event, JobProgressed) and event.stage.startswith("Part 2"):
            control.interrupt()

    first = execute(command, interrupt_after_one, control)
    assert first.outcome == CANCELED
    folder = next((study / "runs").glob("crossval-*"))
    kept = (folder / "fold-1" / "fold.json").read_bytes()
    finished = execute(command, events.append, Control())
    assert isinstance(finished, JobFinished)
    assert finished.result["id"] == folder.name
    assert (folder / "fold-1" / "fold.json").read_bytes() == kept
    assert not any("Part 1 of 3: t" in getattr(event, "stage", "") for event in events)
    whole = run_job(_cross_validate(study, "full_finetune"))
    assert whole["id"] != folder.name  # a finished one is not repeated into the same place
    assert [f["auroc"] for f in whole["folds"]] == [f["auroc"] for f in finished.result["folds"]]


def test_a_canceled_one_leaves_nothing(study: Path) -> None:
    control = Control()
    control.cancel()
    assert execute(_cross_validate(study), lambda event: None, control).outcome == CANCELED
    assert list((study / "runs").glob("crossval-*")) == []


def test_too_many_folds_are_refused_before_anything_is_made(study: Path) -> None:
    finished = execute(_cross_validate(study, folds=20), lambda event: None, Control())
    assert "20-way split" in (finished.error or "")
    assert "Choose fewer folds" in (finished.remedy or "")
    assert list((study / "runs").glob("crossval-*")) == []


def test_the_result_is_json(study: Path) -> None:
    json.dumps(run_job(_cross_validate(study)), allow_nan=False)
