"""Text burned into images: said by the header, or seen in the picture.

Seen is only what looks like printed lines of four letters or more; nothing is read. Only kinds of
images that often carry text are looked at: ultrasound, secondary captures and photographs in
DICOM, and all formats without a header. Originals are opened for it, since at the size of the
network letters are specks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.audit.pictures import content_box
from engine.audit.study import Study
from engine.audit.text_lines import find_text_lines
from engine.audit.words import key_of, listed
from engine.contract.errors import DatasetError
from engine.contract.records import Finding
from engine.data.decode_messages import PIXELS, DecodedFrame, DecodeSettings, Job
from engine.data.decode_pool import DecodePool, Limits, SourceGoneError
from engine.data.phrases import count_of, verb

KIND: Final = "burned_in"
MOST_LOOKED_AT: Final = 3000
_OFTEN_WITH_TEXT: Final = frozenset("US IVUS SC OT XC ES GM DOC ECG".split())
_NEVER: Final = frozenset(("NIfTI", "NPZ"))
_LARGEST_PX: Final = 1024
_SIZE_STEP_PX: Final = 128
_SMALLEST_PX: Final = 128
"""In smaller images no letter could be read."""
_SEED: Final = 0
_LIMITS: Final = Limits(gone_s=10.0)


def find_flagged_text(study: Study) -> list[Finding]:
    """Find images whose header says that text which identifies is burned in."""
    is_flagged = np.array(
        [flag == "yes" for flag in study.facts.texts["burned_in"]], dtype=np.bool_
    )
    n = int(is_flagged.sum())
    if n == 0:
        return []
    return [
        Finding(
            kind=KIND,
            key=f"header/{key_of(study.ids(is_flagged))}",
            severity="high",
            n=n,
            sentence=f"{count_of(n, 'image', 'has')} identifying text burned in, as "
            f"{'its header says' if n == 1 else 'their headers say'} (Burned In Annotation: YES).",
            advice="Black it out in the originals before sharing anything, and import them again; "
            "a classifier may also learn from it.",
            records=study.ids(is_flagged),
        )
    ]


def find_printed_text(study: Study) -> list[Finding]:
    """Find images that seem to hold printed lines of text.

    Raises:
        DatasetError: If none of the originals can be read.
    """
    looked_at = _to_look_at(study)
    if len(looked_at) == 0:
        return []
    outcome = _look(study, looked_at)
    if len(outcome.seen) == 0:
        raise DatasetError(
            "The originals are needed to look for text and can't be read where they were.",
            remedy="Connect their disk, or show RadTune where the folder is now.",
        )
    found = outcome.with_text
    n = len(found)
    if n == 0:
        return []
    of = f" of the {len(outcome.seen):,} looked at" if len(outcome.seen) < len(study) else ""
    return [
        Finding(
            kind=KIND,
            key=f"seen/{key_of(study.ids(found))}",
            severity="medium",
            n=n,
            sentence=f"{count_of(n, 'image')}{of} {verb(n, 'seems')} to have lines of printed text "
            f"in {'it' if n == 1 else 'them'}{_by_class(study, outcome)}.",
            advice="Look whether names, dates or numbers are among them, and whether the text goes "
            "with a class: a classifier can learn it. Black it out in the originals if so.",
            records=study.ids(found),
            figures={"n_looked_at": len(outcome.seen)},
        )
    ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Outcome:
    """Indices of images that could be read, and of those with text."""

    seen: NDArray[np.int64]
    with_text: NDArray[np.int64]


def _to_look_at(study: Study) -> NDArray[np.int64]:
    """Return the images that may carry text; of very many, a random part."""
    texts, numbers = study.facts.texts, study.facts.numbers
    may = np.array(
        [
            modality in _OFTEN_WITH_TEXT if kind == "DICOM" else kind not in _NEVER
            for kind, modality in zip(texts["format"], texts["modality"], strict=True)
        ],
        dtype=np.bool_,
    )
    may &= np.minimum(numbers["width"], numbers["height"]) >= _SMALLEST_PX
    indices = np.flatnonzero(may)
    if len(indices) > MOST_LOOKED_AT:
        indices = np.random.default_rng(_SEED).permutation(indices)[:MOST_LOOKED_AT]
    return np.sort(indices)


def _look(study: Study, indices: NDArray[np.int64]) -> _Outcome:
    """Open originals, in processes of their own as the import does, and look for text."""
    originals = study.project.originals(study.record_ids[indices].tolist())
    jobs = [Job(str(o.root), o.path, (o.frame,), o.axis) for o in originals]
    index_of = dict(zip(jobs, indices.tolist(), strict=True))
    contract = study.project.image_contract
    plain = replace(contract, fit="letterbox", channels=1, depth_bits=8)
    seen: dict[int, bool] = {}
    with (
        DecodePool(safe_point=study.control.safe_point, limits=_LIMITS) as pool,
        contextlib.suppress(SourceGoneError),  # then some or all of them couldn't be looked at
    ):
        for size, some in _by_size(study, jobs, indices).items():
            contract = replace(plain, size_px=size)
            settings = DecodeSettings(contract=contract, parts=(PIXELS,))
            for job, outcome in pool.decode(some, settings):
                if isinstance(outcome, DecodedFrame) and outcome.pixels is not None:
                    facts = outcome.facts
                    box = content_box(facts.width, facts.height, side=size)
                    seen[index_of[job]] = bool(find_text_lines(outcome.pixels[box]))
                    study.tick(len(seen), len(jobs))
    return _Outcome(
        seen=np.array(sorted(seen), dtype=np.int64),
        with_text=np.array(sorted(i for i, found in seen.items() if found), dtype=np.int64),
    )


def _by_size(study: Study, jobs: Sequence[Job], indices: NDArray[np.int64]) -> dict[int, list[Job]]:
    """Return the jobs by the side of the square that each image is looked at in."""
    numbers = study.facts.numbers
    longest = np.maximum(numbers["width"], numbers["height"])[indices]
    sides = np.minimum(np.ceil(longest / _SIZE_STEP_PX) * _SIZE_STEP_PX, _LARGEST_PX)
    by_size: dict[int, list[Job]] = {}
    for job, side in zip(jobs, sides.astype(int).tolist(), strict=True):
        by_size.setdefault(side, []).append(job)
    return by_size


def _by_class(study: Study, outcome: _Outcome) -> str:
    """Return how often each class has text, where images have one class."""
    if not study.has_one_class or len(study.class_names) > 4:
        return ""
    parts = []
    for index, name in enumerate(study.class_names):
        n_seen = int((study.labels[outcome.seen] == index).sum())
        n_text = int((study.labels[outcome.with_text] == index).sum())
        parts.append(f"{n_text:,} of {n_seen:,} {name}")
    return f": {listed(parts)}"
