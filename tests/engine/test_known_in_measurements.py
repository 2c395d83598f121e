"""Whoever measures networks says whom they know: combined runs, combined folds, robustness."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.contract.commands import Combine, Command, Crossval, MakeSplit, Robustness, Search
from engine.contract.config import ExperimentConfig
from engine.contract.control import Control
from engine.contract.events import COMPLETED, Event, JobFinished, Warned
from engine.evaluate import masking, robustness
from engine.models.weights import weights_info
from engine.project.learned_before import note_pretraining
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import make_study, small_config, train


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, int, int]:
    """Return a project whose backbone learned from its first training images, divided anew since.

    And how many of the validation images, and of the images that cross-validation holds out in
    turn, are of patients that it knows.
    """
    folder = make_study(tmp_path, n_patients=30)
    with Project.open(folder) as project:
        before = project.training_table()
        records = before.record_ids[before.split == 0]
        digest = weights_info("efficientnet_lite0").digest
        note_pretraining(project, digest, records)
    finished = execute(MakeSplit(project=str(folder), seed=7), lambda event: None, Control())
    assert finished.outcome == COMPLETED
    with Project.open(folder, read_only=True) as project:
        after = project.training_table()
    is_known = np.isin(after.patients, before.patients[before.split == 0])
    n_val = int((is_known & (after.split == 1)).sum())
    n_held_out = int((is_known & (after.split < 2)).sum())
    assert n_val and n_held_out
    return folder, n_val, n_held_out


def told(command: Command) -> tuple[str, list[str]]:
    """Return the sentences of a result and the warnings of what networks know."""
    events: list[Event] = []
    finished = execute(command, events.append, Control())
    assert isinstance(finished, JobFinished)
    assert finished.outcome == COMPLETED, finished.error
    result = finished.result
    sentence = result.get("sentence") or " ".join(result["sentences"])
    warned = [event.message for event in events if isinstance(event, Warned)]
    return sentence, [message for message in warned if "too good" in message]


def config() -> ExperimentConfig:
    return small_config("linear_probe")


def combined_runs(folder: Path) -> Command:
    runs = [train(folder, small_config("linear_probe", seed=seed))[0].run for seed in (0, 1)]
    return Combine(project=str(folder), runs=tuple(runs))


def robust(folder: Path) -> Command:
    run = train(folder, config())[0].run
    return Robustness(project=str(folder), run=run, corruptions=False)


def search(folder: Path) -> Command:
    return Search(
        project=str(folder),
        minutes=30.0,  # it ends because there is nothing else to try
        config=config(),
        backbones=("efficientnet_lite0",),
        methods=("linear_probe",),
    )


@pytest.mark.parametrize("make", [combined_runs, robust, search])
def test_what_is_measured_on_validation_images_says_how_many_are_known(
    study: tuple[Path, int, int],
    make: Callable[[Path], Command],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(robustness, "MIN_STEPS", 1)
    monkeypatch.setattr(masking, "BLIND_TRIES", 1)
    folder, n_known, _ = study
    sentence, [warned] = told(make(folder))
    for text in (sentence, warned):
        assert f"{n_known} of the " in text
        assert "too good" in text


def test_combined_folds_say_how_many_of_all_held_out_images_are_known(
    study: tuple[Path, int, int],
) -> None:
    folder, _, n_known = study
    crossval = execute(
        Crossval(project=str(folder), config=config(), folds=2), lambda event: None, Control()
    )
    sentence, [warned] = told(Combine(project=str(folder), crossval=crossval.result["id"]))
    for text in (sentence, warned):
        assert f"{n_known} of the " in text and "held-out images" in text
        assert "too good" in text


def test_of_networks_that_know_nobody_nothing_is_said(tmp_path: Path) -> None:
    folder = make_study(tmp_path, n_patients=30)
    sentence, warned = told(combined_runs(folder))
    assert "too good" not in sentence
    assert warned == []
