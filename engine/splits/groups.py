"""What must stay on one side of a split: the images of a patient, and their near-duplicates."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def group_ids(
    patients: Sequence[str | None],
    studies: Sequence[str | None],
    files: Sequence[str],
    linked: Iterable[tuple[int, int]] = (),
) -> NDArray[np.int64]:
    """Return the group of every image, shape ``(N,)``, numbered from 0 by first appearance.

    An image belongs with its patient. Where the patient isn't known, it belongs with the one
    patient its study or its file is known to be of (other frames of the file may say), else with
    its study, else with its file. A study that names several patients joins nobody: sheets that
    number the studies of each patient from 1 would otherwise merge all patients.

    Args:
        patients: Patient ids; None or blank where unknown.
        studies: Study ids, likewise.
        files: Files; frames of one file share theirs.
        linked: Pairs of image indices that must stay together, such as near-duplicates. Links
            chain, and bring along the whole group of either image.

    Raises:
        ValueError: If the sequences differ in length, or a link is out of range.
    """
    if not len(patients) == len(studies) == len(files):
        raise ValueError(f"{len(patients)} patients, {len(studies)} studies and {len(files)} files")
    known = [_known(patient) for patient in patients]
    visits = [_known(study) for study in studies]
    of_study, of_file = _only_patients(visits, known), _only_patients(files, known)
    numbers: dict[Hashable, int] = {}
    groups = np.empty(len(files), dtype=np.int64)
    for i, (patient, study, file) in enumerate(zip(known, visits, files, strict=True)):
        patient = patient or of_study.get(study) or of_file.get(file)
        key = ("patient", patient) if patient else ("study", study) if study else ("file", file)
        groups[i] = numbers.setdefault(key, len(numbers))
    return _join(groups, len(numbers), linked)


def _known(name: str | None) -> str | None:
    """Return a name without surrounding blanks; None if nothing is left."""
    return (name or "").strip() or None


def _only_patients(
    keys: Sequence[str | None], patients: Sequence[str | None]
) -> dict[str | None, str | None]:
    """Return the patient of every key that has exactly one known patient."""
    found: dict[str | None, set[str]] = {}
    for key, patient in zip(keys, patients, strict=True):
        if key is not None and patient is not None:
            found.setdefault(key, set()).add(patient)
    return {key: next(iter(owners)) for key, owners in found.items() if len(owners) == 1}


def _join(
    groups: NDArray[np.int64], n_groups: int, linked: Iterable[tuple[int, int]]
) -> NDArray[np.int64]:
    """Merge the groups of linked images (union-find) and number what is left without gaps."""
    parents = list(range(n_groups))

    def root(group: int) -> int:
        while parents[group] != group:
            parents[group] = parents[parents[group]]
            group = parents[group]
        return group

    for first, second in linked:
        if not (0 <= first < len(groups) and 0 <= second < len(groups)):
            raise ValueError(f"link ({first}, {second}) is not between two of {len(groups)} images")
        a, b = sorted((root(int(groups[first])), root(int(groups[second]))))
        parents[b] = a
    roots = np.array([root(group) for group in range(n_groups)], dtype=np.int64)
    # The older group is always the root, so sorted roots are in order of first appearance.
    _, renumbered = np.unique(roots, return_inverse=True)
    return renumbered.astype(np.int64)[groups]
