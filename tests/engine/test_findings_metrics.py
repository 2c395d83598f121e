"""Measures of several findings against scikit-learn, and which findings can be learned."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
    roc_curve,
)

from engine.contract.config_io import to_plain
from engine.contract.finding_table import findings_csv
from engine.contract.targets import one_finding
from engine.evaluate.findings import build_findings_result, choose_thresholds, decide_findings
from engine.evaluate.plots import write_plots
from engine.evaluate.report import Scored, build_result
from engine.methods.strength_choice import strongest_as_good
from engine.metrics.findings import (
    bootstrap_findings_auroc,
    findings_aurocs,
    findings_log_loss,
    macro_findings_auroc,
)
from engine.metrics.intervals import bootstrap_auroc
from engine.project.learnable import count_states, why_not_learnable
from engine.result_words import finding_line

NAMES = ("Effusion", "Mass", "Nodule")


@pytest.fixture
def scored():
    return {name: _scored(seed) for seed, name in enumerate(("val", "test"))}


def _scored(seed: int, n: int = 240) -> Scored:
    random = np.random.default_rng(seed)
    labels = (random.random((n, 3)) < (0.5, 0.3, 0.15)).astype(np.int64)
    probabilities = np.clip(0.35 + 0.3 * labels + 0.25 * random.normal(size=(n, 3)), 0.01, 0.99)
    labels[random.random((n, 3)) < 0.2] = -1
    return Scored(
        probabilities=probabilities,
        labels=labels,
        patients=np.arange(n) // 2,
        records=np.arange(n) + 1,
    )


def test_aurocs_and_loss_are_scikit_learns_on_what_is_known(scored):
    test = scored["test"]
    known = [test.labels[:, k] >= 0 for k in range(3)]
    expected = [
        roc_auc_score(test.labels[own, k], test.probabilities[own, k])
        for k, own in enumerate(known)
    ]
    np.testing.assert_allclose(findings_aurocs(test.probabilities, test.labels), expected)
    assert macro_findings_auroc(test.probabilities, test.labels) == pytest.approx(np.mean(expected))
    all_known = test.labels >= 0
    loss = log_loss(test.labels[all_known], test.probabilities[all_known])
    assert findings_log_loss(test.probabilities, test.labels) == pytest.approx(loss)


def test_a_finding_without_an_auroc_is_passed_over(scored):
    test = scored["test"]
    labels = test.labels.copy()
    labels[labels[:, 1] == 1, 1] = -1
    aurocs = findings_aurocs(test.probabilities, labels)
    assert np.isnan(aurocs).tolist() == [False, True, False]
    assert macro_findings_auroc(test.probabilities, labels) == pytest.approx(aurocs[[0, 2]].mean())
    macro, each = bootstrap_findings_auroc(
        test.probabilities, labels, test.patients, n_resamples=200
    )
    assert macro.estimate == pytest.approx(aurocs[[0, 2]].mean())
    assert macro.low < macro.estimate < macro.high
    assert each[1].method == "none"
    labels[:, :] = -1
    assert np.isnan(macro_findings_auroc(test.probabilities, labels))


def test_where_all_is_known_the_interval_is_that_of_a_finding_alone(scored):
    test = scored["test"]
    labels = np.where(test.labels < 0, 0, test.labels)
    _, each = bootstrap_findings_auroc(test.probabilities, labels, test.patients, n_resamples=300)
    for k in range(3):
        alone = bootstrap_auroc(
            test.probabilities[:, k], labels[:, k] == 1, test.patients, n_resamples=300
        )
        assert each[k] == alone


def test_a_result_holds_for_each_finding_what_it_would_if_learned_alone(scored):
    val, test = scored["val"], scored["test"]
    result = build_findings_result(
        "r", test=test, val=val, class_names=NAMES, looks=1, n_resamples=200, seed=0
    )
    thresholds = choose_thresholds(val)
    present = decide_findings(test.probabilities, thresholds)
    for k, found in enumerate(result.findings):
        own = test.labels[:, k] >= 0
        truth, scores = test.labels[own, k], test.probabilities[own, k]
        assert (found.n_present, found.n_absent) == (int(truth.sum()), int((truth == 0).sum()))
        assert found.n_unknown == len(test.labels) - len(truth)
        assert found.result.auroc == pytest.approx(roc_auc_score(truth, scores))
        assert found.average_precision.value == pytest.approx(
            average_precision_score(truth, scores)
        )
        assert found.average_precision.low < found.average_precision.value
        assert found.brier == pytest.approx(brier_score_loss(truth, scores))
        called = present[own, k]
        assert found.result.sensitivity == pytest.approx(called[truth == 1].mean())
        assert found.result.specificity == pytest.approx(1 - called[truth == 0].mean())
        # Youden's threshold of validation, whichever way it is found.
        known = val.labels[:, k] >= 0
        fpr, tpr, _ = roc_curve(val.labels[known, k], val.probabilities[known, k])
        chosen = val.probabilities[known, k] >= thresholds[k]
        is_there = val.labels[known, k] == 1
        reached = chosen[is_there].mean() - chosen[~is_there].mean()
        assert reached == pytest.approx((tpr - fpr).max())
    assert result.auroc == pytest.approx(np.mean([f.result.auroc for f in result.findings]))
    assert [row.name for row in result.per_class] == list(NAMES)
    assert set(result.roc) == set(NAMES)


def test_one_finding_is_the_result_of_two_classes_on_its_known_images(scored):
    val, test = scored["val"], scored["test"]
    whole = build_findings_result(
        "r", test=test, val=val, class_names=NAMES, looks=2, n_resamples=200, seed=3
    )
    known_test, known_val = (part.labels[:, 1] >= 0 for part in (test, val))

    def alone(part: Scored, known: np.ndarray) -> Scored:
        p = part.probabilities[known, 1]
        return Scored(
            probabilities=np.stack([1 - p, p], axis=1),
            labels=part.labels[known, 1],
            patients=part.patients[known],
            records=part.records[known],
        )

    expected = build_result(
        "r",
        test=alone(test, known_test),
        val=alone(val, known_val),
        class_names=("no Mass", "Mass"),
        positive=1,
        looks=2,
        n_resamples=200,
        seed=3,
    )
    assert one_finding(whole, "Mass") == expected
    with pytest.raises(ValueError, match="no finding"):
        one_finding(whole, "Hernia")


def test_the_table_of_findings_has_a_row_each_and_their_mean(scored):
    result = build_findings_result(
        "r",
        test=scored["test"],
        val=scored["val"],
        class_names=NAMES,
        looks=1,
        n_resamples=200,
        seed=0,
    )
    rows = [line.split(",") for line in findings_csv(result).splitlines()]
    assert len({len(row) for row in rows}) == 1
    assert [row[0] for row in rows[1:]] == [*NAMES, "mean of the findings"]
    auroc = rows[0].index("auroc")
    assert float(rows[1][auroc]) == pytest.approx(result.findings[0].result.auroc, abs=1e-5)
    assert float(rows[-1][auroc]) == pytest.approx(result.auroc, abs=1e-5)


def test_plots_and_lines_for_people_show_each_finding(scored, tmp_path):
    result = build_findings_result(
        "r",
        test=scored["test"],
        val=scored["val"],
        class_names=NAMES,
        looks=1,
        n_resamples=200,
        seed=0,
    )
    write_plots(result, tmp_path / "no history.csv", tmp_path / "plots")
    names = {path.name for path in (tmp_path / "plots").glob("*.svg")}
    assert names == {"roc.svg", *(f"confusion {number}.svg" for number in (1, 2, 3))}
    lines = [finding_line(found) for found in to_plain(result)["findings"]]
    assert [line.partition(":")[0] for line in lines] == list(NAMES)
    first = result.findings[0]
    assert f"AUROC {first.result.auroc:.3f} (" in lines[0]
    assert lines[0].endswith(
        f"{first.n_present} present, {first.n_absent} absent, {first.n_unknown} unknown"
    )


def test_the_strongest_pull_is_chosen_by_the_findings_that_are_known(scored):
    test = scored["test"]
    worse = np.random.default_rng(5).random(test.probabilities.shape)
    for candidates, expected in (
        ((test.probabilities, test.probabilities, worse), 1),
        ((worse, test.probabilities), 1),
        ((test.probabilities, worse), 0),
    ):
        chosen, aurocs = strongest_as_good(
            candidates, test.labels, test.patients, positive=None, seed=0
        )
        assert chosen == expected
        assert aurocs == [macro_findings_auroc(p, test.labels) for p in candidates]


# --- which findings can be learned ---------------------------------------------------------------


def test_each_part_must_show_a_finding_and_its_absence():
    split = np.repeat([0, 1, 2, -1], [12, 6, 6, 2]).astype(np.int8)
    fine = np.tile([1, 0], 13)
    no_val = np.where(split == 1, 0, fine)
    everywhere = np.where(split == 0, 1, fine)
    one_test = np.where(split == 2, -1, fine)
    one_test[np.flatnonzero(split == 2)[:3]] = [1, 0, 0]
    values = np.stack([fine, no_val, everywhere, one_test], axis=1).astype(np.int8)
    counts = count_states(values, split)
    assert counts[:, 0].tolist() == [[6, 6], [3, 3], [3, 3], [1, 1]]
    assert why_not_learnable(counts, ("a", "b", "c", "d")) == {
        "b": "no validation images show it; at least 2 must.",
        "c": "no training images are without it; at least 5 must.",
        "d": "1 test image shows it; at least 2 must.",
    }


def test_before_a_split_all_images_count_and_an_empty_test_part_asks_for_nothing():
    values = np.array([[1]] * 5 + [[0]] * 5, dtype=np.int8)
    undivided = np.full(10, -1, dtype=np.int8)
    assert why_not_learnable(count_states(values, undivided), ("a",)) == {}
    few = why_not_learnable(count_states(values[1:], undivided[1:]), ("a",))
    assert few == {"a": "4 labelled images show it; at least 5 must."}
    values = np.array([[1]] * 7 + [[0]] * 7, dtype=np.int8)
    no_test = np.array([0] * 5 + [1] * 2 + [0] * 5 + [1] * 2, dtype=np.int8)
    assert why_not_learnable(count_states(values, no_test), ("a",)) == {}
