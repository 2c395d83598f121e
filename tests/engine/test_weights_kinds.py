"""Weights of many kinds: transformers, chest X-ray networks, parts, folders, several at once."""

import io
import json
import math
from typing import Any

import numpy as np
import pytest
import timm
import torch

from engine.contract.errors import ConfigError, WeightsError
from engine.models.adapt import find_card, library_network
from engine.models.add_weights import add_folder, add_weights, check_weights
from engine.models.npz_file import is_npz, read_npz
from engine.models.registry import build_network
from engine.models.weights import (
    added_weights,
    load_state,
    register_backbone,
    remove_weights,
    weights_info,
)


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """Keep added weights in a folder of the test."""
    folder = tmp_path / "kept" / "weights"
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(folder))
    return folder


def _state(key, seed=0):
    torch.manual_seed(seed)
    return library_network(find_card(key)).state_dict()


@pytest.fixture(scope="module")
def squeezenet():
    return _state("squeezenet1_0")


@pytest.fixture(scope="module")
def densenet():
    return _state("densenet121")


@pytest.fixture(scope="module")
def vit():
    return _state("vit_tiny")


def _file(path, content):
    torch.save(content, path)
    return path


def _flax_arrays(state):
    """Return a vision transformer as its authors' JAX code stores it."""
    arrays = {
        "cls": state["cls_token"],
        "embedding/kernel": state["patch_embed.proj.weight"].permute(2, 3, 1, 0),
        "embedding/bias": state["patch_embed.proj.bias"],
        "Transformer/posembed_input/pos_embedding": state["pos_embed"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
        "head/kernel": state["head.weight"].T,
        "head/bias": state["head.bias"],
    }
    for i in range(12):
        block, here = f"Transformer/encoderblock_{i}", f"blocks.{i}"
        for there, norm in (("LayerNorm_0", "norm1"), ("LayerNorm_2", "norm2")):
            arrays[f"{block}/{there}/scale"] = state[f"{here}.{norm}.weight"]
            arrays[f"{block}/{there}/bias"] = state[f"{here}.{norm}.bias"]
        for there, layer in (("Dense_0", "fc1"), ("Dense_1", "fc2")):
            arrays[f"{block}/MlpBlock_3/{there}/kernel"] = state[f"{here}.mlp.{layer}.weight"].T
            arrays[f"{block}/MlpBlock_3/{there}/bias"] = state[f"{here}.mlp.{layer}.bias"]
        attention = f"{block}/MultiHeadDotProductAttention_1"
        kernels = state[f"{here}.attn.qkv.weight"].chunk(3)
        biases = state[f"{here}.attn.qkv.bias"].chunk(3)
        for part, kernel, bias in zip(("query", "key", "value"), kernels, biases, strict=True):
            arrays[f"{attention}/{part}/kernel"] = kernel.T.reshape(192, 3, 64)
            arrays[f"{attention}/{part}/bias"] = bias.reshape(3, 64)
        arrays[f"{attention}/out/kernel"] = state[f"{here}.attn.proj.weight"].T.reshape(3, 64, 192)
        arrays[f"{attention}/out/bias"] = state[f"{here}.attn.proj.bias"]
    return {name: tensor.numpy() for name, tensor in arrays.items()}


def test_a_transformers_npz_is_read_as_timm_reads_it(vit, tmp_path):
    file = tmp_path / "Ti_16-i21k.npz"
    np.savez(file, **_flax_arrays(vit))
    timms: Any = timm.create_model("vit_tiny_patch16_224", pretrained=False)
    timms.load_pretrained(str(file))
    assert is_npz(file.read_bytes())
    tensors = read_npz(file.read_bytes())
    expected = timms.state_dict()
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)
    result = add_weights(file)
    assert (result["backbone"], result["fits"], result["n_tensors"]) == ("vit_tiny", True, 152)


def test_an_npz_with_python_objects_is_refused_unread(tmp_path):
    file = tmp_path / "w.npz"
    np.savez(file, kernel=np.array([{"a": 1}], dtype=object))
    with pytest.raises(WeightsError, match="could run a program"):
        add_weights(file)


