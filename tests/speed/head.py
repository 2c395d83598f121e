"""Seconds to fit a decision layer once features are there: 5,000 images, two and six classes.

``python -m tests.speed.head``. The features are as wide as EfficientNet-Lite0's of all stages and
move together as those do: a spectrum that falls like a power of the rank. The time of the process
counts, beside the clock, since a busy machine slows the latter alone.
"""

from __future__ import annotations

import time
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from engine.contract.config import RuntimeConfig
from engine.hardware import apply_runtime, resolve_runtime
from engine.methods.linear_head import fit_linear_head
from engine.metrics.ranking import auroc, macro_ovr_auroc
from engine.models.registry import build_network
from tests.speed.machine import describe_machine

_N_IMAGES, _N_VALIDATION, _ROUNDS = 5000, 700, 3
_MOST_SECONDS: Final = 2.0


def main() -> None:
    """Print the best of several rounds for each number of classes."""
    print(describe_machine())
    apply_runtime(resolve_runtime(RuntimeConfig()))
    widths = build_network("efficientnet_lite0", 2, weights="scratch").feature_blocks
    for n_classes in (2, 6):
        train, val = (
            _cases(_N_IMAGES, n_classes, widths, 0),
            _cases(_N_VALIDATION, n_classes, widths, 1),
        )
        rounds = [_seconds(train, val, widths) for _ in range(_ROUNDS)]
        wall, busy = (min(column) for column in zip(*rounds, strict=True))
        verdict = "within" if wall <= _MOST_SECONDS else "OVER"
        print(
            f"{n_classes} classes: {wall:.2f} s by the clock, {busy:.2f} s of processor time, "
            f"{torch.get_num_threads()} threads; {verdict} {_MOST_SECONDS:g} s"
        )


def _cases(
    n: int, n_classes: int, widths: tuple[int, ...], seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    common, own = np.random.default_rng(7), np.random.default_rng(seed)
    width = sum(widths)
    factors = own.normal(size=(n, 400)) * np.arange(1, 401) ** -0.7
    features = factors @ common.normal(size=(400, width)) + 0.3 * own.normal(size=(n, width))
    scores = factors[:, : 3 * n_classes] @ common.normal(size=(3 * n_classes, n_classes))
    labels = (scores + 0.5 * own.normal(size=scores.shape)).argmax(axis=1)
    return features.astype(np.float32), labels.astype(np.int64)


def _score(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    if probabilities.shape[1] == 2:
        return auroc(probabilities[:, 1], labels == 1)
    return macro_ovr_auroc(probabilities, labels)


def _seconds(
    train: tuple[NDArray[np.float32], NDArray[np.int64]],
    val: tuple[NDArray[np.float32], NDArray[np.int64]],
    widths: tuple[int, ...],
) -> tuple[float, float]:
    started, busy = time.perf_counter(), time.process_time()
    fit_linear_head(train, val, widths=widths, class_weights=None, score=_score)
    return time.perf_counter() - started, time.process_time() - busy


if __name__ == "__main__":
    main()
