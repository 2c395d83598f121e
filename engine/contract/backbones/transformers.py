"""Cards of the vision transformers."""

from __future__ import annotations

from typing import Final

from engine.contract.backbones.card import HALF, IMAGENET_21K, TIMM, TORCHVISION, BackboneCard

_DINO: Final = "ImageNet-1k, 1.28 million photographs without their labels"
_DINOV2: Final = "LVD-142M, 142 million photographs without labels"
_VIT: Final = (
    "Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021; "
    "Steiner et al., How to train your ViT?, TMLR 2022"
)

TRANSFORMERS: Final[tuple[BackboneCard, ...]] = (
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
        mean=HALF,
        std=HALF,
        pretrained_on=IMAGENET_21K,
        licence="Apache-2.0",
        size_step_px=16,
        has_drop_path=True,
        has_batch_norm=False,
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
        mean=HALF,
        std=HALF,
        pretrained_on=IMAGENET_21K,
        licence="Apache-2.0",
        size_step_px=16,
        has_drop_path=True,
        has_batch_norm=False,
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
        has_batch_norm=False,
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
        has_batch_norm=False,
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
        has_batch_norm=False,
    ),
)
