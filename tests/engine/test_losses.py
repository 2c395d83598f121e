"""The losses, against their definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from engine.contract.config import LossConfig
from engine.trainer.losses import classification_loss

_COUNTS = np.array([80, 15, 5])


def _cases() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(40, 3)), random.integers(0, 3, 40)


def _loss(imbalance: str, *, gamma: float = 2.0) -> float:
    logits, labels = _cases()
    config = LossConfig(imbalance=imbalance, focal_gamma=gamma, label_smoothing=0.0)
    loss = classification_loss(config, _COUNTS, "cpu")
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
    assert classification_loss(
        LossConfig(imbalance="weights", label_smoothing=0.0), _COUNTS, "cpu"
    )(torch.from_numpy(logits).float(), torch.from_numpy(labels)).item() == pytest.approx(
        expected, rel=1e-5
    )
