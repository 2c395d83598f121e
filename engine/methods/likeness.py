"""How like the images of a backbone's pre-training a project's images are to it.

The distance has a scale that ends at the same images without any structure: their pixels shuffled.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.methods.method import MethodContext
from engine.models.features import PixelRows, extract
from engine.models.network import Network
from engine.models.pretraining_distance import pretraining_distance
from engine.models.weights import MADE, added_weights

_LOOKED_AT: Final = 64
_SHUFFLED: Final = 32


def likeness(network: Network, context: MethodContext) -> str:
    """Return how far training and validation images lie from those of the pre-training."""
    if not network.is_pretrained:
        return _unknown("its weights are random")
    made = {w.digest for w in added_weights(network.card.key) if w.kind == MADE}
    if network.weights_digest in made:
        # Its batch norms kept the statistics of what it had learned from before that.
        return _unknown("RadTune trained it further")
    data = context.data
    both = data.table.rows[np.concatenate([data.train, data.val])]
    chosen = both[np.linspace(0, len(both) - 1, min(_LOOKED_AT, len(both))).astype(int)]
    few = chosen[:: max(1, len(chosen) // _SHUFFLED)]

    def look(pixels: PixelRows, rows: NDArray[np.int64]) -> None:
        extract(network, pixels, rows, context.runtime, control=context.control)

    far = pretraining_distance(network, lambda: look(data.pixels, chosen))
    of_shuffled = pretraining_distance(network, lambda: look(_Shuffled(data.pixels), few))
    if far is None or of_shuffled is None:
        return _unknown("this kind of network keeps no record of those")
    return (
        f"The backbone's responses to these images lie {far:.2f} standard deviations from those "
        "to its pre-training images (0 would be alike; the same images with their pixels shuffled: "
        f"{of_shuffled:.2f})."
    )


def _unknown(why: str) -> str:
    return (
        "How like its pre-training images these are to the backbone can't be measured, since "
        f"{why}; go by the AUROC."
    )


class _Shuffled:
    """The same images with the pixels of each in random order: their grey values, no structure."""

    def __init__(self, pixels: PixelRows) -> None:
        self._pixels = pixels

    def read(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        images = self._pixels.read(rows)
        flat = images.reshape(len(images), -1, *images.shape[3:])
        orders = (np.random.default_rng(int(row)).permutation(flat.shape[1]) for row in rows)
        shuffled = [image[order] for image, order in zip(flat, orders, strict=True)]
        return np.stack(shuffled).reshape(images.shape)
