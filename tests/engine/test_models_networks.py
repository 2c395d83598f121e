"""Backbones as they are built: facts, features, heads, groups."""

import copy
import io

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from engine.contract.backbones import BACKBONES
from engine.contract.errors import ConfigError, WeightsError
from engine.hardware import Runtime, autocast
from engine.models import weights
from engine.models.adapt import adapt_input_channels, find_card, library_network
from engine.models.depthwise import DepthwiseConv2d, quicken_depthwise
from engine.models.layer_groups import layer_groups
from engine.models.registry import build_network, build_original
from engine.models.timm_nets import rename_lite0
from engine.models.torchvision_nets import rename_densenet

KEYS = [card.key for card in BACKBONES]


@pytest.fixture(scope="module")
def networks():
    return {key: build_network(key, 3, weights="scratch", seed=1) for key in KEYS}


@pytest.fixture(scope="module")
def lite0():
    return build_network("efficientnet_lite0", 2)


@pytest.fixture(autouse=True)
def own_weights_folder(monkeypatch, tmp_path):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "weights"))


@pytest.fixture
def images():
    return torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("card", BACKBONES, ids=KEYS)
def test_cards_hold_the_facts_of_the_built_networks(card, networks, images):
    with torch.device("meta"):
        whole = library_network(card)
    assert sum(p.numel() for p in whole.parameters()) == card.n_parameters
    with torch.inference_mode():
        assert networks[card.key].feature_maps(images).shape[1] == card.n_features


def test_normalisation_on_the_cards_is_what_the_weights_expect():
    from torchvision.transforms._presets import ImageClassification

    preset = ImageClassification(crop_size=224)
    for card in BACKBONES:
        if card.family == "timm":
            config = timm.get_pretrained_cfg(card.builder)
            assert config is not None
            assert (config.mean, config.std) == (card.mean, card.std)
            assert config.input_size[1] == card.input_px
        else:
            assert (tuple(preset.mean), tuple(preset.std)) == (card.mean, card.std)


@pytest.mark.parametrize("key", KEYS)
def test_bodies_give_what_the_library_pools(key, networks, images):
    network, card = networks[key], find_card(key)
    with torch.device("meta"):
        whole = library_network(card)
    whole.to_empty(device="cpu").eval()
    missing, unexpected = whole.load_state_dict(network.body.state_dict(), strict=False)
    head = "fc" if key == "resnet18" else "classifier"
    assert unexpected == []
    assert all(name.startswith(head) for name in missing)
    seen = []
    whole.get_submodule(head).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (card.mean, card.std))
    with torch.inference_mode():
        whole((images.expand(-1, 3, -1, -1) - mean) / std)
        # SqueezeNet's own head pools after its convolution.
        expected = seen[0].mean(dim=(2, 3)) if seen[0].ndim == 4 else seen[0]
        actual = network.feature_maps(images).mean(dim=(2, 3))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_the_last_features_are_the_pooled_last_maps(images):
    network = build_network("mobilenet_v3_small", 2, weights="scratch", features="last")
    assert network.n_features == find_card("mobilenet_v3_small").n_features
    with torch.inference_mode():
        expected = network.feature_maps(images).mean(dim=(2, 3))
        torch.testing.assert_close(network.features(images), expected)


@pytest.mark.parametrize("key", KEYS)
def test_stage_features_are_mean_and_deviation_over_the_image(key, networks, images):
    network = networks[key]
    with torch.inference_mode():
        features, maps = network.features(images), network.feature_maps(images)
    assert features.shape == (2, sum(network.feature_blocks))
    width = maps.shape[1]
    assert network.feature_blocks[-2:] == (width, width)
    torch.testing.assert_close(features[:, -2 * width : -width], maps.mean(dim=(2, 3)))
    deviation = (maps.var(dim=(2, 3), correction=0) + 1e-6).sqrt()
    torch.testing.assert_close(features[:, -width:], deviation, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("key", KEYS)
def test_groups_hold_every_parameter_once_from_the_image_to_the_head(key, networks):
    network = networks[key]
    groups = layer_groups(network)
    grouped = [id(p) for group in groups for p in group.parameters]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters())
    assert 4 <= len(groups) <= 7
    assert all(group.parameters for group in groups)
    assert groups[-1].parameters == tuple(network.head.parameters())
    assert groups[0].parameters[0] is next(network.body.parameters())


@pytest.mark.parametrize("key", KEYS)
def test_a_training_step_reaches_every_parameter_and_draws_nothing_at_random(key, networks):
    network = copy.deepcopy(networks[key]).train()
    images = torch.rand(3, 1, 32, 32)
    before = torch.get_rng_state()
    nn.functional.cross_entropy(network(images), torch.tensor([0, 1, 2])).backward()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_a_grey_image_is_a_colour_image_with_equal_channels(networks, images):
    network = networks["resnet18"]
    with torch.inference_mode():
        torch.testing.assert_close(network(images), network(images.expand(-1, 3, -1, -1)))


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
    assert rename_lite0(name) == expected


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
def test_quick_depthwise_layers_have_the_exact_layers_gradients(kernel, stride, is_same):
    from timm.layers.conv2d_same import Conv2dSame

    generator = torch.Generator().manual_seed(0)
    exact: nn.Conv2d
    if is_same:
        exact = Conv2dSame(8, 8, kernel, stride=stride, groups=8, bias=False)
    else:
        exact = nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=8, bias=False)
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
