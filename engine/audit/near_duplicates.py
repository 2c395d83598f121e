"""Images of different patients that look like one and the same.

Candidates have nearly the same perceptual hash; all pairs are compared, in blocks that fit into
the processor's cache (100,000 images take some ten seconds). A candidate counts when its fine
detail, evened out for brightness and contrast, agrees; or agrees less, as after a slight rotation,
but a pre-trained network also sees the same. Two chest radiographs of different people agree at
0.5 or less, the same one in another window, size or compression at 0.8 or more.

Mirrored copies, as augmentation outside RadTune makes them, are found by their detail alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from engine.audit.exact_duplicates import copies_of
from engine.audit.pictures import GIST_PX, thumbnail_contents
from engine.audit.study import UNASSIGNED, Study
from engine.audit.words import MOST_PAIRS, key_of
from engine.contract.errors import EngineError
from engine.contract.records import Finding
from engine.data.phrases import count_of, verb
from engine.project.findings import LINK_PATIENTS

KIND: Final = "near_duplicates"
_HASH_BITS: Final = 10
"""Most bits in which two hashes of 64 may differ."""
_GIST_AGREEMENT: Final = 0.9
_SAME_DETAIL: Final = 0.8
_LIKE_DETAIL: Final = 0.6
_SAME_FEATURES: Final = 0.9
_BLOCK: Final = (256, 4096)
_DETAIL_PX: Final = 64
_DETAIL_SIGMA: Final = 2.0
_PAIRS_AT_ONCE: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Pairs of images by index, of shape ``(P,)`` each.

    Attributes:
        is_mirrored: Whether the second one looks like the mirrored first.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    is_mirrored: NDArray[np.bool_]


def find_near_duplicates(study: Study) -> list[Finding]:
    """Find images of different patients that look the same: across the split first."""
    pairs = _confirmed(study, _candidates(study))
    if len(pairs) == 0:
        return []
    parts = study.split[pairs]
    is_across = (parts[:, 0] != parts[:, 1]) & (parts != UNASSIGNED).all(axis=1)
    findings = []
    for chosen, across in ((pairs[is_across], True), (pairs[~is_across], False)):
        if len(chosen):
            findings.append(_finding(study, chosen, across=across))
    return findings


def _finding(study: Study, pairs: NDArray[np.int64], *, across: bool) -> Finding:
    members = np.unique(pairs)
    n = len(pairs)
    n_conflicts = int((study.labels[pairs[:, 0]] != study.labels[pairs[:, 1]]).sum())
    owner = "different patients" if study.unit == "patient" else "files without a known patient"
    where = " and lie on two sides of the split" if across else ""
    labels = f"; {n_conflicts:,} of them with different labels" if n_conflicts else ""
    advice = (
        "Keep each pair on one side, then make the split anew"
        if across
        else "Keep each pair on one side, so that no later split tears it apart"
    )
    ids = study.record_ids
    return Finding(
        kind=KIND,
        key=f"{'across_splits/' if across else ''}{key_of(study.ids(members))}",
        severity="high" if across else "medium",
        n=len(members),
        sentence=f"{count_of(n, 'pair')} of images of {owner} {verb(n, 'looks')} almost the same"
        f"{where if n > 1 else where.replace('lie', 'lies')}{labels}.",
        advice=f"{advice}; they may be repeats or neighbouring slices of one patient.",
        records=study.ids(members),
        pairs=tuple((int(ids[a]), int(ids[b])) for a, b in pairs[:MOST_PAIRS]),
        figures={"n_pairs": n, "n_with_two_labels": n_conflicts},
        remedy=LINK_PATIENTS,
        remedy_records=study.ids(members),
    )


def _candidates(study: Study) -> Candidates:
    """Return pairs of different patients with nearly the same hash and the same coarse picture."""
    pictures = study.pictures
    usable = np.flatnonzero(~pictures.is_blank)
    hashes, mirrored = pictures.hashes[usable], pictures.mirrored[usable]
    gists = unit_vectors(pictures.gists[usable].reshape(-1, GIST_PX**2))
    turned = unit_vectors(pictures.gists[usable][:, :, ::-1].reshape(-1, GIST_PX**2))
    groups, copies = study.groups[usable], copies_of(study)[usable]
    n_blocks = sum(1 for _ in _blocks(len(usable)))
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]] = []
    for number, (rows, columns) in enumerate(_blocks(len(usable)), start=1):
        study.tick(number, n_blocks)
        for others, looks, is_mirrored in ((hashes, gists, False), (mirrored, turned, True)):
            first, second = close_pairs(hashes, others, rows, columns)
            different = (groups[first] != groups[second]) & (copies[first] != copies[second])
            first, second = first[different], second[different]
            alike = np.einsum("ij,ij->i", gists[first], looks[second]) >= _GIST_AGREEMENT
            first, second = first[alike], second[alike]
            found.append((first, second, np.full(len(first), is_mirrored)))
    if not found:  # all images are blank
        none = np.empty(0, dtype=np.int64)
        return Candidates(first=none, second=none, is_mirrored=none.astype(np.bool_))
    first, second, flags = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Candidates(first=usable[first], second=usable[second], is_mirrored=flags)


def close_pairs(
    hashes: NDArray[np.uint64], others: NDArray[np.uint64], rows: slice, columns: slice
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs of a block whose hashes differ in few bits, the first before the second."""
    differing = np.bitwise_count(hashes[rows, np.newaxis] ^ others[np.newaxis, columns])
    near = np.flatnonzero(differing <= _HASH_BITS)
    first, second = np.divmod(near, differing.shape[1])
    first, second = first + rows.start, second + columns.start
    is_upper = first < second
    return first[is_upper], second[is_upper]


