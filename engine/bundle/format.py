"""The bundle: ``bundle.json`` with every fact, ``weights.safetensors``, ``MODEL_CARD.md``.

Beside them ``familiarity.safetensors``, where there were enough images for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from engine.contract.config import ImageContract
from engine.contract.import_rules import FramePolicy
from engine.contract.targets import SIGMOID, SOFTMAX

BUNDLE_VERSION: Final = 3
WEIGHTS_NAME: Final = "weights.safetensors"
CARD_NAME: Final = "MODEL_CARD.md"
FAMILIARITY_NAME: Final = "familiarity.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneFacts:
    """The network of a bundle, enough to build it again without the catalog.

    Attributes:
        features: What the head sees: ``stages`` or ``last``.
        mean: Subtracted from values in [0, 1], per channel.
        std: Divides what is left.
        weights_digest: Hash of the pre-trained weights that training began from.
        licence: SPDX id of those weights.
    """

    key: str
    family: str
    builder: str
    features: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pretrained_on: str
    weights_digest: str
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFacts:
    """Everything about an exported classifier except its tensors.

    Attributes:
        name: For people.
        classes: In the order of the network's outputs; with ``sigmoid`` findings, of which an
            image has any number.
        positive: Index of the positive class of two, else None.
        threshold: Probability of the positive class from which an image counts as positive.
        activation: What turns outputs into probabilities: ``softmax`` of classes, which sum to 1;
            ``sigmoid`` of findings, each by itself.
        thresholds: Of findings, the probability from which each counts as present.
        image: How a file becomes the network's input.
        test_time_views: Moved copies whose probabilities are averaged.
        precision: Arithmetic that the results were measured with.
        metrics: Test results with intervals if the test set was looked at, and validation AUROC.
        data: Numbers of images and patients by split and class, and a mark by which the project
            that it comes from, and no other, knows the run.
        method: How the backbone was adapted: preset, method, seed, all settings.
        frames: Which frames of files with several were learned from, and so are predicted.
        is_difference: Whether the tensors are only what differs from the pre-trained weights
            (``engine.bundle.difference``), which must then be at hand to read them.
        members: Of a classifier that averages several networks, those networks in order;
            ``backbone`` is then the first. Empty for a single one.
        files: SHA-256 of each other file of the bundle.
        facts_digest: Hash of all the other facts, by
            :func:`engine.contract.bundle_facts.facts_digest`; in the file alone.
    """

    bundle_version: int
    name: str
    classes: tuple[str, ...]
    positive: int | None
    threshold: float | None
    image: ImageContract
    backbone: BackboneFacts
    test_time_views: int
    precision: str
    metrics: dict[str, Any]
    data: dict[str, Any]
    method: dict[str, Any]
    versions: dict[str, str]
    activation: str = SOFTMAX
    thresholds: tuple[float, ...] = ()
    frames: FramePolicy = field(default_factory=FramePolicy)
    is_difference: bool = False
    members: tuple[BackboneFacts, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    intended_use: str = "Research and teaching. Not for clinical use."
    facts_digest: str = ""

    @property
    def is_multi(self) -> bool:
        """Whether an image has any number of the classes, each present or absent."""
        return self.activation == SIGMOID
