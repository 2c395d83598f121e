"""Divide patients into training, validation and test with the classes in proportion.

Patients with the same images per class are interchangeable, so most are divided in bulk; the
rest are placed one by one, rarest class first and largest first, where they are missing most.

References:
    Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", ECML 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.contract.errors import DatasetError
from engine.contract.records import SPLITS
from engine.contract.units import PLURALS, units

TRAIN: Final = SPLITS.index("train")
VAL: Final = SPLITS.index("val")
TEST: Final = SPLITS.index("test")
UNASSIGNED: Final = -1
"""Code of an image that is in no split."""

_MAX_ATTEMPTS = 20
_WAYS = {1: "one-way", 2: "two-way", 3: "three-way"}


def split_groups(
    labels: ArrayLike,
    groups: ArrayLike,
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
    *,
    seed: int,
    class_names: Sequence[str] | None = None,
    unit: str = "patient",
) -> NDArray[np.int8]:
    """Return the split of every image, shape ``(N,)``: 0 train, 1 val, 2 test.

    Groups stay whole. Every class has at least one group in every split, and about its share of
    images: as close as whole groups allow. The same input and seed give the same split.

    Args:
        labels: Class indices, shape ``(N,)``; or which findings are present, bool, shape
            ``(N, K)``. Findings of fewer groups than splits are then divided as it comes, and
            images without any finding count as one class more.
        groups: Group of every image, shape ``(N,)``, as from
            :func:`~engine.splits.groups.group_ids`.
        fractions: Shares of train, val and test, summing to 1. A share of 0 leaves that split
            empty (an external test set, say).
        seed: Which of the equally good splits.
        class_names: Names by index, for messages. When given, every class must have images.
        unit: What a group is, for messages: ``patient``, ``study`` or ``file``.

    Raises:
        DatasetError: If there are no images or fewer than two classes, or if a class has too few
            groups to be in every split.
        ValueError: If the shapes differ, a label is out of range, or the fractions aren't shares.
    """
    shares = _checked_fractions(fractions)
    parts = np.flatnonzero(shares)
    assigned = divide_groups(
        labels, groups, shares[parts], seed=seed, class_names=class_names, unit=unit
    )
    return parts.astype(np.int8)[assigned]


def divide_groups(
    labels: ArrayLike,
    groups: ArrayLike,
    shares: NDArray[np.float64],
    *,
    seed: int,
    class_names: Sequence[str] | None = None,
    unit: str = "patient",
) -> NDArray[np.int8]:
    """Return the part of every image, shape ``(N,)``, of any number of parts.

    As :func:`split_groups`, which see.

    Args:
        labels: As there.
        groups: As there.
        shares: Of the parts, each above 0.
        seed: As there.
        class_names: As there.
        unit: As there.

    Raises:
        DatasetError: As there.
        ValueError: As there.
    """
    counts, index, names = _class_counts(labels, groups, class_names)
    n_parts = len(shares)
    if np.ndim(labels) == 2:
        counts, names = _common(counts, names, n_parts=n_parts, unit=unit)
    _require_enough_groups(counts, names, n_parts=n_parts, unit=unit)
    assigned = _covering_assignment(counts, shares, np.random.default_rng(seed))
    if assigned is None:
        raise DatasetError(
            f"Too few {PLURALS[unit]} have images of one class only, so that no "
            f"{_way(n_parts)} split holds every class in each part.",
            remedy=f"Add {PLURALS[unit]} to the smallest classes, or merge or leave out a class.",
        )
    return assigned[index]


def count_by_split(
    labels: NDArray[Any], split: NDArray[np.int8], n_classes: int
) -> NDArray[np.int64]:
    """Count images by split and class, shape ``(3, K)``; unassigned images aren't counted.

    Args:
        labels: Class indices, shape ``(N,)``, in ``[0, n_classes)``; or which findings are
            present, bool, shape ``(N, n_classes)``.
        split: Codes, shape ``(N,)``, -1 for unassigned.
        n_classes: K.
    """
    if labels.ndim == 2:
        parts = range(len(SPLITS))
        return np.stack([labels[split == part].sum(axis=0, dtype=np.int64) for part in parts])
    used = split != UNASSIGNED
    cells = split[used].astype(np.int64) * n_classes + labels[used]
    counts = np.bincount(cells, minlength=len(SPLITS) * n_classes)
    return counts.reshape(len(SPLITS), n_classes).astype(np.int64)


def _way(n_parts: int) -> str:
    return _WAYS.get(n_parts, f"{n_parts}-way")


def _checked_fractions(fractions: tuple[float, float, float]) -> NDArray[np.float64]:
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.shape != (len(SPLITS),) or not (shares >= 0).all():
        raise ValueError(f"fractions must be three shares, not {fractions}")
    if abs(shares.sum() - 1) > 1e-6 or shares[TRAIN] == 0:
        raise ValueError(f"fractions must sum to 1 with something to train on, not {fractions}")
    return shares


def _class_counts(
    labels: ArrayLike, groups: ArrayLike, class_names: Sequence[str] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Return images per group and class (G, K), the row of every image, and the class names.

    Without names the classes are those that occur.
    """
    indices, ids = np.asarray(labels), np.asarray(groups)
    if indices.ndim not in (1, 2) or indices.shape[:1] != ids.shape:
        raise ValueError(f"labels and groups differ: {indices.shape} and {ids.shape}")
    if indices.size == 0:
        raise DatasetError(
            "There are no labelled images to split.",
            remedy="Import images with labels, or take back exclusions.",
        )
    if indices.ndim == 2:
        return _finding_counts(indices.astype(np.bool_), ids, class_names)
    if indices.min() < 0 or (class_names is not None and indices.max() >= len(class_names)):
        raise ValueError("labels must be indices of classes")
    occurring, columns = np.unique(indices, return_inverse=True)
    names = list(class_names) if class_names is not None else [str(k) for k in occurring]
    columns = indices if class_names is not None else columns
    if len(occurring) < 2:
        raise DatasetError(
            f"All images are of one class, '{names[columns[0]]}'; a classifier needs at least two.",
            remedy="Import images of another class, or check the column or folders of the labels.",
        )
    unique, index = np.unique(ids, return_inverse=True)
    cells = np.bincount(index * len(names) + columns, minlength=len(unique) * len(names))
    return cells.reshape(len(unique), len(names)), index.astype(np.int64), names


