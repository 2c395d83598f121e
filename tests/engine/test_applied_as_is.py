"""Applying another classifier as it is says what is known of how it does here, and what isn't."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contract.commands import Export, Predict, Train
from engine.contract.control import Control
from engine.contract.events import COMPLETED, Event, RunFinished, Warned
from engine.contract.results import ClassMatch
from engine.methods.direct_transfer import matched_use_sentence
from engine.metrics.intervals import Interval
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import make_study, run_job, small_config, train


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, float]:
    """Return a project with few images, a bundle of its classifier, and that one's AUROC."""
    folder = tmp_path_factory.mktemp("small")
    study = make_study(folder, n_patients=50)
    finished, _ = train(study, small_config("linear_probe"))
    run_job(Export(project=str(study), run=finished.run, out=str(folder / "bundle")))
    assert not (folder / "bundle" / "familiarity.safetensors").exists()
    return study, str(folder / "bundle"), finished.result["val_auroc"]


def apply(
    study: Path, bundle: str, matches: tuple[ClassMatch, ...] = ()
) -> tuple[RunFinished, list[str]]:
    events: list[Event] = []
    command = Train(
        project=str(study), config=small_config("direct_transfer"), bundle=bundle, matches=matches
    )
    finished = execute(command, events.append, Control())
    assert isinstance(finished, RunFinished)
    assert finished.outcome == COMPLETED, finished.error
    return finished, [event.message for event in events if isinstance(event, Warned)]


def test_a_bundle_that_had_too_few_images_says_that_likeness_is_unknown_and_why(small):
    study, bundle, auroc = small
    assert auroc > 0.9
    finished, told = apply(study, bundle)
    facts = finished.result["method_facts"]
    assert "is not known" in facts["likeness"]
    with Project.open(study, read_only=True) as project:
        n_val = int((project.training_table().split == 1).sum())
    assert n_val < 20
    assert f"{n_val} validation images, and it takes 20" in facts["likeness"]
    assert told == [facts["likeness"]]
    assert f"AUROC of {auroc:.3f}" in facts["direct_use"]
    assert "better than guessing" in facts["direct_use"]


def test_a_prediction_with_such_a_bundle_says_so_too(small, tmp_path):
    study, bundle, _ = small
    source = study.parent / "images" / "a"
    command = Predict(bundle=bundle, source=str(source), out=str(tmp_path / "table.csv"))
    [note] = run_job(command)["notes"]
    assert "is not known" in note


def test_classes_matched_the_wrong_way_round_are_noticed(small):
    study, bundle, auroc = small
    swapped = (ClassMatch(theirs="a", own="b"), ClassMatch(theirs="b", own="a"))
    finished, told = apply(study, bundle, swapped)
    assert finished.result["val_auroc"] == pytest.approx(1 - auroc, abs=1e-6)
    said = finished.result["method_facts"]["direct_use"]
    assert "wrong way round" in said and "matches" in said
    assert said in told


@pytest.mark.parametrize(
    ("auroc", "low", "high", "says", "is_good"),
    [
        (0.93, 0.85, 0.98, "better than guessing", True),
        (0.65, 0.42, 0.86, "guessing could reach too", False),
        (0.41, 0.22, 0.61, "guessing could reach too", False),
        (0.30, 0.12, 0.49, "wrong way round", False),
        (0.75, float("nan"), float("nan"), "guessing could reach too", False),
    ],
)
def test_what_an_auroc_says_depends_on_its_interval(auroc, low, high, says, is_good):
    found = Interval(
        estimate=auroc,
        low=low,
        high=high,
        level=0.95,
        n_groups=20,
        n_resamples=100,
        n_skipped=0,
        method="bootstrap",
    )
    sentence, answer = matched_use_sentence(found, 40)
    assert says in sentence
    assert f"{auroc:.3f}" in sentence and "40 validation images" in sentence
    assert ("matches" in sentence) is not is_good
    assert answer is is_good
