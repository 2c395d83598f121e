"""Direct transfer: the pre-trained network is applied as it is.

A classifier of another task answers through a match of its classes to those of the project
(``engine.bundle.mapped``), and nothing is left to do here. A backbone without a decision layer gets
the simplest there is: an image belongs to the class whose mean it is nearest to. Of several
findings at once each has two means, of the images that show it and of those that are without it.

Whether direct use is reasonable is measured: a decision layer fitted to the same features, which
takes seconds, shows what the means leave unused. How like its pre-training images yours are to the
backbone is said beside it (``engine.methods.likeness``).

References:
    Mensink et al., "Distance-Based Image Classification", IEEE TPAMI 2013 (nearest class means).
    Snell et al., "Prototypical Networks for Few-shot Learning", NeurIPS 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax

from engine.contract.targets import UNKNOWN
from engine.methods.likeness import likeness
from engine.methods.linear_head import LinearHead, standardisation, standardised
from engine.methods.linear_probe import fit_head, install_head
from engine.methods.method import FineTuneMethod, MethodContext
from engine.metrics.intervals import Interval
from engine.metrics.validation import validation_auroc
from engine.models.merged_head import MergedHead
from engine.models.network import Network

_TELLS_APART: Final = 0.6
_GUESSING: Final = 0.5
_AS_GOOD: Final = 0.01


class DirectTransfer(FineTuneMethod):
    """No training: matched classes, or else prototypes on frozen features."""

    key: ClassVar[str] = "direct_transfer"
    trains_epochs: ClassVar[bool] = False
    features: ClassVar[str] = "stages"
    _reach: tuple[float, ...] = ()
    _likeness: str = ""

    def prepare(self, network: Network, context: MethodContext) -> None:
        """Put the prototypes into the head, unless the network has one for the task already."""
        if isinstance(network.head, MergedHead):
            return
        data, table = context.data, context.data.table
        features = data.features_of(table.rows[np.concatenate([data.train, data.val])])
        n_train = len(data.train)
        fit = findings_prototype_head if table.is_multi else prototype_head
        head = fit(
            (features[:n_train], table.labels[data.train]),
            (features[n_train:], table.labels[data.val]),
            widths=network.feature_blocks,
        )
        install_head(network, head)
        fitted = fit_head(network, context, data.features_of)
        val = features[n_train:], table.labels[data.val]
        self._reach = tuple(_auroc(each, *val, table.positive) for each in (head, fitted))
        self._likeness = likeness(network, context)

    def summary(self, network: Network) -> dict[str, Any]:
        """Return what the means reach on validation, what a fitted head does, and what that says.

        And how like those of the pre-training the images are. Empty for a classifier whose classes
        are matched: what it is like is measured otherwise.
        """
        if not self._reach:
            return {}
        of_means, of_fitted = self._reach
        return {
            "means_auroc": of_means,
            "fitted_auroc": of_fitted,
            "direct_use": direct_use_sentence(of_means, of_fitted),
            "likeness": self._likeness,
        }


def direct_use_sentence(of_means: float, of_fitted: float) -> str:
    """Return whether applying a backbone as it is is reasonable, and what to do if not.

    Args:
        of_means: AUROC on validation of the classes' means.
        of_fitted: The same of a decision layer fitted to the same features.
    """
    reached = (
        f"On validation the averages reach an AUROC of {of_means:.3f}, a decision layer fitted to "
        f"the same descriptions {of_fitted:.3f}"
    )
    if not of_fitted >= _TELLS_APART:
        return (
            f"{reached}: what the network knew hardly tells your classes apart. Adapt it to them."
        )
    if of_means >= of_fitted - _AS_GOOD:
        return f"{reached}: direct use is reasonable here."
    return f"{reached}: better fit one, with the method Linear probe; it takes seconds."


def matched_use_sentence(found: Interval, n_images: int) -> tuple[str, bool]:
    """Return what validation says of a classifier whose classes are matched, and if that is good.

    Args:
        found: Its AUROC.
        n_images: Validation images.

    Returns:
        A sentence, and whether the classifier is better than guessing beyond chance.
    """
    begin = f"On {n_images:,} validation images the classifier reaches an AUROC of "
    begin += f"{found.estimate:.3f}"
    if math.isfinite(found.low):
        begin += f" (95 % interval {found.low:.3f} to {found.high:.3f})"
    if found.low > _GUESSING:
        return f"{begin}, better than guessing.", True
    if found.high < _GUESSING:
        return (
            f"{begin}, worse than guessing: it tells the classes apart the wrong way round. Check "
            "the matches of the classes.",
            False,
        )
    return (
        f"{begin}, which guessing could reach too (0.5): check the matches of the classes. If they "
        "are right, it doesn't fit your images, or these are too few to tell.",
        False,
    )


def _auroc(
    head: LinearHead,
    features: NDArray[np.floating],
    labels: NDArray[np.int64],
    positive: int | None,
) -> float:
    logits = standardised(features, head.mean, head.scale) @ head.weight.T + head.bias
    probabilities = expit(logits) if labels.ndim == 2 else softmax(logits, axis=1)
    return validation_auroc(probabilities, labels, positive)


def prototype_head(
    train: tuple[NDArray[np.floating], NDArray[np.int64]],
    val: tuple[NDArray[np.floating], NDArray[np.int64]],
    *,
    widths: Sequence[int],
) -> LinearHead:
    """Return the head for which an image is as likely of a class as it is near to its mean.

    The logits are minus half the squared distance over a temperature, which is chosen on
    validation; what all classes share of it cancels, and the rest is linear.

    Args:
        train: Features ``(N, F)`` and labels ``(N,)``; every class must be there.
        val: The same of the validation images.
        widths: Widths of the feature blocks, summing to F.
    """
    mean, scale = standardisation(train[0], widths)
    x, x_val = (train[0] - mean) * scale, (val[0] - mean) * scale
    n_classes = int(train[1].max()) + 1
    prototypes = np.stack([x[train[1] == k].mean(axis=0) for k in range(n_classes)])
    offset = -0.5 * (prototypes**2).sum(axis=1)
    logits = x_val @ prototypes.T + offset

    def loss(log_scale: float) -> float:
        log_p = log_softmax(logits * np.exp(log_scale), axis=1)
        return -float(log_p[np.arange(len(val[1])), val[1]].mean())

    sharpness = _sharpest(loss)
    return LinearHead(
        mean=mean,
        scale=scale,
        weight=prototypes * sharpness,
        bias=offset * sharpness,
        strength=sharpness,
    )


def findings_prototype_head(
    train: tuple[NDArray[np.floating], NDArray[np.int64]],
    val: tuple[NDArray[np.floating], NDArray[np.int64]],
    *,
    widths: Sequence[int],
) -> LinearHead:
    """Return the head for which a finding is as likely as an image is near to those that show it.

    The log-odds of a finding are half of how much nearer, in squared distance, the image is to the
    mean of the images that show it than to that of those without it, over a temperature of its own
    that is chosen on validation. Only images of which a finding is known count for it. One that
    no training image shows, or all of them, stays undecided.

    Args:
        train: Features ``(N, F)`` and findings ``(N, K)``: 1 present, 0 absent, -1 unknown.
        val: The same of the validation images.
        widths: Widths of the feature blocks, summing to F.
    """
    mean, scale = standardisation(train[0], widths)
    x, x_val = (train[0] - mean) * scale, (val[0] - mean) * scale
    n_findings = train[1].shape[1]
    weight, bias = np.zeros((n_findings, x.shape[1])), np.zeros(n_findings)
    sharpness = np.ones(n_findings)
    for k, (states, val_states) in enumerate(zip(train[1].T, val[1].T, strict=True)):
        if {0, 1} <= set(states.tolist()):
            weight[k], bias[k] = _between(x[states == 0], x[states == 1])
            sharpness[k] = _presence_sharpness(x_val @ weight[k] + bias[k], val_states)
    return LinearHead(
        mean=mean,
        scale=scale,
        weight=weight * sharpness[:, None],
        bias=bias * sharpness,
        strength=float(np.exp(np.log(sharpness).mean())),
    )


def _between(
    absent: NDArray[np.floating], present: NDArray[np.floating]
) -> tuple[NDArray[np.float64], float]:
    """Return weight and bias of half of how much nearer the mean of the present ones is."""
    near, far = present.mean(axis=0), absent.mean(axis=0)
    return near - far, 0.5 * float((far**2).sum() - (near**2).sum())


def _presence_sharpness(logits: NDArray[np.float64], states: NDArray[np.int64]) -> float:
    """Return what to multiply a finding's log-odds by; 1 where no validation image knows it."""
    is_known = states != UNKNOWN
    if not is_known.any():
        return 1.0
    leads = np.where(states[is_known] == 1, 1.0, -1.0) * logits[is_known]
    return _sharpest(lambda log_scale: float(np.logaddexp(0.0, -leads * np.exp(log_scale)).mean()))


def _sharpest(loss: Callable[[float], float]) -> float:
    """Return the inverse temperature with the least loss, a function of its logarithm."""
    return float(np.exp(minimize_scalar(loss, bounds=(-8.0, 12.0), method="bounded").x))
