"""Backbones as they are built: facts, features, heads, groups."""

import copy
import io
from contextlib import nullcontext

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from engine.contract.backbones import BACKBONES, is_noncommercial
from engine.contract.errors import ConfigError, WeightsError
from engine.hardware import Runtime, autocast
from engine.models import weights
from engine.models.adapt import (
    adapt_input_channels,
    body_of,
    find_card,
    head_names,
    library_network,
    outline_network,
    tap_widths,
    tensor_plan,
)
from engine.models.body import resampled_positions
from engine.models.depthwise import DepthwiseConv2d, quicken_depthwise
from engine.models.embedded_weights import EMBEDDED
from engine.models.layer_groups import layer_groups
from engine.models.layouts import LAYOUTS, TOKENS
from engine.models.network import Network
from engine.models.registry import build_network, build_original, check_size
from engine.models.timm_nets import rename_lite
from engine.models.torchvision_nets import rename_densenet

KEYS = [card.key for card in BACKBONES]
# One or two of each family: the others differ in sizes alone.
RUN_KEYS = [
    "efficientnet_lite0",
    "efficientnet_b0",
    "resnet18",
    "densenet121",
    "squeezenet1_0",
    "mobilenet_v3_small",
    "mobilenetv4_conv_small",
    "convnext_atto",
    "regnet_y_400mf",
    "vit_tiny",
    "dinov2_vits14",
    "swin_t",
]


def _sample(key, n=2, channels=1):
    """Return small images of a size that a backbone takes."""
    card = find_card(key)
    side = 32 if card.size_step_px == 1 else 3 * card.size_step_px
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def networks():
    return {key: build_network(key, 3, weights="scratch", seed=1) for key in RUN_KEYS}


@pytest.fixture(scope="module")
def outlines():
    """Networks without memory for their tensors: their layers, names and shapes."""
    found = {}
    for card in BACKBONES:
        body = body_of(card, outline_network(card))
        found[card.key] = Network(card, body, 3).to("meta").eval()
    return found


@pytest.fixture(scope="module")
def lite0():
    return build_network("efficientnet_lite0", 2)


@pytest.fixture(autouse=True)
def own_weights_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(tmp_path / "weights"))


@pytest.fixture
def images():
    return torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("card", BACKBONES, ids=KEYS)
def test_cards_hold_the_facts_of_the_built_networks(card, outlines):
    whole = outline_network(card)
    assert sum(p.numel() for p in whole.parameters()) == card.n_parameters
    outline = outlines[card.key]
    with torch.no_grad():
        x = torch.empty(1, 3, card.input_px, card.input_px, device="meta")
        assert outline.feature_maps(x).shape[1] == card.n_features
        assert outline.features(x).shape == (1, outline.n_features)
    assert card.input_px % card.size_step_px == 0


def test_the_catalog_is_complete_and_every_card_is_told_apart():
    assert len(set(KEYS)) == len(KEYS) >= 25
    assert len({card.title for card in BACKBONES}) == len(BACKBONES)
    assert len({card.official for card in BACKBONES}) == len(BACKBONES)
    assert set(KEYS) == set(LAYOUTS)
    embedded = {card.key for card in BACKBONES if card.is_embedded}
    assert embedded == set(EMBEDDED)
    non_commercial = [card.key for card in BACKBONES if is_noncommercial(card.licence)]
    assert non_commercial == ["convnextv2_nano"]


@pytest.mark.parametrize(
    "card", [c for c in BACKBONES if c.library == "timm"], ids=lambda card: card.key
)
def test_cards_agree_with_what_timm_says_about_its_weights(card):
    config = timm.get_pretrained_cfg(card.official)
    assert config is not None
    assert card.official == f"{config.architecture}.{config.tag}"
    assert card.builder in (config.architecture, card.official)
    assert (config.mean, config.std) == (card.mean, card.std)
    assert config.input_size[1] == card.input_px
    assert config.license == card.licence.lower()


@pytest.mark.parametrize(
    "card", [c for c in BACKBONES if c.library == "torchvision"], ids=lambda card: card.key
)
def test_cards_agree_with_what_torchvision_says_about_its_weights(card):
    from torchvision import models

    named = [w for w in models.get_model_weights(card.builder) if w.url.endswith(card.official)]
    assert len(named) == 1
    transforms = named[0].transforms()
    assert (tuple(transforms.mean), tuple(transforms.std)) == (card.mean, card.std)
    assert transforms.crop_size == [card.input_px]
    assert named[0].meta["num_params"] == card.n_parameters


