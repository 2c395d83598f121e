"""Folds of a cross-validation."""

from __future__ import annotations

import numpy as np
import pytest

from engine.contract.errors import DatasetError
from engine.splits.folds import carve_validation, make_folds


def _study(seed: int, n_patients: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and patients: 1 to 6 images each, a third of the patients mixed."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_patients), random.integers(1, 7, n_patients))
    own = random.choice(3, n_patients, p=[0.6, 0.3, 0.1])[groups]
    other = random.integers(0, 3, len(groups))
    return np.where((groups % 3 == 0) & (random.random(len(groups)) < 0.3), other, own), groups


@pytest.mark.parametrize("n_folds", [2, 3, 5, 10])
@pytest.mark.parametrize("seed", range(5))
def test_patients_are_whole_and_every_image_is_in_one_fold(n_folds: int, seed: int) -> None:
    labels, groups = _study(seed)
    folds = make_folds(labels, groups, n_folds, seed=seed)
    assert folds.shape == labels.shape
    assert set(folds.tolist()) == set(range(n_folds))
    for group in np.unique(groups):
        assert len(np.unique(folds[groups == group])) == 1


@pytest.mark.parametrize("n_folds", [3, 5])
def test_every_fold_holds_about_its_share_of_each_class(n_folds: int) -> None:
    labels, groups = _study(0, n_patients=300)
    folds = make_folds(labels, groups, n_folds, seed=1)
    for k in range(3):
        wanted = (labels == k).sum() / n_folds
        for fold in range(n_folds):
            # As far off as the images of one patient, or a tenth.
            assert abs(((folds == fold) & (labels == k)).sum() - wanted) <= max(6, 0.1 * wanted)


def test_the_same_seed_gives_the_same_folds_and_another_gives_others() -> None:
    labels, groups = _study(3)
    first = make_folds(labels, groups, 5, seed=7)
    assert first.tolist() == make_folds(labels, groups, 5, seed=7).tolist()
    assert first.tolist() != make_folds(labels, groups, 5, seed=8).tolist()


def test_more_folds_than_patients_of_a_class_are_refused_with_what_to_do() -> None:
    labels = np.array([0] * 20 + [1] * 3)
    with pytest.raises(DatasetError, match="a 5-way split needs at least 5") as caught:
        make_folds(labels, np.arange(23), 5, seed=0, class_names=("a", "rare"))
    assert "Choose fewer folds" in caught.value.remedy


def test_validation_is_carved_from_outside_the_fold_by_whole_patients() -> None:
    labels, groups = _study(2)
    folds = make_folds(labels, groups, 5, seed=0)
    rest = np.flatnonzero(folds != 2)
    learned, chosen_by = carve_validation(labels, groups, rest, seed=0)
    assert sorted([*learned, *chosen_by]) == rest.tolist()
    assert not set(groups[learned]) & set(groups[chosen_by])
    assert set(labels[chosen_by]) == {0, 1, 2}
    assert 0.1 < len(chosen_by) / len(rest) < 0.2
