"""The learning-rate range test: a rate that rises until training breaks down.

Training proper begins with a fitted head, from which there is too little to learn in so few updates
to tell one rate from another. The test begins with a head that knows nothing, on features that are
standardised like those, and measures the loss on the same images after every update. It measures
the network with averaged weights, as training keeps it, over few updates since the rate moves on.

References:
    Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from engine.contract.errors import RunError
from engine.contract.training_time import LR_RANGE_WATCHED
from engine.data.transforms import Augment, pixels_to_batch
from engine.methods.linear_head import standardisation
from engine.methods.method import FineTuneMethod, MethodContext
from engine.models.fallback import LEARNING_COST
from engine.models.features import extract
from engine.models.network import Network
from engine.seeding import step_seed
from engine.trainer.losses import training_loss
from engine.trainer.optimizer import average_weights, build_optimizer
from engine.trainer.steps import log_loss, predict_probabilities, train_step
from engine.trainer.yardstick import yardstick

LOWEST: Final = 1e-5
HIGHEST: Final = 1.0
_HALF_WINDOW: Final = 3  # updates to either side that the smoothed loss averages
_MOST_AVERAGED: Final = 0.85  # decay of the average of the weights
_BROKEN: Final = 4.0  # times the lowest smoothed loss
_FEWEST: Final = 10
_HALF: Final = 2.0
_TENTH: Final = 10.0
_RISEN: Final = 1.25
_FALLEN: Final = 0.95


@dataclass(frozen=True, kw_only=True, eq=False)
class LrCurve:
    """The loss by learning rate, each of shape ``(S,)``.

    Attributes:
        rates: Of the head, rising.
        losses: Of the same training images after each update.
        smoothed: Moving average, centred.
        steepest: Rate at which the smoothed loss falls fastest over the logarithm of the rate.
        lowest: Rate at which it is lowest.
        breaking: Rate from which it stays a quarter above its start, or where it had fallen
            clearly, no longer below it: a network that was destroyed says the same of every image,
            which is no worse than the start. Also the rate at which it was no number any more;
            infinite if there is none of these.
        is_clear: Whether it fell by a twentieth at least.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    steepest: float
    lowest: float
    breaking: float
    is_clear: bool

    def suggested(self, current: float) -> float:
        """Return the rate at which the loss stops falling, but at most half of the breaking one.

        The settings ask for the peak of a schedule that warms up and then falls, which is Smith's
        upper bound. The steepest rate and a tenth of the lowest loss's are for rates that stay, or
        as a middle of the schedule; as a peak they are small.

        Where the loss didn't fall clearly, the present rate, but at most a tenth of the breaking
        one.
        """
        if self.is_clear:
            return min(self.lowest, self.breaking / _HALF)
        return min(current, self.breaking / _TENTH)


def lr_range(
    network: Network,
    method: FineTuneMethod,
    context: MethodContext,
    *,
    n_steps: int,
    on_step: Callable[[int, int], None] | None = None,
) -> LrCurve:
    """Return the loss while the rate rises from ``LOWEST`` to ``HIGHEST``, or until it breaks.

    Works on a copy of the network with an optimizer of its own, and leaves every generator of
    random numbers as it was, so that a training goes on or begins as if this hadn't been.

    Args:
        network: Installed by the method and not trained, on the runtime's device.
        method: Whose loss, parameter groups and steps after updates are used; copied too.
        context: Data, settings and runtime.
        n_steps: Updates from the lowest rate to the highest, at least 10.
        on_step: Called with updates done and in all.

    Raises:
        JobCanceled: If the job was asked to cancel.
        RunError: If the first losses were no numbers, or the test was stopped so early.
        ValueError: If there are too few steps.
    """
    if n_steps < _FEWEST:
        raise ValueError(f"at least {_FEWEST} steps, not {n_steps}")
    devices = [] if context.runtime.device != "cuda" else [torch.cuda.current_device()]
    with torch.random.fork_rng(devices=devices):
        losses = _Rising(network, method, context).losses(n_steps, on_step)
    rates, is_number = _rates(n_steps)[: len(losses)], np.isfinite(losses)
    if len(losses) < _FEWEST or not is_number[:_FEWEST].all():
        raise RunError(
            "Training broke down at once, even at the lowest learning rate.",
            remedy="Look at the images and labels: the audit finds most reasons.",
        )
    lost_at = math.inf if is_number.all() else float(rates[~is_number][0])
    rates, losses = rates[is_number], losses[is_number]
    return summed_up(rates, losses, _smooth(losses), lost_at=lost_at)


