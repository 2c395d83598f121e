"""Weights from files: recognised by their tensors, refused when they hold code."""

import hashlib
import io
import json
import os
import pickle
import zipfile
from collections import OrderedDict

import pytest
import safetensors.torch
import torch

from engine.contract.errors import ConfigError, WeightsError
from engine.models import weights, weights_origin
from engine.models.adapt import find_card, library_network
from engine.models.add_weights import add_weights
from engine.models.registry import build_network, build_original
from engine.models.weights import load_state, weights_info, weights_state


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """Keep added weights in a folder of the test."""
    folder = tmp_path / "kept" / "weights"
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(folder))
    return folder


@pytest.fixture(scope="module")
def squeezenet():
    """Tensors of a whole SqueezeNet: small, with a head of 1,000 classes."""
    torch.manual_seed(0)
    return library_network(find_card("squeezenet1_0")).state_dict()


@pytest.fixture(scope="module")
def mobilenet():
    """Tensors of a whole MobileNetV3, with batch norms."""
    torch.manual_seed(0)
    return library_network(find_card("mobilenet_v3_small")).state_dict()


def _file(path, content):
    torch.save(content, path)
    return path


def _holds(key, tensors):
    state = load_state(key)
    return all(torch.equal(state[name], tensors[name].float()) for name in state)


def test_a_real_file_is_recognised_by_its_tensors(shared_data, folder):
    file = shared_data / "weights" / "squeezenet1_0_imagenet.safetensors"
    result = add_weights(file)
    assert result["backbone"] == "squeezenet1_0"
    assert result["name"] == file.name
    assert result["n_tensors"] == 52
    assert result["warnings"] == []
    facts = json.loads((folder / f"{result['id']}.json").read_text(encoding="utf-8"))
    assert facts["source_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert facts["licence"] == "unknown"
    assert _holds("squeezenet1_0", safetensors.torch.load_file(file))
    network = build_network("squeezenet1_0", 2)
    assert network.weights_digest == facts["digest"] == weights.weights_digest("squeezenet1_0")
    logits = build_original("squeezenet1_0")(torch.rand(1, 3, 64, 64))
    assert logits.shape == (1, 1000)


def test_weights_of_another_backbone_are_called_so(squeezenet, tmp_path):
    added = add_weights(_file(tmp_path / "w.pth", squeezenet))
    with pytest.raises(WeightsError, match=r"SqueezeNet 1\.0, not for ResNet-18") as refused:
        load_state("resnet18", f"file:{added['id']}")
    assert "squeezenet1_0" in refused.value.remedy
    with pytest.raises(WeightsError, match="not here"):
        load_state("resnet18", "file:resnet18-00000000")


def test_states_change_as_weights_are_added(squeezenet, tmp_path):
    assert weights_state("efficientnet_lite0") == "embedded"
    assert weights_info("efficientnet_lite0").licence == "Apache-2.0"
    assert weights_state("squeezenet1_0") == "missing"
    add_weights(_file(tmp_path / "any name.pt", squeezenet))
    assert weights_state("squeezenet1_0") == "added"
    assert weights_info("squeezenet1_0").source == "any name.pt"
    with pytest.raises(ConfigError):
        weights_state("vgg16")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"state_dict": s, "epoch": 3, "optimizer": {"state": {0: {"a": torch.ones(1)}}}},
        lambda s: {"model": s},
        lambda s: {"epoch": 1, "checkpoint": {"net": s}},
        lambda s: OrderedDict((f"module.{n}", t) for n, t in s.items()),
        lambda s: {f"module.backbone.{n}": t for n, t in s.items()},
        lambda s: {**{f"encoder.{n}": t for n, t in s.items()}, "projector.w": torch.ones(2, 2)},
        lambda s: {n: t.half() for n, t in s.items()},
        lambda s: {n: torch.nn.Parameter(t) for n, t in s.items()},
    ],
    ids=["trainer", "model", "nested", "parallel", "deep", "encoder", "half", "parameters"],
)
def test_what_training_programs_wrap_around_the_weights_is_removed(squeezenet, tmp_path, wrap):
    wrapped = wrap(squeezenet)
    assert add_weights(_file(tmp_path / "w.pth", wrapped))["backbone"] == "squeezenet1_0"
    kept = load_state("squeezenet1_0")
    assert kept.keys() == squeezenet.keys()
    for name, tensor in squeezenet.items():
        torch.testing.assert_close(kept[name], tensor, rtol=1e-3, atol=1e-3)


def test_the_old_file_format_of_torch_is_read(squeezenet, tmp_path):
    file = tmp_path / "old.pth"
    torch.save(squeezenet, file, _use_new_zipfile_serialization=False)
    assert add_weights(file)["backbone"] == "squeezenet1_0"
    assert _holds("squeezenet1_0", squeezenet)


