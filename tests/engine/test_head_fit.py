"""The fit of a decision layer: its losses against torch, its solutions against other solvers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_info, threadpool_limits

from engine.contract.config import LossConfig
from engine.methods.head_loss import HeadLoss
from engine.methods.head_solver import HeadSolver, ahead, one_blas_thread
from engine.methods.linear_head import STRENGTHS, LinearHead, fit_linear_head, standardisation
from engine.trainer.losses import training_loss

_COUNTS = np.array([60, 25, 15])


@pytest.fixture(autouse=True)
def _others_fit_with_one_thread() -> Iterator[None]:
    """Spare the fits of SciPy and scikit-learn the wait for threads that they don't need."""
    with one_blas_thread():
        yield


def _logits(n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(n, 3)) * 2, random.integers(0, 3, n)


_LOSSES = {
    "none": HeadLoss(),
    "focal": HeadLoss(focal_gamma=2.0),
    "logit_adjustment": HeadLoss(log_prior=np.log(_COUNTS / 100)),
}


@pytest.mark.parametrize("is_ordinal", [False, True])
@pytest.mark.parametrize("imbalance", _LOSSES)
def test_a_fitted_head_minimises_what_a_trained_one_does(imbalance: str, is_ordinal: bool) -> None:
    logits, labels = _logits()
    config = LossConfig(imbalance=imbalance, label_smoothing=0.0, ordinal_weight=1.5)
    trained = training_loss(config, _COUNTS, "cpu", is_ordinal=is_ordinal)
    expected = trained(torch.from_numpy(logits), torch.from_numpy(labels)).item()
    loss = _LOSSES[imbalance]
    if is_ordinal:
        loss = HeadLoss(focal_gamma=loss.focal_gamma, log_prior=loss.log_prior, ordinal_weight=1.5)
    assert loss(logits, labels)[0] / len(labels) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "loss",
    [
        *_LOSSES.values(),
        HeadLoss(class_weights=np.array([0.5, 1.0, 1.5]), focal_gamma=0.5, ordinal_weight=2.0),
    ],
)
def test_the_gradient_is_the_slope_of_the_loss(loss: HeadLoss) -> None:
    logits, labels = _logits(4)
    _, gradient = loss(logits, labels)
    step = 1e-6
    for i, k in np.ndindex(logits.shape):
        moved = logits.copy()
        moved[i, k] += step
        ahead = loss(moved, labels)[0]
        moved[i, k] -= 2 * step
        slope = (ahead - loss(moved, labels)[0]) / (2 * step)
        assert gradient[i, k] == pytest.approx(slope, abs=1e-6)


