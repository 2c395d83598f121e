"""Images unlike the others by size, shape or window, and the few of another kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.audit.study import Study
from engine.audit.words import key_of, listed, percent
from engine.contract.records import Finding
from engine.data.phrases import count_of

_FEWEST: Final = 20
_FEW: Final = 0.02
_MADS: Final = 6.0
_MAD_TO_SIGMA: Final = 1.4826
_SIZE_FACTOR: Final = 2.0
_SHAPE_FACTOR: Final = 1.5
_WINDOW_FACTOR: Final = 4.0
_MOSTLY: Final = 0.9


def find_size_outliers(study: Study) -> list[Finding]:
    """Find images much larger or smaller than the others."""
    width, height = study.facts.numbers["width"], study.facts.numbers["height"]
    side = np.sqrt(width * height)
    is_odd = stands_out(side, factor=_SIZE_FACTOR)
    n = int(is_odd.sum())
    if n == 0:
        return []
    middle = int(np.argsort(side, kind="stable")[len(side) // 2])
    usual = f"{width[middle]:.0f} × {height[middle]:.0f}"
    n_small = int((is_odd & (side < side[middle])).sum())
    parts = [f"{n_small:,} smaller"] * (n_small > 0) + [f"{n - n_small:,} larger"] * (n > n_small)
    example = int(np.flatnonzero(is_odd)[0])
    return [
        Finding(
            kind="size_outliers",
            key=key_of(study.ids(is_odd)),
            severity="low",
            n=n,
            sentence=f"{count_of(n, 'image', 'has')} a size far from the others': "
            f"{listed(parts)}, such as {width[example]:.0f} × {height[example]:.0f} pixels where "
            f"{usual} is usual.",
            advice="Look whether they are previews, cut-outs or another kind of examination.",
            records=study.ids(is_odd),
        )
    ]


def find_shape_outliers(study: Study) -> list[Finding]:
    """Find images much wider or narrower than the others."""
    ratio = study.facts.numbers["width"] / study.facts.numbers["height"]
    is_odd = stands_out(ratio, factor=_SHAPE_FACTOR)
    n = int(is_odd.sum())
    if n == 0:
        return []
    usual = float(np.median(ratio))
    extreme = int(np.argmax(np.where(is_odd, np.abs(np.log(ratio / usual)), -1.0)))
    return [
        Finding(
            kind="shape_outliers",
            key=key_of(study.ids(is_odd)),
            severity="low",
            n=n,
            sentence=f"{count_of(n, 'image', 'has')} a shape far from the others': width by height "
            f"is {ratio[extreme]:.2f} at the most extreme, where {usual:.2f} is usual.",
            advice="Look whether they are cut-outs, strips or another kind of examination.",
            records=study.ids(is_odd),
        )
    ]


def find_window_outliers(study: Study) -> list[Finding]:
    """Find DICOM images whose window is far from that of the others of their modality."""
    is_odd = np.zeros(len(study), dtype=np.bool_)
    modalities = np.array(study.facts.texts["modality"])
    width = study.facts.numbers["window_width"]
    center = study.facts.numbers["window_center"]
    for modality in np.unique(modalities[modalities != ""]):
        members = np.flatnonzero((modalities == modality) & (width > 0) & np.isfinite(center))
        odd = stands_out(width[members], factor=_WINDOW_FACTOR)
        if len(members) < _FEWEST:
            continue
        # Centres are compared with the width of windows: in CT they may be negative.
        odd |= _far_off(center[members], at_least=float(np.median(width[members])))
        is_odd[members] = odd & (odd.mean() <= _FEW)
    n = int(is_odd.sum())
    if n == 0:
        return []
    return [
        Finding(
            kind="window_outliers",
            key=key_of(study.ids(is_odd)),
            severity="low",
            n=n,
            sentence=f"{count_of(n, 'image', 'has')} a grey window far from that of the others of "
            f"{'its' if n == 1 else 'their'} modality, and may come out too dark, too bright or "
            "flat.",
            advice="Look at them; another window rule, or excluding them, may help.",
            records=study.ids(is_odd),
        )
    ]


def find_small_images(study: Study) -> list[Finding]:
    """Say so when images have fewer pixels than the network looks at."""
    side = study.project.image_contract.size_px
    longest = np.maximum(study.facts.numbers["width"], study.facts.numbers["height"])
    is_small = longest < side / 2
    n = int(is_small.sum())
    if n == 0:
        return []
    usual = int(np.median(longest[is_small]))
    return [
        Finding(
            kind="small_images",
            key="" if n == len(study) else key_of(study.ids(is_small)),
            severity="info",
            n=n,
            sentence=f"{count_of(n, 'image', 'is')} small: about {usual} pixels on the longer "
            f"side, enlarged to the {side} that the network sees.",
            advice="If larger originals exist, import those: fine findings are lost at this size.",
            records=() if n == len(study) else study.ids(is_small),
        )
    ]


def stands_out(values: NDArray[np.float64], *, factor: float) -> NDArray[np.bool_]:
    """Return which positive values are far from the others; none if they are not few.

    Far is both by a factor and by six robust standard deviations of the logarithms.

    Args:
        values: Shape ``(N,)``.
        factor: Values within this factor of the median never stand out.
    """
    if len(values) < _FEWEST:
        return np.zeros(len(values), dtype=np.bool_)
    is_odd = _far_off(np.log(values), at_least=float(np.log(factor)))
    return is_odd if is_odd.mean() <= _FEW else np.zeros(len(values), dtype=np.bool_)


def _far_off(values: NDArray[np.float64], *, at_least: float) -> NDArray[np.bool_]:
    distance = np.abs(values - np.median(values))
    return distance > max(at_least, _MADS * _MAD_TO_SIGMA * float(np.median(distance)))


@dataclass(frozen=True, slots=True)
class _Kind:
    """A way in which images may be of several kinds.

    Attributes:
        what: Told after the number: "3 images are {what}".
    """

    key: str
    values: Sequence[str]
    few: str
    most: str


def find_few_of_a_kind(study: Study) -> list[Finding]:
    """Find the few images of another format, modality or view, or in colour among grey ones."""
    texts = study.facts.texts
    colours = ["in colour" if flag else "grey" for flag in study.pictures.is_colour]
    kinds = (
        _Kind("format", texts["format"], "of the format {}", "are {}"),
        _Kind("modality", texts["modality"], "of the modality {}", "are {}"),
        _Kind("view", texts["view"], "of the view {}", "are {}"),
        _Kind("colour", colours, "{}", "are {}"),
    )
    return [finding for kind in kinds if (finding := _few(study, kind)) is not None]


def _few(study: Study, kind: _Kind) -> Finding | None:
    counts = Counter(value for value in kind.values if value)
    if len(counts) < 2:
        return None
    (usual, n_usual), *others = counts.most_common()
    n = sum(count for _, count in others)
    if n > _FEW * (n + n_usual) or n_usual < _MOSTLY * len(study):
        return None
    is_other = np.array([bool(value) and value != usual for value in kind.values])
    names = listed([name for name, _ in others[:3]], "or")
    return Finding(
        kind="few_of_a_kind",
        key=f"{kind.key}/{key_of(study.ids(is_other))}",
        severity="low",
        n=n,
        sentence=f"{count_of(n, 'image', 'is')} {kind.few.format(names)}; the other "
        f"{percent(n_usual / (n + n_usual))} {kind.most.format(usual)}.",
        advice="Look whether they belong here: so few teach a classifier nothing about their kind, "
        "and get lost in any overall result.",
        records=study.ids(is_other),
    )