def test_counters_that_older_files_lack_are_not_needed(mobilenet, tmp_path):
    old = {n: t for n, t in mobilenet.items() if not n.endswith("num_batches_tracked")}
    add_weights(_file(tmp_path / "w.pth", old))
    body = build_network("mobilenet_v3_small", 2).body.state_dict()
    assert all(torch.equal(body[name], old[name]) for name in body if name in old)


def test_the_published_densenet_names_are_understood(tmp_path):
    import re

    state = library_network(find_card("densenet121")).state_dict()
    old = {re.sub(r"(denselayer\d+\.\w+)([12])\.", r"\1.\2.", n): t for n, t in state.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    assert add_weights(_file(tmp_path / "w.pth", old))["backbone"] == "densenet121"


def test_a_head_for_other_classes_is_left_out_and_said(squeezenet, tmp_path):
    other = {**squeezenet}
    other["classifier.1.weight"] = torch.zeros(14, 512, 1, 1)
    other["classifier.1.bias"] = torch.zeros(14)
    result = add_weights(_file(tmp_path / "w.pth", other))
    assert "14 outputs" in " ".join(result["warnings"])
    assert not [name for name in load_state("squeezenet1_0") if name.startswith("classifier")]
    assert build_network("squeezenet1_0", 2).n_classes == 2
    with pytest.raises(WeightsError, match="decision layer"):
        build_original("squeezenet1_0")


def test_a_first_layer_for_grey_images_is_adapted_and_said(squeezenet, tmp_path):
    grey = {**squeezenet, "features.0.weight": squeezenet["features.0.weight"].sum(1, keepdim=True)}
    result = add_weights(_file(tmp_path / "w.pth", grey))
    assert "one channel" in " ".join(result["warnings"])
    first = load_state("squeezenet1_0")["features.0.weight"]
    assert first.shape == (96, 3, 7, 7)
    torch.testing.assert_close(first.sum(1), squeezenet["features.0.weight"].sum(1))


def test_a_relative_of_a_backbone_is_refused_by_name(tmp_path):
    from torchvision.models import densenet161

    state = densenet161().state_dict()
    with pytest.raises(WeightsError, match=r"DenseNet-121.*other layers") as error:
        add_weights(_file(tmp_path / "w.pth", state), "densenet121")
    assert "DenseNet-121" in error.value.remedy


def test_a_foreign_network_is_refused_with_the_choices(tmp_path):
    file = _file(tmp_path / "w.pth", {"encoder.weight": torch.ones(4, 4)})
    with pytest.raises(WeightsError, match="none of RadTune's") as error:
        add_weights(file)
    assert "SqueezeNet" in error.value.remedy


def test_a_chosen_backbone_that_does_not_fit_is_refused(squeezenet, tmp_path):
    file = _file(tmp_path / "w.pth", squeezenet)
    with pytest.raises(WeightsError, match=r"MobileNetV3 Small.*missing"):
        add_weights(file, "mobilenet_v3_small")
    with pytest.raises(ConfigError):
        add_weights(file, "vgg16")


def test_missing_tensors_are_counted_and_named(squeezenet, tmp_path):
    part = {n: t for n, t in squeezenet.items() if not n.startswith("features.12")}
    with pytest.raises(WeightsError, match=r"6 tensors are missing \(such as features\.12"):
        add_weights(_file(tmp_path / "w.pth", part))


def test_weights_that_are_no_numbers_are_refused(squeezenet, tmp_path):
    bad = {**squeezenet, "features.0.bias": torch.full((96,), float("nan"))}
    with pytest.raises(WeightsError, match="not numbers"):
        add_weights(_file(tmp_path / "w.pth", bad))


def test_quantised_weights_are_refused(squeezenet, tmp_path):
    bad = {**squeezenet, "features.0.bias": torch.zeros(96, dtype=torch.int8)}
    with pytest.raises(WeightsError, match="quantised"):
        add_weights(_file(tmp_path / "w.pth", bad))


class _Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("is_new", [True, False], ids=["zip", "old"])
def test_a_file_with_code_is_refused_unread(squeezenet, tmp_path, folder, is_new):
    trap = tmp_path / "sprung"
    file = tmp_path / "w.pth"
    content = {**squeezenet, "extra": _Trap(str(trap))}
    torch.save(content, file, _use_new_zipfile_serialization=is_new)
    with pytest.raises(WeightsError, match="could run a program") as error:
        add_weights(file)
    assert "mkdir" in error.value.message
    assert "safetensors" in error.value.remedy
    assert not trap.exists()
    assert not folder.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_plain_pickle_with_code_is_refused_unread(tmp_path, protocol):
    trap = tmp_path / "sprung"
    file = tmp_path / "w.pt"
    file.write_bytes(pickle.dumps(_Trap(str(trap)), protocol=protocol))
    with pytest.raises(WeightsError):
        add_weights(file)
    assert not trap.exists()


def test_code_hidden_in_a_second_pickle_of_the_archive_is_refused(squeezenet, tmp_path):
    trap = tmp_path / "sprung"
    file = _file(tmp_path / "w.pth", squeezenet)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("other/data.pkl", pickle.dumps(_Trap(str(trap)), protocol=2))
    with pytest.raises(WeightsError, match="could run a program"):
        add_weights(file)
    assert not trap.exists()


def test_a_torchscript_program_is_refused(tmp_path):
    file = tmp_path / "w.pt"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("w/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("w/constants.pkl", pickle.dumps((), protocol=2))
        archive.writestr("w/code/__torch__.py", "")
    with pytest.raises(WeightsError, match="TorchScript"):
        add_weights(file)


def _cut(content):
    return content[: len(content) // 2]


def _saved(tensors):
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


def _saved_old(tensors):
    buffer = io.BytesIO()
    torch.save(tensors, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "write", [safetensors.torch.save, _saved, _saved_old], ids=["safetensors", "zip", "old"]
)
def test_a_truncated_file_is_called_damaged(squeezenet, tmp_path, write):
    file = tmp_path / "w"
    file.write_bytes(_cut(write(squeezenet)))
    with pytest.raises(WeightsError, match="damaged") as error:
        add_weights(file)
    assert "again" in error.value.remedy


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>Not found</html>", "not a weights file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "not a weights file"),
        (b"PK\x03\x04" + bytes(50), "damaged"),
        (b"\x80", "damaged"),
        (bytes(8) + b"{", "damaged"),
    ],
)
def test_other_files_are_refused_in_plain_words(tmp_path, content, message):
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        add_weights(file)


