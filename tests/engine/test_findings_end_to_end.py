"""All findings of a project at once: trained, measured, exported, applied, refused."""

from __future__ import annotations

import csv
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.bundle.read import read_bundle
from engine.contract.commands import (
    Combine,
    Command,
    Crossval,
    Evaluate,
    Export,
    LrRange,
    MakeSplit,
    Predict,
    RefitHead,
    Scan,
    Search,
    Train,
)
from engine.contract.control import Control
from engine.contract.events import COMPLETED, FAILED, EpochFinished, RunFinished, Warned
from engine.contract.results import EvaluationResult
from engine.contract.targets import UNKNOWN, one_finding
from engine.export.predictor import Predictor
from engine.models.ensemble import EnsembleNetwork
from engine.project.labels import set_finding
from engine.project.store import Project
from engine.run import execute
from engine.trainer.best_weights import load_best
from tests.helpers.findings_study import LEARNED, make_findings_study
from tests.helpers.tiny_study import run_job, small_config, train


@pytest.fixture(scope="module")
def _study(tmp_path_factory):
    return make_findings_study(tmp_path_factory.mktemp("findings"))


@pytest.fixture(scope="module")
def _measured(_study, tmp_path_factory):
    """A project with a measured and exported linear probe, and where those are."""
    folder = tmp_path_factory.mktemp("measured") / "study"
    project = Path(shutil.copytree(_study.parent, folder)) / _study.name
    finished, events = train(project, small_config("linear_probe"))
    assert finished.outcome == COMPLETED, finished.error
    run_job(Evaluate(project=str(project), run=finished.run))
    bundle = folder / "bundle"
    exported = run_job(Export(project=str(project), run=finished.run, out=str(bundle)))
    assert exported["max_difference"] < 1e-6
    return project, finished.run, bundle, events


@pytest.fixture
def study(_study, tmp_path):
    return Path(shutil.copytree(_study.parent, tmp_path / "study")) / _study.name


def evaluated(project: Path, run: str) -> EvaluationResult:
    with Project.open(project, read_only=True) as opened:
        result = opened.evaluation(run)
    assert result is not None
    return result


def finding(project: Project, name: str) -> int:
    found = project.class_named(name)
    assert found is not None
    return found


def failed(command: Command) -> str:
    finished = execute(command, lambda event: None, Control())
    assert finished.outcome == FAILED
    return f"{finished.error} {finished.remedy}"


def test_what_cannot_be_learned_is_left_out_with_a_reason(_study, _measured):
    with Project.open(_study, read_only=True) as project:
        table = project.training_table()
        left_out = table.left_out
        assert table.class_names == LEARNED
        assert list(left_out) == ["rare"]
        assert "at least 5 must" in left_out["rare"]
        assert table.labels.shape == (len(table.rows), 2)
        assert set(np.unique(table.labels)) == {0, 1, UNKNOWN}
        assert (table.labels != UNKNOWN).any(axis=1).all()
        for code in range(3):  # no patient is on two sides
            others = table.groups[table.split != code]
            assert not set(table.groups[table.split == code]) & set(others)
    warned = [event.message for event in _measured[3] if isinstance(event, Warned)]
    assert warned == [f"Not learned: rare ({left_out['rare'].rstrip('.')})."]


def test_every_finding_is_measured_on_the_images_where_it_is_known(_measured):
    project, run, _, _ = _measured
    result = evaluated(project, run)
    with Project.open(project, read_only=True) as opened:
        table = opened.training_table()
    assert result.classes == LEARNED
    assert result.auroc > 0.9
    of_test = table.labels[table.split == 2]
    for k, found in enumerate(result.findings):
        counts = [int((of_test[:, k] == value).sum()) for value in (1, 0, UNKNOWN)]
        assert [found.n_present, found.n_absent, found.n_unknown] == counts
        assert len(one_finding(result, found.name).cases) == counts[0] + counts[1]
    assert result.findings[1].n_unknown > 0
    assert [case.findings for case in result.cases] == [tuple(row) for row in of_test.tolist()]


