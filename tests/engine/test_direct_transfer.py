"""Direct transfer: prototypes, and a classifier of another task through matched classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid

from engine.bundle.mapped import matched_groups
from engine.bundle.read import read_facts
from engine.contract.commands import Evaluate, Export, MakeSplit, Predict, Train
from engine.contract.control import Control
from engine.contract.errors import ConfigError
from engine.contract.events import COMPLETED, FAILED, RunFinished, Warned
from engine.contract.results import ClassMatch
from engine.contract.targets import UNKNOWN
from engine.methods.direct_transfer import (
    direct_use_sentence,
    findings_prototype_head,
    prototype_head,
)
from engine.models.merged_head import NOT_IN_TASK, fit_head_to, merge_head
from engine.models.registry import build_network
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import make_study, run_job, small_config, train

_OWN = ("normal", "opacity")


def _match(*pairs: tuple[str, str]) -> list[ClassMatch]:
    return [ClassMatch(theirs=theirs, own=own) for theirs, own in pairs]


def _cases(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    centres = np.random.default_rng(9).normal(size=(3, 12)) * 0.7
    return (centres[labels] + random.normal(size=(n, 12))).astype(np.float32), labels


def test_prototypes_decide_as_the_nearest_centroid_does():
    train, val = _cases(300, 0), _cases(200, 1)
    head = prototype_head(train, val, widths=(6, 6))
    scaled = [(part[0] - head.mean) * head.scale for part in (train, val)]
    expected = NearestCentroid().fit(scaled[0], train[1]).predict(scaled[1])
    np.testing.assert_array_equal(head.probabilities(val[0]).argmax(axis=1), expected)


def test_the_temperature_is_the_one_that_fits_validation_best():
    train, val = _cases(300, 0), _cases(200, 1)
    head = prototype_head(train, val, widths=(12,))
    x = (val[0] - head.mean) * head.scale
    logits = x @ head.weight.T + head.bias

    def loss(factor: float) -> float:
        return float(
            torch.nn.functional.cross_entropy(
                torch.from_numpy(factor * logits), torch.from_numpy(val[1])
            )
        )

    assert loss(1.0) <= min(loss(0.8), loss(1.25))


def _finding_cases(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    features, labels = _cases(n, seed)
    states = np.stack([labels == 0, labels != 1], axis=1).astype(np.int64)
    states[::5, 1] = UNKNOWN
    return features, states


def test_each_finding_is_there_where_the_nearest_of_its_own_two_centroids_says_so():
    train, val = _finding_cases(300, 0), _finding_cases(200, 1)
    head = findings_prototype_head(train, val, widths=(6, 6))
    x, x_val = ((part[0] - head.mean) * head.scale for part in (train, val))
    for k in range(2):
        is_known = train[1][:, k] != UNKNOWN
        nearest = NearestCentroid().fit(x[is_known], train[1][is_known, k])
        called = x_val @ head.weight[k] + head.bias[k] > 0
        np.testing.assert_array_equal(called, nearest.predict(x_val) == 1)


def test_each_finding_has_the_temperature_that_fits_what_is_known_best():
    train, val = _finding_cases(300, 0), _finding_cases(200, 1)
    head = findings_prototype_head(train, val, widths=(12,))
    logits = ((val[0] - head.mean) * head.scale) @ head.weight.T + head.bias
    for k in range(2):
        is_known = val[1][:, k] != UNKNOWN
        own, states = torch.from_numpy(logits[is_known, k]), torch.from_numpy(val[1][is_known, k])

        def loss(factor: float, own: torch.Tensor = own, states: torch.Tensor = states) -> float:
            return float(
                torch.nn.functional.binary_cross_entropy_with_logits(factor * own, states.double())
            )

        assert loss(1.0) <= min(loss(0.8), loss(1.25))


def test_a_finding_that_no_training_image_shows_stays_undecided():
    train, val = _finding_cases(60, 0), _finding_cases(40, 1)
    train[1][:, 0] = 0
    head = findings_prototype_head(train, val, widths=(12,))
    assert not head.weight[0].any() and head.bias[0] == 0.0
    assert head.weight[1].any()


def test_matched_outputs_add_their_probabilities():
    network = build_network("efficientnet_lite0", 4, weights="scratch")
    images = torch.rand(5, 1, 64, 64)
    with torch.inference_mode():
        theirs = torch.softmax(network(images).double(), dim=1)
        merge_head(network, (0, 1, 1, NOT_IN_TASK))
        own = torch.softmax(network(images).double(), dim=1)
    in_task = theirs[:, :3].sum(dim=1)
    expected = torch.stack([theirs[:, 0], theirs[:, 1] + theirs[:, 2]], dim=1) / in_task[:, None]
    assert network.n_classes == 2
    torch.testing.assert_close(own, expected, atol=1e-6, rtol=1e-5)


def test_a_network_with_matched_outputs_survives_being_saved():
    network = build_network("efficientnet_lite0", 3, weights="scratch")
    merge_head(network, (1, 0, 1))
    other = build_network("efficientnet_lite0", 2, weights="scratch", seed=1)
    tensors = network.state_dict()
    fit_head_to(other, tensors)
    other.load_state_dict(tensors)
    images = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(network(images), other(images))


@pytest.mark.parametrize(
    ("matches", "expected"),
    [
        (_match(("healthy", "normal"), ("pneumonia", "opacity")), (0, 1, NOT_IN_TASK)),
        (_match(("healthy", "normal"), ("pneumonia", "opacity"), ("tb", "opacity")), (0, 1, 1)),
    ],
)
def test_matches_become_groups(matches, expected):
    assert matched_groups(("healthy", "pneumonia", "tb"), _OWN, matches) == expected


@pytest.mark.parametrize(
    ("matches", "says"),
    [
        (_match(("healthy", "normal")), "stands for “opacity”"),
        (_match(("healthy", "normal"), ("flu", "opacity")), "no class “flu”"),
        (_match(("healthy", "normal"), ("tb", "fracture")), "no class “fracture”"),
        (_match(("tb", "normal"), ("tb", "opacity")), "matched twice"),
    ],
)
def test_matches_that_make_no_sense_are_refused(matches, says):
    with pytest.raises(ConfigError, match=says) as caught:
        matched_groups(("healthy", "pneumonia", "tb"), _OWN, matches)
    assert caught.value.remedy


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier")
    study = make_study(folder, n_patients=60)
    finished, _ = train(study, small_config("linear_probe"))
    run_job(Export(project=str(study), run=finished.run, out=str(folder / "bundle")))
    return folder / "bundle"


def _direct(project: Path, **command: Any) -> Train:
    return Train(project=str(project), config=small_config("direct_transfer"), **command)


def _finish(command: Train) -> RunFinished:
    finished = execute(command, lambda event: None, Control())
    assert isinstance(finished, RunFinished)
    return finished


@pytest.mark.parametrize(
    ("of_means", "of_fitted", "says"),
    [
        (0.90, 0.905, "direct use is reasonable"),
        (0.93, 0.90, "direct use is reasonable"),
        (0.80, 0.90, "Linear probe"),
        (0.55, 0.58, "Adapt it"),
        (0.5, float("nan"), "Adapt it"),
    ],
)
def test_whether_direct_use_is_reasonable_is_said(of_means, of_fitted, says):
    sentence = direct_use_sentence(of_means, of_fitted)
    assert says in sentence
    assert f"{of_means:.3f}" in sentence


def test_what_a_run_says_of_direct_use_is_what_runs_of_both_kinds_reach(tmp_path):
    study = make_study(tmp_path)
    direct, _ = train(study, small_config("direct_transfer"))
    fitted, _ = train(study, small_config("linear_probe"))
    facts = direct.result["method_facts"]
    assert facts["means_auroc"] == pytest.approx(direct.result["val_auroc"], abs=1e-6)
    assert facts["fitted_auroc"] == pytest.approx(fitted.result["val_auroc"], abs=1e-6)


def test_prototypes_are_measured_and_exported_like_any_run(tmp_path):
    study = make_study(tmp_path)
    finished = _finish(_direct(study))
    assert finished.outcome == COMPLETED, finished.error
    assert finished.result["val_auroc"] > 0.9
    result = run_job(Export(project=str(study), run=finished.run, out=str(tmp_path / "bundle")))
    assert result["max_difference"] < 1e-6


def test_a_classifier_is_applied_as_it_is_to_other_classes(bundle, tmp_path):
    study = make_study(tmp_path, classes=("left", "right"))
    matches = (ClassMatch(theirs="a", own="left"), ClassMatch(theirs="b", own="right"))
    finished = _finish(_direct(study, bundle=str(bundle), matches=matches))
    assert finished.outcome == COMPLETED, finished.error
    assert finished.result["val_auroc"] > 0.9
    assert "suit it" in finished.result["method_facts"]["likeness"]
    measured = run_job(Evaluate(project=str(study), run=finished.run))
    assert measured["auroc"] > 0.9
    out = tmp_path / "again"
    assert run_job(Export(project=str(study), run=finished.run, out=str(out)))["n_verified"] > 0
    facts = read_facts(out)
    assert facts.classes == ("left", "right")
    assert facts.backbone == read_facts(bundle).backbone
    table = tmp_path / "table.csv"
    source = study.parent / "images" / "left"
    rows = run_job(Predict(bundle=str(out), source=str(source), out=str(table)))["rows"]
    assert sum(row["label"] == "left" for row in rows) > 0.8 * len(rows)


def test_a_classifier_that_knows_the_patients_it_is_measured_on_is_noticed(tmp_path):
    study = make_study(tmp_path, n_patients=60)
    finished, _ = train(study, small_config("linear_probe"))
    exported = str(tmp_path / "bundle")
    run_job(Export(project=str(study), run=finished.run, out=exported))
    events: list[Any] = []
    execute(_direct(study, bundle=exported), events.append, Control())
    assert not [event for event in events if isinstance(event, Warned)]
    with Project.open(study) as project:
        before = project.training_table()
    run_job(MakeSplit(project=str(study), seed=7))
    with Project.open(study) as project:
        after = project.training_table()
    learned = set(before.patients[before.split == 0])
    counts = [
        sum(patient in learned for patient in after.patients[after.split == code])
        for code in (1, 2)
    ]
    assert all(counts)
    execute(_direct(study, bundle=exported), events.append, Control())
    (warned,) = [event.message for event in events if isinstance(event, Warned)]
    assert f"{counts[0]} of the {(after.split == 1).sum()} validation images" in warned
    assert f"{counts[1]} of the {(after.split == 2).sum()} test images" in warned


def test_classes_of_the_same_name_are_matched_without_being_told(bundle, tmp_path):
    finished = _finish(_direct(make_study(tmp_path), bundle=str(bundle)))
    assert finished.outcome == COMPLETED, finished.error
    assert len(finished.result["method_facts"]["matches"]) == 2


def test_a_class_without_a_match_is_refused_and_nothing_is_left(bundle, tmp_path):
    study = make_study(tmp_path, classes=("a", "c"))
    finished = _finish(_direct(study, bundle=str(bundle)))
    assert finished.outcome == FAILED
    assert "stands for “c”" in str(finished.error)
    assert "are a, b" in str(finished.remedy) and "--match THEIRS=c" in str(finished.remedy)
    with Project.open(study) as project:
        assert not project.runs()


def test_only_direct_transfer_takes_a_classifier(bundle, tmp_path):
    command = Train(
        project=str(make_study(tmp_path)), config=small_config("linear_probe"), bundle=str(bundle)
    )
    assert "Only direct transfer" in str(_finish(command).error)
