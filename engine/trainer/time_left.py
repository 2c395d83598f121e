"""How long a training still takes: arithmetic on what its parts took so far.

Durations are fed in, so there is no clock here and pauses don't exist. Three things are measured:

- an image that is learned from, as a median over pieces of about a second in which recent ones
  weigh more: the first batch, a stall, or a minute's garbage doesn't move it, another program that
  takes half of the processor does so within half a minute;
- an image that is only looked at, once, so that the end of an epoch isn't guessed;
- the end of an epoch (fitting, validating, saving), from when there has been one, in proportion to
  the speed of training then and now.

Where epochs differ in what an image costs, since layers are opened one after another, an image of
the last one is the unit.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

_PIECE_S: Final = 1.0
"""Batches are put together until they took so long: single ones vary too much."""
_HALF_LIFE: Final = 10.0
"""In pieces: the newest ten weigh as much as all before them."""
_MOST_PIECES: Final = 64
_LOOK_SHARE: Final = 0.35
"""What looking at an image costs of learning from it, until it has been measured."""
_ENDS_KEPT: Final = 3


class _Piece(NamedTuple):
    per_image_s: float
    n_images: float


class TimeLeft:
    """Estimates the time to the last epoch of a training, if nothing ends it before.

    Attributes:
        costs: What learning from an image costs in each epoch, as a share of the last one's; empty
            where all are alike. To be set before the first batch.

    Args:
        n_images: Images learned from in an epoch.
        n_looked_at: Images looked at when an epoch ends: validation, and training images too where
            the decision layer is fitted anew.
    """

    def __init__(self, *, n_images: int, n_looked_at: int) -> None:
        self.costs: Sequence[float] = ()
        self._epoch = 1
        self._n_images = n_images
        self._n_looked_at = n_looked_at
        self._pieces: deque[_Piece] = deque(maxlen=_MOST_PIECES)
        self._open_s = 0.0
        self._open_images = 0.0
        self._first: _Piece | None = None
        self._look: float | None = None
        self._has_looked = False
        self._ends: deque[float] = deque(maxlen=_ENDS_KEPT)

    @property
    def wants_look(self) -> bool:
        """Whether the speed of training is known, and looking at images hasn't been tried."""
        return bool(self._pieces) and not self._has_looked and not self._ends

    def begin_epoch(self, epoch: int) -> None:
        """Take what comes as part of an epoch, counted from 1."""
        self._epoch = epoch

    def _cost(self, epoch: int) -> float:
        return self.costs[epoch - 1] if epoch <= len(self.costs) else 1.0

    def batch(self, seconds: float, n_images: float) -> None:
        """Take in one update: from the end of the one before, without pauses."""
        if n_images <= 0 or not seconds >= 0:
            return
        n_images *= self._cost(self._epoch)
        if self._first is None:  # loads and compiles what later ones find ready
            self._first = _Piece(seconds / n_images, n_images)
            return
        self._open_s += seconds
        self._open_images += n_images
        if self._open_s >= _PIECE_S:
            self._pieces.append(_Piece(self._open_s / self._open_images, self._open_images))
            self._open_s, self._open_images = 0.0, 0.0

    def looked(self, seconds: float, n_images: int) -> None:
        """Take in what looking at some images took; of none if that didn't succeed."""
        self._has_looked = True
        speed = self.per_image_s
        if n_images > 0 and seconds > 0 and speed is not None and speed > 0:
            self._look = seconds / n_images / speed

    def epoch_end(self, seconds: float) -> None:
        """Take in what followed the last batch of an epoch, saving included."""
        speed = self.per_image_s
        if seconds > 0 and speed is not None and speed > 0:
            self._ends.append(seconds / speed)

    @property
    def per_image_s(self) -> float | None:
        """Seconds that an image takes which is learned from, at present; None at first."""
        pieces = list(self._pieces)
        if not pieces and self._open_images:
            pieces = [_Piece(self._open_s / self._open_images, self._open_images)]
        if not pieces and self._first is not None:
            pieces = [self._first]
        return _recent_median(pieces) if pieces else None

    @property
    def end_s(self) -> float | None:
        """Seconds that what follows an epoch's last batch takes; None before the first batch."""
        speed = self.per_image_s
        return None if speed is None else self._end() * speed

    def seconds_left(self, *, images_left: int, epochs_after: int) -> float | None:
        """Return the time to the end of the last epoch; None before the first batch.

        Args:
            images_left: Images of the present epoch that are still to be learned from.
            epochs_after: Epochs after the present one.
        """
        speed = self.per_image_s
        if speed is None:
            return None
        # Everything in images learned from, so that it follows the speed of the computer.
        after = range(self._epoch + 1, self._epoch + 1 + epochs_after)
        images = images_left * self._cost(self._epoch) + (epochs_after + 1) * self._end()
        images += self._n_images * sum(self._cost(epoch) for epoch in after)
        return max(0.0, images * speed)

    def _end(self) -> float:
        if self._ends:
            return statistics.median(self._ends)
        return self._n_looked_at * (_LOOK_SHARE if self._look is None else self._look)


def _recent_median(pieces: list[_Piece]) -> float:
    """Return the median of seconds per image, the newest pieces weighing most."""
    n = len(pieces)
    weighted = sorted(
        (piece.per_image_s, piece.n_images * math.exp2((i + 1 - n) / _HALF_LIFE))
        for i, piece in enumerate(pieces)
    )
    half = sum(weight for _, weight in weighted) / 2
    for value, weight in weighted:
        half -= weight
        if half <= 0:
            return value
    return weighted[-1][0]
