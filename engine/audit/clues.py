"""What might give the class away without showing the disease: size, origin, corners, sheet columns.

A clue is known of every image before any network looks at it. Numbers are used as they are, words
by how often each goes with the class, and several numbers together by a small logistic regression;
the last two are fitted on other patients than those they are tried on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.audit.folds import out_of_fold, patient_folds
from engine.audit.study import Study

_ROWS_AT_ONCE: Final = 512
_CORNER: Final = 8
"""The side of a corner is the image's side divided by this."""
_PRIOR_IMAGES: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clue:
    """Something known of every image, or of most.

    Attributes:
        key: Names it from one audit to the next.
        name: As the beginning of a sentence, such as "The image height".
        numbers: float64, shape ``(N,)`` or ``(N, M)``, NaN where unknown; None for words.
        words: One for each image, "" where unknown; None for numbers.
        unit: Of the number, as it follows it in a sentence.
        worst: The highest severity that it can have.
        advice: What it may mean.
    """

    key: str
    name: str
    numbers: NDArray[np.float64] | None = None
    words: Sequence[str] | None = None
    unit: str = ""
    worst: str = "high"
    advice: str

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Of which images it is known, shape ``(N,)``."""
        if self.words is not None:
            return np.ones(len(self.words), dtype=np.bool_)
        assert self.numbers is not None
        known: NDArray[np.bool_] = np.isfinite(self.numbers)
        return known if known.ndim == 1 else np.asarray(known.all(axis=1))

    @property
    def varies(self) -> bool:
        """Whether it differs between images at all."""
        if self.words is not None:
            return len(set(self.words)) > 1
        assert self.numbers is not None
        known = self.numbers[self.is_known]
        return len(known) > 1 and bool((known != known[0]).any())

    def scores(
        self, chosen: NDArray[np.int64], is_positive: NDArray[np.bool_], groups: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return how strongly it points to the class, for some images of which it is known.

        A single number points as it is: the caller looks at both directions.

        Args:
            chosen: Indices, shape ``(M,)``.
            is_positive: Of these images, shape ``(M,)``.
            groups: Patients of these images, shape ``(M,)``.
        """
        if self.words is not None:
            codes = np.unique([self.words[i] for i in chosen], return_inverse=True)[1]
            fit: Callable[..., NDArray[np.float64]] = _share_of_class
            values: NDArray[Any] = codes.reshape(-1)
        else:
            assert self.numbers is not None
            values = self.numbers[chosen]
            if values.ndim == 1:
                return values
            fit = _logistic
        folds = patient_folds(groups, is_positive.astype(np.int64))
        return out_of_fold(folds, lambda train, test: fit(values, is_positive, train, test))


