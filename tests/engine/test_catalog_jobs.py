"""The catalog and its weights from the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import squeezenet1_0

from engine.__main__ import main
from engine.command_arguments import command_from
from engine.command_line import UsageError, make_parser
from engine.contract.backbones import BACKBONES, backbone_card, is_noncommercial, nearest_sizes
from engine.contract.commands import AddWeights, ListBackbones, ListWeights, RemoveWeights
from engine.contract.config import BackboneConfig
from engine.contract.control import Control
from engine.contract.limits import check_limits
from engine.run import execute


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "kept"
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(folder))
    return folder


def done(*arguments: str) -> Any:
    """Return what a command line ends in."""
    parsed = make_parser().parse_args(arguments, argparse.Namespace(json=False))
    return execute(command_from(parsed), lambda event: None, Control())


def test_arguments_stand_for_the_commands(tmp_path: Path) -> None:
    def parsed(*arguments: str) -> Any:
        return command_from(make_parser().parse_args(arguments, argparse.Namespace(json=False)))

    file = str(tmp_path / "w.pth")
    assert parsed("backbones") == ListBackbones()
    assert parsed("weights", "list") == ListWeights()
    assert parsed("weights", "remove", "a-1") == RemoveWeights(id="a-1")
    assert parsed("weights", "add", file) == AddWeights(file=file)
    assert parsed("weights", "add", file, "--backbone", "swin_t", "--partial", "--check") == (
        AddWeights(file=file, backbone="swin_t", allow_partial=True, check_only=True)
    )
    with pytest.raises(UsageError):
        parsed("weights")


def test_the_catalog_is_listed_for_programs_and_people() -> None:
    result = done("backbones").result
    assert [card["key"] for card in result["backbones"]] == [card.key for card in BACKBONES]
    by_key = {card["key"]: card for card in result["backbones"]}
    assert by_key["efficientnet_lite2"]["weights"] == "embedded"
    assert by_key["swin_t"]["weights"] == "missing"
    assert by_key["convnextv2_nano"]["is_noncommercial"]
    lines = result["sentences"]
    for card in BACKBONES:
        [first, second] = [line for line in lines if line.split(" ")[0] == card.key]
        assert card.family in first
        assert card.pretrained_on in second and second.endswith(card.reference)
    assert any("non-commercial" in line for line in result["sentences"])


def test_weights_are_added_listed_and_removed(tmp_path: Path) -> None:
    torch.save(squeezenet1_0().state_dict(), tmp_path / "w.pth")
    checked = done("weights", "add", str(tmp_path / "w.pth"), "--check").result
    assert (checked["backbone"], checked["fits"]) == ("squeezenet1_0", True)
    assert done("weights", "list").result["weights"] == []
    added = done("weights", "add", str(tmp_path / "w.pth")).result
    listed = done("weights", "list").result
    assert [item["id"] for item in listed["weights"]] == [added["id"]]
    assert added["id"] in listed["sentences"][1]
    assert done("backbones").result["backbones"][7]["added"] == [added["id"]]
    assert done("doctor").result["added_weights"][0]["id"] == added["id"]
    assert done("weights", "remove", added["id"]).result == {"removed": added["id"]}
    assert done("weights", "list").result["weights"] == []
    assert done("weights", "remove", "nothing").outcome == "failed"


def test_a_folder_tells_of_every_file(tmp_path: Path) -> None:
    source = tmp_path / "carried"
    source.mkdir()
    torch.save(squeezenet1_0().state_dict(), source / "w.pth")
    torch.save({"x.weight": torch.ones(2, 2)}, source / "other.pth")
    result = done("weights", "add", str(source)).result
    assert len(result["added"]) == len(result["refused"]) == 1
    [listed] = done("weights", "list").result["weights"]
    told = f"w.pth: squeezenet1_0, 100% fits; added as {listed['id']}"
    assert result["sentences"][0] == told
    assert result["sentences"][1].startswith("other.pth: not added. ")


def test_a_check_says_that_it_is_one(tmp_path: Path) -> None:
    source = tmp_path / "carried"
    source.mkdir()
    torch.save(squeezenet1_0().state_dict(), source / "w.pth")
    for place in (source, source / "w.pth"):
        lines = done("weights", "add", str(place), "--check").result["sentences"]
        assert "nothing was added" in lines[-1]
        assert not any("added as" in line for line in lines)
    assert done("weights", "list").result["weights"] == []


@pytest.mark.usefixtures("_own_signals")
def test_a_folder_of_which_nothing_was_added_ends_as_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "carried"
    source.mkdir()
    torch.save({"x.weight": torch.ones(2, 2)}, source / "other.pth")
    assert main(["weights", "add", str(source)]) == 1
    assert "other.pth: not added." in capfd.readouterr().out
    assert main(["weights", "add", str(source), "--check"]) == 0
    torch.save(squeezenet1_0().state_dict(), source / "w.pth")
    assert main(["weights", "add", str(source)]) == 0


def test_notes_on_the_files_of_a_folder_are_told(tmp_path: Path) -> None:
    source = tmp_path / "carried"
    source.mkdir()
    grey = squeezenet1_0(num_classes=14).state_dict()
    grey["features.0.weight"] = grey["features.0.weight"].sum(1, keepdim=True)
    torch.save(grey, source / "grey.pth")
    part = {n: t for n, t in squeezenet1_0().state_dict().items() if "features.12" not in n}
    torch.save(part, source / "part.pth")
    text = "\n".join(done("weights", "add", str(source)).result["sentences"])
    told_of_grey, _, told_of_part = text.partition("part.pth: squeezenet1_0")
    assert "one channel" in told_of_grey and "14 outputs" in told_of_grey
    assert "6 tensors don't" in told_of_part and "--partial" in told_of_part


def test_what_does_not_fit_is_listed_by_name(tmp_path: Path) -> None:
    whole = squeezenet1_0().state_dict()
    lost = [name for name in whole if name.startswith("features.12")]
    part = {name: tensor for name, tensor in whole.items() if name not in lost}
    torch.save(part, tmp_path / "w.pth")
    lines = done("weights", "add", str(tmp_path / "w.pth"), "--check").result["sentences"]
    assert len(lost) == 6
    assert [line.split()[0] for line in lines[1:7]] == lost
    shape = " x ".join(str(side) for side in whole[lost[0]].shape)
    assert "missing" in lines[1] and lines[1].endswith(shape)
    assert "--partial" in lines[7]
    refused = done("weights", "add", str(tmp_path / "w.pth"))
    assert refused.outcome == "failed"
    assert "--check" in refused.remedy and "--partial" in refused.remedy
    kept = done("weights", "add", str(tmp_path / "w.pth"), "--partial").result
    assert [line.split()[0] for line in kept["sentences"][1:7]] == lost


def test_a_long_list_of_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    gone = ("features.3.", "features.4.", "features.12.")
    whole = squeezenet1_0().state_dict()
    part = {name: tensor for name, tensor in whole.items() if not name.startswith(gone)}
    torch.save(part, tmp_path / "w.pth")
    result = done("weights", "add", str(tmp_path / "w.pth"), "--check").result
    n_named = sum(line.startswith("features.") for line in result["sentences"])
    assert n_named < len(whole) - len(part) == result["missing"]
    assert f"and {result['missing'] - n_named} more" in result["sentences"]


def test_a_check_refuses_what_adding_would_refuse(tmp_path: Path) -> None:
    bad = squeezenet1_0().state_dict()
    bad["features.0.bias"][0] = float("nan")
    torch.save(bad, tmp_path / "w.pth")
    for arguments in ((), ("--check",), ("--partial",), ("--check", "--partial")):
        refused = done("weights", "add", str(tmp_path / "w.pth"), *arguments)
        assert refused.outcome == "failed" and "not numbers" in refused.error
    folder = done("weights", "add", str(tmp_path), "--check").result
    assert not folder["added"] and "not numbers" in folder["refused"][0]["message"]


def test_the_licence_is_that_of_the_weights_that_are_there(tmp_path: Path) -> None:
    def listed() -> tuple[str, str]:
        result = done("backbones").result
        (card,) = (c for c in result["backbones"] if c["key"] == "squeezenet1_0")
        line = next(x for x in result["sentences"] if x.startswith("squeezenet1_0 "))
        return card["licence"], line.split()[-1]

    assert listed() == ("BSD-3-Clause", "BSD-3-Clause")
    torch.save(squeezenet1_0().state_dict(), tmp_path / "w.pth")
    done("weights", "add", str(tmp_path / "w.pth"))
    assert listed() == ("unknown", "unknown")


def test_weights_are_named_in_settings() -> None:
    check_limits(BackboneConfig(key="resnet18", weights="file:resnet18-0a1b2c3d"))


def test_licences_that_forbid_commercial_use_are_told_by_their_id() -> None:
    assert is_noncommercial("CC-BY-NC-4.0")
    assert is_noncommercial("CC-BY-NC-SA-4.0")
    assert not any(is_noncommercial(x) for x in ("Apache-2.0", "BSD-3-Clause", "unknown", "MIT"))


def test_sizes_next_to_one_that_does_not_fit() -> None:
    card = backbone_card("dinov2_vits14")
    assert card is not None
    assert nearest_sizes(card, 224) == (224,)
    assert nearest_sizes(card, 256) == (252, 266)
    assert nearest_sizes(card, 8) == (14,)
