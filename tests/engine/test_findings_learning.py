"""Losses and decision layers of several findings at once, against torch, scikit-learn and paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import check_grad
from sklearn.linear_model import LogisticRegression

from engine.contract.config import LossConfig
from engine.methods.balance import balanced_states, image_weights, state_counts
from engine.methods.findings_head import FindingsHeadLoss, fit_findings_head
from engine.methods.linear_head import standardisation
from engine.trainer.finding_losses import FindingsLoss
from engine.trainer.losses import training_loss

LABELS = torch.tensor([[1, 0, -1], [-1, 1, 0], [0, -1, -1], [1, 1, 0]])
COUNTS = np.array([[30, 10], [20, 20], [36, 4]])


@pytest.fixture
def logits():
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)


def test_the_loss_is_torchs_on_what_is_known_and_nothing_else(logits):
    loss = training_loss(LossConfig(imbalance="none", label_smoothing=0.0), COUNTS, "cpu")
    is_known = LABELS >= 0
    expected = F.binary_cross_entropy_with_logits(logits[is_known], LABELS[is_known].float())
    value = loss(logits, LABELS)
    torch.testing.assert_close(value, expected)
    value.backward()
    assert torch.equal(logits.grad == 0, ~is_known)  # what is unknown teaches nothing


def test_the_loss_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0]])  # probabilities 3/4 and 1/2
    value = FindingsLoss()(logits, torch.tensor([[1, -1]]))
    assert float(value) == pytest.approx(math.log(4 / 3))
    smoothed = FindingsLoss(label_smoothing=0.2)(logits, torch.tensor([[1, 0]]))
    by_hand = (0.9 * math.log(4 / 3) + 0.1 * math.log(4) + math.log(2)) / 2
    assert float(smoothed) == pytest.approx(by_hand)
    assert float(FindingsLoss()(logits, torch.tensor([[-1, -1]]))) == 0.0


def test_weights_are_torchs_pos_weight_up_to_a_factor_a_finding(logits):
    loss = training_loss(LossConfig(imbalance="weights", label_smoothing=0.0), COUNTS, "cpu")
    parts = []
    for k, (absent, present) in enumerate(COUNTS.tolist()):
        own = LABELS[:, k] >= 0
        ratio = torch.tensor(absent / present)
        each = F.binary_cross_entropy_with_logits(
            logits[own, k], LABELS[own, k].float(), pos_weight=ratio, reduction="none"
        )
        parts.append(each * (absent + present) / (2 * absent))
    torch.testing.assert_close(loss(logits, LABELS), torch.cat(parts).mean())


def test_the_known_images_of_each_finding_weigh_one_on_average():
    weights = balanced_states(COUNTS)
    np.testing.assert_allclose((weights * COUNTS).sum(axis=1), COUNTS.sum(axis=1))
    np.testing.assert_allclose((weights * COUNTS)[:, 0], (weights * COUNTS)[:, 1])


def test_focal_and_adjusted_losses_by_hand():
    logits, labels = torch.tensor([[math.log(3.0)]]), torch.tensor([[0]])
    focal = FindingsLoss(focal_gamma=2.0)(logits, labels)
    assert float(focal) == pytest.approx(0.75**2 * math.log(4))
    config = LossConfig(imbalance="logit_adjustment", label_smoothing=0.0)
    adjusted = training_loss(config, np.array([[75, 25]]), "cpu")(logits, labels)
    assert float(adjusted) == pytest.approx(math.log(2))  # odds of 3 at a prior of 1 to 3 are even


def test_an_image_is_shown_as_often_as_the_rarest_of_what_is_known_of_it():
    labels = np.array([[1, 0], [0, 0], [0, 0], [0, 1], [-1, 0]])
    np.testing.assert_array_equal(state_counts(labels), [[3, 1], [4, 1]])
    np.testing.assert_allclose(image_weights(labels), [2.0, 4 / 6, 4 / 6, 2.5, 5 / 8])


@pytest.mark.parametrize(
    "loss",
    [
        FindingsHeadLoss(),
        FindingsHeadLoss(state_weights=balanced_states(COUNTS), focal_gamma=1.5),
        FindingsHeadLoss(log_odds=np.array([-1.0, 0.0, 2.0]), focal_gamma=0.5),
    ],
)
def test_the_gradient_of_a_heads_loss_is_its_slope(loss):
    labels, start = LABELS.numpy(), np.random.default_rng(1).normal(size=12)

    def value(flat):
        return loss(flat.reshape(4, 3), labels)[0]

    def slope(flat):
        return loss(flat.reshape(4, 3), labels)[1].ravel()

    assert check_grad(value, slope, start) < 1e-5


@pytest.mark.parametrize("imbalance", ["none", "weights", "focal", "logit_adjustment"])
def test_a_heads_loss_mirrors_that_of_training(imbalance, logits):
    config = LossConfig(imbalance=imbalance, label_smoothing=0.0)
    trained = training_loss(config, COUNTS, "cpu")(logits, LABELS)
    fitted, _ = FindingsHeadLoss.of(config, COUNTS)(
        logits.detach().double().numpy(), LABELS.numpy()
    )
    assert fitted / int((LABELS >= 0).sum()) == pytest.approx(trained.item(), rel=1e-5)


def test_each_finding_gets_scikit_learns_regression_on_the_images_where_it_is_known():
    random = np.random.default_rng(2)
    x, x_val = random.normal(size=(160, 12)), random.normal(size=(80, 12))
    truth = random.normal(size=(12, 2))
    labels, val = ((part @ truth > 0).astype(np.int64) for part in (x, x_val))
    labels[random.random(labels.shape) < 0.3] = -1
    head = fit_findings_head(
        (x, labels), (x_val, val), widths=(12,), loss=FindingsHeadLoss(), strengths=(3.0,)
    )
    mean, scale = standardisation(x, (12,))
    for k in range(2):
        known = labels[:, k] >= 0
        direct = LogisticRegression(C=3.0, tol=1e-8, max_iter=2000)
        direct.fit(((x - mean) * scale)[known], labels[known, k])
        np.testing.assert_allclose(head.weight[k], direct.coef_[0], rtol=2e-3, atol=2e-3)
        assert head.bias[k] == pytest.approx(direct.intercept_[0], abs=2e-3)


def test_each_finding_chooses_its_own_strength():
    random = np.random.default_rng(3)
    x, x_val = random.normal(size=(60, 40)), random.normal(size=(400, 40))
    clear = (x[:, 0] > 0).astype(np.int64), (x_val[:, 0] > 0).astype(np.int64)
    noise = random.integers(0, 2, 60), (x_val[:, 1:] @ np.ones(39) > 0).astype(np.int64)
    labels, val = (np.stack(part, axis=1) for part in zip(clear, noise, strict=True))
    path = (0.01, 100.0)
    both = fit_findings_head(
        (x, labels), (x_val, val), widths=(40,), loss=FindingsHeadLoss(), strengths=path
    )
    for k in range(2):
        alone = fit_findings_head(
            (x, labels[:, [k]]),
            (x_val, val[:, [k]]),
            widths=(40,),
            loss=FindingsHeadLoss(),
            strengths=path,
        )
        np.testing.assert_allclose(both.weight[k], alone.weight[0], rtol=1e-2, atol=1e-3)
