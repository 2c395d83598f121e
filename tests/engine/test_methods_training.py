"""Methods that train by descent: what each promises, on a small study with a real network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.contract.commands import Resume, Train
from engine.contract.config import ExperimentConfig
from engine.contract.control import Control
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    STOPPED,
    BatchFinished,
    EpochFinished,
    Event,
    RunFinished,
    RunProgressed,
)
from engine.evaluate.score import load_run
from engine.methods.registry import METHOD_KEYS, get_method
from engine.methods.soft_threshold import SoftThreshold
from engine.models.registry import build_network
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import small_config, train

EPOCH_METHODS = [key for key in METHOD_KEYS if get_method(key).trains_epochs]


def best_weights(project: Path, run: str) -> dict[str, torch.Tensor]:
    return load_file(project / "runs" / run / "checkpoints" / "best" / "weights.safetensors")


def interrupted_after(n_batches: int, project: Path, config: ExperimentConfig) -> RunFinished:
    control, seen = Control(), 0

    def watch(event: Event) -> None:
        nonlocal seen
        seen += isinstance(event, BatchFinished)
        if seen == n_batches:
            control.interrupt()

    finished = execute(Train(project=str(project), config=config), watch, control)
    assert isinstance(finished, RunFinished)
    return finished


def with_strength(key: str, strength: float) -> ExperimentConfig:
    config = small_config(key)
    return replace(config, anchor=replace(config.anchor, strength=strength))


def resumed(project: Path, run: str) -> RunFinished:
    finished = execute(Resume(project=str(project), run=run), lambda event: None, Control())
    assert isinstance(finished, RunFinished)
    return finished


def assert_equal(project: Path, one: RunFinished, other: RunFinished) -> None:
    assert one.outcome == COMPLETED, (one.error, one.remedy)
    assert other.outcome == COMPLETED, (other.error, other.remedy)
    weights, others = best_weights(project, one.run), best_weights(project, other.run)
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert one.result["method_facts"] == other.result["method_facts"]


@pytest.mark.parametrize("key", EPOCH_METHODS)
def test_a_resumed_run_gives_the_bits_of_an_uninterrupted_one(study: Path, key: str) -> None:
    config = with_strength(key, 0.1)
    whole, _ = train(study, config)
    cut = interrupted_after(7, study, config)
    assert cut.outcome == CANCELED
    assert_equal(study, resumed(study, cut.run), whole)


def test_passing_blocks_by_and_adapting_norms_can_be_resumed_too(study: Path) -> None:
    config = small_config()
    settings = replace(config.method, stochastic_depth=0.5, batch_norm="adapt")
    plain, _ = train(study, config)
    config = replace(config, method=settings)
    whole, _ = train(study, config)
    cut = interrupted_after(7, study, config)
    assert_equal(study, resumed(study, cut.run), whole)
    one, other = best_weights(study, plain.run), best_weights(study, whole.run)
    assert not torch.equal(one["body.conv_head.weight"], other["body.conv_head.weight"])
    assert not torch.equal(one["body.bn2.running_mean"], other["body.bn2.running_mean"])


@pytest.mark.parametrize("key", EPOCH_METHODS)
def test_what_is_kept_is_a_plain_network_that_the_backbone_can_be_built_from(
    study: Path, key: str
) -> None:
    finished, _ = train(study, with_strength(key, 0.1))
    with Project.open(study) as project:
        network = load_run(project, finished.run).network
    names = build_network("efficientnet_lite0", 2).state_dict().keys()
    assert network.state_dict().keys() == names


def test_a_chosen_strength_is_kept_by_a_resumed_run(study: Path) -> None:
    config = small_config("soft_threshold")
    whole, events = train(study, config)
    facts = whole.result["method_facts"]
    tried = [strength for strength, _ in facts["tried"]]
    assert tried == list(SoftThreshold.strengths)
    assert facts["strength"] in tried
    stages = {event.stage for event in events if isinstance(event, RunProgressed)}
    assert {f"Trying a pull of {strength:g}" for strength in tried} <= stages
    cut = interrupted_after(7, study, config)
    assert_equal(study, resumed(study, cut.run), whole)


def test_a_stop_while_strengths_are_tried_still_gives_a_network(study: Path) -> None:
    control = Control()

    def watch(event: Event) -> None:
        if isinstance(event, RunProgressed) and event.stage.startswith("Trying"):
            control.stop()

    command = Train(project=str(study), config=small_config("soft_threshold"))
    finished = execute(command, watch, control)
    assert isinstance(finished, RunFinished)
    assert finished.outcome == STOPPED
    assert len(finished.result["method_facts"]["tried"]) == 1
    assert best_weights(study, finished.run)


def test_soft_threshold_counts_what_is_exactly_as_it_was_pre_trained(study: Path) -> None:
    finished, _ = train(study, with_strength("soft_threshold", 0.3))
    kept = best_weights(study, finished.run)
    network = build_network("efficientnet_lite0", 2)
    start = network.state_dict()
    body = [name for name, _ in network.named_parameters() if name.startswith("body.")]
    same = sum(int((kept[name] == start[name]).sum()) for name in body)
    total = sum(start[name].numel() for name in body)
    untouched = finished.result["method_facts"]["untouched"]
    assert untouched["share"] == pytest.approx(same / total)
    assert 0.3 < untouched["share"] < 1
    assert [layer["name"] for layer in untouched["layers"]] == [f"stage {n}" for n in range(1, 6)]
    assert untouched["layers"][0]["untouched"] == untouched["layers"][0]["weights"]  # frozen
    frozen = network.stages[: with_strength("soft_threshold", 0.3).method.frozen_stages]
    still = {id(p) for stage in frozen for module in stage for p in module.parameters()}
    assert [layer["trained"] for layer in untouched["layers"]] == [
        n >= len(frozen) for n in range(5)
    ]
    moving = [n for n, p in network.named_parameters() if n in body and id(p) not in still]
    same = sum(int((kept[name] == start[name]).sum()) for name in moving)
    total = sum(start[name].numel() for name in moving)
    assert untouched["share_of_trained"] == pytest.approx(same / total)
    assert untouched["share_of_trained"] < untouched["share"]
    assert not torch.equal(kept["head.weight"], start["head.weight"])


def test_l2_sp_tells_how_far_weights_went_and_not_how_many_got_no_gradient(study: Path) -> None:
    finished, _ = train(study, with_strength("l2_sp", 10.0))
    facts = finished.result["method_facts"]
    assert "untouched" not in facts
    kept = best_weights(study, finished.run)
    network = build_network("efficientnet_lite0", 2)
    start = network.state_dict()
    frozen = network.stages[: with_strength("l2_sp", 10.0).method.frozen_stages]
    still = {id(p) for stage in frozen for module in stage for p in module.parameters()}
    moving = [
        n for n, p in network.named_parameters() if n.startswith("body.") and id(p) not in still
    ]
    change, norm = (
        float(torch.cat([part.flatten() for part in parts]).double().norm())
        for parts in ([kept[n] - start[n] for n in moving], [start[n] for n in moving])
    )
    moved = facts["moved"]
    assert moved["distance_of_trained"] == pytest.approx(change / norm, rel=1e-4)
    assert 0 < moved["distance_of_trained"] < 1
    assert [layer["trained"] for layer in moved["layers"]] == [n >= len(frozen) for n in range(5)]
    assert [layer["distance"] == 0 for layer in moved["layers"]] == [
        n < len(frozen) for n in range(5)
    ]


def test_a_method_that_holds_on_to_pre_training_needs_some(study: Path) -> None:
    config = with_strength("l2_sp", 1.0)
    config = replace(config, backbone=replace(config.backbone, weights="scratch"))
    finished, _ = train(study, config)
    assert finished.outcome == FAILED
    assert "pre-trained" in (finished.error or "")
    assert finished.remedy


def test_epochs_before_worst_cases_are_at_full_strength_are_not_kept(study: Path) -> None:
    config = small_config("adversarial")
    config = replace(config, method=replace(config.method, max_epochs=6, patience=6))
    finished, events = train(study, config)
    assert finished.outcome == COMPLETED, finished.error
    epochs = [event for event in events if isinstance(event, EpochFinished)]
    assert [event.is_best for event in epochs[:3]] == [True] * 3
    assert epochs[-1].best_epoch >= 3
