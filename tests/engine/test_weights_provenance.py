"""What weights are said to have seen, and how a file that fits nothing is described."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor
from torchvision.models import densenet121, resnet18, squeezenet1_0

from engine.contract.backbones import BACKBONES
from engine.contract.errors import WeightsError
from engine.models import weights_origin
from engine.models.adapt import find_card
from engine.models.add_weights import add_folder, add_weights, check_weights
from engine.models.weights import FOUND, MADE, OFFICIAL, added_weights, keep_weights
from engine.models.weights_origin import official_files


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


def _hashed(folder: Path, key: str, tensors: dict[str, Tensor]) -> Path:
    """Return a file whose name tells the start of its own SHA-256, as libraries name theirs."""
    stream = io.BytesIO()
    torch.save(tensors, stream)
    digest = hashlib.sha256(stream.getvalue()).hexdigest()
    file = folder / f"{key}-{digest[:8]}.pth"
    file.write_bytes(stream.getvalue())
    return file


def test_the_names_that_the_libraries_publish_are_known() -> None:
    known = {stem: card.key for stem, card in official_files().items()}
    assert known["resnet18-f37072fd"] == "resnet18"
    assert known["tf_efficientnet_lite1-bde8b488"] == "efficientnet_lite1"
    assert known["efficientnet_b0_rwightman-7f5810bc"] == "efficientnet_b0"
    files = {card.official for card in BACKBONES if card.official.endswith(".pth")}
    assert files and {Path(name).stem for name in files} <= known.keys()


def test_a_published_name_whose_hash_fits_vouches_for_the_librarys_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = find_card("squeezenet1_0")
    file = _hashed(tmp_path, "squeezenet1_0", squeezenet1_0().state_dict())
    monkeypatch.setattr(weights_origin, "official_files", lambda: {file.stem: card})
    report = check_weights(file)
    assert (report["kind"], report["pretrained_on"]) == (OFFICIAL, card.pretrained_on)


def test_a_name_that_fits_its_file_vouches_for_nothing_unless_it_was_published(
    tmp_path: Path,
) -> None:
    file = _hashed(tmp_path, "squeezenet1_0", squeezenet1_0().state_dict())
    report = check_weights(file)
    assert (report["kind"], report["licence"]) == (FOUND, "unknown")
    assert report["pretrained_on"].startswith("probably")


def _xray_vision() -> dict[str, Tensor]:
    grey: dict[str, Tensor] = densenet121(num_classes=18).state_dict()
    grey["features.conv0.weight"] = grey["features.conv0.weight"].sum(1, keepdim=True)
    grey["op_threshs"] = torch.full((18,), 0.5)  # only their networks have these
    return grey


def _carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, with_facts: bool = True) -> Path:
    """Return a folder with what was added here, and forget it: another computer."""
    folder = tmp_path / "carried"
    shutil.copytree(tmp_path / "kept", folder)
    if not with_facts:
        for facts in folder.glob("*.json"):
            facts.unlink()
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(tmp_path / "there"))
    return folder


@pytest.mark.parametrize("make", [_xray_vision, lambda: resnet18(num_classes=14).state_dict()])
def test_a_folder_of_added_weights_is_known_on_another_computer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], dict[str, Tensor]]
) -> None:
    add_weights(_file(tmp_path / "w.pth", make()))
    [here] = added_weights()
    [report] = add_folder(_carried(tmp_path, monkeypatch))["added"]
    [there] = added_weights()
    assert there == here
    assert report["warnings"] == list(here.warnings)


def test_a_part_that_is_carried_away_says_once_that_it_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = {n: t for n, t in resnet18().state_dict().items() if not n.startswith("layer2.0")}
    add_weights(_file(tmp_path / "w.pth", part), allow_partial=True)
    [here] = added_weights()
    folder = _carried(tmp_path, monkeypatch)
    assert add_folder(folder)["partial"]
    add_folder(folder, allow_partial=True)
    assert added_weights() == [here]


def test_a_copy_without_its_facts_is_only_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_weights(_file(tmp_path / "w.pth", squeezenet1_0().state_dict()))
    add_folder(_carried(tmp_path, monkeypatch, with_facts=False))
    [there] = added_weights()
    assert (there.kind, there.licence) == (FOUND, "unknown")


def test_facts_of_other_tensors_are_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_weights(_file(tmp_path / "w.pth", squeezenet1_0().state_dict()))
    folder = _carried(tmp_path, monkeypatch)
    [facts] = folder.glob("*.json")
    plain = json.loads(facts.read_text(encoding="utf-8"))
    facts.write_text(json.dumps(plain | {"digest": "0" * 64, "kind": OFFICIAL}), encoding="utf-8")
    add_folder(folder)
    assert added_weights()[0].kind == FOUND


def test_what_was_pretrained_here_stays_noted_when_its_file_is_added_again(tmp_path: Path) -> None:
    made = keep_weights(
        find_card("squeezenet1_0"),
        {n: t for n, t in squeezenet1_0().state_dict().items() if not n.startswith("classifier.")},
        name="ours",
        kind=MADE,
        licence="unknown",
        pretrained_on="two projects",
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
    )
    add_weights(tmp_path / "kept" / f"{made.id}.safetensors")
    assert added_weights() == [made]
    assert made.is_noted


def test_grey_networks_with_18_outputs_are_only_probably_chest_xrays(tmp_path: Path) -> None:
    theirs = _xray_vision()
    guess = {name: tensor for name, tensor in theirs.items() if name != "op_threshs"}
    report = check_weights(_file(tmp_path / "guess.pth", guess))
    assert report["pretrained_on"].startswith("probably chest X-rays")
    assert "seem to be TorchXRayVision's" in " ".join(report["warnings"])
    report = check_weights(_file(tmp_path / "theirs.pth", theirs))
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


def test_a_file_that_may_be_the_librarys_keeps_the_mark_of_its_licence(tmp_path: Path) -> None:
    """Without the note beside it nothing tells the licence of a file."""
    free, bound = "convnext_atto", "convnextv2_nano"
    for key, is_bound in ((free, False), (bound, True)):
        tensors = timm.create_model(find_card(key).builder).state_dict()
        told = " ".join(check_weights(_file(tmp_path / f"{key}.pth", tensors))["warnings"])
        assert ("non-commercial use only" in told) == is_bound
