"""Intervals against published tables, the slow way, and repeated sampling."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score, roc_auc_score

from engine.metrics.intervals import (
    bootstrap_auroc,
    bootstrap_interval,
    bootstrap_ovr_auroc,
    bootstrap_rates,
    wilson_interval,
)
from engine.metrics.ranking import auroc, macro_ovr_auroc


def clustered_cases(generator, n_patients, images_each=3, shift=1.0):
    """Draw patients with one label and correlated scores; the image AUROC is Phi(shift / 2)."""
    groups = np.repeat(np.arange(n_patients), images_each)
    positive = (generator.random(n_patients) < 0.4)[groups]
    shared = generator.normal(size=n_patients)[groups]
    own = generator.normal(size=len(groups))
    return np.sqrt(0.7) * shared + np.sqrt(0.3) * own + shift * positive, positive, groups


@pytest.mark.parametrize(
    ("n_successes", "n_trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_limits_are_those_of_newcombes_table(n_successes, n_trials, low, high):
    # Statistics in Medicine 1998;17:857-872, table I, method 3.
    interval = wilson_interval(n_successes, n_trials)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)
    assert interval.estimate == n_successes / n_trials


def test_a_proportion_of_nothing_can_be_anything():
    interval = wilson_interval(0, 0)
    assert np.isnan(interval.estimate)
    assert (interval.low, interval.high) == (0.0, 1.0)


@pytest.mark.parametrize("tied", [False, True])
def test_the_quick_way_draws_and_computes_what_the_slow_way_does(tied):
    scores, positive, groups = clustered_cases(np.random.default_rng(1), 40)
    scores = np.round(scores) if tied else scores

    def slow(images):
        labels = positive[images]
        return roc_auc_score(labels, scores[images]) if 0 < labels.mean() < 1 else np.nan

    quick = bootstrap_auroc(scores, positive, groups, n_resamples=150, seed=7)
    reference = bootstrap_interval(slow, groups, n_resamples=150, seed=7)
    assert (quick.estimate, quick.low, quick.high) == pytest.approx(
        (reference.estimate, reference.low, reference.high)
    )
    assert quick.n_groups == 40


def test_draws_do_not_depend_on_how_they_are_chunked(monkeypatch):
    scores, positive, groups = clustered_cases(np.random.default_rng(1), 40)
    whole = bootstrap_auroc(scores, positive, groups, n_resamples=101, seed=7)
    monkeypatch.setattr("engine.metrics.resampling._CHUNK_CELLS", 700)
    assert bootstrap_auroc(scores, positive, groups, n_resamples=101, seed=7) == whole


def test_several_classes_agree_with_the_slow_way():
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 3, 90)
    groups = np.repeat(np.arange(45), 2)
    probs = generator.dirichlet(np.ones(3), 90) + np.eye(3)[labels] * 0.5
    macro, per_class = bootstrap_ovr_auroc(probs, labels, groups, n_resamples=60, seed=3)
    reference = bootstrap_interval(
        lambda images: macro_ovr_auroc(probs[images], labels[images]),
        groups,
        n_resamples=60,
        seed=3,
    )
    assert (macro.estimate, macro.low, macro.high) == pytest.approx(
        (reference.estimate, reference.low, reference.high)
    )
    alone = bootstrap_auroc(probs[:, 1], labels == 1, groups, n_resamples=60, seed=3)
    assert per_class[1] == alone


def test_rates_agree_with_the_slow_way():
    generator = np.random.default_rng(4)
    labels = generator.integers(0, 2, 80)
    calls = np.where(generator.random(80) < 0.3, 1 - labels, labels)
    groups = generator.integers(0, 30, 80)
    rates = bootstrap_rates(labels, calls, groups, 2, positive=1, n_resamples=80, seed=5)

    def resampled(score, images):
        return score(labels[images], calls[images])

    for name, score in (("sensitivity", recall_score), ("f1", f1_score)):
        slow = bootstrap_interval(partial(resampled, score), groups, n_resamples=80, seed=5)
        quick = rates.headline[name]
        assert (quick.estimate, quick.low, quick.high) == pytest.approx(
            (slow.estimate, slow.low, slow.high)
        )
    assert rates.per_class[1]["sensitivity"] == rates.headline["sensitivity"]
    assert rates.per_class[0]["sensitivity"] == rates.headline["specificity"]


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(11)
    truth = 0.7602499  # Phi(1 / sqrt(2)): two unit normals a distance of 1 apart
    covered = []
    for trial in range(200):
        cases = clustered_cases(generator, 80)
        interval = bootstrap_auroc(*cases, n_resamples=400, seed=trial)
        covered.append(interval.low <= truth <= interval.high)
    # 95 % less a little for 80 patients; the standard error of 200 trials is 1.5 %.
    assert 0.89 <= np.mean(covered) <= 0.99


def test_images_of_a_patient_are_not_counted_as_independent():
    scores, positive, groups = clustered_cases(np.random.default_rng(3), 60, images_each=8)
    by_patient = bootstrap_auroc(scores, positive, groups)
    by_image = bootstrap_auroc(scores, positive, np.arange(len(scores)))
    assert by_patient.high - by_patient.low > 1.5 * (by_image.high - by_image.low)


def test_resamples_without_a_class_are_skipped_and_counted():
    # Two of ten patients are positive: 0.8^10, 10.7 % of the resamples, draw neither.
    positive = np.arange(10) >= 8
    scores = np.array([3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3])
    interval = bootstrap_auroc(scores, positive, np.arange(10), n_resamples=2000, seed=0)
    assert interval.n_resamples + interval.n_skipped == 2000
    assert interval.n_skipped / 2000 == pytest.approx(0.8**10 + 0.2**10, abs=0.025)


def test_perfect_separation_is_not_reported_as_certain():
    positive = np.arange(60) >= 30
    interval = bootstrap_auroc(np.arange(60.0), positive, np.arange(60))
    assert (interval.estimate, interval.high, interval.method) == (1.0, 1.0, "wilson")
    assert interval.low == pytest.approx(wilson_interval(30, 30).low)
    calls = positive.astype(int)
    rates = bootstrap_rates(calls, calls, np.arange(60), 2, positive=1).headline
    assert rates["sensitivity"].low == pytest.approx(wilson_interval(30, 30).low)
    assert rates["accuracy"].low == pytest.approx(wilson_interval(60, 60).low)
    assert rates["balanced_accuracy"].low == pytest.approx(wilson_interval(30, 30).low)


def test_a_number_that_rests_on_one_patient_has_no_interval():
    positive = np.array([True, True, False, False, False])
    groups = np.array([0, 0, 1, 2, 3])
    interval = bootstrap_auroc([0.9, 0.4, 0.5, 0.2, 0.1], positive, groups)
    assert interval.estimate == pytest.approx(5 / 6)
    assert interval.method == "none"
    assert np.isnan([interval.low, interval.high]).all()


def test_an_undefined_number_has_an_undefined_interval():
    interval = bootstrap_auroc([0.1, 0.2], [True, True], [0, 1])
    assert np.isnan([interval.estimate, interval.low, interval.high]).all()
    assert interval.n_resamples == 0


def test_the_same_seed_gives_the_same_interval():
    cases = clustered_cases(np.random.default_rng(5), 50)
    first, again, other = (bootstrap_auroc(*cases, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_two_thousand_resamples_of_five_thousand_images_take_under_a_second():
    generator = np.random.default_rng(0)
    positive = generator.random(5000) < 0.3
    scores = generator.normal(size=5000) + positive
    seconds = []
    for _ in range(3):  # the best of three: other work may run beside the tests
        start = time.perf_counter()
        interval = bootstrap_auroc(scores, positive, np.arange(5000))
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0
    assert interval.low < auroc(scores, positive) < interval.high


def test_malformed_input_is_refused():
    with pytest.raises(ValueError, match="groups"):
        bootstrap_auroc([0.1, 0.2], [0, 1], [0])
    with pytest.raises(ValueError, match="not empty"):
        bootstrap_interval(lambda images: 0.0, [])
    with pytest.raises(ValueError, match="level"):
        bootstrap_auroc([0.1, 0.2], [0, 1], [0, 1], level=95)
    with pytest.raises(ValueError, match="resample"):
        bootstrap_auroc([0.1, 0.2], [0, 1], [0, 1], n_resamples=0)
    with pytest.raises(ValueError, match="successes"):
        wilson_interval(3, 2)
    with pytest.raises(ValueError, match="predictions"):
        bootstrap_rates([0, 1], [0], [0, 1], 2, positive=1)