def test_a_bundle_says_what_the_evaluation_said(_measured, tmp_path):
    project, run, bundle, _ = _measured
    facts = read_bundle(bundle).facts
    result = evaluated(project, run)
    with Project.open(project, read_only=True) as opened:
        names = {record.id: record.path for record in opened.records()}
    assert (facts.activation, facts.classes, facts.threshold) == ("sigmoid", LEARNED, None)
    assert facts.thresholds == tuple(found.result.threshold for found in result.findings)
    out = tmp_path / "predictions.csv"
    predicted = run_job(
        Predict(bundle=str(bundle), source=str(project.parent / "images"), out=str(out))
    )
    assert predicted["thresholds"] == list(facts.thresholds)
    with out.open(encoding="utf-8", newline="") as stream:
        rows = {row["path"]: row for row in csv.DictReader(stream)}
    for case in result.cases:
        row = rows[names[case.record]]
        for name, p, threshold in zip(LEARNED, case.probabilities, facts.thresholds, strict=True):
            assert float(row[f"p_{name}"]) == pytest.approx(p, abs=1e-5)
            assert row[f"present_{name}"] == str(int(p >= threshold))
        present = [name for name in LEARNED if row[f"present_{name}"] == "1"]
        assert row["findings"] == ("|".join(present) or "No Finding")


def test_predictions_can_be_imported_as_labels(_measured, tmp_path):
    project, _, bundle, _ = _measured
    images = Path(shutil.copytree(project.parent / "images", tmp_path / "images"))
    out = images / "labels.csv"
    out.unlink()
    run_job(Predict(bundle=str(bundle), source=str(images), out=str(out)))
    again = tmp_path / "again.radtune"
    result = run_job(Scan(source=str(images), project=str(again)))
    with Project.open(again, read_only=True) as opened:
        assert opened.task == "multi"
    assert set(LEARNED) <= set(result["classes"])


