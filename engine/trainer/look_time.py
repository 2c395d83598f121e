"""What it costs to look at an image, measured early: the end of the first epoch tells it late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.hardware import Runtime
from engine.hardware.out_of_memory import unless_short
from engine.methods.method import TrainingData
from engine.models.network import Network
from engine.trainer.steps import predict_probabilities

_N_LOOKS: Final = 32


def time_of_looks(
    network: Network, data: TrainingData, runtime: Runtime, clock: Callable[[], float]
) -> tuple[float, int]:
    """Return how long a network took for some validation images, in seconds, and how many.

    Nothing random is drawn, and nothing of the network changes. Where memory doesn't suffice, the
    images are looked at in smaller parts, as in validation; if not even for one, none was.
    """
    rows = data.table.rows[data.val[:_N_LOOKS]]

    def look() -> float:
        started = clock()
        predict_probabilities(network, data.pixels, rows, runtime)
        return clock() - started

    # The first pass prepares what the second finds.
    seconds = unless_short(lambda: [look(), look()][-1])
    return (0.0, 0) if seconds is None else (seconds, len(rows))
