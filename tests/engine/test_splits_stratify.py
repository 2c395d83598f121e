"""Splits: whole patients, classes in proportion, the same for the same seed."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from engine.contract.errors import DatasetError
from engine.splits.stratify import count_by_split, split_groups

FRACTIONS = (0.7, 0.15, 0.15)


def random_study(seed, *, mixed):
    """Draw patients of 1 to 12 images; ``mixed`` gives a patient images of several classes."""
    generator = np.random.default_rng(seed)
    n_classes = int(generator.integers(2, 6))
    n_patients = int(generator.integers(10 * n_classes, 150))
    of_patient = np.concatenate(
        [
            np.repeat(np.arange(n_classes), 7),
            generator.integers(0, n_classes, n_patients - 7 * n_classes),
        ]
    )
    groups = np.repeat(np.arange(n_patients), generator.integers(1, 13, n_patients))
    labels = of_patient[groups]
    if mixed:
        other = generator.random(len(labels)) < 0.2
        labels = np.where(other, generator.integers(0, n_classes, len(labels)), labels)
    shuffled = generator.permutation(len(labels))
    return labels[shuffled], groups[shuffled], n_classes


@pytest.mark.parametrize("mixed", [False, True])
def test_no_patient_is_in_two_splits_and_no_split_lacks_a_class(mixed):
    for seed in range(200):
        labels, groups, n_classes = random_study(seed, mixed=mixed)
        split = split_groups(labels, groups, seed=seed)
        sides = {group: set(split[groups == group].tolist()) for group in np.unique(groups)}
        assert all(len(side) == 1 for side in sides.values())
        assert split.dtype == np.int8
        for part in (0, 1, 2):
            assert set(labels[split == part]) == set(range(n_classes))


def test_every_class_is_within_one_patient_of_its_share():
    for seed in range(200):
        labels, groups, n_classes = random_study(seed, mixed=False)
        split = split_groups(labels, groups, FRACTIONS, seed=seed)
        for k in range(n_classes):
            largest = np.bincount(groups[labels == k]).max()
            for part, share in enumerate(FRACTIONS):
                gap = ((labels == k) & (split == part)).sum() - share * (labels == k).sum()
                assert abs(gap) <= largest


def test_patients_with_many_images_are_not_all_put_into_training():
    generator = np.random.default_rng(0)
    sizes = generator.permutation(np.arange(1, 101))
    groups = np.repeat(np.arange(100), sizes)
    labels = (np.arange(100) % 2)[groups]
    split = split_groups(labels, groups, seed=0)
    of_patient = split[np.cumsum(sizes) - 1]
    means = [sizes[of_patient == part].mean() for part in (0, 1, 2)]
    assert max(means) < 1.5 * min(means)


def test_single_image_patients_are_divided_exactly():
    labels = np.repeat([0, 1], [200, 60])
    split = split_groups(labels, np.arange(260), seed=5)
    assert count_by_split(labels, split, 2).tolist() == [[140, 42], [30, 9], [30, 9]]


def test_three_patients_of_a_class_go_one_to_each_split():
    labels = np.repeat([0, 1], [100, 3])
    for seed in range(20):
        split = split_groups(labels, np.arange(103), seed=seed)
        assert sorted(split[labels == 1].tolist()) == [0, 1, 2]


def test_the_seed_decides_and_decides_alone():
    labels, groups, _ = random_study(1, mixed=True)
    first, again, other = (split_groups(labels, groups, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_any_patient_may_come_to_any_split():
    labels = np.arange(30) % 2
    seen = np.array([split_groups(labels, np.arange(30), seed=seed) for seed in range(200)])
    for part, share in enumerate(FRACTIONS):
        rate = (seen == part).mean(axis=0)
        assert rate.mean() == pytest.approx(share, abs=0.04)
        assert np.abs(rate - rate.mean()).max() < 0.15


def test_group_numbers_and_class_gaps_mean_nothing():
    labels, groups, _ = random_study(2, mixed=False)
    plain = split_groups(labels, groups, seed=4)
    np.testing.assert_array_equal(split_groups(labels * 3, groups * 17 + 5, seed=4), plain)


def test_a_share_of_zero_leaves_that_split_empty():
    labels = np.repeat([0, 1], [40, 2])
    split = split_groups(labels, np.arange(42), (0.8, 0.2, 0.0), seed=0)
    assert count_by_split(labels, split, 2).tolist() == [[32, 1], [8, 1], [0, 0]]


def test_a_class_with_two_patients_is_refused_with_its_name_and_a_remedy():
    labels = np.repeat([0, 1], [40, 6])
    groups = np.concatenate([np.arange(40), [40, 40, 40, 41, 41, 41]])
    with pytest.raises(DatasetError) as caught:
        split_groups(labels, groups, seed=0, class_names=["normal", "effusion"])
    assert caught.value.message == (
        "Class 'effusion' has 2 patients; a three-way split needs at least 3."
    )
    assert "merge" in caught.value.remedy


@pytest.mark.parametrize(
    ("n", "unit", "words"),
    [(1, "patient", "has 1 patient;"), (2, "file", "has 2 files;"), (2, "study", "has 2 studies;")],
)
def test_messages_count_what_was_kept_together(n, unit, words):
    labels = np.repeat([0, 1], [40, n])
    with pytest.raises(DatasetError, match=words):
        split_groups(labels, np.arange(40 + n), seed=0, unit=unit)


def test_a_named_class_without_images_is_refused():
    with pytest.raises(DatasetError, match="'c' has 0 patients"):
        split_groups(np.arange(20) % 2, np.arange(20), seed=0, class_names=["a", "b", "c"])


def test_one_class_or_no_images_are_refused():
    with pytest.raises(DatasetError, match="All images are of one class, 'normal'"):
        split_groups([1] * 9, np.arange(9), seed=0, class_names=["a", "normal"])
    with pytest.raises(DatasetError, match="no labelled images"):
        split_groups([], [], seed=0)


def test_patients_that_share_all_classes_in_an_impossible_way_are_refused():
    # Class 0 needs patients 0, 1, 2 apart; class 1 needs 0, 1, 3 apart; class 2 needs 0, 2, 3
    # apart: four patients that are pairwise apart don't fit into three splits.
    groups = np.array([0, 1, 2, 0, 1, 3, 0, 2, 3])
    labels = np.repeat([0, 1, 2], 3)
    with pytest.raises(DatasetError, match="no three-way split"):
        split_groups(labels, groups, seed=0)


@pytest.mark.parametrize(
    "fractions", [(0.5, 0.5), (0.7, 0.2, 0.2), (1.2, -0.1, -0.1), (0, 0.5, 0.5)]
)
def test_fractions_that_are_no_shares_are_refused(fractions):
    with pytest.raises(ValueError, match="fractions"):
        split_groups(np.arange(20) % 2, np.arange(20), fractions, seed=0)


@pytest.mark.parametrize("n_groups", [5_000, 30_000, 100_000])
def test_a_hundred_thousand_images_take_under_a_second(n_groups):
    generator = np.random.default_rng(0)
    labels, groups = generator.integers(0, 6, 100_000), generator.integers(0, n_groups, 100_000)
    seconds = []
    for seed in range(2):  # the better of two: other work may run beside the tests
        start = time.perf_counter()
        split = split_groups(labels, groups, seed=seed)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0
    np.testing.assert_allclose(np.bincount(split) / 100_000, FRACTIONS, atol=0.002)


def _findings(n_images: int = 900) -> tuple[Any, Any]:
    """Return three findings, frequent, less so and rare, of three images a patient."""
    generator = np.random.default_rng(3)
    present = generator.random((n_images, 3)) < (0.4, 0.15, 0.0)
    present[:6, 2] = True  # two patients have the rare one
    return present, np.arange(n_images) // 3


def test_findings_are_divided_in_proportion_each_and_patients_stay_whole():
    present, groups = _findings()
    split = split_groups(present, groups, seed=0)
    for part, share in ((0, 0.7), (1, 0.15), (2, 0.15)):
        found = present[split == part].sum(axis=0) / present.sum(axis=0)
        assert found[:2] == pytest.approx([share, share], abs=0.03)
        without = ~present.any(axis=1)
        assert without[split == part].sum() / without.sum() == pytest.approx(share, abs=0.03)
    for patient in range(groups.max() + 1):
        assert len(set(split[groups == patient])) == 1


def test_a_finding_too_rare_for_every_part_does_not_stop_the_split():
    present, groups = _findings()
    counts = count_by_split(present, split_groups(present, groups, seed=0), 3)
    assert counts.sum(axis=0).tolist() == present.sum(axis=0).tolist()
    assert (counts[:, :2] > 0).all()


def test_findings_of_too_few_patients_are_refused():
    with pytest.raises(DatasetError, match="Too few patients"):
        split_groups(np.array([[True], [True], [False]]), np.arange(3), seed=0)