def _correlated(n: int, width: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features that mostly move together, as a network's do."""
    random = np.random.default_rng(1)
    spread = np.linspace(0, 4, width)
    mixed = random.normal(size=(n, width)) * np.exp(-spread) @ random.normal(size=(width, width))
    labels = (mixed[:, :n_classes] + 0.5 * random.normal(size=(n, n_classes))).argmax(axis=1)
    return (mixed / mixed.std()).astype(np.float32), labels.astype(np.int64)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("shape", [(40, 300), (600, 300)])  # fewer and more images than features
def test_the_solver_finds_the_minimum_that_another_finds(
    n_classes: int, shape: tuple[int, int]
) -> None:
    x, labels = _correlated(*shape, n_classes)
    penalty = 0.5

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = flat[:-n_classes].reshape(n_classes, -1), flat[-n_classes:]
        value, slopes = HeadLoss()(x @ weight.T + bias, labels)
        gradient = np.concatenate([(slopes.T @ x + penalty * weight).ravel(), slopes.sum(axis=0)])
        return value + penalty / 2 * (weight**2).sum(), gradient

    start = np.zeros((n_classes, x.shape[1])), np.zeros(n_classes)
    weight, bias = HeadSolver(torch.from_numpy(x)).fit(
        lambda logits: HeadLoss()(logits, labels), penalty, start
    )
    reached, _ = objective(np.concatenate([weight.ravel(), bias]))
    flat = np.concatenate([part.ravel() for part in start])
    best = minimize(objective, flat, jac=True, method="L-BFGS-B", options={"maxiter": 5000}).fun
    assert (reached - best) / len(labels) < 2e-5


def _auroc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(roc_auc_score(labels, probabilities[:, 1]))


def _fit(loss: HeadLoss | None = None, **options: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    x, labels = _correlated(400, 60, 2)
    kept = (labels == 0) | (np.arange(400) % 6 == 0)
    train, val = (x[kept], labels[kept]), (x[~kept], labels[~kept])
    both = np.concatenate([x[:80], val[0]]), np.concatenate([labels[:80], val[1]])
    options.setdefault("class_weights", None)
    head = fit_linear_head(train, both, widths=(60,), score=_auroc, loss=loss, **options)
    return head, train[1], head.probabilities(x)[:, 1]


def test_adjusted_logits_are_a_plain_fit_with_the_frequencies_taken_out_of_the_bias() -> None:
    plain, labels, _ = _fit(strengths=(1.0,))
    log_prior = np.log(np.bincount(labels) / len(labels))
    adjusted, _, _ = _fit(HeadLoss(log_prior=log_prior), strengths=(1.0,))
    np.testing.assert_allclose(adjusted.weight, plain.weight, atol=2e-2)
    shift = np.diff(plain.bias - adjusted.bias)
    np.testing.assert_allclose(shift, np.diff(log_prior), atol=2e-2)


def test_what_evens_out_classes_raises_the_rare_one() -> None:
    _, labels, before = _fit(strengths=(1.0,))
    counts = np.bincount(labels)
    weights = 1 / counts * 2 / (1 / counts).sum()
    for loss in (
        HeadLoss(class_weights=weights),
        HeadLoss(log_prior=np.log(counts / counts.sum())),
    ):
        _, _, after = _fit(loss, strengths=(1.0,))
        assert after.mean() > before.mean() + 0.02


def test_the_path_ends_where_validation_gets_worse_and_says_that_it_is_done() -> None:
    told: list[tuple[int, int]] = []
    scores = iter([0.6, 0.9, 0.8, 0.7, 1.0, 1.0])
    x, labels = _correlated(60, 20, 2)
    head = fit_linear_head(
        (x, labels),
        (x, labels),
        widths=(20,),
        class_weights=None,
        score=lambda probabilities, labels: next(scores),
        on_strength=lambda done, total: told.append((done, total)),
    )
    assert head.strength == STRENGTHS[1]
    assert [done for done, _ in told] == [1, 2, 3, 6]


def test_a_strength_alone_is_fitted_alone() -> None:
    head, _, _ = _fit(strengths=(3.0,))
    x, labels = _correlated(400, 60, 2)
    kept = (labels == 0) | (np.arange(400) % 6 == 0)
    mean, scale = standardisation(x[kept], (60,))
    direct = LogisticRegression(C=3.0, max_iter=5000, tol=1e-8)
    direct.fit((x[kept] - mean) * scale, labels[kept])
    expected = direct.predict_proba((x - mean) * scale)
    np.testing.assert_allclose(head.probabilities(x), expected, atol=5e-3)


def _reference(
    x: np.ndarray, labels: np.ndarray, strength: float
) -> tuple[LogisticRegression, np.ndarray]:
    """Return scikit-learn's fit to the end, at the same penalty, and its probabilities."""
    mean, scale = standardisation(x, (x.shape[1],))
    direct = LogisticRegression(C=strength, solver="newton-cg", max_iter=1000, tol=1e-8)
    direct.fit((x - mean) * scale, labels)
    return direct, direct.predict_proba((x - mean) * scale)


@pytest.mark.parametrize("n_images", [7, 403])  # fewer than slabs, and some left over
@pytest.mark.parametrize("n_classes", [2, 6])
def test_a_head_is_scikit_learns_regression_at_the_same_penalty(
    n_classes: int, n_images: int
) -> None:
    x, labels = _correlated(n_images, 200, n_classes)
    labels[:n_classes] = np.arange(n_classes)
    for strength in (0.3, 30.0):
        head = fit_linear_head(
            (x, labels),
            (x, labels),
            widths=(200,),
            class_weights=None,
            score=lambda *_: 0.0,
            strengths=(strength,),
        )
        direct, expected = _reference(x, labels, strength)
        np.testing.assert_allclose(head.probabilities(x), expected, atol=2e-3)
        # Of two classes scikit-learn gives one row: what the second says beyond the first.
        weight = np.diff(head.weight, axis=0) if n_classes == 2 else head.weight
        off = np.linalg.norm(weight - direct.coef_) / np.linalg.norm(direct.coef_)
        assert off < 5e-3


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_head_at_the_end_of_a_path_is_scikit_learns_at_the_chosen_strength(
    n_classes: int,
) -> None:
    x, labels = _correlated(400, 200, n_classes)
    scores = iter([0.5, 0.6, 0.7, 0.9, 0.8, 0.7])
    head = fit_linear_head(
        (x, labels),
        (x, labels),
        widths=(200,),
        class_weights=None,
        score=lambda *_: next(scores),
    )
    assert head.strength == STRENGTHS[3]
    _, expected = _reference(x, labels, head.strength)
    np.testing.assert_allclose(head.probabilities(x), expected, atol=2e-3)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_fit_that_begins_with_another_head_ends_where_scikit_learn_does(n_classes: int) -> None:
    x, labels = _correlated(400, 200, n_classes)
    options: dict[str, Any] = {
        "widths": (200,),
        "class_weights": None,
        "score": lambda *_: 0.0,
        "strengths": (3.0,),
    }
    whole = fit_linear_head((x, labels), (x, labels), **options)
    half = (x[::2] * 1.5, labels[::2])  # other images, and another scale
    head = fit_linear_head(half, half, start=whole, **options)
    _, expected = _reference(*half, 3.0)
    np.testing.assert_allclose(head.probabilities(half[0]), expected, atol=2e-3)


def test_a_head_that_begins_with_itself_is_kept() -> None:
    x, labels = _correlated(200, 30, 3)
    mean, scale = standardisation(x, (30,))
    random = np.random.default_rng(4)
    start = LinearHead(
        mean=mean + 0.1,
        scale=scale * 2,
        weight=random.normal(size=(3, 30)),
        bias=random.normal(size=3),
        strength=1.0,
    )

    class Flat(HeadLoss):
        def __call__(self, logits: Any, labels: Any) -> tuple[float, Any]:
            return 0.0, np.zeros_like(logits)

    kept = fit_linear_head(
        (x, labels),
        (x, labels),
        widths=(30,),
        class_weights=None,
        score=lambda *_: 0.0,
        loss=Flat(),
        strengths=(1e12,),  # hardly a penalty, so that nothing moves it
        start=start,
    )
    np.testing.assert_allclose(kept.probabilities(x), start.probabilities(x), atol=1e-4)


def test_a_fit_comes_nearer_than_plain_descent_with_as_many_looks_at_the_loss() -> None:
    x, labels = _correlated(600, 300, 4)
    random = np.random.default_rng(5)
    labels = np.where(random.random(600) < 0.2, random.integers(0, 4, 600), labels)
    penalty, n_looks = 1.0, 0

    def loss(logits: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal n_looks
        n_looks += 1
        return HeadLoss()(logits, labels)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = flat[:-4].reshape(4, -1), flat[-4:]
        value, slopes = HeadLoss()(x @ weight.T + bias, labels)
        gradient = np.concatenate([(slopes.T @ x + penalty * weight).ravel(), slopes.sum(axis=0)])
        return (value + penalty / 2 * (weight**2).sum()) / 600, gradient / 600

    def plain(most_looks: int) -> float:
        found = minimize(
            objective,
            np.zeros(4 * 301),
            jac=True,
            method="L-BFGS-B",
            options={"maxfun": most_looks, "maxiter": 5000, "gtol": 1e-8, "ftol": 1e-14},
        )
        return float(found.fun)

    weight, bias = HeadSolver(torch.from_numpy(x)).fit(
        loss, penalty, (np.zeros((4, 300)), np.zeros(4))
    )
    reached, _ = objective(np.concatenate([weight.ravel(), bias]))
    best = plain(20_000)
    assert reached - best < 0.1 * (plain(n_looks) - best)


def test_the_next_fit_begins_on_the_line_through_the_last_two() -> None:
    def layer(strength: float) -> tuple[np.ndarray, np.ndarray]:
        return np.full((2, 3), 5 + np.log10(strength)), np.full(2, np.log10(strength))

    weight, bias = ahead([(1.0, layer(1.0))], 10.0)
    assert (weight[0, 0], bias[0]) == (5.0, 0.0)
    weight, bias = ahead([(0.01, layer(0.01)), (1.0, layer(1.0))], 10.0)
    np.testing.assert_allclose(weight, 6.0)
    np.testing.assert_allclose(bias, 1.0)


def test_other_libraries_threads_rest_while_a_head_is_fitted() -> None:
    def blas_threads() -> set[int]:
        return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}

    seen: list[set[int]] = []

    def score(probabilities: np.ndarray, labels: np.ndarray) -> float:
        seen.append(blas_threads())
        return 0.0

    x, labels = _correlated(60, 20, 2)
    both = (x, labels), (x, labels)
    with threadpool_limits(limits=2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("the libraries here can't be told how many threads to use")
        fit_linear_head(*both, widths=(20,), class_weights=None, score=score, strengths=(1.0,))
        assert seen == [{1}]
        assert blas_threads() == {2}