@pytest.mark.parametrize("key", RUN_KEYS)
def test_bodies_give_what_the_library_pools(key, networks):
    network, card, images = networks[key], find_card(key), _sample(key)
    whole = library_network(card).eval()
    missing, unexpected = whole.load_state_dict(network.body.state_dict(), strict=False)
    heads = tuple(f"{name}." for name in head_names(card))
    assert unexpected == []
    assert all(name.startswith(heads) for name in missing)
    seen = []
    # The first thing that the library does with what it has pooled.
    first = "norm" if key == "dinov2_vits14" else head_names(card)[0]
    hook = whole.get_submodule(first)
    if key == "dinov2_vits14":
        hook.register_forward_hook(lambda _, inputs, output: seen.append(output[:, 0]))
    else:
        hook.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (card.mean, card.std))
    with torch.inference_mode():
        whole((images.expand(-1, 3, -1, -1) - mean) / std)
        # SqueezeNet's and ConvNeXt's own heads pool.
        expected = seen[0].mean(dim=(2, 3)) if seen[0].ndim == 4 else seen[0]
        maps, features = network.feature_maps(images), network.features(images)
    width = maps.shape[1]
    blocks = 3 if network.body.layout.axes == TOKENS else 2
    # A transformer pools by its class token, which stands before the mean over the patches.
    actual = features[:, -blocks * width :][:, :width]
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("key", "side"), [("vit_tiny", 96), ("dinov2_vits14", 56)])
def test_positions_of_other_grids_are_timms(key, side):
    from timm.layers.pos_embed import resample_abs_pos_embed

    card = find_card(key)
    grid = card.input_px // card.size_step_px
    positions = torch.randn(1, 1 + grid * grid, card.n_features)
    n = side // card.size_step_px
    expected = resample_abs_pos_embed(positions, new_size=[n, n], num_prefix_tokens=1)
    torch.testing.assert_close(resampled_positions(positions, n), expected, rtol=1e-4, atol=1e-5)
    assert resampled_positions(positions, grid) is positions


def test_sizes_that_cut_a_patch_are_refused_with_those_next_to_them():
    check_size("dinov2_vits14", 224)
    check_size("resnet18", 97)
    with pytest.raises(ConfigError, match="256 px") as error:
        check_size("dinov2_vits14", 256)
    assert "252 or 266" in error.value.remedy
    network = build_network("vit_tiny", 2, weights="scratch")
    with pytest.raises(ValueError, match="16 px patches"):
        network(torch.rand(1, 1, 40, 40))
    with pytest.raises(ValueError, match="squares"):
        network(torch.rand(1, 1, 48, 64))


def test_the_last_features_are_the_pooled_last_maps(images):
    network = build_network("mobilenet_v3_small", 2, weights="scratch", features="last")
    assert network.n_features == find_card("mobilenet_v3_small").n_features
    with torch.inference_mode():
        expected = network.feature_maps(images).mean(dim=(2, 3))
        torch.testing.assert_close(network.features(images), expected)


@pytest.mark.parametrize("key", RUN_KEYS)
def test_stage_features_are_mean_and_deviation_over_the_image(key, networks):
    network, images = networks[key], _sample(key)
    with torch.inference_mode():
        features, maps = network.features(images), network.feature_maps(images)
    assert features.shape == (2, sum(network.feature_blocks))
    width = maps.shape[1]
    assert network.feature_blocks[-2:] == (width, width)
    torch.testing.assert_close(features[:, -2 * width : -width], maps.mean(dim=(2, 3)))
    deviation = (maps.var(dim=(2, 3), correction=0) + 1e-6).sqrt()
    torch.testing.assert_close(features[:, -width:], deviation, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("key", KEYS)
def test_groups_hold_every_parameter_once_from_the_image_to_the_head(key, outlines):
    network = outlines[key]
    groups = layer_groups(network)
    grouped = [id(p) for group in groups for p in group.parameters]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters())
    assert 4 <= len(groups) <= 7
    assert all(group.parameters for group in groups)
    assert groups[-1].parameters == tuple(network.head.parameters())
    assert groups[0].parameters[0] is next(network.body.parameters())


@pytest.mark.parametrize("key", RUN_KEYS)
def test_a_training_step_reaches_every_parameter_and_draws_nothing_at_random(key, networks):
    network = copy.deepcopy(networks[key]).train()
    images = _sample(key, 3)
    before = torch.get_rng_state()
    nn.functional.cross_entropy(network(images), torch.tensor([0, 1, 2])).backward()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("key", [k for k in RUN_KEYS if find_card(k).has_drop_path])
def test_stochastic_depth_changes_training_alone_and_only_when_asked(key, networks):
    deep = build_network(key, 3, weights="scratch", seed=1, drop_path=0.5)
    deep.load_state_dict(networks[key].state_dict())
    images = _sample(key, 4)
    with torch.no_grad():
        torch.testing.assert_close(deep(images), networks[key](images))
        # Norms as they are in evaluation; only what draws random numbers trains.
        deep.train()
        for module in deep.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        assert not torch.equal(deep.features(images), deep.features(images))


