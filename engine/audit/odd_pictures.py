"""Images that show nothing, are inverted, or are mostly empty border."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.audit.near_duplicates import unit_vectors
from engine.audit.pictures import GIST_PX
from engine.audit.study import Study
from engine.audit.words import key_of, percent
from engine.contract.records import Finding
from engine.data.phrases import count_of
from engine.project.findings import EXCLUDE

BLANK_KIND: Final = "blank_images"
INVERTED_KIND: Final = "inverted_images"
PADDED_KIND: Final = "padded_images"
_FEWEST_TO_COMPARE: Final = 20
_HOMOGENEOUS: Final = 0.6
_INVERTED: Final = -0.5
_MOSTLY_BORDER: Final = 0.6
_UNUSUAL_BORDER: Final = 0.35
_FEW: Final = 0.05


def find_blank_images(study: Study) -> list[Finding]:
    """Find images of one grey level, nearly all black or nearly all white."""
    pictures = study.pictures
    is_blank = pictures.is_blank
    n = int(is_blank.sum())
    if n == 0:
        return []
    n_black, n_white = (
        int((is_blank & (share > 0.5)).sum()) for share in (pictures.dark, pictures.bright)
    )
    parts = [(n_black, "black"), (n_white, "white"), (n - n_black - n_white, "of one grey")]
    kinds = ", ".join(f"{count:,} {word}" for count, word in parts if count)
    return [
        Finding(
            kind=BLANK_KIND,
            key=key_of(study.ids(is_blank)),
            severity="medium",
            n=n,
            sentence=f"{count_of(n, 'image', 'shows')} nothing: {kinds}.",
            advice="Exclude them, or find out why their files are empty or their window is wrong.",
            records=study.ids(is_blank),
            remedy=EXCLUDE,
            remedy_records=study.ids(is_blank),
        )
    ]


def find_inverted_images(study: Study) -> list[Finding]:
    """Find images whose bright and dark are swapped compared with the others.

    The direction in which all images vary together doesn't change when some are inverted; those
    that point the other way than most are the inverted ones. Where images differ too much from one
    another, such as several body parts, each class is looked at by itself.
    """
    usable = np.flatnonzero(~study.pictures.is_blank)
    vectors = unit_vectors(study.pictures.gists[usable].reshape(-1, GIST_PX**2))
    directions = pointing(vectors)
    if directions is None:
        found = np.zeros(len(usable), dtype=np.bool_)
        for label in np.unique(study.labels[usable]):
            members = np.flatnonzero(study.labels[usable] == label)
            inner = pointing(vectors[members])
            if inner is not None:
                found[members] = inner < _INVERTED
    else:
        found = directions < _INVERTED
    inverted = usable[found]
    if len(inverted) == 0:
        return []
    n = len(inverted)
    return [
        Finding(
            kind=INVERTED_KIND,
            key=key_of(study.ids(inverted)),
            severity="medium",
            n=n,
            sentence=f"{count_of(n, 'image', 'looks')} inverted: bright and dark are swapped "
            f"compared with the others{_of_class(study, inverted)}.",
            advice="Correct the files and import them again, or exclude them.",
            records=study.ids(inverted),
            remedy=EXCLUDE,
            remedy_records=study.ids(inverted),
        )
    ]


def pointing(vectors: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return how much each image points the way of most, shape ``(N,)``, in [-1, 1].

    Args:
        vectors: Images as rows of length 1 with mean 0, shape ``(N, D)``.

    Returns:
        None if the images are too few or have too little in common.
    """
    if len(vectors) < _FEWEST_TO_COMPARE:
        return None
    _, axes = np.linalg.eigh(vectors.T @ vectors)
    projections: NDArray[np.float32] = vectors @ axes[:, -1]
    if np.median(np.abs(projections)) < _HOMOGENEOUS:
        return None
    return projections if np.median(projections) > 0 else -projections


def _of_class(study: Study, indices: NDArray[np.int64]) -> str:
    labels = np.unique(study.labels[indices])
    if not study.has_one_class or len(labels) > 1 or len(indices) < 2:
        return ""
    return f", all of them {study.class_names[labels[0]]}"


def find_padded_images(study: Study) -> list[Finding]:
    """Find images that are mostly empty border, unlike the others."""
    border = study.pictures.border
    usual = np.empty(len(study), dtype=np.float32)
    for label in np.unique(study.labels):  # classes may be different body parts
        usual[study.labels == label] = np.median(border[study.labels == label])
    is_padded = (border > _MOSTLY_BORDER) & (border > usual + _UNUSUAL_BORDER)
    is_padded &= ~study.pictures.is_blank
    n = int(is_padded.sum())
    if not 0 < n <= max(1, _FEW * len(study)):
        return []
    return [
        Finding(
            kind=PADDED_KIND,
            key=key_of(study.ids(is_padded)),
            severity="low",
            n=n,
            sentence=f"{count_of(n, 'image', 'is')} mostly empty border: at least "
            f"{percent(float(border[is_padded].min()))} of {'its' if n == 1 else 'their'} area, "
            f"where others of the class have "
            f"{percent(float(np.median(usual[is_padded])))}.",
            advice=f"Look whether {'it was' if n == 1 else 'they were'} cut out or scaled wrongly; "
            f"the network sees {'it' if n == 1 else 'them'} small.",
            records=study.ids(is_padded),
        )
    ]