def _blocks(n: int) -> Iterator[tuple[slice, slice]]:
    """Yield blocks of rows and columns that cover every pair once."""
    height, width = _BLOCK
    for top in range(0, n, height):
        for left in range(top - top % width, n, width):
            yield slice(top, min(top + height, n)), slice(left, min(left + width, n))


def _confirmed(study: Study, candidates: Candidates) -> NDArray[np.int64]:
    """Return the pairs that really look the same, the most alike first, shape ``(P, 2)``."""
    if len(candidates.first) == 0:
        return np.empty((0, 2), dtype=np.int64)
    detail = _detail_agreement(study, candidates)
    is_sure = detail >= _SAME_DETAIL
    is_open = (detail >= _LIKE_DETAIL) & ~is_sure & ~candidates.is_mirrored
    if is_open.any() and (agreement := _feature_agreement(study)) is not None:
        first, second = candidates.first[is_open], candidates.second[is_open]
        is_sure[is_open] = agreement(first, second) >= _SAME_FEATURES
    order = np.flatnonzero(is_sure)
    order = order[np.argsort(-detail[order], kind="stable")]
    pairs = np.stack([candidates.first[order], candidates.second[order]], axis=1)
    _, kept = np.unique(pairs, axis=0, return_index=True)  # a symmetric image is its own mirror
    return pairs[np.sort(kept)]


def _detail_agreement(study: Study, candidates: Candidates) -> NDArray[np.float32]:
    members = np.unique(np.concatenate([candidates.first, candidates.second]))
    details = np.empty((len(members), _DETAIL_PX**2), dtype=np.float16)
    for k, content in enumerate(thumbnail_contents(study, members)):
        details[k] = fine_detail(content).ravel()
        study.tick(k + 1, len(members))
    turned = details.reshape(-1, _DETAIL_PX, _DETAIL_PX)[:, :, ::-1].reshape(details.shape)
    agreement = np.empty(len(candidates.first), dtype=np.float32)
    first = np.searchsorted(members, candidates.first)
    second = np.searchsorted(members, candidates.second)
    for start in range(0, len(agreement), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        flags = candidates.is_mirrored[part, np.newaxis]
        others = np.where(flags, turned[second[part]], details[second[part]])
        agreement[part] = np.einsum(
            "ij,ij->i", details[first[part]].astype(np.float32), others.astype(np.float32)
        )
    return agreement


def fine_detail(content: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the fine structure of an image whatever its brightness and contrast, of length 1.

    Args:
        content: Grey image without borders.

    Returns:
        float32 ``(64, 64)``: what remains without its coarse parts, divided by its local strength.
    """
    small = Image.fromarray(np.ascontiguousarray(content)).resize(
        (_DETAIL_PX, _DETAIL_PX), Image.Resampling.LANCZOS
    )
    levels = np.asarray(small, dtype=np.float32)
    fine = levels - gaussian_filter(levels, _DETAIL_SIGMA, mode="nearest")
    strength = np.sqrt(gaussian_filter(fine**2, 2 * _DETAIL_SIGMA, mode="nearest"))
    even = fine / (strength + 2.0)  # noise of empty areas isn't blown up
    return unit_vectors(even.reshape(1, -1)).reshape(even.shape)


def unit_vectors(values: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return rows ``(N, D)`` with mean 0 and length 1, so that a product is a correlation."""
    rows = values.astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    np.divide(rows, lengths, out=rows, where=lengths > 0)
    return rows


_Agreement = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]


def _feature_agreement(study: Study) -> _Agreement | None:
    """Return a function for the cosine of two images' features; None where there are none."""
    try:
        features = study.features
    except EngineError:  # no weights, or no originals: the detail alone decides
        return None
    lengths = np.linalg.norm(features, axis=1)

    def agreement(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float32]:
        products = np.einsum("ij,ij->i", features[first], features[second])
        products /= np.maximum(lengths[first] * lengths[second], 1e-12)
        return np.asarray(products)

    return agreement
