"""The losses, against their definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from engine.contract.config import LossConfig
from engine.trainer.losses import training_loss

_COUNTS = np.array([80, 15, 5])


def _cases() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(40, 3)), random.integers(0, 3, 40)


def _loss(imbalance: str, *, gamma: float = 2.0) -> float:
    logits, labels = _cases()
    config = LossConfig(imbalance=imbalance, focal_gamma=gamma, label_smoothing=0.0)
    loss = training_loss(config, _COUNTS, "cpu")
    return float(loss(torch.from_numpy(logits), torch.from_numpy(labels)))


def _log_p(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.take_along_axis(log_softmax(logits, axis=1), labels[:, None], axis=1)[:, 0]


def test_focal_loss_turns_to_what_is_still_wrong() -> None:
    log_p = _log_p(*_cases())
    assert _loss("focal") == pytest.approx(float((-((1 - np.exp(log_p)) ** 2) * log_p).mean()))


def test_focal_loss_without_gamma_is_cross_entropy() -> None:
    assert _loss("focal", gamma=0.0) == pytest.approx(_loss("none"))


def test_logit_adjustment_adds_the_log_frequencies() -> None:
    logits, labels = _cases()
    expected = -_log_p(logits + np.log(_COUNTS / 100), labels).mean()
    assert _loss("logit_adjustment") == pytest.approx(expected, rel=1e-6)


def test_weights_are_inverse_to_the_frequencies() -> None:
    logits, labels = _cases()
    weights = (1 / _COUNTS)[labels]
    expected = -(weights * _log_p(logits, labels)).sum() / weights.sum()
    assert training_loss(LossConfig(imbalance="weights", label_smoothing=0.0), _COUNTS, "cpu")(
        torch.from_numpy(logits).float(), torch.from_numpy(labels)
    ).item() == pytest.approx(expected, rel=1e-5)


def test_ordinal_loss_adds_the_squared_distance_between_cumulated_probabilities() -> None:
    logits, labels = _cases()
    p = np.exp(log_softmax(logits, axis=1))
    # A case of the middle grade of three, by hand: (p0 - 0)^2 + (p0 + p1 - 1)^2 + 0.
    target = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 1]])[labels]
    distance = np.square(np.cumsum(p, axis=1) - target).sum(axis=1).mean()
    config = LossConfig(imbalance="none", label_smoothing=0.0, ordinal_weight=2.0)
    loss = training_loss(config, _COUNTS, "cpu", is_ordinal=True)
    found = float(loss(torch.from_numpy(logits), torch.from_numpy(labels)))
    assert found == pytest.approx(_loss("none") + 2 * distance)


def test_ordinal_loss_prefers_the_nearer_of_two_wrong_grades() -> None:
    config = LossConfig(imbalance="none", label_smoothing=0.0)
    loss = training_loss(config, np.array([10, 10, 10, 10]), "cpu", is_ordinal=True)
    near = loss(torch.tensor([[0.0, 4.0, 0.0, 0.0]]), torch.tensor([0]))
    far = loss(torch.tensor([[0.0, 0.0, 0.0, 4.0]]), torch.tensor([0]))
    assert near < far


def test_classes_without_order_know_no_distance() -> None:
    config = LossConfig(imbalance="none", label_smoothing=0.0)
    loss = training_loss(config, np.array([10, 10, 10, 10]), "cpu")
    near = loss(torch.tensor([[0.0, 4.0, 0.0, 0.0]]), torch.tensor([0]))
    far = loss(torch.tensor([[0.0, 0.0, 0.0, 4.0]]), torch.tensor([0]))
    assert near == far


@pytest.mark.parametrize("is_multi", [False, True])
def test_a_focal_power_below_one_has_a_slope_where_nothing_is_wrong(is_multi: bool) -> None:
    config = LossConfig(imbalance="focal", focal_gamma=0.5, label_smoothing=0.1)
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    if is_multi:
        labels, counts = torch.eye(2, dtype=torch.int64), np.array([[1, 1], [1, 1]])
    else:
        labels, counts = torch.arange(2), np.array([1, 1])
    loss = training_loss(config, counts, "cpu")(logits, labels)
    loss.backward()
    assert logits.grad is not None
    assert bool(torch.isfinite(loss)) and bool(torch.isfinite(logits.grad).all())
