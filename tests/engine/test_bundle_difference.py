"""Bundles that store only what differs from the pre-trained weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from engine.bundle.difference import difference_of, restored
from engine.bundle.read import read_bundle
from engine.contract.commands import Export
from engine.contract.control import Control
from engine.contract.errors import BundleError, WeightsError
from engine.contract.events import FAILED, JobFinished
from engine.run import execute
from tests.helpers.tiny_study import make_study, run_job, small_config, train


def test_what_did_not_change_is_not_stored_and_comes_back_exactly() -> None:
    random = np.random.default_rng(0)
    base = {name: torch.from_numpy(random.normal(size=(5, 7))) for name in "abc"}
    tensors = {name: tensor.clone() for name, tensor in base.items()}
    tensors["b"][1, 2] += 1e-9
    tensors["b"][4, 6] = 0.0
    tensors["head"] = torch.ones(3)
    stored = difference_of(tensors, base)
    assert set(stored) == {"b.changed", "b.values", "head"}
    assert stored["b.values"].tolist() == [tensors["b"][1, 2].item(), 0.0]
    # The bits by hand: values 9 and 34 of 35, the first value of a byte in its highest bit.
    assert stored["b.changed"].tolist() == [0, 0b01000000, 0, 0, 0b00100000]
    again = restored(stored, base)
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)


def test_a_difference_from_another_network_is_refused() -> None:
    base = {"a": torch.zeros(8)}
    stored = difference_of({"a": torch.ones(8)}, base)
    with pytest.raises(ValueError, match="another network"):
        restored(stored, {"b": torch.zeros(8)})
    with pytest.raises(ValueError, match="incomplete"):
        restored(stored, {"a": torch.zeros(100)})


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    project = make_study(tmp_path_factory.mktemp("study"), n_patients=20)
    finished, _ = train(project, small_config("linear_probe"))
    return project, finished.run


@pytest.fixture(scope="module")
def bundles(
    probed: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    project, run = probed
    folder = tmp_path_factory.mktemp("bundles")
    for name in ("whole", "difference"):
        command = Export(
            project=str(project), run=run, out=str(folder / name), difference_only=name != "whole"
        )
        result = run_job(command)
        assert result["max_difference"] < 1e-6
        size = (folder / name / "weights.safetensors").stat().st_size
        assert result["weights_bytes"] == size
        assert result["is_difference"] is (name != "whole")
    return folder / "whole", folder / "difference"


def test_a_probe_differs_in_its_head_alone_and_is_small(bundles: tuple[Path, Path]) -> None:
    whole, difference = (folder / "weights.safetensors" for folder in bundles)
    assert {name.split(".")[0] for name in load_file(difference)} == {
        "head",
        "feature_mean",
        "feature_scale",
    }
    assert difference.stat().st_size < whole.stat().st_size / 50


def test_both_kinds_give_the_same_network(bundles: tuple[Path, Path]) -> None:
    whole, difference = (read_bundle(folder).network().state_dict() for folder in bundles)
    assert whole.keys() == difference.keys()
    assert all(torch.equal(whole[name], difference[name]) for name in whole)


def test_the_card_names_the_weights_that_are_needed(bundles: tuple[Path, Path]) -> None:
    facts = json.loads((bundles[1] / "bundle.json").read_text(encoding="utf-8"))
    card = (bundles[1] / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert facts["backbone"]["weights_digest"] in card


def test_other_weights_on_this_computer_are_noticed(
    bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = json.loads((bundles[1] / "bundle.json").read_text(encoding="utf-8"))

    def others_alone(key: str, digest: str) -> str:
        assert digest == facts["backbone"]["weights_digest"]
        raise WeightsError("There are no such weights.", remedy="Add them.")

    monkeypatch.setattr("engine.bundle.read.weights_of_digest", others_alone)
    with pytest.raises(BundleError, match="not on this computer") as caught:
        read_bundle(bundles[1])
    assert "Add the same weights file" in caught.value.remedy
    read_bundle(bundles[0])  # a whole bundle needs nothing


def test_a_run_from_random_weights_has_nothing_to_differ_from(
    probed: tuple[Path, str], tmp_path: Path
) -> None:
    project = Path(shutil.copytree(probed[0].parent, tmp_path / "study")) / probed[0].name
    config = small_config("linear_probe")
    config = replace(config, backbone=replace(config.backbone, weights="scratch"))
    finished, _ = train(project, config)
    command = Export(
        project=str(project), run=finished.run, out=str(tmp_path / "b"), difference_only=True
    )
    answer = execute(command, lambda event: None, Control())
    assert isinstance(answer, JobFinished)
    assert answer.outcome == FAILED
    assert "random weights" in (answer.error or "")