@pytest.mark.parametrize("key", KEYS)
def test_every_card_says_whether_there_are_batch_norms(key, outlines):
    modules = outlines[key].body.modules()
    has_some = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in modules)
    assert find_card(key).has_batch_norm == has_some


def test_every_backbone_with_stochastic_depth_can_train_with_it():
    for card in BACKBONES:
        with torch.device("meta") if card.library == "timm" else nullcontext():
            if card.has_drop_path and card.n_parameters < 10_000_000:
                network = library_network(card, drop_path=0.3)
                rates = [
                    getattr(m, "drop_prob", getattr(m, "p", 0.0))
                    for m in network.modules()
                    if type(m).__name__ in ("DropPath", "StochasticDepth")
                ]
                assert max(rates) == pytest.approx(0.3, rel=0.1)


def test_a_grey_image_is_a_colour_image_with_equal_channels(networks, images):
    network = networks["resnet18"]
    with torch.inference_mode():
        torch.testing.assert_close(network(images), network(images.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("key", KEYS)
def test_plans_hold_the_whole_network_and_name_its_first_layer(key, outlines):
    plan = tensor_plan(key)
    names = set(outline_network(find_card(key)).state_dict())
    assert names == plan.body.keys() | plan.head.keys() | plan.optional
    assert plan.first_layer == next(n for n, shape in plan.body.items() if len(shape) == 4)
    body = {n: tuple(t.shape) for n, t in outlines[key].body.state_dict().items()}
    assert {n: s for n, s in body.items() if n not in plan.optional} == plan.body


def test_the_first_six_keep_their_features():
    """Caches and bundles of earlier versions depend on their widths and order."""
    assert tap_widths("efficientnet_lite0") == (24, 40, 80, 112, 192, 320, 1280)
    assert tap_widths("resnet18") == (64, 128, 256, 512)
    assert tap_widths("densenet121") == (128, 256, 512, 1024)
    assert tap_widths("mobilenet_v3_small") == (16, 24, 40, 48, 96, 576)
    assert tap_widths("efficientnet_b0") == (24, 40, 80, 112, 192, 320, 1280)
    assert tap_widths("squeezenet1_0") == (128, 256, 384, 512, 512)


def test_images_of_two_channels_are_a_mistake(networks):
    with pytest.raises(ValueError, match="1 or 3"):
        networks["resnet18"](torch.rand(1, 2, 64, 64))


def test_constant_images_give_finite_gradients(networks):
    network = copy.deepcopy(networks["squeezenet1_0"])
    network(torch.zeros(2, 1, 64, 64)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_logits_are_float32_under_autocast(lite0, images):
    with torch.inference_mode(), autocast(Runtime(precision="bf16")):
        assert lite0.features(images).dtype == torch.float32
        assert lite0(images).dtype == torch.float32


def test_a_fitted_head_on_standardised_features_decides(lite0, images):
    network = copy.deepcopy(lite0)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2, network.n_features, generator=generator)
    bias = torch.tensor([0.5, -0.5])
    mean = torch.randn(network.n_features, generator=generator)
    scale = torch.rand(network.n_features, generator=generator)
    network.set_standardisation(mean, scale)
    network.set_head(weight, bias)
    with torch.inference_mode():
        features = network.features(images)
        expected = (features - mean) * scale @ weight.T + bias
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4)


def test_a_head_of_another_size_is_a_mistake(lite0):
    with pytest.raises(ValueError, match="head"):
        lite0.set_head(torch.zeros(3, lite0.n_features), torch.zeros(3))
    with pytest.raises(ValueError, match="features"):
        lite0.set_standardisation(torch.zeros(3), torch.ones(3))


def test_saved_tensors_rebuild_the_network_without_the_pretrained_ones(lite0, images):
    file = io.BytesIO()
    torch.save(lite0.state_dict(), file)
    file.seek(0)
    again = build_network("efficientnet_lite0", 2, weights="scratch", seed=9)
    again.load_state_dict(torch.load(file, weights_only=True))
    with torch.inference_mode():
        assert torch.equal(again(images), lite0(images))


def test_random_weights_come_from_the_seed_and_leave_the_random_state_alone(images):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = build_network("squeezenet1_0", 2, weights="scratch", seed=1)
    assert torch.equal(torch.rand(1), expected)
    same = build_network("squeezenet1_0", 2, weights="scratch", seed=1)
    other = build_network("squeezenet1_0", 2, weights="scratch", seed=2)
    with torch.inference_mode():
        assert torch.equal(first(images), same(images))
        assert not torch.equal(first(images), other(images))


def test_an_unknown_backbone_is_named_with_the_choices():
    with pytest.raises(ConfigError) as error:
        build_network("resnet19", 2)
    assert "resnet18" in error.value.remedy


def test_missing_weights_say_what_to_do():
    with pytest.raises(WeightsError) as error:
        build_network("densenet121", 2)
    assert "DenseNet-121" in error.value.message
    assert "scratch" in error.value.remedy


def test_the_embedded_weights_name_photographs_rightly():
    from sklearn.datasets import load_sample_image

    original = build_original("efficientnet_lite0")
    for name, expected in (("china.jpg", 698), ("flower.jpg", 985)):  # palace, daisy
        photograph = Image.fromarray(load_sample_image(name))
        side = min(photograph.size)
        left, top = (photograph.width - side) // 2, (photograph.height - side) // 2
        square = photograph.crop((left, top, left + side, top + side))
        values = np.asarray(square.resize((224, 224), Image.Resampling.BICUBIC), np.float32) / 255
        with torch.inference_mode():
            logits = original(torch.from_numpy(values).permute(2, 0, 1)[None])
        assert int(logits.argmax()) == expected


def test_the_network_starts_from_the_embedded_weights(lite0):
    state = weights.load_state("efficientnet_lite0")
    body = lite0.body.state_dict()
    assert all(torch.equal(body[name], state[name]) for name in body)
    assert lite0.weights_digest == weights.weights_digest("efficientnet_lite0")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_conv_stem.weight", "conv_stem.weight"),
        ("_blocks.0._depthwise_conv.weight", "blocks.0.0.conv_dw.weight"),
        ("_blocks.0._bn2.bias", "blocks.0.0.bn2.bias"),
        ("_blocks.5._bn0.running_mean", "blocks.3.0.bn1.running_mean"),
        ("_blocks.15._project_conv.weight", "blocks.6.0.conv_pwl.weight"),
        ("module._blocks.15._bn2.bias", "module.blocks.6.0.bn3.bias"),
        ("_bn1.weight", "bn2.weight"),
        ("_fc.bias", "classifier.bias"),
        ("_blocks.16._bn2.bias", "_blocks.16._bn2.bias"),
        ("blocks.0.0.conv_dw.weight", "blocks.0.0.conv_dw.weight"),
    ],
)
def test_names_of_the_authors_files_become_timms(name, expected):
    assert rename_lite(name) == expected