def _finding_counts(
    present: NDArray[np.bool_], ids: NDArray[np.int64], class_names: Sequence[str] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Return the same for findings, with one column more for images that have none."""
    names = (
        list(class_names) if class_names is not None else [str(k) for k in range(present.shape[1])]
    )
    columns = np.column_stack([present, ~present.any(axis=1)])
    unique, index = np.unique(ids, return_inverse=True)
    counts = np.zeros((len(unique), columns.shape[1]), dtype=np.int64)
    np.add.at(counts, index, columns)
    return counts, index.astype(np.int64), [*names, "no finding"]


def _common(
    counts: NDArray[np.int64], names: Sequence[str], *, n_parts: int, unit: str
) -> tuple[NDArray[np.int64], list[str]]:
    """Keep the findings (G, K) that can be in every split."""
    is_common = (counts > 0).sum(axis=0) >= n_parts
    if is_common.sum() < 2:
        raise DatasetError(
            f"Too few {PLURALS[unit]} have any of the findings to be divided.",
            remedy=f"Add {PLURALS[unit]}, or merge findings.",
        )
    kept = [name for name, is_kept in zip(names, is_common, strict=True) if is_kept]
    return counts[:, is_common], kept


def _require_enough_groups(
    counts: NDArray[np.int64], names: Sequence[str], *, n_parts: int, unit: str
) -> None:
    """Refuse the class with the fewest groups (G, K) when it can't be in every split."""
    n_groups = (counts > 0).sum(axis=0)
    scarcest = int(n_groups.argmin())
    n = int(n_groups[scarcest])
    if n >= n_parts:
        return
    raise DatasetError(
        f"Class '{names[scarcest]}' has {units(unit, n)}; "
        f"a {_way(n_parts)} split needs at least {n_parts}.",
        remedy=f"Add {PLURALS[unit]} with this class, merge it with another, or leave it out.",
    )


def _covering_assignment(
    counts: NDArray[np.int64], shares: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.int8] | None:
    """Return the part of every group, shape ``(G,)``; None if a class is missing somewhere.

    Patients with images of several classes can make one attempt miss: then other orders are
    tried.
    """
    for _ in range(_MAX_ATTEMPTS):
        assigned = _assign(counts, shares, generator)
        if all((counts[assigned == part] > 0).any(axis=0).all() for part in range(len(shares))):
            return assigned
    return None


def _assign(
    counts: NDArray[np.int64], shares: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.int8]:
    """Return the part of every group, shape ``(G,)``, as an index of the shares."""
    order = generator.permutation(len(counts))
    assigned = np.full(len(counts), UNASSIGNED, dtype=np.int8)
    rest = order[_assign_alike(counts[order], shares, assigned, order)]
    plan = _Placement(counts, shares, assigned, rest)
    for k in np.argsort((counts > 0).sum(axis=0), kind="stable"):
        waiting = rest[(assigned[rest] == UNASSIGNED) & (counts[rest, k] > 0)]
        for group in waiting[np.argsort(-counts[waiting, k], kind="stable")]:
            assigned[group] = plan.place(counts[group])
    return assigned


def _assign_alike(
    counts: NDArray[np.int64],
    shares: NDArray[np.float64],
    assigned: NDArray[np.int8],
    order: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Divide groups with the same images per class; return which are left, shape ``(G,)``.

    Only whole shares are given out, and only where every part gets some, so that what remains
    is small and the placement one by one still decides who gets the odd ones.

    Args:
        counts: Images per group and class in shuffled order, shape ``(G, K)``.
        shares: Of the parts, all positive.
        assigned: Part of every group in the original order; filled in.
        order: Original number of every shuffled group.
    """
    is_left = np.ones(len(counts), dtype=np.bool_)
    _, kinds, n_alike = np.unique(counts, axis=0, return_inverse=True, return_counts=True)
    by_kind = np.argsort(kinds.ravel(), kind="stable")
    for end, n in zip(np.cumsum(n_alike), n_alike, strict=True):
        # A hair is added because 20 * 0.15 is a little less than 3.
        n_each = np.floor(n * shares + 1e-9).astype(np.int64)
        if not n_each.all():
            continue
        members = by_kind[end - n : end][: n_each.sum()]
        assigned[order[members]] = np.repeat(np.arange(len(shares)), n_each)
        is_left[members] = False
    return is_left


class _Placement:
    """Places groups one by one where their classes are missing most."""

    def __init__(
        self,
        counts: NDArray[np.int64],
        shares: NDArray[np.float64],
        assigned: NDArray[np.int8],
        rest: NDArray[np.int64],
    ) -> None:
        held = np.stack([counts[assigned == part].sum(axis=0) for part in range(len(shares))])
        n_images = counts.sum(axis=0)
        self._shares = shares
        self._weights = 1.0 / n_images
        self._missing = shares[:, np.newaxis] * n_images - held
        self._is_lacking = held == 0
        self._n_waiting = (counts[rest] > 0).sum(axis=0)

    def place(self, group: NDArray[np.int64]) -> int:
        """Return the part for a group, given its images per class, shape ``(K,)``.

        A class with no more groups waiting than parts that lack it goes to one that lacks it.
        Otherwise the group goes where it lowers the squared gaps to the wanted numbers most. Gaps
        count relative to the size of the class and of the part, so that all parts fill at the
        same pace: else the largest part would take all the patients with many images.
        """
        present = group > 0
        is_urgent = present & (self._n_waiting <= self._is_lacking.sum(axis=0))
        n_urgent = (self._is_lacking & is_urgent).sum(axis=1)
        gain = (2 * self._missing - group) @ (group * self._weights) / self._shares
        part = int(np.lexsort((-gain, -n_urgent))[0])
        self._missing[part] -= group
        self._is_lacking[part] &= ~present
        self._n_waiting -= present
        return part
