"""Training on any division of a project's images without making a run of it.

Cross-validation, the search, and methods that choose a setting by trying all train this way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from engine.contract.config import ExperimentConfig, ImageContract
from engine.contract.config_io import config_to_json
from engine.contract.control import Control
from engine.contract.events import BatchFinished, Event, Recovered
from engine.data.pixels import open_pixels
from engine.data.transforms import test_time_views
from engine.evaluate.score import kept_network
from engine.files import make_folder
from engine.hardware import Runtime
from engine.methods.method import FineTuneMethod, MethodContext, TrainingData, Trial
from engine.methods.registry import get_method
from engine.metrics.validation import validation_auroc
from engine.models.features import cached_features
from engine.models.network import Network, probabilities_of
from engine.models.registry import build_network
from engine.models.weights import SCRATCH, weights_digest
from engine.project.segments import SegmentReader
from engine.project.store import Project
from engine.project.table import TrainingTable
from engine.trainer.checkpoint import best_facts, has_state, save_best, sound_states
from engine.trainer.full_disk import PatientPixels, when_there_is_room
from engine.trainer.loop import Trainer
from engine.trainer.steps import (
    Validation,
    log_loss,
    predict_probabilities,
    validate,
)
from engine.trainer.time_limit import TimedControl

Progress = Callable[[str, int, int], None]
Done = TypeVar("Done")
_NAME = "trial"


def _ignore(*_: Any) -> None:
    pass


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialResult:
    """What a trial gave.

    Attributes:
        val_auroc: Of the positive class; above two classes the mean of one against the rest.
        val_loss: Mean negative log-likelihood of the validation images.
        epochs: Passes over the training images that were finished; 0 for features-only methods.
        seconds: Time it took, without pauses.
        is_complete: Whether it came to its own end and wasn't cut short by time or a stop.
        val: Indices into the table of the validation images, int64 ``(M,)``.
        probabilities: What the best epoch says of them, ``(M, K)``.
        facts: The method's plain facts about the kept network; empty unless it was kept.
    """

    val_auroc: float
    val_loss: float
    epochs: int
    seconds: float
    is_complete: bool
    val: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    facts: dict[str, Any]


def fresh_network(
    config: ExperimentConfig, method: FineTuneMethod, table: TrainingTable, runtime: Runtime
) -> Network:
    """Return a network as its training begins with, on the runtime's device."""
    network = build_network(
        config.backbone.key,
        len(table.class_names),
        weights=config.backbone.weights,
        seed=config.seed,
        features=method.features,
        drop_path=config.method.stochastic_depth if method.trains_epochs else 0.0,
        activation=table.activation,
    )
    network = network.to(runtime.device)
    method.install(network, config)
    return network