def test_an_archive_without_tensors_is_no_weights_file(tmp_path):
    file = tmp_path / "weights.pt"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(WeightsError, match="not a weights file"):
        add_weights(file)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], "text"])
def test_a_file_without_tensors_is_refused(tmp_path, content):
    with pytest.raises(WeightsError, match="no tensors"):
        add_weights(_file(tmp_path / "w.pth", content))


def test_a_file_that_is_not_there_is_said(tmp_path):
    for path in (tmp_path / "nothing.pth", tmp_path):
        with pytest.raises(WeightsError, match="not there"):
            add_weights(path)


def test_a_copy_that_was_changed_later_is_not_used(squeezenet, tmp_path, folder):
    result = add_weights(_file(tmp_path / "w.pth", squeezenet))
    kept = folder / f"{result['id']}.safetensors"
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(content)
    with pytest.raises(WeightsError, match="changed or are damaged"):
        load_state("squeezenet1_0")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": 3}'])
def test_a_damaged_note_beside_the_copy_counts_as_not_added(squeezenet, tmp_path, folder, text):
    result = add_weights(_file(tmp_path / "w.pth", squeezenet))
    (folder / f"{result['id']}.json").write_text(text, encoding="utf-8")
    assert weights_state("squeezenet1_0") == "missing"


def test_added_weights_stand_beside_embedded_ones_and_are_chosen_by_their_id(tmp_path):
    torch.manual_seed(1)
    state = library_network(find_card("efficientnet_lite0")).state_dict()
    result = add_weights(_file(tmp_path / "w.pth", state))
    assert result["backbone"] == "efficientnet_lite0"
    assert weights_state("efficientnet_lite0") == "embedded"
    chosen = f"file:{result['id']}"
    assert weights_info("efficientnet_lite0", chosen).state == "added"
    body = build_network("efficientnet_lite0", 2, weights=chosen).body.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in body.items())


def test_the_original_is_left_as_it_was_and_adding_twice_gives_the_same_bytes(
    squeezenet, tmp_path, folder
):
    file = _file(tmp_path / "w.pth", squeezenet)
    before = file.read_bytes()
    kept = folder / f"{add_weights(file)['id']}.safetensors"
    first = kept.read_bytes()
    add_weights(file)
    assert kept.read_bytes() == first
    assert sorted(path.stem for path in folder.iterdir()) == [kept.stem] * 2
    assert file.read_bytes() == before


def test_the_librarys_own_file_is_known_by_the_hash_in_its_name(squeezenet, tmp_path, monkeypatch):
    content = _saved(squeezenet)
    digest = hashlib.sha256(content).hexdigest()
    official = tmp_path / f"squeezenet1_0-{digest[:8]}.pth"
    official.write_bytes(content)
    card = find_card("squeezenet1_0")
    monkeypatch.setattr(weights_origin, "official_files", lambda: {official.stem: card})
    add_weights(official)
    assert weights_info("squeezenet1_0").licence == "BSD-3-Clause"
    again = tmp_path / "downloaded.pth"
    again.write_bytes(content)
    add_weights(again)
    assert weights_info("squeezenet1_0").source == official.name, "more is known of that one"


def test_a_name_with_a_wrong_hash_vouches_for_nothing(squeezenet, tmp_path):
    _file(tmp_path / "squeezenet1_0-00000000.pth", squeezenet)
    add_weights(tmp_path / "squeezenet1_0-00000000.pth")
    assert weights_info("squeezenet1_0").licence == "unknown"
