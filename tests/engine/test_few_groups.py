"""Classes of one or two patients, and who says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.contract.commands import (
    Combine,
    Crossval,
    Evaluate,
    Export,
    MakeSplit,
    RecommendSetup,
    Search,
)
from engine.contract.control import Control
from engine.contract.events import Event, Warned
from engine.metrics.few_groups import scarce_classes, scarcity_sentence
from engine.run import execute
from tests.helpers.tiny_study import make_study, run_job, small_config, train

SENTENCE = "Among the {} images there is only 1 patient of “{}”"


def test_patients_are_counted_and_not_images() -> None:
    labels = np.array([0] * 9 + [1] * 9)
    groups = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 4, 4])
    assert scarce_classes(labels, groups, ("a", "b")) == {"b": 2}


def test_a_class_that_nobody_has_is_the_scarcest() -> None:
    assert scarce_classes(np.array([0, 0, 0]), np.arange(3), ("a", "b")) == {"b": 0}


def test_of_findings_those_without_count_too_and_unknown_ones_do_not() -> None:
    labels = np.array([[1, 1], [1, 0], [1, 0], [0, -1], [0, -1], [0, 0]])
    found = scarce_classes(labels, np.arange(6), ("Effusion", "Mass"))
    assert found == {"Mass": 1}
    assert scarce_classes(labels[:4], np.arange(4), ("Effusion", "Mass")) == {
        "no Effusion": 1,
        "Mass": 1,
        "no Mass": 2,
    }


def test_they_are_called_what_they_are() -> None:
    assert scarcity_sentence({}, "test", "file") == ""
    said = scarcity_sentence({"a": 2, "b": 1}, "test", "study")
    assert said == (
        "Among the test images there are only 2 studies of “a”, 1 study of “b”: too few to tell "
        "anything."
    )


@pytest.fixture(scope="module")
def _scarce(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose validation and test parts have a patient of each class."""
    project = make_study(tmp_path_factory.mktemp("scarce"))
    run_job(MakeSplit(project=str(project), fractions=(0.98, 0.01, 0.01)))
    return project


@pytest.fixture
def scarce(_scarce: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_scarce.parent, tmp_path / "study")) / _scarce.name


def test_every_job_that_chooses_or_measures_says_so(scarce: Path, tmp_path: Path) -> None:
    finished, events = train(scarce, small_config("linear_probe"))
    said = SENTENCE.format("validation", "a")
    assert any(isinstance(e, Warned) and e.message.startswith(said) and e.remedy for e in events)
    result = run_job(Evaluate(project=str(scarce), run=finished.run))
    assert result["caution"].startswith(SENTENCE.format("test", "a"))
    assert "too few" not in result["sentence"]
    out = tmp_path / "bundle"
    run_job(Export(project=str(scarce), run=finished.run, out=str(out)))
    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert SENTENCE.format("test", "a") in card
    assert said in card
    assert "not defined to" not in card
    notes = run_job(RecommendSetup(project=str(scarce)))["notes"]
    assert any(note.startswith(said) for note in notes)


def test_a_search_says_so(scarce: Path) -> None:
    events: list[Event] = []
    command = Search(
        project=str(scarce),
        config=small_config("linear_probe"),
        minutes=0.2,
        backbones=("efficientnet_lite0",),
        methods=("linear_probe",),
    )
    execute(command, events.append, Control())
    said = SENTENCE.format("validation", "a")
    assert any(isinstance(e, Warned) and e.message.startswith(said) for e in events)


def test_a_run_of_folds_is_judged_by_all_images_that_were_held_out(
    scarce: Path, tmp_path: Path
) -> None:
    probe = small_config("linear_probe")
    folds = run_job(Crossval(project=str(scarce), folds=2, config=probe))
    combined = run_job(Combine(project=str(scarce), crossval=folds["id"]))
    run_job(Evaluate(project=str(scarce), run=combined["run"]))
    out = tmp_path / "bundle"
    run_job(Export(project=str(scarce), run=combined["run"], out=str(out)))
    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert SENTENCE.format("test", "a") in card
    assert "Among the validation images" not in card
