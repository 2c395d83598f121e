"""How near a network is told to be to saying the same of every image."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.contract.config import LossConfig
from engine.methods.balance import state_counts
from engine.methods.guessing import Yardstick
from engine.methods.method import TrainingData
from engine.trainer.yardstick import yardstick

RARE = np.array([0] * 95 + [1] * 5)
FINDINGS = np.array([[0, 1]] * 60 + [[0, 0]] * 30 + [[1, -1]] * 10)
LEARNING, LOST = 0.7, 0.95  # of ``engine.methods.adversarial``


def measured_by(config: LossConfig, labels: np.ndarray) -> Yardstick:
    is_multi = labels.ndim == 2
    data = SimpleNamespace(
        class_counts=lambda: state_counts(labels) if is_multi else np.bincount(labels),
        table=SimpleNamespace(labels=labels),
        train=np.arange(len(labels)),
    )
    return yardstick(config, cast(TrainingData, data), "cpu")


def same_for_all(logits: list[float], labels: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.tensor([logits] * len(labels)), torch.from_numpy(labels)


@pytest.mark.parametrize("imbalance", ["weights", "sampling", "logit_adjustment"])
@pytest.mark.parametrize("only", [0, 1])
def test_evened_out_a_network_that_knows_nothing_costs_the_same_on_every_image(
    imbalance: str, only: int
) -> None:
    found = measured_by(LossConfig(imbalance=imbalance), RARE)
    measured = found.measure(*same_for_all([0.3, 0.3], RARE[only == RARE]))
    assert measured.item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("imbalance", ["none", "focal"])
def test_else_saying_how_frequent_classes_are_is_guessing(imbalance: str) -> None:
    found = measured_by(LossConfig(imbalance=imbalance, label_smoothing=0.0), RARE)
    frequencies = [float(np.log(0.95)), float(np.log(0.05))]
    assert found.measure(*same_for_all(frequencies, RARE)).item() == pytest.approx(1.0, abs=0.01)
    assert found.measure(*same_for_all([0.0, 0.0], RARE)).item() > 3.0


@pytest.mark.parametrize("imbalance", ["weights", "none"])
def test_of_findings_only_what_is_known_counts(imbalance: str) -> None:
    found = measured_by(LossConfig(imbalance=imbalance, label_smoothing=0.0), FINDINGS)
    odds = [np.log(p / (1 - p)) for p in (0.1, 60 / 90)]
    same = [0.0, 0.0] if imbalance == "weights" else [float(value) for value in odds]
    assert found.measure(*same_for_all(same, FINDINGS)).item() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("only", [0, 1])
@pytest.mark.parametrize("config", [LossConfig(), LossConfig(imbalance="sampling")])
def test_a_batch_of_one_class_is_not_taken_for_guessing(config: LossConfig, only: int) -> None:
    """The training loss with weights, smoothed, is then far above that of the best answer."""
    found = measured_by(config, RARE)
    labels = RARE[only == RARE][:4]
    sure = torch.full((4, 2), 0.0)
    sure[:, only] = 2.0  # 0.88 for what is right
    assert found.measure(sure, torch.from_numpy(labels)).item() < LEARNING
    doubtful = torch.full((4, 2), 0.0)
    doubtful[:, only] = 0.05
    assert found.measure(doubtful, torch.from_numpy(labels)).item() > LOST


def test_the_training_loss_is_measured_elsewhere() -> None:
    found: Any = measured_by(LossConfig(imbalance="weights"), RARE)
    logits = torch.tensor([[2.0, 0.0]], requires_grad=True)
    assert not found.measure(logits, torch.tensor([0])).requires_grad
