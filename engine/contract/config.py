"""What a run does: frozen settings, one dataclass per stage, limits beside each field.

Widgets, the command line and validation read the same limits (``engine.contract.limits``).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Final

from engine.contract.limits import Between, OneOf, check_limits

SCHEMA_VERSION: Final = 2
PRESETS: Final = ("quick", "standard", "thorough")
_LONG_RATE: Final = 2e-4  # at the rate of eight passes, forty unlearn: the loss of training rises


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageContract:
    """How a file becomes the pixels a network sees; the same from import to the exported bundle.

    Attributes:
        size_px: Side of the square image given to the network.
        fit: ``letterbox`` keeps the whole image and pads; ``center_crop`` fills the square and
            cuts the longer side. Neither stretches.
        padding: Where letterboxed borders get their value: ``black`` is 0, ``edge_mean`` the mean
            of the image's outer frame.
        window: ``file`` uses the window stored in a DICOM file where there is one and robust
            percentiles otherwise; ``name:LUNG`` the window that the file calls so, where it has
            several, and otherwise the same as ``file``; ``robust`` always uses the percentiles;
            ``full`` the full range.
        channels: 1 for grey images (repeated for three-channel backbones), 3 for colour.
        depth_bits: Depth of the cached pixels, after windowing.
    """

    size_px: Annotated[int, Between(32, 1024)] = 224
    fit: Annotated[str, OneOf("letterbox", "center_crop")] = "letterbox"
    padding: Annotated[str, OneOf("black", "edge_mean")] = "black"
    window: Annotated[str, OneOf("file", "robust", "full", named="name:")] = "file"
    channels: Annotated[int, Between(1, 3)] = 1
    depth_bits: Annotated[int, Between(8, 16)] = 8

    def key(self) -> str:
        """Return a 12-digit hexadecimal hash that names caches and travels in bundles."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneConfig:
    """Which pre-trained network is adapted.

    Attributes:
        key: A key of ``engine.contract.backbones.BACKBONES``.
        weights: ``pretrained`` for the weights that RadTune ships or that were added for this
            backbone, ``file:ID`` for certain ones of those that were added, ``scratch`` for random
            ones (needs far more images).
    """

    key: str = "efficientnet_lite0"
    weights: Annotated[str, OneOf("pretrained", "scratch", named="file:")] = "pretrained"


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationConfig:
    """Random changes to training images, the same family for every class; none of them mirrors.

    Attributes:
        rotation_deg: Largest rotation to either side.
        shift: Largest shift as a share of the image side.
        zoom: Largest zoom in or out as a share (0.1 is 0.9 to 1.1 times).
        brightness: Largest shift of the grey values as a share of the full range.
        contrast: Largest change of contrast as a share.
        gamma: Largest change of gamma as a share.
        noise: Largest standard deviation of added noise as a share of the full range.
        blur: Largest standard deviation of a blur, in pixels of an image of 224 px.
    """

    rotation_deg: Annotated[float, Between(0.0, 45.0)] = 10.0
    shift: Annotated[float, Between(0.0, 0.3)] = 0.04
    zoom: Annotated[float, Between(0.0, 0.5)] = 0.12
    brightness: Annotated[float, Between(0.0, 0.5)] = 0.1
    contrast: Annotated[float, Between(0.0, 0.9)] = 0.2
    gamma: Annotated[float, Between(0.0, 0.9)] = 0.25
    noise: Annotated[float, Between(0.0, 0.2)] = 0.0
    blur: Annotated[float, Between(0.0, 4.0)] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """How the weights are updated.

    Attributes:
        learning_rate: Peak rate of the new head, reached at the end of warm-up.
        backbone_lr_ratio: Rate of the last backbone group as a share of ``learning_rate``. Small
            values keep more of what pre-training learned.
        layer_decay: Each earlier layer group learns this much slower than the next.
        weight_decay: Decoupled weight decay (AdamW); not applied to biases and norms.
        warmup: Share of all steps in which the rate rises to its peak.
        batch_size: Images per update.
        gradient_clip: Largest norm of the gradient; 0 turns clipping off.
        ema_decay: Decay per step of the running average of the weights that is evaluated and
            kept; 0 turns it off.
    """

    learning_rate: Annotated[float, Between(1e-6, 1.0)] = 5e-4
    backbone_lr_ratio: Annotated[float, Between(0.0, 1.0)] = 1.0
    layer_decay: Annotated[float, Between(0.1, 1.0)] = 1.0
    weight_decay: Annotated[float, Between(0.0, 1.0)] = 0.01
    warmup: Annotated[float, Between(0.0, 0.9)] = 0.05
    batch_size: Annotated[int, Between(1, 1024)] = 16
    gradient_clip: Annotated[float, Between(0.0, 100.0)] = 1.0
    ema_decay: Annotated[float, Between(0.0, 0.99999)] = 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodConfig:
    """How the backbone is adapted.

    Attributes:
        key: A key of ``engine.contract.methods.METHODS``.
        max_epochs: Most passes over the training set; features-only methods ignore it.
        patience: Stop after this many epochs without a better validation AUROC.
        frozen_stages: Stages next to the image that stay as they were pre-trained. Edges and
            textures need little adapting, and their gradients cost the most time. Ignored by a
            backbone without pre-training.
        batch_norm: ``frozen`` trains with the statistics that pre-training left in the batch
            norms, and is right for the small batches that fit a workstation; ``adapt`` replaces
            them with those of your images, which can help from about 32 images a batch on when
            they look very different from photographs.
        stochastic_depth: Chance that training passes the last block of a backbone by, earlier ones
            more rarely; against learning by heart in long trainings of large backbones. Backbones
            whose blocks can't be passed by ignore it.
    """

    key: str = "full_finetune"
    max_epochs: Annotated[int, Between(1, 1000)] = 8
    patience: Annotated[int, Between(1, 1000)] = 2
    frozen_stages: Annotated[int, Between(0, 4)] = 2
    batch_norm: Annotated[str, OneOf("frozen", "adapt")] = "frozen"
    stochastic_depth: Annotated[float, Between(0.0, 0.8)] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """What training minimises, and what it does about classes of unequal size.

    Attributes:
        imbalance: ``none``; ``weights`` counts images of rarer classes more; ``sampling`` shows
            them more often; ``focal`` turns to images that are still wrong; ``logit_adjustment``
            takes the frequencies out of the logits while training.
        focal_gamma: How far ``focal`` turns away from images that are already right.
        label_smoothing: Share of each label spread over all classes; helps with noisy labels.
        ordinal_weight: For grades with an order alone: how much a miss by several grades counts
            more than one by the next; 0 treats grades as classes without order.
    """

    imbalance: Annotated[str, OneOf("none", "weights", "sampling", "focal", "logit_adjustment")] = (
        "weights"
    )
    focal_gamma: Annotated[float, Between(0.0, 5.0)] = 2.0
    label_smoothing: Annotated[float, Between(0.0, 0.5)] = 0.05
    ordinal_weight: Annotated[float, Between(0.0, 10.0)] = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorConfig:
    """How weights are held near their pre-trained values (``soft_threshold``, ``l2_sp``).

    Attributes:
        strength: The pull towards the pre-trained values; 0 chooses it on the validation images.
    """

    strength: Annotated[float, Between(0.0, 100.0)] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdversarialConfig:
    """Training on worst-case images (``adversarial``).

    Attributes:
        epsilon_255: Largest change of a grey value, in steps of 8-bit grey (full range 255).
        steps: Gradient steps to the worst case; 1 is fast (FGSM), more are stronger (PGD).
        clean_share: Share of the loss that unchanged images have.
    """

    epsilon_255: Annotated[float, Between(0.0, 32.0)] = 4.0
    steps: Annotated[int, Between(1, 50)] = 1
    clean_share: Annotated[float, Between(0.0, 1.0)] = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    """Low-rank changes beside frozen layers (``lora``).

    Attributes:
        rank: Rank of each change; more can learn more.
        scale: Factor on the change; the customary ``alpha / rank``.
    """

    rank: Annotated[int, Between(1, 256)] = 8
    scale: Annotated[float, Between(0.01, 32.0)] = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GradualConfig:
    """Opening the network from the head down (``gradual_unfreezing``).

    Attributes:
        epochs_per_stage: Passes before the next earlier stage is opened.
    """

    epochs_per_stage: Annotated[int, Between(1, 100)] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """How results are measured.

    Attributes:
        test_time_views: Slightly moved copies of each image whose probabilities are averaged; 1
            uses the image alone.
        bootstrap_resamples: Resamples of patients behind each interval.
    """

    test_time_views: Annotated[int, Between(1, 16)] = 1
    bootstrap_resamples: Annotated[int, Between(100, 100_000)] = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeConfig:
    """Where and how exactly the run computes; ``auto`` and 0 are resolved once and written down.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``auto`` measures whether bfloat16 is faster on this processor.
        threads: Processor threads; 0 means all physical cores. Another count gives other bits.
    """

    device: Annotated[str, OneOf("auto", "cpu", "cuda", "mps")] = "auto"
    precision: Annotated[str, OneOf("auto", "fp32", "bf16", "fp16")] = "auto"
    threads: Annotated[int, Between(0, 1024)] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentConfig:
    """Everything that decides the result of a run, given the data and the split."""

    preset: Annotated[str, OneOf(*PRESETS)] = "standard"
    seed: Annotated[int, Between(0, 2**31 - 1)] = 0
    image: ImageContract = field(default_factory=ImageContract)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    method: MethodConfig = field(default_factory=MethodConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    anchor: AnchorConfig = field(default_factory=AnchorConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    gradual: GradualConfig = field(default_factory=GradualConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        """Check every field against its limits.

        Raises:
            ConfigError: Naming the first field outside its limits.
        """
        check_limits(self)


def preset_config(
    preset: str,
    *,
    backbone: str | None = None,
    method: str | None = None,
    seed: int = 0,
    image: ImageContract | None = None,
) -> ExperimentConfig:
    """Return the settings of a preset, with explicit options overriding it.

    Args:
        preset: ``quick``, ``standard`` or ``thorough``.
        backbone: Backbone key instead of the preset's.
        method: Method key instead of the preset's.
        seed: Seed of every random choice of the run.
        image: The project's image contract.

    Raises:
        ConfigError: If ``preset`` is unknown.
    """
    config = ExperimentConfig(preset=preset, seed=seed, image=image or ImageContract())
    if preset == "quick":
        config = replace(config, method=MethodConfig(key="linear_probe"))
    elif preset == "thorough":
        config = replace(
            config,
            method=MethodConfig(key="full_finetune", max_epochs=40, patience=8),
            optimizer=OptimizerConfig(learning_rate=_LONG_RATE),
            evaluation=EvaluationConfig(test_time_views=4),
        )
    if backbone is not None:
        config = replace(config, backbone=replace(config.backbone, key=backbone))
    if method is not None:
        config = replace(config, method=replace(config.method, key=method))
    return config
