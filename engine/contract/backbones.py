"""Cards of the pre-trained networks, in plain language.

A card holds facts; tests compare them with the built networks and with the libraries' own notes on
their weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.contract.errors import ConfigError

TIMM: Final = "timm"
TORCHVISION: Final = "torchvision"

_IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
_IMAGENET_STD: Final = (0.229, 0.224, 0.225)
_HALF: Final = (0.5, 0.5, 0.5)
_IMAGENET: Final = "ImageNet-1k, 1.28 million photographs in 1,000 classes"
_IMAGENET_12K: Final = "ImageNet-12k, 12 million photographs in 11,821 classes, then ImageNet-1k"
_IMAGENET_21K: Final = "ImageNet-21k, 14 million photographs in 21,843 classes, then ImageNet-1k"
_DINO: Final = "ImageNet-1k, 1.28 million photographs without their labels"
_DINOV2: Final = "LVD-142M, 142 million photographs without labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneCard:
    """A pre-trained network as the model picker shows it.

    Attributes:
        key: Name in configurations, on the command line and in bundles.
        family: Relatives that are shown together.
        library: ``timm`` or ``torchvision``, which builds it.
        builder: The library's own name for it.
        n_parameters: Parameters with the original head, where it has one.
        n_features: Width of the last maps, or of the tokens, that a new head sees.
        input_px: Side of the images that its weights were made with.
        official: The library's name for its weights: a file, or timm's name with its tag.
        mean: Mean that its weights expect, per channel, for values in [0, 1].
        std: Standard deviation, likewise.
        pretrained_on: What its weights have seen.
        licence: SPDX id of the weights.
        size_step_px: Images have a side that is a multiple of this.
        has_drop_path: Whether it was made to train with stochastic depth.
        is_embedded: Whether the weights ship with RadTune.
        is_featured: Whether it is among the few that the picker shows first.
    """

    key: str
    family: str
    title: str
    advice: str
    library: str
    builder: str
    n_parameters: int
    n_features: int
    official: str
    reference: str
    input_px: int = 224
    mean: tuple[float, float, float] = _IMAGENET_MEAN
    std: tuple[float, float, float] = _IMAGENET_STD
    pretrained_on: str = _IMAGENET
    licence: str = "BSD-3-Clause"
    size_step_px: int = 1
    has_drop_path: bool = False
    is_embedded: bool = False
    is_featured: bool = False


_LITE: Final = "Tan and Le, EfficientNet, ICML 2019; Lite variants, 2020"
_EFFICIENTNET: Final = "Tan and Le, EfficientNet, ICML 2019"
_RESNET: Final = "He et al., Deep Residual Learning, CVPR 2016"
_MOBILENET_V3: Final = "Howard et al., Searching for MobileNetV3, ICCV 2019"
_CONVNEXT: Final = "Liu et al., A ConvNet for the 2020s, CVPR 2022; sizes below Tiny by timm"
_REGNET: Final = "Radosavovic et al., Designing Network Design Spaces, CVPR 2020"
_VIT: Final = (
    "Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021; "
    "Steiner et al., How to train your ViT?, TMLR 2022"
)

BACKBONES: Final[tuple[BackboneCard, ...]] = (
    BackboneCard(
        key="efficientnet_lite0",
        family="EfficientNet",
        title="EfficientNet-Lite0",
        advice="Small and fast, a good first choice. Its weights are built in.",
        library=TIMM,
        builder="tf_efficientnet_lite0",
        n_parameters=4_652_008,
        n_features=1280,
        official="tf_efficientnet_lite0.in1k",
        reference=_LITE,
        mean=_HALF,
        std=_HALF,
        licence="Apache-2.0",
        has_drop_path=True,
        is_embedded=True,
        is_featured=True,
    ),
    BackboneCard(
        key="efficientnet_lite1",
        family="EfficientNet",
        title="EfficientNet-Lite1",
        advice="One size above Lite0: a little better, a little slower. Its weights are built in.",
        library=TIMM,
        builder="tf_efficientnet_lite1",
        n_parameters=5_416_680,
        n_features=1280,
        official="tf_efficientnet_lite1.in1k",
        reference=_LITE,
        input_px=240,
        mean=_HALF,
        std=_HALF,
        licence="Apache-2.0",
        has_drop_path=True,
        is_embedded=True,
    ),
    BackboneCard(
        key="efficientnet_lite2",
        family="EfficientNet",
        title="EfficientNet-Lite2",
        advice="The largest whose weights are built in; for when there is time to train.",
        library=TIMM,
        builder="tf_efficientnet_lite2",
        n_parameters=6_092_072,
        n_features=1280,
        official="tf_efficientnet_lite2.in1k",
        reference=_LITE,
        input_px=260,
        mean=_HALF,
        std=_HALF,
        licence="Apache-2.0",
        has_drop_path=True,
        is_embedded=True,
        is_featured=True,
    ),
    BackboneCard(
        key="resnet18",
        family="ResNet",
        title="ResNet-18",
        advice="The best known small network; robust and easy to compare with papers.",
        library=TORCHVISION,
        builder="resnet18",
        n_parameters=11_689_512,
        n_features=512,
        official="resnet18-f37072fd.pth",
        reference=_RESNET,
        is_featured=True,
    ),
    BackboneCard(
        key="densenet121",
        family="DenseNet",
        title="DenseNet-121",
        advice="The classic of chest X-ray papers; accurate, slow without a GPU.",
        library=TORCHVISION,
        builder="densenet121",
        n_parameters=7_978_856,
        n_features=1024,
        official="densenet121-a639ec97.pth",
        reference="Huang et al., Densely Connected Convolutional Networks, CVPR 2017",
        is_featured=True,
    ),
    BackboneCard(
        key="mobilenet_v3_small",
        family="MobileNet",
        title="MobileNetV3 Small",
        advice="The fastest here; for old computers or very many images.",
        library=TORCHVISION,
        builder="mobilenet_v3_small",
        n_parameters=2_542_856,
        n_features=576,
        official="mobilenet_v3_small-047dcff4.pth",
        reference=_MOBILENET_V3,
    ),
    BackboneCard(
        key="efficientnet_b0",
        family="EfficientNet",
        title="EfficientNet-B0",
        advice="A little more accurate than Lite0, and slower.",
        library=TORCHVISION,
        builder="efficientnet_b0",
        n_parameters=5_288_548,
        n_features=1280,
        official="efficientnet_b0_rwightman-7f5810bc.pth",
        reference=_EFFICIENTNET,
        has_drop_path=True,
    ),
    BackboneCard(
        key="squeezenet1_0",
        family="SqueezeNet",
        title="SqueezeNet 1.0",
        advice="Tiny file, modest accuracy; for teaching and very small disks.",
        library=TORCHVISION,
        builder="squeezenet1_0",
        n_parameters=1_248_424,
        n_features=512,
        official="squeezenet1_0-b66bff10.pth",
        reference="Iandola et al., SqueezeNet, arXiv:1602.07360, 2016",
    ),
    BackboneCard(
        key="resnet34",
        family="ResNet",
        title="ResNet-34",
        advice="Deeper than ResNet-18; for a few thousand images and more.",
        library=TORCHVISION,
        builder="resnet34",
        n_parameters=21_797_672,
        n_features=512,
        official="resnet34-b627a593.pth",
        reference=_RESNET,
    ),
    BackboneCard(
        key="resnet50",
        family="ResNet",
        title="ResNet-50",
        advice="The yardstick of most papers on medical images; wants a GPU or patience.",
        library=TORCHVISION,
        builder="resnet50",
        n_parameters=25_557_032,
        n_features=2048,
        official="resnet50-11ad3fa6.pth",
        reference=_RESNET,
    ),
    BackboneCard(
        key="efficientnet_b1",
        family="EfficientNet",
        title="EfficientNet-B1",
        advice="One size above B0, for somewhat larger images.",
        library=TORCHVISION,
        builder="efficientnet_b1",
        n_parameters=7_794_184,
        n_features=1280,
        official="efficientnet_b1-c27df63c.pth",
        reference=_EFFICIENTNET,
        input_px=240,
        has_drop_path=True,
    ),
    BackboneCard(
        key="efficientnet_b2",
        family="EfficientNet",
        title="EfficientNet-B2",
        advice="Two sizes above B0, for fine detail in larger images; slow without a GPU.",
        library=TORCHVISION,
        builder="efficientnet_b2",
        n_parameters=9_109_994,
        n_features=1408,
        official="efficientnet_b2_rwightman-c35c1473.pth",
        reference=_EFFICIENTNET,
        input_px=288,
        has_drop_path=True,
    ),
    BackboneCard(
        key="efficientnet_v2_s",
        family="EfficientNet",
        title="EfficientNetV2-S",
        advice="Accurate on large images; for a GPU.",
        library=TORCHVISION,
        builder="efficientnet_v2_s",
        n_parameters=21_458_488,
        n_features=1280,
        official="efficientnet_v2_s-dd5fe13b.pth",
        reference="Tan and Le, EfficientNetV2, ICML 2021",
        input_px=384,
        has_drop_path=True,
    ),
    BackboneCard(
        key="mobilenet_v3_large",
        family="MobileNet",
        title="MobileNetV3 Large",
        advice="Nearly as quick as Small and clearly more accurate.",
        library=TORCHVISION,
        builder="mobilenet_v3_large",
        n_parameters=5_483_032,
        n_features=960,
        official="mobilenet_v3_large-5c1a4163.pth",
        reference=_MOBILENET_V3,
    ),
    BackboneCard(
        key="mobilenetv4_conv_small",
        family="MobileNet",
        title="MobileNetV4 Conv-Small",
        advice="A newer quick network of plain convolutions, for computers without a GPU.",
        library=TIMM,
        builder="mobilenetv4_conv_small",
        n_parameters=3_774_024,
        n_features=960,
        official="mobilenetv4_conv_small.e2400_r224_in1k",
        reference="Qin et al., MobileNetV4, ECCV 2024",
        licence="Apache-2.0",
        has_drop_path=True,
    ),
    BackboneCard(
        key="convnext_atto",
        family="ConvNeXt",
        title="ConvNeXt Atto",
        advice="The smallest of the modern convolutional networks.",
        library=TIMM,
        builder="convnext_atto",
        n_parameters=3_695_520,
        n_features=320,
        official="convnext_atto.d2_in1k",
        reference=_CONVNEXT,
        licence="Apache-2.0",
        has_drop_path=True,
    ),
    BackboneCard(
        key="convnext_femto",
        family="ConvNeXt",
        title="ConvNeXt Femto",
        advice="Between Atto and Pico.",
        library=TIMM,
        builder="convnext_femto",
        n_parameters=5_217_784,
        n_features=384,
        official="convnext_femto.d1_in1k",
        reference=_CONVNEXT,
        licence="Apache-2.0",
        has_drop_path=True,
    ),
    BackboneCard(
        key="convnext_pico",
        family="ConvNeXt",
        title="ConvNeXt Pico",
        advice="As large as DenseNet-121, and quicker on a GPU.",
        library=TIMM,
        builder="convnext_pico",
        n_parameters=9_045_672,
        n_features=512,
        official="convnext_pico.d1_in1k",
        reference=_CONVNEXT,
        licence="Apache-2.0",
        has_drop_path=True,
    ),
    BackboneCard(
        key="convnext_nano",
        family="ConvNeXt",
        title="ConvNeXt Nano",
        advice="A strong all-rounder that has seen ten times as many photographs as most.",
        library=TIMM,
        builder="convnext_nano",
        n_parameters=15_593_560,
        n_features=640,
        official="convnext_nano.in12k_ft_in1k",
        reference=_CONVNEXT,
        pretrained_on=_IMAGENET_12K,
        licence="Apache-2.0",
        has_drop_path=True,
    ),
    BackboneCard(
        key="convnext_tiny",
        family="ConvNeXt",
        title="ConvNeXt Tiny",
        advice="The most accurate convolutional network here; for a GPU.",
        library=TIMM,
        builder="convnext_tiny",
        n_parameters=28_589_128,
        n_features=768,
        official="convnext_tiny.in12k_ft_in1k",
        reference=_CONVNEXT,
        pretrained_on=_IMAGENET_12K,
        licence="Apache-2.0",
        has_drop_path=True,
        is_featured=True,
    ),
    BackboneCard(
        key="convnextv2_nano",
        family="ConvNeXt",
        title="ConvNeXt V2 Nano",
        advice="Pre-trained by filling in hidden parts of photographs; for a GPU.",
        library=TIMM,
        builder="convnextv2_nano",
        n_parameters=15_623_800,
        n_features=640,
        official="convnextv2_nano.fcmae_ft_in22k_in1k",
        reference="Woo et al., ConvNeXt V2, CVPR 2023",
        pretrained_on=_IMAGENET_21K,
        licence="CC-BY-NC-4.0",
        has_drop_path=True,
    ),
    BackboneCard(
        key="regnet_y_400mf",
        family="RegNet",
        title="RegNetY-400MF",
        advice="Small and regular; a sound alternative to MobileNet.",
        library=TORCHVISION,
        builder="regnet_y_400mf",
        n_parameters=4_344_144,
        n_features=440,
        official="regnet_y_400mf-e6988f5f.pth",
        reference=_REGNET,
    ),
    BackboneCard(
        key="regnet_y_800mf",
        family="RegNet",
        title="RegNetY-800MF",
        advice="Twice the work of RegNetY-400MF for a little more accuracy.",
        library=TORCHVISION,
        builder="regnet_y_800mf",
        n_parameters=6_432_512,
        n_features=784,
        official="regnet_y_800mf-58fc7688.pth",
        reference=_REGNET,
    ),
    BackboneCard(
        key="vit_tiny",
        family="Vision transformer",
        title="ViT-Tiny/16",
        advice="The smallest vision transformer: looks at the whole image at once.",
        library=TIMM,
        builder="vit_tiny_patch16_224",
        n_parameters=5_717_416,
        n_features=192,
        official="vit_tiny_patch16_224.augreg_in21k_ft_in1k",
        reference=_VIT,
        mean=_HALF,
        std=_HALF,
        pretrained_on=_IMAGENET_21K,
        licence="Apache-2.0",
        size_step_px=16,
        has_drop_path=True,
    ),
    BackboneCard(
        key="vit_small",
        family="Vision transformer",
        title="ViT-Small/16",
        advice="A vision transformer of ResNet-50's size; for a GPU.",
        library=TIMM,
        builder="vit_small_patch16_224",
        n_parameters=22_050_664,
        n_features=384,
        official="vit_small_patch16_224.augreg_in21k_ft_in1k",
        reference=_VIT,
        mean=_HALF,
        std=_HALF,
        pretrained_on=_IMAGENET_21K,
        licence="Apache-2.0",
        size_step_px=16,
        has_drop_path=True,
    ),
    BackboneCard(
        key="dino_vits16",
        family="Vision transformer",
        title="DINO ViT-S/16",
        advice="Pre-trained without labels: strong features for a linear probe.",
        library=TIMM,
        builder="vit_small_patch16_224.dino",
        n_parameters=21_665_664,
        n_features=384,
        official="vit_small_patch16_224.dino",
        reference="Caron et al., Emerging Properties in Self-Supervised Vision Transformers, 2021",
        pretrained_on=_DINO,
        licence="Apache-2.0",
        size_step_px=16,
        has_drop_path=True,
    ),
    BackboneCard(
        key="dinov2_vits14",
        family="Vision transformer",
        title="DINOv2 ViT-S/14",
        advice="The strongest features here without training the backbone; for a GPU.",
        library=TIMM,
        builder="vit_small_patch14_dinov2",
        n_parameters=22_056_192,
        n_features=384,
        official="vit_small_patch14_dinov2.lvd142m",
        reference="Oquab et al., DINOv2, TMLR 2024",
        input_px=518,
        pretrained_on=_DINOV2,
        licence="Apache-2.0",
        size_step_px=14,
        has_drop_path=True,
        is_featured=True,
    ),
    BackboneCard(
        key="swin_t",
        family="Swin",
        title="Swin-T",
        advice="A transformer that works in small windows, like a convolution; for a GPU.",
        library=TORCHVISION,
        builder="swin_t",
        n_parameters=28_288_354,
        n_features=768,
        official="swin_t-704ceda3.pth",
        reference="Liu et al., Swin Transformer, ICCV 2021",
        has_drop_path=True,
    ),
)


def backbone_card(key: str) -> BackboneCard | None:
    """Return the card of a backbone, or None if there is none of that key."""
    return next((card for card in BACKBONES if card.key == key), None)


UNKNOWN_LICENCE: Final = "unknown"
"""Of weights whose licence nobody has told."""
WEIGHTS_ENDINGS: Final = (".safetensors", ".pth", ".pt", ".ckpt", ".npz", ".bin", ".tar")
"""How the names of weights files end."""


def is_noncommercial(licence: str) -> bool:
    """Return whether an SPDX licence id forbids commercial use."""
    parts = licence.upper().split("-")
    return "NC" in parts or "NONCOMMERCIAL" in parts


def nearest_sizes(card: BackboneCard, size_px: int) -> tuple[int, ...]:
    """Return the sides next to a side that a backbone can take; the side itself if it can."""
    step = card.size_step_px
    below = size_px // step * step
    if below == size_px:
        return (size_px,)
    return (below, below + step) if below else (step,)


def size_error(card: BackboneCard, size_px: int) -> ConfigError | None:
    """Return what to tell someone whose images have a side that a backbone can't take, or None."""
    sizes = nearest_sizes(card, size_px)
    if sizes == (size_px,):
        return None
    return ConfigError(
        f"{card.title} can't take images of {size_px} px: it cuts them into patches of "
        f"{card.size_step_px} px.",
        remedy=f"Choose {' or '.join(str(size) for size in sizes)} px, or another backbone.",
    )