def n_looks(n_train: int, batch_size: int, n_steps: int) -> float:
    """Return how often an image goes through the network at most, in units of a prediction."""
    learned, watched = min(batch_size, n_train), min(LR_RANGE_WATCHED, n_train)
    return n_steps * (learned * LEARNING_COST + watched)


def summed_up(
    rates: NDArray[np.float64],
    losses: NDArray[np.float64],
    smoothed: NDArray[np.float64],
    *,
    lost_at: float = math.inf,
) -> LrCurve:
    """Return what a curve says, each array of shape ``(S,)``.

    Args:
        rates: Rising.
        losses: After each update.
        smoothed: The same, smoothed.
        lost_at: Rate at which the loss was no number any more.
    """
    lowest = int(smoothed.argmin())
    fall = np.gradient(smoothed, np.log(rates))[: max(2, lowest + 1)]
    return LrCurve(
        rates=rates,
        losses=losses,
        smoothed=smoothed,
        steepest=float(rates[int(fall.argmin())]),
        lowest=float(rates[lowest]),
        breaking=min(lost_at, _breaking(rates, smoothed)),
        is_clear=bool(smoothed[lowest] < _FALLEN * smoothed[0]),
    )


def _breaking(rates: NDArray[np.float64], smoothed: NDArray[np.float64]) -> float:
    """Return the rate from which the loss stays risen, or as high as before it had fallen."""
    start, lowest = smoothed[0], int(smoothed.argmin())
    is_clear = smoothed[lowest] < _FALLEN * start
    broken = smoothed > (_FALLEN if is_clear else _RISEN) * start
    broken[: lowest + 1] = False
    sound = np.flatnonzero(~broken)
    first = int(sound[-1]) + 1
    return float(rates[first]) if first < len(rates) else math.inf