def test_positions_of_another_grid_are_interpolated_and_said(vit, tmp_path):
    from timm.layers.pos_embed import resample_abs_pos_embed

    positions = torch.randn(1, 1 + 24 * 24, 192)  # of 384 px
    result = add_weights(_file(tmp_path / "w.pth", {**vit, "pos_embed": positions}))
    assert "24 x 24 to 14 x 14" in " ".join(result["warnings"])
    expected = resample_abs_pos_embed(positions, new_size=[14, 14], num_prefix_tokens=1)
    kept = load_state("vit_tiny")["pos_embed"]
    torch.testing.assert_close(kept, expected, rtol=1e-4, atol=1e-5)


def test_a_teachers_copy_is_taken_of_a_checkpoint_with_two(tmp_path):
    student, teacher = _state("vit_tiny", 1), _state("vit_tiny", 2)
    checkpoint = {
        "student": {f"module.backbone.{n}": t for n, t in student.items()},
        "teacher": {f"backbone.{n}": t for n, t in teacher.items()},
        "epoch": 3,
    }
    add_weights(_file(tmp_path / "checkpoint.pth", checkpoint))
    kept = load_state("vit_tiny")
    assert all(torch.equal(kept[name], teacher[name]) for name in kept)


def test_dino_and_vit_small_are_told_apart_by_their_ends(tmp_path):
    state = _state("vit_small")
    bare = {n: t for n, t in state.items() if not n.startswith("head.")}
    with_head = check_weights(_file(tmp_path / "a.pth", state))
    without = check_weights(_file(tmp_path / "b.pth", bare))
    assert (with_head["backbone"], without["backbone"]) == ("vit_small", "dino_vits16")
    assert "ViT-Small/16" in " ".join(without["warnings"])
    chosen = check_weights(tmp_path / "b.pth", "vit_small")
    assert (chosen["backbone"], chosen["mean"]) == ("vit_small", [0.5, 0.5, 0.5])


def test_dinov2_files_with_a_mask_token_are_known(tmp_path):
    state = {**_state("dinov2_vits14"), "mask_token": torch.zeros(1, 384)}
    result = check_weights(_file(tmp_path / "w.pth", state))
    assert (result["backbone"], result["fits"]) == ("dinov2_vits14", True)


def test_xray_vision_weights_get_the_intensities_that_they_expect(densenet, tmp_path):
    grey = {**densenet, "op_threshs": torch.full((18,), math.nan)}
    grey["features.conv0.weight"] = densenet["features.conv0.weight"].sum(1, keepdim=True)
    grey["classifier.weight"], grey["classifier.bias"] = torch.zeros(18, 1024), torch.zeros(18)
    result = add_weights(_file(tmp_path / "xrv.pt", grey))
    assert "TorchXRayVision" in " ".join(result["warnings"])
    assert "chest" in result["pretrained_on"]
    network = build_network("densenet121", 2, weights=f"file:{result['id']}")
    seen = []
    network.body.get_submodule("features.conv0").register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    images = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1).expand(3, 1, 32, 32)
    with torch.inference_mode():
        network(images)
        # What their network would make of the grey image: one channel, -1024 to 1024.
        expected = torch.nn.functional.conv2d(
            (2 * images - 1) * 1024, grey["features.conv0.weight"], stride=2, padding=3
        )
        actual = network.body.get_submodule("features.conv0")(seen[0])
    assert [float(x) for x in seen[0][:, 0, 0, 0]] == [-1024.0, 0.0, 1024.0]
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-2)


def test_preprocessing_of_one_weights_does_not_leak_into_another(densenet, squeezenet, tmp_path):
    card = find_card("densenet121")
    grey = {**densenet, "features.conv0.weight": densenet["features.conv0.weight"][:, :1]}
    grey["classifier.weight"], grey["classifier.bias"] = torch.zeros(18, 1024), torch.zeros(18)
    chest = add_weights(_file(tmp_path / "chest.pt", grey))["id"]
    plain = add_weights(_file(tmp_path / "plain.pt", densenet))["id"]
    assert weights_info("densenet121", f"file:{chest}").mean == (0.5, 0.5, 0.5)
    assert weights_info("densenet121", f"file:{plain}").mean == card.mean
    rebuilt = build_network(
        "densenet121", 2, weights="scratch", mean=(0.5, 0.5, 0.5), std=(0.1, 0.1, 0.1)
    )
    assert rebuilt.card.std == (0.1, 0.1, 0.1)
    assert build_network("densenet121", 2, weights="scratch").card == card


