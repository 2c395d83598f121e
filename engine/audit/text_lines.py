"""Lines of printed text in an image, found by how letters look: no reading, no guessing at words.

Letters printed into an image are strokes thinner than a hundredth of its side, all about equally
bright, of one height, standing on one line at small distances. Four in a row are taken for text;
single letters, such as the L or R of a side marker, are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FEWEST_LETTERS: Final = 4
_STROKE: Final = 0.01
_LIFT: Final = 60
"""Grey levels by which a stroke is brighter than what lies around it."""
_BRIGHT: Final = 153
_ZONE: Final = 0.25
"""Share of the shorter side, from each edge, in which text is looked for."""
_FEWEST_PIXELS: Final = 30
_MOST_PARTS: Final = 1500
"""More bright specks than any screen has letters: texture."""
_LOWEST_PX: Final = 4
_TALLEST: Final = 0.05
_INK: Final = (0.15, 0.95)
_EIGHT_NEIGHBOURS: Final = np.ones((3, 3), dtype=np.int8)


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text.

    Attributes:
        top, left, right: In pixels.
        height: Of its letters, in pixels.
    """

    n_letters: int
    top: int
    left: int
    right: int
    height: float


def find_text_lines(grey: NDArray[np.uint8]) -> list[TextLine]:
    """Return lines of bright printed text near the edges of an image.

    Args:
        grey: As displayed, 0 to 255, shape ``(H, W)``; best at its own size, up to about 1,024.
    """
    strokes = _strokes(grey)
    if np.count_nonzero(strokes) < _FEWEST_PIXELS:
        return []
    boxes = _letter_boxes(strokes, grey)
    return _lines(boxes) if FEWEST_LETTERS <= len(boxes) <= _MOST_PARTS else []


def _strokes(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the pixels of thin bright strokes near the edges."""
    reach = max(3, round(_STROKE * max(grey.shape)))
    smoothed = _slid(_slid(grey, reach, np.minimum), reach, np.maximum, from_end=True)
    strokes = (grey >= _BRIGHT) & (grey - np.minimum(smoothed, grey) > _LIFT)
    margin = round(_ZONE * min(grey.shape))
    strokes[margin : grey.shape[0] - margin, margin : grey.shape[1] - margin] = False
    return np.asarray(strokes)


def _slid(
    grey: NDArray[np.uint8], reach: int, choose: np.ufunc, *, from_end: bool = False
) -> NDArray[np.uint8]:
    """Return the extreme of each square of ``reach`` pixels; edges are repeated."""
    before = reach - 1 - reach // 2 if from_end else reach // 2
    result = grey
    for axis in (0, 1):
        widths = [(0, 0), (0, 0)]
        widths[axis] = (before, reach - 1 - before)
        padded = np.pad(result, widths, mode="edge")
        length = grey.shape[axis]
        index = [slice(None), slice(None)]
        index[axis] = slice(0, length)
        result = padded[tuple(index)].copy()
        for k in range(1, reach):
            index[axis] = slice(k, k + length)
            choose(result, padded[tuple(index)], out=result)
    return result


def _letter_boxes(strokes: NDArray[np.bool_], grey: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return parts of the size and filling of letters, from left to right.

    Returns:
        Shape ``(N, 5)``: top, bottom, left, right, brightest grey level.
    """
    labels, n = ndimage.label(strokes, structure=_EIGHT_NEIGHBOURS)
    if n > 10 * _MOST_PARTS:
        return np.empty((0, 5), dtype=np.int64)
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    tallest = _TALLEST * max(grey.shape)
    boxes = []
    for box, area in zip(ndimage.find_objects(labels), areas, strict=True):
        height, width = (part.stop - part.start for part in box)
        ink = area / (height * width)
        if not _LOWEST_PX <= height <= tallest or width > 2.2 * height:
            continue
        if width > 2 and not _INK[0] <= ink <= _INK[1]:
            continue
        peak = int(grey[box].max())
        boxes.append((box[0].start, box[0].stop, box[1].start, box[1].stop, peak))
    found = np.array(sorted(boxes, key=lambda box: box[2]), dtype=np.int64)
    return found.reshape(-1, 5)


def _lines(boxes: NDArray[np.int64]) -> list[TextLine]:
    """Chain letters from left to right while the next one fits in height, line and distance."""
    is_used = np.zeros(len(boxes), dtype=np.bool_)
    heights = boxes[:, 1] - boxes[:, 0]
    lines = []
    for start in range(len(boxes)):
        if is_used[start]:
            continue
        chain = [start]
        while (following := _next_letter(boxes, heights, is_used, chain)) is not None:
            chain.append(following)
        if len(chain) < FEWEST_LETTERS:
            continue
        is_used[chain] = True
        lines.append(
            TextLine(
                n_letters=len(chain),
                top=int(boxes[chain, 0].min()),
                left=int(boxes[start, 2]),
                right=int(boxes[chain[-1], 3]),
                height=float(heights[chain].mean()),
            )
        )
    return lines


def _next_letter(
    boxes: NDArray[np.int64],
    heights: NDArray[np.int64],
    is_used: NDArray[np.bool_],
    chain: list[int],
) -> int | None:
    last, height = chain[-1], float(heights[chain].mean())
    after = slice(last + 1, len(boxes))
    gap = boxes[after, 2] - boxes[last, 3]
    fits = ~is_used[after]
    fits &= (gap >= -1) & (gap <= 1.2 * height + 1)
    fits &= np.abs(boxes[after, 1] - boxes[last, 1]) <= max(1.0, 0.25 * height)
    fits &= np.abs(heights[after] - height) <= max(1.5, 0.35 * height)
    fits &= np.abs(boxes[after, 4] - boxes[chain, 4].mean()) <= 0.15 * 255
    found = np.flatnonzero(fits)
    return last + 1 + int(found[0]) if len(found) else None
