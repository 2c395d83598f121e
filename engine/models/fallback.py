"""What a job says when it computes on the processor though there is a graphics card."""

from __future__ import annotations

import time
from typing import Final

import torch
from torch import nn

from engine.contract.events import Warned
from engine.hardware import Fallback
from engine.models.network import Network

LEARNING_COST: Final = 2.7
"""An image that is learned from costs so many times one that is looked at, with augmentation."""
_N_TIMED: Final = 4


def fallback_warning(
    run: str, why: Fallback, seconds: float, *, is_most: bool = False, deed: str = "trains"
) -> Warned:
    """Return the announcement, with about how long the work will take.

    Args:
        run: The run's id; empty for other jobs.
        why: Why the graphics card isn't used.
        seconds: How long the work is expected to take.
        is_most: Whether it can end earlier by itself.
        deed: What the processor does instead, such as ``trains`` or ``measures``.
    """
    length = f"{'at most about' if is_most else 'about'} {in_words(seconds)}"
    return Warned(
        run=run,
        message=f"{why.problem} The processor {deed} instead, which takes {length}.",
        remedy=why.remedy,
        cause=why.problem,
    )


def looking_warning(
    why: Fallback,
    network: nn.Module,
    size_px: int,
    n_looks: float,
    *,
    deed: str,
    is_most: bool = False,
) -> Warned:
    """Return the announcement of a job that mostly looks at images.

    Args:
        why: Why the graphics card isn't used.
        network: On the processor; it is timed on a few made-up images.
        size_px: Side of the images.
        n_looks: How often an image goes through the network, in units of a prediction.
        deed: What the processor does instead.
        is_most: Whether the job can end earlier by itself.
    """
    seconds = n_looks * look_seconds(network, size_px)
    return fallback_warning("", why, seconds, is_most=is_most, deed=deed)


def timed_warning(why: Fallback, minutes: float) -> Warned:
    """Return the announcement of a search: its time stays, so less fits into it."""
    return Warned(
        message=f"{why.problem} The processor tries settings instead: the search still ends after "
        f"{in_words(60 * minutes)}, but fewer settings fit into them.",
        remedy=why.remedy,
        cause=why.problem,
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
    look_s = look_seconds(network, size_px)
    described = (n_train + n_val) * look_s
    # After each epoch the head is fitted anew, which describes every image.
    return described + n_epochs * (n_train * LEARNING_COST * look_s + described)


def in_words(seconds: float) -> str:
    """Return a rough length of time: ``40 seconds``, ``25 minutes``, ``3 hours``."""
    if seconds < 90:
        return f"{max(10, round(seconds / 10) * 10)} seconds"
    if seconds < 5400:
        return f"{round(seconds / 60)} minutes"
    return f"{round(seconds / 3600)} hours"


def look_seconds(network: nn.Module, size_px: int) -> float:
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