def test_a_partial_match_is_shown_before_it_is_used(squeezenet, tmp_path, folder):
    part = {n: t for n, t in squeezenet.items() if not n.startswith("features.12")}
    part["features.3.squeeze.weight"] = torch.zeros(8, 96, 1, 1)
    file = _file(tmp_path / "w.pth", part)
    report = check_weights(file)
    assert (report["backbone"], report["fits"]) == ("squeezenet1_0", False)
    assert (report["missing"], report["misfits"], report["strangers"]) == (6, 1, 0)
    assert report["n_wanted"] == 50
    lost = sum(t.numel() for n, t in squeezenet.items() if n.startswith("features.12"))
    lost += squeezenet["features.3.squeeze.weight"].numel()
    body = sum(t.numel() for n, t in squeezenet.items() if n.startswith("features."))
    assert report["share"] == pytest.approx(1 - lost / body, abs=1e-4)
    assert {"name": "features.3.squeeze.weight", "problem": "another shape"}.items() <= (
        report["examples"][-1].items()
    )
    assert not folder.exists(), "a check keeps nothing"
    with pytest.raises(WeightsError, match="missing"):
        add_weights(file)
    result = add_weights(file, allow_partial=True)
    assert f"{report['share']:.0%}" in " ".join(result["warnings"])
    network = build_network("squeezenet1_0", 2, weights=f"file:{result['id']}", seed=3)
    start = build_network("squeezenet1_0", 2, weights="scratch", seed=3).body.state_dict()
    for name, tensor in network.body.state_dict().items():
        is_lost = name.startswith("features.12") or name == "features.3.squeeze.weight"
        assert torch.equal(tensor, start[name] if is_lost else squeezenet[name])


def test_less_than_half_of_a_backbone_is_no_weights_file(squeezenet, tmp_path):
    part = dict(list(squeezenet.items())[:20])
    with pytest.raises(WeightsError):
        add_weights(_file(tmp_path / "w.pth", part), allow_partial=True)
    with pytest.raises(WeightsError):
        check_weights(tmp_path / "w.pth")


def test_a_folder_is_added_file_by_file_and_says_what_is_left_out(squeezenet, vit, tmp_path):
    source = tmp_path / "carried"
    (source / "deeper").mkdir(parents=True)
    _file(source / "a.pth", squeezenet)
    _file(source / "deeper" / "b.ckpt", vit)  # as Lightning calls its checkpoints
    _file(source / "foreign.pth", {"encoder.weight": torch.ones(4, 4)})
    (source / "broken.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{nonsense")
    (source / "empty").mkdir()
    (source / "readme.txt").write_text("not weights", encoding="utf-8")
    checked = add_folder(source, check_only=True)
    assert added_weights() == []
    result = add_folder(source)
    assert [r["backbone"] for r in result["added"]] == ["squeezenet1_0", "vit_tiny"]
    assert [r["file"] for r in result["added"]] == ["a.pth", "deeper/b.ckpt"]
    assert [r["file"] for r in result["refused"]] == ["broken.safetensors", "foreign.pth"]
    assert all(r["message"] and r["remedy"] for r in result["refused"])
    assert len(checked["added"]) == len(added_weights()) == 2
    with pytest.raises(WeightsError, match="no weights file"):
        add_folder(source / "empty")


def test_several_weights_of_a_backbone_stand_side_by_side(squeezenet, tmp_path):
    first = add_weights(_file(tmp_path / "first.pth", squeezenet))["id"]
    other = _state("squeezenet1_0", 5)
    second = add_weights(_file(tmp_path / "second.pth", other))["id"]
    assert [item.id for item in added_weights("squeezenet1_0")] == [first, second]
    assert weights_info("squeezenet1_0").id == first, "a later file changes no experiment"
    assert weights_info("squeezenet1_0", f"file:{second}").source == "second.pth"
    body = build_network("squeezenet1_0", 2, weights=f"file:{second}").body.state_dict()
    assert all(torch.equal(tensor, other[name]) for name, tensor in body.items())
    remove_weights(first)
    assert weights_info("squeezenet1_0").id == second
    with pytest.raises(WeightsError, match="not here"):
        build_network("squeezenet1_0", 2, weights=f"file:{first}")
    with pytest.raises(WeightsError, match="no added weights"):
        remove_weights(first)