@dataclass(frozen=True, kw_only=True)
class TrialBench:
    """Where trials are made: one project's images, one runtime.

    Features of frozen backbones come from the project's cache and go there, so the project must be
    open for writing; nothing else is written unless a trial is given a folder. While the disk
    refuses, a trial waits.

    Attributes:
        table: The usable images; trials that name no images use its training and validation part.
        image: How pixels are made.
        control: Requests to honour.
        on_event: Called with the trainer's events, ``RunPaused`` while the disk refuses among them.
    """

    project: Project
    table: TrainingTable
    image: ImageContract
    runtime: Runtime
    control: Control
    on_event: Callable[[Event], None] = _ignore

    def pixels(self, control: Control) -> PatientPixels:
        """Return the pixels of all usable images; ``control`` ends the waiting for their disk."""
        return PatientPixels(self._stored, run=_NAME, emit=self.on_event, control=control)

    @cached_property
    def _stored(self) -> SegmentReader:
        return open_pixels(self.project, self.image)

    def fresh(
        self, config: ExperimentConfig, method: FineTuneMethod
    ) -> tuple[Network, MethodContext]:
        """Return a network as it was pre-trained, and what its method works with.

        The parts are those of the table.
        """
        config = replace(config, image=self.image)
        trial = _Trial(self, config, _with_parts(self.table, None, None), None, None)
        trial.method, trial.on_progress = method, _ignore
        return trial.begin(is_nested=True)

    def predict(
        self, config: ExperimentConfig, folder: Path, chosen: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return what the network that a trial kept says of images, ``(N, K)``, as a run does.

        Args:
            config: Of the trial.
            folder: Of the trial.
            chosen: Indices into the table.

        Raises:
            JobCanceled: If the job was asked to cancel.
            RunError: If the trial kept no network.
        """
        config = replace(config, image=self.image)
        network = kept_network(config, len(self.table.class_names), folder)
        network = network.to(self.runtime.device).eval()
        rows, n_views = self.table.rows[chosen], config.evaluation.test_time_views
        if n_views == 1 and not get_method(config.method.key).trains_epochs:
            body = fresh_digest(config)
            return _classified(network, self.features(network, rows, self.control, weights=body))
        views = partial(test_time_views, n=n_views, padding=self.image.padding)
        return predict_probabilities(
            network,
            self.pixels(self.control),
            rows,
            self.runtime,
            views=views if n_views > 1 else None,
            on_batch=lambda *_: self.control.safe_point(),
        )

    def features(
        self,
        network: Network,
        rows: NDArray[np.int64],
        control: Control,
        *,
        weights: str | None = None,
        on_progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """Return a frozen body's features of pixel rows, ``(N, F)``, from the project if it can.

        Raises:
            JobCanceled: If the job was asked to cancel.
            TimeIsUp: If the control says so.
        """
        tell = on_progress or _ignore

        return self.patiently(
            lambda: cached_features(
                self.project,
                network,
                self.image,
                rows,
                self.runtime,
                weights=weights,
                control=control,
                on_progress=lambda done, total: tell("Describing images", done, total),
            ),
            control,
        )

    def patiently(self, act: Callable[[], Done], control: Control | None = None) -> Done:
        """Write or read in the project; wait while that is away or the disk refuses.

        Args:
            act: Writes or reads; can be repeated after it failed.
            control: Ends the waiting; None for the bench's.

        Raises:
            JobCanceled: If the job was asked to end while it waited.
        """

        def in_place() -> Done:
            self.project.require_there()
            return act()

        return when_there_is_room(
            in_place, run=_NAME, emit=self.on_event, control=control or self.control
        )

    def train(
        self,
        config: ExperimentConfig,
        *,
        train: NDArray[np.int64] | None = None,
        val: NDArray[np.int64] | None = None,
        seconds: float | None = None,
        folder: Path | None = None,
        epochs: int | None = None,
        on_progress: Progress | None = None,
        is_nested: bool = False,
    ) -> TrialResult:
        """Train from the pre-trained weights and return what validation says.

        Random numbers follow from the settings' seed alone. The global state of torch's generator
        is used up as by any training.

        Args:
            config: All settings; its number of epochs is the budget in passes. Its image contract
                gives way to the bench's.
            train: Indices into the table to learn from; None takes the training part.
            val: Indices to validate on, likewise.
            seconds: Time after which training stops after the batch in progress and its best
                epoch counts, without pauses; None sets no limit.
            folder: Where the state and the best weights are kept, as in the folder of a run: a
                trial that was interrupted goes on from there. None keeps nothing.
            epochs: Epoch to end with, while the schedule stays that of the settings; None for
                theirs.
            on_progress: Called with a stage in plain words, and how much of it is done.
            is_nested: Whether this is a trial within a trial: its method can't try further.

        Raises:
            JobCanceled: If the job was asked to cancel; with a folder, the state is kept if it was
                interrupted.
            TimeIsUp: If the time was up before the first epoch began.
        """
        config = replace(config, image=self.image)
        if folder is not None:
            make_folder(folder, parents=False)
        trial = _Trial(self, config, _with_parts(self.table, train, val), seconds, folder)
        trial.last_epoch = epochs
        trial.on_progress = on_progress or _ignore
        return trial.run(is_nested=is_nested)


class _Trial:
    """One training."""

    method: FineTuneMethod
    last_epoch: int | None = None
    on_progress: Progress

    def __init__(
        self,
        bench: TrialBench,
        config: ExperimentConfig,
        table: TrainingTable,
        seconds: float | None,
        folder: Path | None,
    ) -> None:
        self._bench, self._config, self._table, self._folder = bench, config, table, folder
        self._control = TimedControl(bench.control, seconds)
        self.method = get_method(config.method.key)

    def run(self, *, is_nested: bool) -> TrialResult:
        """Train to the end."""
        network, context = self.begin(is_nested=is_nested)
        if self.method.trains_epochs:
            return self._train_epochs(network, context)
        self._prepare(network, context)
        best = self._fitted(network, context.data)
        return self._result(context.data, best, epochs=0, is_complete=True)

    def begin(self, *, is_nested: bool) -> tuple[Network, MethodContext]:
        """Return the network as it was pre-trained, and what its method works with."""
        bench, config = self._bench, self._config
        self.method.check(config.backbone)
        network = fresh_network(config, self.method, self._table, bench.runtime)
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
            trial=None if is_nested else self._try_out(data),
        )
        return network, context

    def _report(self, stage: str, done: int, total: int) -> None:
        self.on_progress(stage, done, total)
        if self._control.is_strict:
            self._control.safe_point()

    def _prepare(self, network: Network, context: MethodContext) -> None:
        self._control.is_strict = True
        self.method.prepare(network, context)
        self._control.is_strict = False

    def _train_epochs(self, network: Network, context: MethodContext) -> TrialResult:
        goes_on = self._goes_on()
        if not goes_on:
            self._prepare(network, context)
        trainer = Trainer(
            network=network,
            method=self.method,
            context=context,
            folder=self._folder or Path(),
            run=_NAME,
            config_digest=_digest(config_to_json(self._config).encode()),
            split_digest=_digest(self._table.split.tobytes() + self._table.labels.tobytes()),
            emit=self._on_trainer_event,
            require_there=self._bench.project.require_there,
            is_trial=self._folder is None,
            last_epoch=self.last_epoch,
        )
        if goes_on:
            trainer.resume()
        trainer.train()
        epochs = trainer.state.epoch - 1
        settings = self._config.method
        is_complete = not self._control.stop_requested or (
            min(settings.max_epochs, trainer.state.best_epoch + settings.patience) <= epochs
        )
        best = trainer.best
        if best is None or best.auroc != trainer.state.best_auroc:  # found before the interruption
            assert self._folder is not None
            kept = kept_network(self._config, context.data.n_classes, self._folder)
            best = self._validated(kept.to(self._bench.runtime.device), context.data)
        return self._result(context.data, best, epochs=epochs, is_complete=is_complete)

    def _goes_on(self) -> bool:
        """Return whether there is a sound state to go on from; tell if there are damaged ones."""
        if self._folder is None or not has_state(self._folder / "checkpoints"):
            return False
        states = self._folder / "checkpoints"
        is_sound = self._bench.patiently(
            lambda: next(sound_states(states), None) is not None, self._control
        )
        if not is_sound:
            told = "What was saved of this training is damaged, so it begins anew."
            self._bench.on_event(Recovered(run=_NAME, message=told))
        return is_sound

    def _fitted(self, network: Network, data: TrainingData) -> Validation:
        table, val = data.table, data.val
        probabilities = _classified(network, data.features_of(table.rows[val]))
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
                "method_facts": self.method.summary(network),
            }
            save_best(self._folder / "checkpoints", network, facts)
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
            is_complete=is_complete,
            val=data.val,
            probabilities=best.probabilities,
            facts=dict(kept.get("method_facts", {})),
        )

    def _features_of(self, network: Network) -> Callable[[NDArray[np.int64]], NDArray[np.float32]]:
        def features_of(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            bench = self._bench
            return bench.features(network, rows, self._control, on_progress=self.on_progress)

        return features_of

    def _try_out(self, data: TrainingData) -> Trial:
        """Return what lets a method try a setting on the same images, in the same time."""

        def try_out(config: ExperimentConfig, stage: str, epochs: int) -> NDArray[np.float64]:
            bench = replace(self._bench, control=self._control)
            return bench.train(
                config,
                train=data.train,
                val=data.val,
                epochs=epochs,
                on_progress=lambda _, done, total: self.on_progress(stage, done, total),
                is_nested=True,
            ).probabilities

        return try_out

    def _on_trainer_event(self, event: Event) -> None:
        self._bench.on_event(event)
        if isinstance(event, BatchFinished):
            total = event.n_batches * self._config.method.max_epochs
            self.on_progress("Training", event.step, total)


def fresh_digest(config: ExperimentConfig) -> str:
    """Return what names the body of :func:`fresh_network` in caches."""
    backbone = config.backbone
    if backbone.weights == SCRATCH:
        return f"scratch-{config.seed}"
    return weights_digest(backbone.key, backbone.weights)


def _classified(network: Network, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return class probabilities, ``(N, K)``, of features that a network's head takes."""
    network.eval()
    with torch.inference_mode():
        device = network.head.weight.device
        logits = network.classify(torch.from_numpy(features).to(device))
        return probabilities_of(network, logits).cpu().numpy()


def _with_parts(
    table: TrainingTable, train: NDArray[np.int64] | None, val: NDArray[np.int64] | None
) -> TrainingTable:
    """Return the table with other training and validation images; whatever is left is in no part.

    Raises:
        ValueError: If an image is in both.
    """
    train = np.flatnonzero(table.split == 0) if train is None else train
    val = np.flatnonzero(table.split == 1) if val is None else val
    if len(np.intersect1d(train, val)):
        raise ValueError("an image can't be in training and in validation")
    split = np.full(len(table.split), -1, dtype=np.int8)
    split[train], split[val] = 0, 1
    return replace(table, split=split)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
