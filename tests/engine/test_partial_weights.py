"""Weights that leave layers random: shown in full, never preferred, announced by every training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models import resnet34, squeezenet1_0

from engine.contract.config import BackboneConfig, ImageContract
from engine.contract.events import Warned
from engine.hardware import Runtime
from engine.models.add_weights import add_folder, add_weights, check_weights
from engine.models.features import features_kind
from engine.models.registry import build_network
from engine.models.weights import added_weights, weights_info
from engine.models.weights_facts import share_words
from engine.models.weights_warning import weights_warning
from engine.project.store import Project
from engine.recommend.setup import facts_of
from tests.helpers.tiny_study import small_config, train

LOST = "features.12."  # the last of SqueezeNet's fire modules


@pytest.fixture(autouse=True)
def _kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(tmp_path / "kept"))


def _state(seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return dict(squeezenet1_0().state_dict())


def _file(path: Path, tensors: dict[str, Tensor]) -> Path:
    torch.save(tensors, path)
    return path


def _part(path: Path, seed: int = 0) -> Path:
    return _file(path, {n: t for n, t in _state(seed).items() if not n.startswith(LOST)})


def test_a_part_is_the_default_only_until_a_whole_file_is_added(tmp_path: Path) -> None:
    part = add_weights(_part(tmp_path / "part.pth"), allow_partial=True)["id"]
    assert weights_info("squeezenet1_0").id == part
    whole = add_weights(_file(tmp_path / "whole.pth", _state(1)))["id"]
    assert [item.id for item in added_weights("squeezenet1_0")] == [whole, part]
    assert weights_info("squeezenet1_0").id == whole
    other = add_weights(_part(tmp_path / "other.pth", 2), allow_partial=True)["id"]
    assert [item.id for item in added_weights("squeezenet1_0")] == [whole, part, other]


def test_another_networks_layers_are_no_whole_weights(tmp_path: Path) -> None:
    # Every tensor of a ResNet-18 is in a ResNet-34 under the same name and in the same shape.
    file = _file(tmp_path / "r34.pth", dict(resnet34().state_dict()))
    assert check_weights(file)["backbone"] == "resnet34"
    taken = add_weights(file, "resnet18", allow_partial=True)
    assert taken["share"] == 1.0
    assert "another network" in " ".join(taken["warnings"])
    [added] = added_weights("resnet18")
    assert not added.is_whole
    warned = weights_warning(BackboneConfig(key="resnet18"))
    assert warned is not None and "another network" in warned.message


def test_a_run_says_that_layers_begin_random(study: Path, tmp_path: Path) -> None:
    share = add_weights(_part(tmp_path / "part.pth"), allow_partial=True)["share"]
    config = replace(small_config("linear_probe"), backbone=BackboneConfig(key="squeezenet1_0"))
    _, events = train(study, config)
    [said] = [e for e in events if isinstance(e, Warned) and "random" in e.message]
    assert f"only {share:.0%} of SqueezeNet 1.0" in said.message
    add_weights(_file(tmp_path / "whole.pth", _state(1)))
    _, events = train(study, config)
    assert not [e for e in events if isinstance(e, Warned) and "random" in e.message]


def test_weights_that_are_whole_need_no_warning() -> None:
    assert weights_warning(BackboneConfig()) is None


def test_whoever_starts_from_scratch_on_purpose_is_not_told_to_add_a_file() -> None:
    meant = weights_warning(BackboneConfig(weights="scratch"))
    assert meant is not None and "as the settings say" in meant.message
    assert "file" not in meant.remedy and "backbone.weights=pretrained" in meant.remedy
    missing = weights_warning(BackboneConfig(key="squeezenet1_0", weights="scratch"))
    assert missing is not None and "weights file" in missing.remedy


def test_a_backbone_with_a_part_of_its_weights_is_not_recommended(
    study: Path, tmp_path: Path
) -> None:
    add_weights(_part(tmp_path / "part.pth"), allow_partial=True)
    with Project.open(study, read_only=True) as project:
        assert facts_of(project).weights["squeezenet1_0"] == "missing"
        add_weights(_file(tmp_path / "whole.pth", _state(1)))
        assert facts_of(project).weights["squeezenet1_0"] == "added"


def test_a_folder_sets_parts_aside_and_tells_of_them(tmp_path: Path) -> None:
    source = tmp_path / "carried"
    source.mkdir()
    _part(source / "part.pth")
    found = add_folder(source)
    assert not found["added"] and not found["refused"] and not added_weights()
    [report] = found["partial"]
    assert (report["file"], report["backbone"], report["missing"]) == (
        "part.pth",
        "squeezenet1_0",
        6,
    )
    taken = add_folder(source, allow_partial=True)
    assert [item.id for item in added_weights()] == [taken["added"][0]["id"]]


@pytest.mark.parametrize(
    ("share", "words"),
    [(1.0, "100%"), (0.9999, "over 99%"), (0.953, "95%"), (0.001, "under 1%"), (0.0, "0%")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(share: float, words: str) -> None:
    assert share_words(share) == words


def test_features_of_partly_random_layers_are_kept_for_one_seed(tmp_path: Path) -> None:
    def kind(seed: int) -> str:
        network = build_network("squeezenet1_0", 2, seed=seed)
        return features_kind(network, ImageContract(), Runtime())

    add_weights(_part(tmp_path / "part.pth"), allow_partial=True)
    assert kind(0) != kind(1)  # the layers that the file lacks are others
    assert kind(0) == kind(0)
    add_weights(_file(tmp_path / "whole.pth", _state(1)))
    assert kind(0) == kind(1)