def test_a_backbone_made_here_is_chosen_by_its_id_alone():
    network = build_network("squeezenet1_0", 2, weights="scratch", seed=4)
    made = register_backbone(
        "squeezenet1_0",
        network.body.state_dict(),
        name="Two hospitals",
        pretrained_on="chest X-rays of two hospitals",
        licence="CC-BY-NC-4.0",
        mean=(0.1, 0.2, 0.3),
    )
    assert weights_info("squeezenet1_0").state == "missing", "never the default"
    again = build_network("squeezenet1_0", 3, weights=f"file:{made}", seed=9)
    for name, tensor in again.body.state_dict().items():
        assert torch.equal(tensor, network.body.state_dict()[name])
    assert again.card.mean == (0.1, 0.2, 0.3)
    info = weights_info("squeezenet1_0", f"file:{made}")
    assert (info.source, info.licence) == ("Two hospitals", "CC-BY-NC-4.0")
    assert again.weights_digest == info.digest
    body = dict(network.body.state_dict())
    body.pop("features.0.weight")
    with pytest.raises(ValueError, match="squeezenet1_0"):
        register_backbone("squeezenet1_0", body, name="", pretrained_on="", licence="")
    with pytest.raises(ConfigError):
        register_backbone("vgg16", body, name="", pretrained_on="", licence="")


def test_a_backbone_with_batch_norms_is_registered_whole():
    network = build_network("mobilenet_v3_small", 2, weights="scratch")
    made = register_backbone(
        "mobilenet_v3_small",
        network.body.state_dict(),
        name="x",
        pretrained_on="y",
        licence="unknown",
    )
    assert load_state("mobilenet_v3_small", f"file:{made}").keys() == (
        network.body.state_dict().keys()
    )


def test_the_note_beside_a_file_of_timms_hub_is_read(vit, tmp_path):
    import safetensors.torch

    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file(vit, file)
    note = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 1000,
        "pretrained_cfg": {
            "tag": "augreg_in21k_ft_in1k",
            "mean": [0.4, 0.5, 0.6],
            "std": [0.5, 0.5, 0.5],
            "license": "apache-2.0",
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(note), encoding="utf-8")
    result = add_weights(file)
    assert result["name"] == "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    assert result["licence"] == "Apache-2.0"
    assert result["mean"] == [0.4, 0.5, 0.6]
    assert result["pretrained_on"] == find_card("vit_tiny").pretrained_on
    (tmp_path / "config.json").write_text("[1, 2", encoding="utf-8")
    assert check_weights(file)["licence"] == "unknown"


@pytest.mark.parametrize("key", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
def test_weights_that_ship_are_whole_and_fit(key):
    state = load_state(key)
    body = build_network(key, 2).body.state_dict()
    assert body.keys() <= state.keys()
    assert all(torch.equal(body[name], state[name]) for name in body)
    assert weights_info(key).state == "embedded"


def test_a_copy_of_the_notes_of_an_earlier_version_is_understood(squeezenet, folder):
    import hashlib

    import safetensors.torch

    folder.mkdir(parents=True)
    copy = safetensors.torch.save(dict(sorted(squeezenet.items())))
    (folder / "squeezenet1_0.safetensors").write_bytes(copy)
    facts = {
        "schema_version": 1,
        "backbone": "squeezenet1_0",
        "name": "old.pth",
        "source_sha256": "",
        "digest": hashlib.sha256(copy).hexdigest(),
        "licence": "unknown",
        "n_tensors": 52,
        "warnings": [],
    }
    (folder / "squeezenet1_0.json").write_text(json.dumps(facts), encoding="utf-8")
    assert weights_info("squeezenet1_0").source == "old.pth"
    assert load_state("squeezenet1_0").keys() == squeezenet.keys()


def test_an_archive_that_is_no_archive_is_no_npz():
    assert not is_npz(b"PK\x03\x04nonsense")
    stream = io.BytesIO()
    np.savez(stream, a=np.zeros(2))
    assert is_npz(stream.getvalue())
