"""One training of a project's images that is no run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.contract.config import ExperimentConfig
from engine.contract.config_io import config_to_json
from engine.contract.events import BatchFinished, Event, Recovered
from engine.evaluate.score import kept_network
from engine.jobs.bench import TRIAL, Bench, Progress, ignore
from engine.jobs.fresh_network import fresh_network
from engine.jobs.head_probabilities import head_probabilities
from engine.jobs.memory_kills import MemoryKills
from engine.methods.method import FineTuneMethod, MethodContext, TrainingData
from engine.methods.registry import get_method
from engine.metrics.validation import validation_auroc
from engine.models.network import Network
from engine.project.table import TrainingTable
from engine.trainer.best_weights import best_facts, save_best
from engine.trainer.checkpoint import has_state, sound_states
from engine.trainer.loop import Trainer
from engine.trainer.steps import Validation, log_loss, validate
from engine.trainer.time_limit import TimedControl


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialResult:
    """What a trial gave.

    Attributes:
        val_auroc: Of the positive class; above two classes the mean of one against the rest.
        val_loss: Mean negative log-likelihood of the validation images.
        epochs: Passes over the training images that were finished; 0 for features-only methods.
        seconds: Time it took, without pauses.
        described_s: What of it went into describing images; little where earlier ones had done so.
        is_complete: Whether it came to its own end and wasn't cut short by time or a stop.
        val: Indices into the table of the validation images, int64 ``(M,)``.
        probabilities: What the best epoch says of them, ``(M, K)``.
        facts: The method's plain facts about the kept network; empty unless it was kept.
    """

    val_auroc: float
    val_loss: float
    epochs: int
    seconds: float
    described_s: float
    is_complete: bool
    val: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    facts: dict[str, Any]


class OneTrial:
    """A training that is no run.

    Args:
        bench: Where it is made.
        config: All settings, with the bench's image contract.
        table: The usable images, divided as the trial shall see them.
        method: How the network is adapted; None for what the settings name.
        seconds: Time that it has, without pauses; None sets no limit.
        folder: Where state and best weights are kept; None keeps nothing.
        last_epoch: Epoch to end with; None for that of the settings.
        on_progress: Called with a stage in plain words, and how much of it is done.
    """

    def __init__(
        self,
        bench: Bench,
        config: ExperimentConfig,
        table: TrainingTable,
        *,
        method: FineTuneMethod | None = None,
        seconds: float | None = None,
        folder: Path | None = None,
        last_epoch: int | None = None,
        on_progress: Progress = ignore,
    ) -> None:
        self._bench, self._config, self._table, self._folder = bench, config, table, folder
        self._method = method or get_method(config.method.key)
        self._control = TimedControl(bench.control, seconds)
        self._last_epoch, self._on_progress = last_epoch, on_progress
        self._described_s = 0.0

    def run(self, *, is_nested: bool) -> TrialResult:
        """Train to the end."""
        network, context = self.begin(is_nested=is_nested)
        if self._method.trains_epochs:
            return self._train_epochs(network, context)
        self._prepare(network, context)
        best = self._fitted(network, context.data)
        return self._result(context.data, best, epochs=0, is_complete=True)

    def begin(self, *, is_nested: bool) -> tuple[Network, MethodContext]:
        """Return the network as it was pre-trained, and what its method works with."""
        bench, config = self._bench, self._config
        self._method.check(config.backbone)
        network = fresh_network(config, self._method, self._table, bench.runtime)
        data = TrainingData(
            table=self._table,
            pixels=bench.pixels(self._control),
            features_of=self._features_of(network),
        )
        context = MethodContext(
            config=config,
            data=data,
            runtime=bench.runtime,
            report=self._report,
            control=self._control,
            trial=None if is_nested else self._try_out,
        )
        return network, context

    def _report(self, stage: str, done: int, total: int) -> None:
        self._on_progress(stage, done, total)
        if self._control.is_strict:
            self._control.safe_point()

    def _prepare(self, network: Network, context: MethodContext) -> None:
        self._control.is_strict = True
        self._method.prepare(network, context)
        self._control.is_strict = False

    def _train_epochs(self, network: Network, context: MethodContext) -> TrialResult:
        goes_on = self._goes_on()
        if not goes_on:
            self._prepare(network, context)
        trainer = Trainer(
            network=network,
            method=self._method,
            context=context,
            folder=self._folder or Path(),
            run=TRIAL,
            config_digest=_digest(config_to_json(self._config).encode()),
            split_digest=_digest(self._table.split.tobytes() + self._table.labels.tobytes()),
            emit=self._on_trainer_event,
            require_there=self._bench.project.require_there,
            is_trial=self._folder is None,
            last_epoch=self._last_epoch,
        )
        if goes_on:
            trainer.resume()
        self._train(trainer)
        epochs = trainer.state.epoch - 1
        settings = self._config.method
        counted_from = max(trainer.state.best_epoch, self._method.patience_from(self._config))
        is_complete = not self._control.stop_requested or (
            min(settings.max_epochs, counted_from + settings.patience) <= epochs
        )
        best = trainer.best
        if best is None or best.auroc != trainer.state.best_auroc:  # found before the interruption
            folder = self._folder
            assert folder is not None
            kept = self._bench.patiently(
                lambda: kept_network(self._config, context.data.n_classes, folder), self._control
            )
            best = self._validated(kept.to(self._bench.runtime.device), context.data)
        return self._result(context.data, best, epochs=epochs, is_complete=is_complete)

    def _train(self, trainer: Trainer) -> None:
        """Train; in smaller parts if the system ended this training for its memory."""
        if self._folder is None:
            trainer.train()
            return
        memory_kills = MemoryKills(self._folder, self._bench.project.require_there)
        if memory_kills.have_ended_it():
            trainer.take_smaller_parts()
        with memory_kills.noted():
            trainer.train()

    def _goes_on(self) -> bool:
        """Return whether there is a sound state to go on from; tell if there are damaged ones."""
        if self._folder is None:
            return False
        states, patiently = self._folder / "checkpoints", self._bench.patiently
        if not patiently(lambda: has_state(states), self._control):
            return False
        is_sound = patiently(lambda: next(sound_states(states), None) is not None, self._control)
        if not is_sound:
            told = "What was saved of this training is damaged, so it begins anew."
            self._bench.on_event(Recovered(run=TRIAL, message=told))
        return is_sound

    def _fitted(self, network: Network, data: TrainingData) -> Validation:
        table, val = data.table, data.val
        probabilities = head_probabilities(network, data.features_of(table.rows[val]))
        labels = table.labels[val]
        result = Validation(
            loss=log_loss(probabilities, labels, None),
            auroc=validation_auroc(probabilities, labels, table.positive),
            probabilities=probabilities,
        )
        if self._folder is not None:
            facts = {
                "epoch": 0,
                "val_auroc": result.auroc,
                "method_facts": self._method.summary(network),
            }
            checkpoints = self._folder / "checkpoints"
            self._bench.patiently(lambda: save_best(checkpoints, network, facts), self._control)
        return result

    def _validated(self, network: Network, data: TrainingData) -> Validation:
        table = data.table
        return validate(
            network,
            data.pixels,
            table.rows[data.val],
            table.labels[data.val],
            self._bench.runtime,
            class_weights=None,
            positive=table.positive,
        )

    def _result(
        self, data: TrainingData, best: Validation, *, epochs: int, is_complete: bool
    ) -> TrialResult:
        kept = {} if self._folder is None else best_facts(self._folder / "checkpoints")
        return TrialResult(
            val_auroc=best.auroc,
            val_loss=best.loss,
            epochs=epochs,
            seconds=self._control.elapsed_s,
            described_s=self._described_s,
            is_complete=is_complete,
            val=data.val,
            probabilities=best.probabilities,
            facts=dict(kept.get("method_facts", {})),
        )

    def _features_of(self, network: Network) -> Callable[[NDArray[np.int64]], NDArray[np.float32]]:
        def features_of(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            bench, began_s = self._bench, self._control.elapsed_s
            features = bench.features(network, rows, self._control, on_progress=self._on_progress)
            self._described_s += self._control.elapsed_s - began_s
            return features

        return features_of

    def _try_out(self, config: ExperimentConfig, stage: str, epochs: int) -> NDArray[np.float64]:
        """Try a setting for the method: on the same images, in the same time."""
        nested = OneTrial(
            replace(self._bench, control=self._control),
            replace(config, image=self._bench.image),
            self._table,
            last_epoch=epochs,
            on_progress=lambda _, done, total: self._on_progress(stage, done, total),
        )
        return nested.run(is_nested=True).probabilities

    def _on_trainer_event(self, event: Event) -> None:
        self._bench.on_event(event)
        if isinstance(event, BatchFinished):
            total = event.n_batches * self._config.method.max_epochs
            self._on_progress("Training", event.step, total)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
