"""Cards of the pre-trained networks, in plain language.

A card holds facts; tests compare them with the built networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneCard:
    """A pre-trained network as the model picker shows it.

    Attributes:
        key: Name in configurations, on the command line and in bundles.
        family: ``timm`` or ``torchvision``; the library that builds it.
        builder: The library's own name for it.
        n_parameters: Parameters with the original 1,000-class head.
        n_features: Width of the pooled features that a new head sees.
        mean: Mean that its weights expect, per channel, for values in [0, 1].
        std: Standard deviation, likewise.
        pretrained_on: What its weights have seen.
        licence: SPDX id of the weights.
        is_embedded: Whether the weights ship with RadTune.
    """

    key: str
    title: str
    advice: str
    family: str
    builder: str
    n_parameters: int
    n_features: int
    input_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pretrained_on: str
    licence: str
    is_embedded: bool = False
    reference: str = ""


_IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
_IMAGENET_STD: Final = (0.229, 0.224, 0.225)
_IMAGENET: Final = "ImageNet-1k, 1.28 million photographs in 1,000 classes"

BACKBONES: Final[tuple[BackboneCard, ...]] = (
    BackboneCard(
        key="efficientnet_lite0",
        title="EfficientNet-Lite0",
        advice="Small and fast, a good first choice. Its weights are built in.",
        family="timm",
        builder="tf_efficientnet_lite0",
        n_parameters=4_652_008,
        n_features=1280,
        input_px=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        pretrained_on=_IMAGENET,
        licence="Apache-2.0",
        is_embedded=True,
        reference="Tan and Le, EfficientNet, ICML 2019; Lite variant, 2020",
    ),
    BackboneCard(
        key="resnet18",
        title="ResNet-18",
        advice="The best known small network; robust and easy to compare with papers.",
        family="torchvision",
        builder="resnet18",
        n_parameters=11_689_512,
        n_features=512,
        input_px=224,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        pretrained_on=_IMAGENET,
        licence="BSD-3-Clause",
        reference="He et al., Deep Residual Learning, CVPR 2016",
    ),
    BackboneCard(
        key="densenet121",
        title="DenseNet-121",
        advice="The classic of chest X-ray papers; accurate, slow without a GPU.",
        family="torchvision",
        builder="densenet121",
        n_parameters=7_978_856,
        n_features=1024,
        input_px=224,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        pretrained_on=_IMAGENET,
        licence="BSD-3-Clause",
        reference="Huang et al., Densely Connected Convolutional Networks, CVPR 2017",
    ),
    BackboneCard(
        key="mobilenet_v3_small",
        title="MobileNetV3 Small",
        advice="The fastest here; for old computers or very many images.",
        family="torchvision",
        builder="mobilenet_v3_small",
        n_parameters=2_542_856,
        n_features=576,
        input_px=224,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        pretrained_on=_IMAGENET,
        licence="BSD-3-Clause",
        reference="Howard et al., Searching for MobileNetV3, ICCV 2019",
    ),
    BackboneCard(
        key="efficientnet_b0",
        title="EfficientNet-B0",
        advice="A little more accurate than Lite0, and slower.",
        family="torchvision",
        builder="efficientnet_b0",
        n_parameters=5_288_548,
        n_features=1280,
        input_px=224,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        pretrained_on=_IMAGENET,
        licence="BSD-3-Clause",
        reference="Tan and Le, EfficientNet, ICML 2019",
    ),
    BackboneCard(
        key="squeezenet1_0",
        title="SqueezeNet 1.0",
        advice="Tiny file, modest accuracy; for teaching and very small disks.",
        family="torchvision",
        builder="squeezenet1_0",
        n_parameters=1_248_424,
        n_features=512,
        input_px=224,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        pretrained_on=_IMAGENET,
        licence="BSD-3-Clause",
        reference="Iandola et al., SqueezeNet, arXiv:1602.07360, 2016",
    ),
)


def backbone_card(key: str) -> BackboneCard | None:
    """Return the card of a backbone, or None if there is none of that key."""
    return next((card for card in BACKBONES if card.key == key), None)
