"""Cross-validation of a project."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.contract.commands import Crossval
from engine.contract.control import Control
from engine.contract.errors import DatasetError
from engine.contract.events import CANCELED, Event, JobFinished, JobProgressed
from engine.jobs.folds import checked_folds
from engine.project.searching import read_crossvals
from engine.project.store import Project
from engine.project.table import TrainingTable
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
    # Of 15 patients a class 11 are for training and 2 each for validation and testing.
    finished = execute(_cross_validate(study, folds=20), lambda event: None, Control())
    assert "has 13 patients in training and validation; 20 folds need" in (finished.error or "")
    assert "2 more are among the test images, which never take part" in (finished.error or "")
    assert finished.remedy == "Choose 13 folds."
    assert list((study / "runs").glob("crossval-*")) == []


def _table(n_inside: int, n_test: int) -> TrainingTable:
    """Return 20 patients of one class and a few of a rare one, an image each."""
    n = 20 + n_inside + n_test
    count = np.arange(n, dtype=np.int64)
    return TrainingTable(
        record_ids=count,
        rows=count,
        labels=(count >= 20).astype(np.int64),
        groups=count,
        patients=count,
        split=np.array([0] * (20 + n_inside) + [2] * n_test, dtype=np.int8),
        class_names=("usual", "rare"),
        positive=1,
        unit="patient",
    )


@pytest.mark.parametrize(
    ("n_inside", "n_folds", "remedy"),
    [
        (3, 2, "Choose 3 folds."),  # of 2 folds one would leave a single patient outside
        (4, 5, "Choose 4 folds."),
        (7, 20, "Choose 7 folds."),
    ],
)
def test_the_number_of_folds_that_is_advised_can_be_made(
    n_inside: int, n_folds: int, remedy: str
) -> None:
    table = _table(n_inside, 1)
    with pytest.raises(DatasetError, match=f"'rare' has {n_inside} patients") as caught:
        checked_folds(table, n_folds, 0)
    assert caught.value.remedy == remedy
    checked_folds(table, int(remedy.split()[1]), 0)


@pytest.mark.parametrize("n_folds", [2, 3, 5])
def test_a_class_too_rare_for_any_folds_is_not_told_to_choose_fewer(n_folds: int) -> None:
    with pytest.raises(DatasetError, match="1 more is among the test images") as caught:
        checked_folds(_table(2, 1), n_folds, 0)
    assert caught.value.remedy.startswith("Add at least 1 more patient with this class")
    with pytest.raises(DatasetError) as caught:
        checked_folds(_table(2, 3), n_folds, 0)
    assert "smaller share for testing" in caught.value.remedy


def test_the_result_is_json(study: Path) -> None:
    json.dumps(run_job(_cross_validate(study)), allow_nan=False)
