"""Rates from confusion matrices, and the threshold, against scikit-learn and published counts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from engine.metrics.classification import (
    balanced_accuracy,
    confusion_matrix,
    f1,
    headline_rates,
    per_class_rates,
    ppv,
    predicted_positive,
    quadratic_weighted_kappa,
    sensitivity,
    specificity,
    youden_threshold,
)

# Altman and Bland, BMJ 1994;308:1552 and 309:102: liver scans against pathology.
LIVER = np.array([[54, 32], [27, 231]])


def random_calls(seed, n_classes):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, n_classes, 250)
    wrong = generator.random(250) < 0.4
    return labels, np.where(wrong, generator.integers(0, n_classes, 250), labels)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_confusion_has_reference_rows_and_prediction_columns_like_scikit_learn(n_classes):
    labels, calls = random_calls(n_classes, n_classes)
    ours = confusion_matrix(labels, calls, n_classes)
    np.testing.assert_array_equal(ours, reference.confusion_matrix(labels, calls))


def test_classes_that_do_not_occur_keep_their_row_and_column():
    assert confusion_matrix([2], [0], 3).tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert confusion_matrix([], [], 2).tolist() == [[0, 0], [0, 0]]


def test_liver_scan_rates_are_as_published():
    rates = headline_rates(LIVER, positive=1)
    published = {"sensitivity": 0.90, "specificity": 0.63, "ppv": 0.88, "npv": 0.67}
    for name, value in published.items():
        assert getattr(rates, name) == pytest.approx(value, abs=0.005)


def test_the_positive_class_may_be_the_first_one():
    first, second = (headline_rates(LIVER, positive=k) for k in (0, 1))
    assert (first.sensitivity, first.specificity) == (second.specificity, second.sensitivity)
    assert (first.ppv, first.npv) == (second.npv, second.ppv)
    assert first.accuracy == second.accuracy


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_macro_averages_agree_with_scikit_learn(n_classes):
    labels, calls = random_calls(n_classes + 50, n_classes)
    rates = headline_rates(confusion_matrix(labels, calls, n_classes), positive=None)
    assert rates.accuracy == pytest.approx(reference.accuracy_score(labels, calls))
    expected = reference.balanced_accuracy_score(labels, calls)
    assert rates.balanced_accuracy == pytest.approx(expected)
    assert rates.sensitivity == pytest.approx(expected)
    assert rates.f1 == pytest.approx(reference.f1_score(labels, calls, average="macro"))
    assert rates.ppv == pytest.approx(reference.precision_score(labels, calls, average="macro"))


def test_the_table_per_class_agrees_with_scikit_learn():
    labels, calls = random_calls(9, 4)
    table = per_class_rates(confusion_matrix(labels, calls, 4))
    precision, recall, score, support = reference.precision_recall_fscore_support(labels, calls)
    inverse = reference.multilabel_confusion_matrix(labels, calls)
    for k, row in enumerate(table):
        assert (row.class_index, row.n_reference) == (k, support[k])
        assert row.n_predicted == (calls == k).sum()
        assert (row.ppv, row.sensitivity, row.f1) == pytest.approx(
            (precision[k], recall[k], score[k])
        )
        (true_negative, false_positive), (false_negative, _) = inverse[k]
        assert row.specificity == pytest.approx(true_negative / (true_negative + false_positive))
        assert row.npv == pytest.approx(true_negative / (true_negative + false_negative))


def test_a_rate_without_cases_is_undefined_not_perfect():
    nobody_ill = np.array([[5, 1], [0, 0]])
    rates = headline_rates(nobody_ill, positive=1)
    assert np.isnan(rates.sensitivity)
    assert np.isnan(rates.balanced_accuracy)
    assert rates.specificity == pytest.approx(5 / 6)
    assert np.isnan(ppv(np.array([[6, 0], [2, 0]]))[1])


def test_f1_of_a_class_never_found_is_zero():
    assert f1(np.array([[6, 0], [2, 0]]))[1] == 0.0
    assert np.isnan(f1(np.array([[6, 0], [0, 0]]))[1])


def test_rates_of_many_matrices_are_those_of_each():
    many = np.random.default_rng(0).integers(1, 20, (5, 3, 3))
    for rate in (sensitivity, specificity, balanced_accuracy):
        np.testing.assert_allclose(rate(many), [rate(one) for one in many])


@pytest.mark.parametrize("seed", range(20))
def test_youden_threshold_reaches_the_largest_index_of_scikit_learns_curve(seed):
    generator = np.random.default_rng(seed)
    positive = generator.random(60) < 0.4
    positive[:2] = [True, False]
    scores = np.round(generator.normal(size=60) + positive, seed % 3)
    calls = scores >= youden_threshold(scores, positive)
    fpr, tpr, _ = reference.roc_curve(positive, scores)
    assert calls[positive].mean() - calls[~positive].mean() == pytest.approx((tpr - fpr).max())


def test_youden_threshold_lies_in_the_middle_of_the_gap_it_separates():
    assert youden_threshold([0.1, 0.2, 0.6, 0.9], [0, 0, 1, 1]) == pytest.approx(0.4)


def test_of_cuts_with_equal_index_the_balanced_one_is_chosen():
    # J is 0.5 for calling >= 5 (sensitivity 0.5, specificity 1) and >= 3 (0.75 and 0.75).
    scores = [0, 1, 2, 4, 1, 3, 5, 6]
    positive = [0, 0, 0, 0, 1, 1, 1, 1]
    threshold = youden_threshold(scores, positive)
    calls = np.array(scores) >= threshold
    assert (calls[4:].mean(), 1 - calls[:4].mean()) == (0.75, 0.75)


def test_scores_that_say_nothing_call_every_case_positive():
    assert youden_threshold([0.5, 0.5, 0.5], [0, 1, 1]) == 0.5
    assert youden_threshold([0.9, 0.1], [0, 1]) == 0.1


def test_youden_threshold_separates_neighbouring_floats():
    lower = 0.3
    upper = np.nextafter(lower, 1.0)
    threshold = youden_threshold([lower, upper], [0, 1])
    assert predicted_positive([lower, upper], threshold).tolist() == [False, True]


def test_a_threshold_is_not_rounded_to_the_precision_of_float32_scores():
    lower = np.float32(0.3)
    scores = np.array([lower, np.nextafter(lower, np.float32(1))])
    threshold = youden_threshold(scores, [0, 1])
    assert predicted_positive(scores, threshold).tolist() == [False, True]


def test_malformed_input_is_refused():
    with pytest.raises(ValueError, match="positive and negative"):
        youden_threshold([0.1, 0.2], [1, 1])
    with pytest.raises(ValueError, match="finite"):
        youden_threshold([0.1, np.inf], [0, 1])
    with pytest.raises(ValueError, match="predictions"):
        confusion_matrix([0, 1], [0], 2)
    with pytest.raises(ValueError, match="must lie"):
        confusion_matrix([0, 3], [0, 1], 3)
    with pytest.raises(ValueError, match="positive"):
        headline_rates(LIVER, positive=2)


def test_weighted_kappa_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 200)
    predictions = np.clip(labels + random.integers(-1, 3, 200), 0, 3)
    expected = reference.cohen_kappa_score(labels, predictions, weights="quadratic")
    found = quadratic_weighted_kappa(confusion_matrix(labels, predictions, 4))
    assert found == pytest.approx(expected)


def test_weighted_kappa_is_one_when_all_agree_and_undefined_for_a_single_grade() -> None:
    assert quadratic_weighted_kappa(np.diag([3, 4, 5])) == 1.0
    assert np.isnan(quadratic_weighted_kappa([[7, 0], [0, 0]]))
