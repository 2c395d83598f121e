"""Where each backbone is cut into stages, and where its features are taken; by the modules' names.

The same cuts serve every method. Relatives share a layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CHANNELS_FIRST: Final = "N C h w"
CHANNELS_LAST: Final = "N h w C"
TOKENS: Final = "N 1+hw C"


@dataclass(frozen=True, slots=True)
class Layout:
    """The modules of a body in the order in which they run.

    Attributes:
        first: Name of the first convolution's weight, by which files are told.
        stages: Their names by stage, the stage next to the image first.
        taps: Names of those whose output describes an image at one scale; the last one last.
        axes: Meaning of the axes of what they give.
        dropped: Direct children of the library's network that have no part in the body, or are
            part of its head.
        heads: Direct children that hold the original head's parameters.
    """

    first: str
    stages: tuple[tuple[str, ...], ...]
    taps: tuple[str, ...]
    axes: str = CHANNELS_FIRST
    dropped: tuple[str, ...] = ("avgpool", "global_pool")
    heads: tuple[str, ...] = ("classifier",)


def _features(*counts: int) -> tuple[tuple[str, ...], ...]:
    """Return stages of so many of ``features.0``, ``features.1``… each."""
    starts = [sum(counts[:i]) for i in range(len(counts))]
    return tuple(
        tuple(f"features.{n}" for n in range(start, start + count))
        for start, count in zip(starts, counts, strict=True)
    )


_RESNET: Final = Layout(
    first="conv1.weight",
    stages=(
        ("conv1", "bn1", "relu", "maxpool"),
        ("layer1",),
        ("layer2",),
        ("layer3",),
        ("layer4",),
    ),
    taps=("layer1", "layer2", "layer3", "layer4"),
    heads=("fc",),
)
_LITE: Final = Layout(
    first="conv_stem.weight",
    stages=(
        ("conv_stem", "bn1", "blocks.0"),
        ("blocks.1",),
        ("blocks.2",),
        ("blocks.3", "blocks.4"),
        ("blocks.5", "blocks.6", "conv_head", "bn2"),
    ),
    taps=("blocks.1", "blocks.2", "blocks.3", "blocks.4", "blocks.5", "blocks.6", "bn2"),
)
_EFFICIENTNET: Final = Layout(
    first="features.0.0.weight",
    stages=_features(2, 1, 1, 2, 3),
    taps=tuple(f"features.{n}" for n in range(2, 9)),
)
_EFFICIENTNET_V2: Final = Layout(
    first="features.0.0.weight",
    stages=_features(2, 1, 1, 2, 2),
    taps=tuple(f"features.{n}" for n in range(2, 8)),
)
_DENSENET: Final = Layout(
    first="features.conv0.weight",
    stages=(
        ("features.conv0", "features.norm0", "features.relu0", "features.pool0"),
        ("features.denseblock1", "features.transition1"),
        ("features.denseblock2", "features.transition2"),
        ("features.denseblock3", "features.transition3"),
        ("features.denseblock4", "features.norm5", "relu"),
    ),
    taps=("features.transition1", "features.transition2", "features.transition3", "relu"),
)
_MOBILENET_V3_SMALL: Final = Layout(
    first="features.0.0.weight",
    stages=_features(2, 2, 3, 2, 4),
    taps=tuple(f"features.{n}" for n in (1, 3, 6, 8, 11, 12)),
)
_MOBILENET_V3_LARGE: Final = Layout(
    first="features.0.0.weight",
    stages=_features(2, 2, 3, 6, 4),
    taps=tuple(f"features.{n}" for n in (1, 3, 6, 10, 12, 15, 16)),
)
_MOBILENET_V4: Final = Layout(
    first="conv_stem.weight",
    stages=(
        ("conv_stem", "bn1", "blocks.0"),
        ("blocks.1",),
        ("blocks.2",),
        ("blocks.3",),
        ("blocks.4",),
    ),
    taps=("blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4"),
    dropped=("global_pool", "act2", "flatten"),
    heads=("conv_head", "norm_head", "classifier"),  # its hidden layer works on pooled features
)
_SQUEEZENET: Final = Layout(
    first="features.0.weight",
    stages=_features(3, 4, 2, 3, 1),
    taps=tuple(f"features.{n}" for n in (4, 5, 8, 10, 12)),
)
_CONVNEXT: Final = Layout(
    first="stem.0.weight",
    stages=(("stem",), ("stages.0",), ("stages.1",), ("stages.2",), ("stages.3",)),
    taps=("stages.0", "stages.1", "stages.2", "stages.3"),
    dropped=("norm_pre",),  # does nothing in these
    heads=("head",),  # with a norm on pooled features
)
_REGNET: Final = Layout(
    first="stem.0.weight",
    stages=(("stem",), *((f"trunk_output.block{n}",) for n in range(1, 5))),
    taps=tuple(f"trunk_output.block{n}" for n in range(1, 5)),
    heads=("fc",),
)
_VIT: Final = Layout(
    first="patch_embed.proj.weight",
    stages=(
        ("patch_embed",),
        ("blocks.0", "blocks.1", "blocks.2"),
        ("blocks.3", "blocks.4", "blocks.5"),
        ("blocks.6", "blocks.7", "blocks.8"),
        ("blocks.9", "blocks.10", "blocks.11", "norm"),
    ),
    taps=("blocks.2", "blocks.5", "blocks.8", "norm"),
    axes=TOKENS,
    dropped=("pos_drop", "patch_drop", "norm_pre", "fc_norm", "head_drop"),  # do nothing here
    heads=("head",),
)
_SWIN: Final = Layout(
    first="features.0.0.weight",
    stages=(
        ("features.0",),
        ("features.1",),
        ("features.2", "features.3"),
        ("features.4", "features.5"),
        ("features.6", "features.7", "norm"),
    ),
    taps=("features.1", "features.3", "features.5", "norm"),
    axes=CHANNELS_LAST,
    dropped=("permute", "avgpool", "flatten"),
    heads=("head",),
)

LAYOUTS: Final[dict[str, Layout]] = {
    "efficientnet_lite0": _LITE,
    "efficientnet_lite1": _LITE,
    "efficientnet_lite2": _LITE,
    "resnet18": _RESNET,
    "resnet34": _RESNET,
    "resnet50": _RESNET,
    "densenet121": _DENSENET,
    "mobilenet_v3_small": _MOBILENET_V3_SMALL,
    "mobilenet_v3_large": _MOBILENET_V3_LARGE,
    "mobilenetv4_conv_small": _MOBILENET_V4,
    "efficientnet_b0": _EFFICIENTNET,
    "efficientnet_b1": _EFFICIENTNET,
    "efficientnet_b2": _EFFICIENTNET,
    "efficientnet_v2_s": _EFFICIENTNET_V2,
    "squeezenet1_0": _SQUEEZENET,
    "convnext_atto": _CONVNEXT,
    "convnext_femto": _CONVNEXT,
    "convnext_pico": _CONVNEXT,
    "convnext_nano": _CONVNEXT,
    "convnext_tiny": _CONVNEXT,
    "convnextv2_nano": _CONVNEXT,
    "regnet_y_400mf": _REGNET,
    "regnet_y_800mf": _REGNET,
    "vit_tiny": _VIT,
    "vit_small": _VIT,
    "dino_vits16": _VIT,
    "dinov2_vits14": _VIT,
    "swin_t": _SWIN,
}
"""The layout of each backbone of the catalog, by its key."""