def test_the_card_lists_findings_thresholds_and_results(_measured):
    card = (_measured[2] / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Any number of these findings" in card
    assert "| finding | present | absent | unknown | AUROC |" in card
    assert card.count("\n| left |") == card.count("\n| right |") == 2
    assert "The class with the largest probability wins" not in card


def test_a_bundle_whose_thresholds_are_gone_is_refused(_measured, tmp_path):
    from engine.contract.bundle_facts import facts_digest
    from engine.contract.errors import BundleError

    bundle = Path(shutil.copytree(_measured[2], tmp_path / "bundle"))
    facts = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    facts["thresholds"] = facts["thresholds"][:1]
    facts["facts_digest"] = facts_digest(facts)
    (bundle / "bundle.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(BundleError, match="no threshold"):
        read_bundle(bundle)


def test_a_difference_from_the_pretrained_weights_is_enough(study, tmp_path):
    config = small_config("soft_threshold", max_epochs=1)
    config = replace(config, anchor=replace(config.anchor, strength=0.03))
    finished, events = train(study, config)
    assert finished.outcome == COMPLETED, finished.error
    samples = next(e for e in events if isinstance(e, EpochFinished)).samples
    assert {len(sample.findings) for sample in samples} == {2}
    small = run_job(
        Export(project=str(study), run=finished.run, out=str(tmp_path / "d"), difference_only=True)
    )
    assert small["max_difference"] < 1e-6
    assert read_bundle(tmp_path / "d").facts.is_difference


@pytest.mark.parametrize(("method", "least"), [("full_finetune", 0.75), ("adversarial", 0.6)])
def test_methods_that_train_learn_findings(study, method, least):
    config = small_config(method, max_epochs=1)
    config = replace(config, loss=replace(config.loss, imbalance="sampling"))
    if method == "adversarial":  # gently: at full strength so few images are learned by chance
        config = replace(
            config,
            method=replace(config.method, max_epochs=2),
            optimizer=replace(config.optimizer, learning_rate=1e-4),
            adversarial=replace(config.adversarial, epsilon_255=0.25),
        )
    finished, _ = train(study, config)
    assert finished.outcome == COMPLETED, finished.error
    assert finished.result["val_auroc"] > least
    best = load_best(study / "runs" / finished.run / "checkpoints")
    assert best.activation == "sigmoid"


def test_the_command_chooses_one_finding_or_all(study):
    for name, classes in (("right", ["no right", "right"]), ("all", list(LEARNED))):
        command = Train(project=str(study), config=small_config("linear_probe"), finding=name)
        finished = execute(command, lambda event: None, Control())
        assert isinstance(finished, RunFinished)
        assert finished.outcome == COMPLETED, finished.error
        recipe = study / "runs" / finished.run / "recipe.json"
        assert json.loads(recipe.read_text(encoding="utf-8"))["classes"] == classes
    wrong = failed(Train(project=str(study), config=small_config(), finding="hernia"))
    assert "There is no finding “hernia”" in wrong
    assert wrong.endswith("or all.")


def test_a_changed_finding_makes_the_run_stale_and_back(study):
    finished, _ = train(study, small_config("linear_probe"))
    assert finished.outcome == COMPLETED
    with Project.open(study) as project:
        assert not project.runs()[0].is_stale
        record = project.records()[0]
        left = finding(project, "left")
        before = record.findings[left]
        assert before is not None
        set_finding(project, [record.id], left, 1 - before)
        assert project.runs()[0].is_stale
        set_finding(project, [record.id], left, before)
        assert not project.runs()[0].is_stale
        project.choose_finding(left)
        assert project.runs()[0].is_stale


def test_jobs_that_help_a_training_take_findings(study):
    refitted = run_job(RefitHead(project=str(study)))
    assert refitted["val_auroc"] > 0.9
    curve = run_job(LrRange(project=str(study), config=small_config(), steps=30))
    # A head that knows nothing gives each finding even odds.
    assert curve["losses"][0] == pytest.approx(math.log(2), abs=0.05)
    assert min(curve["losses"]) < 0.9 * curve["losses"][0]


def test_each_finding_gets_prototypes_that_are_measured_and_exported_like_any_run(study, tmp_path):
    finished, _ = train(study, small_config("direct_transfer"))
    assert finished.outcome == COMPLETED, finished.error
    assert finished.result["val_auroc"] > 0.9
    run_job(Evaluate(project=str(study), run=finished.run))
    assert [found.name for found in evaluated(study, finished.run).findings] == list(LEARNED)
    exported = run_job(Export(project=str(study), run=finished.run, out=str(tmp_path / "b")))
    assert exported["max_difference"] < 1e-6
    config = small_config("direct_transfer")
    assert run_job(Crossval(project=str(study), config=config, folds=2))["auroc"]["value"] > 0.9


def test_a_matched_classifier_cannot_answer_for_findings_at_once(_measured):
    project, _, bundle, _ = _measured
    command = Train(
        project=str(project), config=small_config("direct_transfer"), bundle=str(bundle)
    )
    assert "for several findings at once" in failed(command)


def test_a_search_takes_findings(study):
    asked = Search(
        project=str(study),
        config=small_config("linear_probe"),
        backbones=("efficientnet_lite0",),
        methods=("linear_probe", "direct_transfer"),
        minutes=1.0,
    )
    found = run_job(asked)
    assert found["rows"][0]["auroc"] > 0.9
    assert {row["method"] for row in found["rows"]} == {"linear_probe", "direct_transfer"}


def test_folds_of_a_cross_validation_answer_together_as_the_mean_of_their_probabilities(
    study, tmp_path
):
    crossval = run_job(Crossval(project=str(study), config=small_config("linear_probe"), folds=2))
    assert crossval["auroc"]["value"] > 0.9
    assert crossval["positive"] is None
    run = run_job(Combine(project=str(study), crossval=crossval["id"]))["run"]
    run_job(Evaluate(project=str(study), run=run))
    exported = run_job(Export(project=str(study), run=run, out=str(tmp_path / "bundle")))
    assert exported["max_difference"] < 1e-6
    together = Predictor(read_bundle(tmp_path / "bundle"))
    pixels = np.random.default_rng(0).integers(0, 255, (3, 32, 32)).astype(np.uint8)
    network = together.bundle.network()
    assert isinstance(network, EnsembleNetwork)
    images = torch.from_numpy(pixels)[:, None].float() / 255
    with torch.inference_mode():
        each = [member(images).double().sigmoid().numpy() for member in network.networks()]
    np.testing.assert_allclose(together.predict_pixels(pixels), np.mean(each, axis=0), atol=1e-5)


def test_nothing_to_learn_is_said_with_the_first_reason(tmp_path):
    project = make_findings_study(tmp_path, is_split=False)
    with Project.open(project) as opened:
        ids = [record.id for record in opened.records()]
        for name in LEARNED:
            set_finding(opened, ids[:-3], finding(opened, name), 1)
            set_finding(opened, ids[-3:], finding(opened, name), 0)
    run_job(MakeSplit(project=str(project)))
    finished, _ = train(project, small_config("linear_probe"))
    assert finished.outcome == FAILED
    assert "“left” can't be learned" in str(finished.error)