def test_names_of_the_published_densenet_become_todays():
    old = "features.denseblock1.denselayer2.norm.1.running_mean"
    assert rename_densenet(old) == "features.denseblock1.denselayer2.norm1.running_mean"
    assert rename_densenet("features.norm0.weight") == "features.norm0.weight"


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (3, 3)])
def test_an_adapted_first_layer_answers_grey_images_as_before(before, after):
    weight = torch.randn(4, before, 3, 3, generator=torch.Generator().manual_seed(0))
    grey = torch.rand(1, 1, 8, 8)
    expected = nn.functional.conv2d(grey.expand(-1, before, -1, -1), weight)
    adapted = adapt_input_channels(weight, after)
    actual = nn.functional.conv2d(grey.expand(-1, after, -1, -1), adapted)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize("is_same", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
def test_quick_depthwise_layers_have_the_exact_layers_gradients(kernel, stride, is_same, has_bias):
    from timm.layers.conv2d_same import Conv2dSame

    generator = torch.Generator().manual_seed(0)
    exact: nn.Conv2d
    if is_same:
        exact = Conv2dSame(8, 8, kernel, stride=stride, groups=8, bias=has_bias)
    else:
        exact = nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=8, bias=has_bias)
    quick = DepthwiseConv2d(exact)
    x = torch.randn(2, 8, 15, 15, generator=generator)
    results = []
    for layer, in_bf16 in ((exact, False), (quick, False), (quick, True)):
        image = x.clone().requires_grad_()
        exact.weight.grad = None
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=in_bf16):
            y = layer(image)
        y.float().square().sum().backward()
        results.append((y.detach().float(), image.grad, exact.weight.grad))
    for plain, same, rounded in zip(*results, strict=True):
        assert torch.equal(plain, same)
        assert (plain - rounded).norm() < 0.01 * plain.norm()  # bfloat16 keeps 8 bits


def test_only_slow_depthwise_layers_are_replaced_and_names_stay():
    inner = nn.Sequential(nn.Conv2d(8, 8, 5, 1, 2, groups=8, bias=False))
    network = nn.Sequential(
        nn.Conv2d(3, 8, 5, 2, 2, bias=False),
        nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False),
        inner,
    )
    names = list(network.state_dict())
    quicken_depthwise(network)
    assert [type(m).__name__ for m in network] == ["Conv2d", "Conv2d", "Sequential"]
    assert isinstance(inner[0], DepthwiseConv2d)
    assert list(network.state_dict()) == names
