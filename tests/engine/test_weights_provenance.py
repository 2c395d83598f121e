"""What weights are said to have seen, and how a file that fits nothing is described."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor
from torchvision.models import densenet121, resnet18, squeezenet1_0

from engine.contract.errors import WeightsError
from engine.models.adapt import find_card
from engine.models.add_weights import add_weights, check_weights


@pytest.fixture(autouse=True)
def _kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(tmp_path / "kept"))


def _file(path: Path, tensors: dict[str, Tensor]) -> Path:
    torch.save(tensors, path)
    return path


def _seen(path: Path, tensors: dict[str, Tensor]) -> str:
    return str(check_weights(_file(path, tensors))["pretrained_on"])


def test_random_weights_of_the_right_shape_are_only_probably_imagenets(tmp_path: Path) -> None:
    seen = _seen(tmp_path / "resnet18-random.pth", resnet18().state_dict())
    assert seen == "probably ImageNet-1k; the file does not say"
    # The library's own ViT-Tiny saw ImageNet-21k; a thousand outputs don't tell that of another.
    vit = timm.create_model("vit_tiny_patch16_224").state_dict()
    assert _seen(tmp_path / "vit.pth", vit) == seen
    other = resnet18(num_classes=14).state_dict()
    assert "14 outputs" in _seen(tmp_path / "other.pth", other)


def test_a_network_without_a_head_tells_nothing_of_its_images(tmp_path: Path) -> None:
    dinov2 = timm.create_model("vit_small_patch14_dinov2").state_dict()
    assert _seen(tmp_path / "w.pth", dinov2) == "the file does not say what"


def test_a_hash_in_the_name_vouches_for_the_librarys_own(tmp_path: Path) -> None:
    stream = io.BytesIO()
    torch.save(squeezenet1_0().state_dict(), stream)
    digest = hashlib.sha256(stream.getvalue()).hexdigest()
    file = tmp_path / f"squeezenet1_0-{digest[:8]}.pth"
    file.write_bytes(stream.getvalue())
    assert check_weights(file)["pretrained_on"] == find_card("squeezenet1_0").pretrained_on


def test_grey_networks_with_18_outputs_are_only_probably_chest_xrays(tmp_path: Path) -> None:
    grey = densenet121(num_classes=18).state_dict()
    grey["features.conv0.weight"] = grey["features.conv0.weight"].sum(1, keepdim=True)
    report = check_weights(_file(tmp_path / "guess.pth", grey))
    assert report["pretrained_on"].startswith("probably chest X-rays")
    assert "seem to be TorchXRayVision's" in " ".join(report["warnings"])
    grey["op_threshs"] = torch.full((18,), 0.5)  # only their networks have these
    report = check_weights(_file(tmp_path / "theirs.pth", grey))
    assert report["pretrained_on"].startswith("chest X-rays")


def test_a_part_is_told_with_what_it_has_seen(tmp_path: Path) -> None:
    whole = resnet18().state_dict()
    part = {name: tensor for name, tensor in whole.items() if not name.startswith("layer2.0")}
    report = add_weights(_file(tmp_path / "w.pth", part), allow_partial=True)
    assert report["pretrained_on"].endswith(
        f"({report['share']:.0%} of its weights, the rest random)"
    )


def test_a_network_without_its_last_layers_is_told_from_a_foreign_one(tmp_path: Path) -> None:
    whole = resnet18().state_dict()
    part = {name: tensor for name, tensor in whole.items() if not name.startswith("layer4")}
    body = {n: t for n, t in whole.items() if not n.startswith("fc.") and t.is_floating_point()}
    kept = sum(t.numel() for n, t in body.items() if n in part) / sum(
        t.numel() for t in body.values()
    )
    with pytest.raises(WeightsError) as refused:
        add_weights(_file(tmp_path / "w.pth", part))
    message = refused.value.message
    assert f"only {kept:.0%} of ResNet-18" in message and "layer4.0.conv1.weight" in message
    assert f"{sum(n.startswith('layer4') for n in body)} tensors" in message
    for tensors in (part, {"encoder.weight": torch.ones(4, 4)}):
        with pytest.raises(WeightsError) as refused:
            add_weights(_file(tmp_path / "w.pth", tensors))
        assert "radtune-engine" not in f"{refused.value.message} {refused.value.remedy}"
