"""What is known of pre-trained weights besides their tensors."""

from __future__ import annotations

from dataclasses import dataclass

from engine.contract.backbones import UNKNOWN_LICENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsInfo:
    """What is known of a backbone's pre-trained weights.

    Attributes:
        state: ``embedded``, ``added`` or ``missing``.
        id: Names added weights in ``BackboneConfig.weights``, after ``file:``; empty for others.
        source: Name of the file, package or pre-training that they came from.
        digest: SHA-256 of the tensors' file, hexadecimal.
        licence: SPDX id, or ``unknown``.
        pretrained_on: What they have seen.
        mean: Mean that they expect, per channel, for values in [0, 1].
        std: Standard deviation, likewise.
        is_whole: Whether they set every layer of the backbone, and are of no other network.
    """

    state: str
    id: str = ""
    source: str = ""
    digest: str = ""
    licence: str = UNKNOWN_LICENCE
    pretrained_on: str = ""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedWeights:
    """Weights that were added, as they are listed.

    Attributes:
        id: Names them in ``BackboneConfig.weights``, after ``file:``.
        backbone: Key of the backbone that they are for.
        name: Name of the file or pre-training that they came from.
        kind: ``official``, ``found`` or ``made`` (see :mod:`engine.models.weights`).
        digest: SHA-256 of the copy.
        licence: SPDX id, or ``unknown``.
        pretrained_on: What they have seen.
        mean: Mean that they expect, per channel, for values in [0, 1].
        std: Standard deviation, likewise.
        n_tensors: Tensors in the copy.
        share: Share of the backbone's parameters that they set.
        is_whole: Whether that is all, and the file was of no other network.
        warnings: What was changed when they were added, in sentences.
        number: Counts the weights of one backbone in the order in which they were added.
        is_noted: Whether the projects that a pre-training learned from keep which images these
            were (``engine.project.learned_before``); not those of earlier versions, nor of the
            weights of a classifier.
    """

    id: str
    backbone: str
    name: str
    kind: str
    digest: str
    licence: str
    pretrained_on: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    n_tensors: int
    share: float
    is_whole: bool
    warnings: tuple[str, ...]
    number: int
    is_noted: bool = True


def share_words(share: float) -> str:
    """Return a share as a percentage that says 0 or 100 only where it is nothing or all."""
    percent = round(100 * share)
    if percent == 100 and share < 1:
        return "over 99%"
    return "under 1%" if percent == 0 and share > 0 else f"{percent}%"