class _Rising:
    """A training whose rate rises with every update."""

    def __init__(self, network: Network, method: FineTuneMethod, context: MethodContext) -> None:
        # Together, so that a method that holds on to its network is left with the copy.
        self._network, self._method = copy.deepcopy((network, method))
        self._context, self._data, self._config = context, context.data, context.config
        runtime = context.runtime
        self._watched = self._choose_watched()
        if self._network.is_pretrained:
            self._forget_head()
        groups = self._method.parameter_groups(self._network, self._config)
        trained = {id(p) for group in groups for p in group.parameters}
        for parameter in self._network.parameters():
            parameter.requires_grad_(id(parameter) in trained)
        self._optimizer = build_optimizer(groups, self._config.optimizer)
        decay = min(_MOST_AVERAGED, self._config.optimizer.ema_decay)
        self._average = average_weights(self._network, decay) if decay > 0 else None
        self._criterion = training_loss(
            self._config.loss,
            self._data.class_counts(),
            runtime.device,
            is_ordinal=self._data.table.is_ordinal,
        )
        self._yardstick = yardstick(self._config.loss, self._data, runtime.device)
        self._scaler = torch.amp.GradScaler(runtime.device, enabled=runtime.precision == "fp16")
        self._augment = Augment(self._config.augmentation, padding=self._config.image.padding)

    def _forget_head(self) -> None:
        """Standardise what the head sees, and let it know nothing."""
        network, table = self._network, self._data.table
        features = extract(
            network,
            self._data.pixels,
            table.rows[self._watched],
            self._context.runtime,
            control=self._context.control,
        )
        mean, scale = standardisation(features, network.feature_blocks)
        network.set_standardisation(torch.from_numpy(mean), torch.from_numpy(scale))
        network.set_head(torch.zeros_like(network.head.weight), torch.zeros_like(network.head.bias))

    def _choose_watched(self) -> NDArray[np.int64]:
        """Return the images that the loss is measured on, as many of each class as there are."""
        generator = np.random.default_rng(step_seed(self._config.seed, "lr_range", "watched"))
        labels, shuffled = self._data.table.labels, generator.permutation(self._data.train)
        if self._data.table.is_multi:
            return shuffled[:LR_RANGE_WATCHED]
        n_each = max(1, LR_RANGE_WATCHED // self._data.n_classes)
        parts = [shuffled[labels[shuffled] == k][:n_each] for k in range(self._data.n_classes)]
        return np.concatenate(parts)

    def losses(
        self, n_steps: int, on_step: Callable[[int, int], None] | None
    ) -> NDArray[np.float64]:
        self._method.begin_epoch(self._network, 1, self._config)
        order = self._order(n_steps)
        found: list[float] = []
        for step, rate in enumerate(_rates(n_steps)):
            self._method.set_train_mode(self._network)
            self._step(step, rate, order[step])
            loss = self._watch()
            found.append(loss)
            if not math.isfinite(loss):
                break
            if on_step is not None:
                on_step(step + 1, n_steps)
            self._context.control.safe_point()
            is_over = loss > _BROKEN * min(found) or self._context.control.stop_requested
            if len(found) > _FEWEST and is_over:
                break
        return np.array(found)

    def _watch(self) -> float:
        """Return the loss on the watched images, as they are."""
        table, rows = self._data.table, self._data.table.rows[self._watched]
        network = self._network if self._average is None else self._average.module
        probabilities = predict_probabilities(
            network, self._data.pixels, rows, self._context.runtime
        )
        return log_loss(probabilities, table.labels[self._watched], None)

    def _order(self, n_steps: int) -> NDArray[np.int64]:
        """Return the images of every update, in passes over the shuffled training images."""
        generator = np.random.default_rng(step_seed(self._config.seed, "lr_range"))
        size = min(self._config.optimizer.batch_size, len(self._data.train))
        n_passes = math.ceil(n_steps * size / len(self._data.train))
        passes = [generator.permutation(self._data.train) for _ in range(n_passes)]
        return np.concatenate(passes)[: n_steps * size].reshape(n_steps, size)

    def _step(self, step: int, rate: float, chosen: NDArray[np.int64]) -> None:
        runtime, table = self._context.runtime, self._data.table
        seed = step_seed(self._config.seed, "lr_range", step)
        torch.manual_seed(seed)  # given back by the caller's fork
        images = pixels_to_batch(self._data.pixels.read(table.rows[chosen]), runtime.device)
        images = self._augment(images, torch.Generator().manual_seed(seed))
        labels = torch.from_numpy(table.labels[chosen]).to(runtime.device)
        share = rate / self._config.optimizer.learning_rate
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak_lr"] * share
        train_step(
            lambda: self._method.loss(
                self._network, images, labels, self._criterion, self._yardstick
            ),
            optimizer=self._optimizer,
            scaler=self._scaler,
            runtime=runtime,
            gradient_clip=self._config.optimizer.gradient_clip,
        )
        self._method.after_step(self._network, self._optimizer)
        if self._average is not None:
            self._average.update_parameters(self._network)


def _rates(n_steps: int) -> NDArray[np.float64]:
    return np.geomspace(LOWEST, HIGHEST, n_steps)


def _smooth(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each loss and its neighbours, as many on either side."""
    n = len(losses)
    smoothed = np.empty(n)
    for i in range(n):
        reach = min(_HALF_WINDOW, i, n - 1 - i)
        smoothed[i] = losses[i - reach : i + reach + 1].mean()
    return smoothed
