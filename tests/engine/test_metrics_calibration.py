"""Calibration against scikit-learn and hand-computed bins."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from engine.metrics.calibration import brier_score, expected_calibration_error, reliability_bins


def test_expected_calibration_error_of_four_cases_is_as_computed_by_hand():
    # Two bins. Confidences 0.6 and 0.8 and 0.9 and 0.7, all in the upper one, mean 0.75;
    # three of four right: |0.75 - 0.75| = 0.
    probs = np.array([[0.6, 0.4], [0.2, 0.8], [0.9, 0.1], [0.3, 0.7]])
    assert expected_calibration_error(probs, [0, 1, 0, 0], n_bins=2) == pytest.approx(0.0)
    # All four right: |0.75 - 1| = 0.25.
    assert expected_calibration_error(probs, [0, 1, 0, 1], n_bins=2) == pytest.approx(0.25)
    # Five bins. (0.4, 0.6]: 0.6 wrong. (0.6, 0.8]: 0.8, 0.7 right. (0.8, 1]: 0.9 right.
    by_hand = (1 * 0.6 + 2 * (1 - 0.75) + 1 * (1 - 0.9)) / 4
    assert expected_calibration_error(probs, [1, 1, 0, 1], n_bins=5) == pytest.approx(by_hand)


def test_confidence_is_that_of_the_predicted_class_among_several():
    probs = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    assert expected_calibration_error(probs, [0, 2], n_bins=1) == pytest.approx(1 - 0.65)


def test_reliability_bins_agree_with_scikit_learn():
    generator = np.random.default_rng(0)
    stated = generator.random(500)
    came_true = generator.random(500) < stated**2
    bins = reliability_bins(stated, came_true, n_bins=10)
    observed, mean = calibration_curve(came_true, stated, n_bins=10)
    np.testing.assert_allclose(bins.observed, observed)
    np.testing.assert_allclose(bins.mean_probability, mean)
    assert bins.n_cases.sum() == 500
    assert bins.edges[[0, -1]].tolist() == [0.0, 1.0]


def test_limits_of_bins_belong_to_the_bin_below_and_zero_to_the_first():
    bins = reliability_bins([0.0, 0.2, 0.4, 1.0], [0, 0, 1, 1], n_bins=5)
    assert bins.n_cases.tolist() == [2, 1, 0, 0, 1]
    assert np.isnan(bins.observed[2:4]).all()


@pytest.mark.parametrize("n_classes", [2, 4])
def test_brier_score_agrees_with_scikit_learn(n_classes):
    generator = np.random.default_rng(1)
    labels = generator.integers(0, n_classes, 80)
    probs = generator.dirichlet(np.ones(n_classes), 80)
    expected = brier_score_loss(
        labels, probs[:, 1] if n_classes == 2 else probs, labels=list(range(n_classes))
    )
    assert brier_score(probs, labels) == pytest.approx(expected)


def test_a_softmax_that_rounds_past_one_is_accepted_and_nonsense_refused():
    probs = np.array([[1.0 + 1e-7, 0.0], [0.0, 1.0]])
    assert brier_score(probs, [0, 1]) == pytest.approx(0.0)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        brier_score(np.array([[1.5, -0.5]]), [0])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        reliability_bins([2.0], [1])


def test_no_cases_are_refused():
    with pytest.raises(ValueError, match="at least one case"):
        expected_calibration_error(np.zeros((0, 2)), [])
    with pytest.raises(ValueError, match="no cases"):
        brier_score(np.zeros((0, 2)), [])
    with pytest.raises(ValueError, match="one bin"):
        reliability_bins([0.5], [1], n_bins=0)
