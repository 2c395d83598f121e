"""AUROC, ROC and precision-recall against scikit-learn and a published example."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from engine.metrics.ranking import (
    auroc,
    average_precision,
    macro_ovr_auroc,
    ovr_auroc,
    precision_recall_curve,
    roc_curve,
)


def random_cases(seed, *, n=200, tied=False):
    generator = np.random.default_rng(seed)
    positive = generator.random(n) < generator.uniform(0.1, 0.9)
    positive[:2] = [True, False]
    scores = generator.normal(size=n) + positive * generator.uniform(-0.5, 2)
    return (np.round(scores) if tied else scores), positive


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_auroc_and_average_precision_agree_with_scikit_learn(seed, tied):
    scores, positive = random_cases(seed, tied=tied)
    assert auroc(scores, positive) == pytest.approx(reference.roc_auc_score(positive, scores))
    assert average_precision(scores, positive) == pytest.approx(
        reference.average_precision_score(positive, scores)
    )


def test_auroc_of_hanley_and_mcneils_ct_ratings_is_as_published():
    # Radiology 1982;143:29-36, table I: ratings 1 to 5 of 58 normal and 51 abnormal patients.
    normal, abnormal = (33, 6, 6, 11, 2), (3, 2, 2, 11, 33)
    scores = np.repeat(np.tile(np.arange(1, 6), 2), normal + abnormal)
    positive = np.arange(len(scores)) >= sum(normal)
    assert auroc(scores, positive) == pytest.approx(0.893, abs=0.0005)


def test_constant_scores_have_an_auroc_of_one_half():
    assert auroc(np.zeros(7), [0, 0, 0, 1, 1, 1, 1]) == 0.5


def test_infinite_scores_rank_like_any_other():
    assert auroc([-np.inf, 0.0, 1.0, np.inf], [0, 1, 0, 1]) == 0.75


@pytest.mark.parametrize("drop_collinear", [True, False])
@pytest.mark.parametrize("tied", [False, True])
def test_roc_curve_has_the_points_of_scikit_learn(tied, drop_collinear):
    scores, positive = random_cases(3, tied=tied)
    curve = roc_curve(scores, positive, drop_collinear=drop_collinear)
    expected = reference.roc_curve(positive, scores, drop_intermediate=drop_collinear)
    for ours, theirs in zip(curve, expected, strict=True):
        np.testing.assert_allclose(ours, theirs)


def test_roc_curve_from_all_points_and_from_corners_has_the_same_area():
    scores, positive = random_cases(5)
    full, corners = (roc_curve(scores, positive, drop_collinear=drop) for drop in (False, True))
    assert len(corners.fpr) < len(full.fpr)
    areas = [np.trapezoid(curve.tpr, curve.fpr) for curve in (full, corners)]
    assert areas == pytest.approx([auroc(scores, positive)] * 2)


@pytest.mark.parametrize("tied", [False, True])
def test_precision_recall_curve_has_the_points_of_scikit_learn(tied):
    scores, positive = random_cases(4, tied=tied)
    precision, recall, thresholds = precision_recall_curve(scores, positive)
    theirs = reference.precision_recall_curve(positive, scores)
    # Theirs goes on below the threshold at which every positive case is found.
    n = len(recall)
    np.testing.assert_allclose(precision, theirs[0][::-1][:n])
    np.testing.assert_allclose(recall, theirs[1][::-1][:n])
    np.testing.assert_allclose(thresholds[1:], theirs[2][::-1][: n - 1])
    assert recall[-1] == 1.0


def test_macro_auroc_agrees_with_scikit_learn():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 300)
    probs = generator.dirichlet(np.ones(4), 300) + np.eye(4)[labels] * 0.3
    probs /= probs.sum(axis=1, keepdims=True)
    expected = reference.roc_auc_score(labels, probs, multi_class="ovr", average="macro")
    assert macro_ovr_auroc(probs, labels) == pytest.approx(expected)


def test_an_absent_class_makes_numbers_undefined_and_curves_impossible():
    scores, nobody, everybody = np.arange(4.0), np.zeros(4, bool), np.ones(4, bool)
    assert np.isnan(auroc(scores, nobody))
    assert np.isnan(auroc(scores, everybody))
    assert np.isnan(average_precision(scores, nobody))
    assert average_precision(scores, everybody) == 1.0
    assert np.isnan(auroc([], []))
    for absent in (nobody, everybody):
        with pytest.raises(ValueError, match="positive and negative"):
            roc_curve(scores, absent)
    with pytest.raises(ValueError, match="needs positive"):
        precision_recall_curve(scores, nobody)


def test_a_class_without_cases_makes_the_macro_average_undefined_not_optimistic():
    probs = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    per_class = ovr_auroc(probs, [0, 1, 0])
    assert per_class[:2].tolist() == [1.0, 1.0]
    assert np.isnan(per_class[2])
    assert np.isnan(macro_ovr_auroc(probs, [0, 1, 0]))


@pytest.mark.parametrize(
    ("scores", "positive"),
    [
        ([0.1, np.nan], [0, 1]),
        ([0.1, 0.2, 0.3], [0, 1]),
        ([[0.1], [0.2]], [[0], [1]]),
        ([0.1, 0.2], [1, 2]),
    ],
    ids=["nan", "lengths", "two-dimensional", "labels that aren't 0 and 1"],
)
def test_malformed_cases_are_refused(scores, positive):
    with pytest.raises(ValueError, match=r"NaN|equally long|only 0 and 1"):
        auroc(scores, positive)


@pytest.mark.parametrize(
    ("probs", "labels"),
    [
        (np.ones((3, 1)), [0, 0, 0]),
        (np.ones((3, 2)), [0, 1]),
        (np.ones((2, 2)), [0, 2]),
        (np.ones((2, 2)), [0.0, 1.0]),
        (np.full((2, 2), np.nan), [0, 1]),
    ],
    ids=["one column", "lengths", "label out of range", "float labels", "nan"],
)
def test_malformed_class_scores_are_refused(probs, labels):
    with pytest.raises(ValueError, match=r"K >= 2|rows|must lie|whole numbers|NaN"):
        macro_ovr_auroc(probs, labels)
