"""Where nothing tells any more whom a network learned from, nobody claims that it was no one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.contract.commands import Evaluate, Export, MakeSplit, Train
from engine.contract.control import Control
from engine.contract.events import COMPLETED, Event, RunFinished, Warned
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import make_study, run_job, small_config, train

Trained = tuple[Path, str, str]


@pytest.fixture(scope="module")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a project, a run of it, and the run's bundle."""
    folder = tmp_path_factory.mktemp("trained")
    study = make_study(folder, n_patients=30)
    finished, _ = train(study, small_config("linear_probe"))
    run_job(Export(project=str(study), run=finished.run, out=str(folder / "bundle")))
    return study, finished.run, str(folder / "bundle")


@pytest.fixture
def trained(_trained: Trained, tmp_path: Path) -> Trained:
    """Return a copy of them for the test alone."""
    study, run, bundle = _trained
    folder = Path(shutil.copytree(study.parent, tmp_path / "study"))
    return folder / study.name, run, bundle


def apply(study: Path, bundle: str) -> tuple[str, list[str]]:
    """Apply a bundle as it is, and return the run and what it warns of results on the project."""
    events: list[Event] = []
    command = Train(project=str(study), config=small_config("direct_transfer"), bundle=bundle)
    finished = execute(command, events.append, Control())
    assert isinstance(finished, RunFinished)
    assert finished.outcome == COMPLETED, finished.error
    told = [event.message for event in events if isinstance(event, Warned)]
    return finished.run, [message for message in told if "too good" in message]


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


HARMS: dict[str, Callable[[Path], None]] = {"damaged": damage, "missing": Path.unlink}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_a_run_that_lost_its_images_is_not_taken_for_one_that_saw_nobody(
    trained: Trained, harm: Callable[[Path], None]
) -> None:
    study, run, bundle = trained
    harm(study / "runs" / run / "images.npz")
    run_job(MakeSplit(project=str(study), seed=7))
    applied, [told] = apply(study, bundle)
    assert f"images.npz in the folder of run {run}" in told
    assert "may be too good" in told
    result = run_job(Evaluate(project=str(study), run=applied))
    assert "never used for training" not in result["sentence"]
    assert "is not known" in result["sentence"]
    assert "may be too good" in result["sentence"]
    assert result["n_known"] is None
    run_job(Export(project=str(study), run=applied, out=str(study.parent / "again")))
    card = (study.parent / "again" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "never used for training" not in card


def test_without_a_change_since_the_split_tells_what_the_run_learned_from(trained: Trained) -> None:
    study, run, bundle = trained
    damage(study / "runs" / run / "images.npz")
    applied, told = apply(study, bundle)
    assert told == []
    for each in (run, applied):
        result = run_job(Evaluate(project=str(study), run=each))
        assert "that were never used for training" in result["sentence"]


def test_a_lost_copy_of_the_classifier_that_a_run_applied_is_told(trained: Trained) -> None:
    study, _, bundle = trained
    applied, _ = apply(study, bundle)
    damage(study / "runs" / applied / "source" / "bundle.json")
    result = run_job(Evaluate(project=str(study), run=applied))
    assert result["n_known"] is None
    assert "is not known" in result["sentence"]


def test_another_projects_classifier_is_no_unknown_one(trained: Trained, tmp_path: Path) -> None:
    _, _, bundle = trained
    other = make_study(tmp_path / "other", n_patients=30)
    applied, told = apply(other, bundle)
    assert told == []
    with Project.open(other, read_only=True) as project:
        assert [summary.id for summary in project.runs()] == [applied]