def _share_of_class(
    codes: NDArray[np.int64],
    is_positive: NDArray[np.bool_],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return how often each word goes with the class; rare words are drawn to the average."""
    n_words = int(codes.max()) + 1
    n = np.bincount(codes[train], minlength=n_words)
    n_positive = np.bincount(codes[train], weights=is_positive[train], minlength=n_words)
    prior = float(is_positive[train].mean())
    shares = (n_positive + _PRIOR_IMAGES * prior) / (n + _PRIOR_IMAGES)
    return np.asarray(shares[codes[test]], dtype=np.float64)


def _logistic(
    values: NDArray[np.float64],
    is_positive: NDArray[np.bool_],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
) -> NDArray[np.float64]:
    from sklearn.linear_model import LogisticRegression

    if is_positive[train].all() or not is_positive[train].any():
        return np.zeros(len(test))
    mean, spread = values[train].mean(axis=0), values[train].std(axis=0)
    scaled = (values - mean) / np.where(spread > 0, spread, 1.0)
    model = LogisticRegression(max_iter=300).fit(scaled[train], is_positive[train])
    return np.asarray(model.decision_function(scaled[test]), dtype=np.float64)


_ORIGIN: Final = (
    "A classifier can learn where an image comes from instead of what it shows; mix both origins "
    "in both classes, or leave one out."
)
_SIZE: Final = (
    "A classifier can learn the shape or sharpness of the images instead of what they show."
)
_BYTES: Final = "It goes with pixel count, compression and noise, which a classifier can learn."
_TIME: Final = (
    "The classes come from different times, and so perhaps from different devices or settings; "
    "take both from the same time."
)
_PERSON: Final = (
    "This may be right, if the disease goes with it; compare results between the groups."
)


def header_clues(study: Study) -> list[Clue]:
    """Return what files and headers say."""
    texts, numbers = study.facts.texts, study.facts.numbers
    width, height = numbers["width"], numbers["height"]
    known = (
        ("width", "The image width", width, " pixels", "high", _SIZE),
        ("height", "The image height", height, " pixels", "high", _SIZE),
        (
            "aspect_ratio",
            "The shape of the images (width by height)",
            width / height,
            "",
            "high",
            _SIZE,
        ),
        ("bits", "The bit depth", numbers["bits"], " bits", "high", _ORIGIN),
        ("file_size", "The size of the files", numbers["n_bytes"], " bytes", "low", _BYTES),
        ("acquired", "The date of acquisition", numbers["acquired"], "", "high", _TIME),
        ("age", "The age of the patients", numbers["age"], " years", "low", _PERSON),
    )
    found = [
        Clue(key=key, name=name, numbers=values, unit=unit, worst=worst, advice=advice)
        for key, name, values, unit, worst, advice in known
    ]
    said = (
        ("format", "The file format", "high", _ORIGIN),
        ("modality", "The modality", "high", _ORIGIN),
        ("device", "The device", "high", _ORIGIN),
        ("site", "The institution", "high", _ORIGIN),
        ("view", "The view", "high", "Use one view, or both views in both classes."),
        ("sex", "The sex of the patients", "low", _PERSON),
    )
    found += [
        Clue(key=key, name=name, words=texts[key], worst=worst, advice=advice)
        for key, name, worst, advice in said
    ]
    return found


def sheet_clues(study: Study) -> list[Clue]:
    """Return the numeric columns of the label sheet that no other clue repeats."""
    numbers = study.facts.numbers
    repeated = [numbers[name] for name in ("width", "height", "age", "bits")]
    clues = []
    for name, values in study.facts.sheet.items():
        known = values[np.isfinite(values)]
        if len(np.unique(known)) < 2 or any(
            np.array_equal(values, other, equal_nan=True) for other in repeated
        ):
            continue
        clues.append(
            Clue(
                key=f"column/{name}",
                name=f"The sheet's column “{name}”",
                numbers=values,
                advice="If it is the label in another form, accept this; otherwise find out "
                "whether it shows in the images, as size, sharpness or borders do.",
            )
        )
    return clues


def corner_clue(study: Study) -> Clue:
    """Return mean and spread of the grey levels in the four corners, as the network sees them.

    Raises:
        DatasetError: If originals are needed and can't be read.
    """
    side = study.project.image_contract.size_px // _CORNER
    corners = np.empty((len(study), 8), dtype=np.float64)
    for start in range(0, len(study), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        pixels = study.pixels.read(study.rows[part])
        for k, (top, left) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            rows = slice(-side, None) if top else slice(side)
            columns = slice(-side, None) if left else slice(side)
            corner = pixels[:, rows, columns].reshape(len(pixels), -1).astype(np.float32)
            corners[part, k], corners[part, 4 + k] = corner.mean(axis=1), corner.std(axis=1)
        study.tick(min(start + _ROWS_AT_ONCE, len(study)), len(study))
    return Clue(
        key="corners",
        name="The four corners of the images",
        numbers=corners,
        advice="Compare the corners of both classes: markers, text, collimation or black borders "
        "there are easier to learn than the disease.",
    )
