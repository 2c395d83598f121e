"""What a run says when it computes on the processor though there is a graphics card."""

from __future__ import annotations

import time
from typing import Final

import torch

from engine.contract.events import Warned
from engine.hardware import Fallback
from engine.models.network import Network

_N_TIMED: Final = 4
_LEARNING_COST: Final = 2.7
"""An image that is learned from costs so many times one that is looked at, with augmentation."""


def fallback_warning(run: str, why: Fallback, seconds: float, *, is_most: bool) -> Warned:
    """Return the announcement, with about how long the run will take.

    Args:
        run: The run's id.
        why: Why the graphics card isn't used.
        seconds: How long the run is expected to take.
        is_most: Whether it can end earlier by itself.
    """
    length = f"{'at most about' if is_most else 'about'} {in_words(seconds)}"
    return Warned(
        run=run,
        message=f"{why.problem} The processor trains instead, which takes {length}.",
        remedy=why.remedy,
    )


def expected_seconds(
    network: Network, size_px: int, n_train: int, n_val: int, n_epochs: int
) -> float:
    """Return about how long a run takes on the processor if nothing ends it early.

    Args:
        network: On the processor; it is timed on a few made-up images.
        size_px: Side of the images.
        n_train: Training images.
        n_val: Validation images.
        n_epochs: Most epochs; 0 where features are described once.
    """
    look_s = _look_s(network, size_px)
    described = (n_train + n_val) * look_s
    # After each epoch the head is fitted anew, which describes every image.
    return described + n_epochs * (n_train * _LEARNING_COST * look_s + described)


def in_words(seconds: float) -> str:
    """Return a rough length of time: ``40 seconds``, ``25 minutes``, ``3 hours``."""
    if seconds < 90:
        return f"{max(10, round(seconds / 10) * 10)} seconds"
    if seconds < 5400:
        return f"{round(seconds / 60)} minutes"
    return f"{round(seconds / 3600)} hours"


def _look_s(network: Network, size_px: int) -> float:
    """Return what looking at one image takes; nothing random is drawn and nothing changes."""
    images = torch.zeros(_N_TIMED, 1, size_px, size_px)
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        for _ in range(2):  # the first pass prepares what the second finds
            began = time.perf_counter()
            network(images)
            seconds = time.perf_counter() - began
    network.train(was_training)
    return seconds / _N_TIMED
