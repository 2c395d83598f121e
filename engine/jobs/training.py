"""Training a run from its settings, or going on with an interrupted one."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.contract.backbones import backbone_card
from engine.contract.commands import Resume, Train
from engine.contract.config import ExperimentConfig
from engine.contract.config_io import config_to_json, to_plain
from engine.contract.control import Control
from engine.contract.errors import ConfigError, DatasetError, EngineError, RunError
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    STOPPED,
    BatchFinished,
    EpochFinished,
    Event,
    Recovered,
    RunFinished,
    RunPaused,
    RunProgressed,
    RunResumed,
    RunStarted,
    Warned,
)
from engine.data.pixels import open_pixels
from engine.files import make_folder
from engine.hardware import Fallback, Runtime, apply_runtime, place_run
from engine.hardware.out_of_memory import telling_smaller_parts
from engine.jobs.findings import choose_finding, left_out_sentence
from engine.jobs.recipe import (
    Repeat,
    choose_same_finding,
    differences,
    plan_repeat,
    repeat_result,
    require_same_classes,
    tell_differences,
    write_recipe,
    written_runtime,
)
from engine.jobs.run_log import RunLog
from engine.jobs.source_bundle import Source, chosen_source, config_for, keep_source, kept_source
from engine.jobs.splitting import require_two_classes
from engine.jobs.trial_times import TrialTimes, n_trials
from engine.jobs.trials import TrialBench
from engine.methods.method import FineTuneMethod, MethodContext, TrainingData
from engine.methods.registry import get_method
from engine.models.fallback import expected_seconds, fallback_warning
from engine.models.features import cached_features
from engine.models.network import Network
from engine.models.registry import build_network, check_size
from engine.models.weights import FILE, present_weights, weights_state
from engine.project.access import open_alone
from engine.project.store import Project
from engine.project.table import TrainingTable
from engine.seeding import seed_everything
from engine.trainer.checkpoint import best_facts, has_state, save_best
from engine.trainer.full_disk import when_there_is_room
from engine.trainer.loop import Trainer
from engine.trainer.memory_advice import explaining_memory
from engine.trainer.steps import validate

Emit = Callable[[Event], None]
Written = TypeVar("Written")


class TrainingRun:
    """One run from its start to its end, with its row of the history kept current.

    Attributes:
        id: The run's id.
        emit: Passes events on and keeps them in the run's log.
    """

    def __init__(
        self,
        project: Project,
        run_id: str,
        config: ExperimentConfig,
        table: TrainingTable,
        emit: Emit,
        control: Control,
        *,
        is_resumed: bool,
        goes_on_anyway: bool = False,
        repeat: Repeat | None = None,
    ) -> None:
        self.id = run_id
        self._project = project
        self._config = config
        self._table = table
        self._method = get_method(config.method.key)
        self._control = control
        self._is_resumed = is_resumed
        self._goes_on_anyway = goes_on_anyway
        self._repeat = repeat
        self._fallback: Fallback | None = None
        self._trials = TrialTimes(n_trials(self._method, config))
        self._started = time.perf_counter()
        self._pass_on = emit
        self._folder = project.run_folder(run_id)
        self._unsaved: dict[str, Any] = {}
        self._source = kept_source(self._folder)
        self._facts: dict[str, Any] = {}

    def start(self) -> None:
        """Say that the run exists."""
        trains_epochs = self._method.trains_epochs
        self._note(state="running")
        self.emit(
            RunStarted(
                run=self.id,
                preset=self._config.preset,
                backbone=self._config.backbone.key,
                method=self._config.method.key,
                max_epochs=self._config.method.max_epochs if trains_epochs else 0,
                n_train=int((self._table.split == 0).sum()),
                n_val=int((self._table.split == 1).sum()),
                is_resumed=self._is_resumed,
            )
        )
        if left_out := left_out_sentence(self._table):
            self.emit(Warned(run=self.id, message=left_out))

    def emit(self, event: Event) -> None:
        """Pass an event on and keep the history row current."""
        match event:
            case EpochFinished(epoch=epoch):
                self._note(epochs=epoch)
            case RunPaused():
                self._note(state="paused")
            case RunResumed():
                self._note(state="running")
        self._pass_on(event)

    def _note(self, **facts: Any) -> None:
        """Keep the history row current; what a full disk refuses now waits for the next time."""
        self._unsaved |= facts
        with contextlib.suppress(EngineError):
            self._save_notes()

    def _save_notes(self) -> None:
        self._project.update_run(self.id, **self._unsaved)
        self._unsaved.clear()

    def _with_room(self, write: Callable[[], Written]) -> Written:
        return when_there_is_room(write, run=self.id, emit=self.emit, control=self._control)

    def train(self) -> RunFinished:
        """Train to the end.

        Raises:
            JobCanceled: If canceled or interrupted.
            EngineError: If something went wrong that a user can mend.
        """
        with self._control.pausing(
            lambda: self.emit(RunPaused(run=self.id)), lambda: self.emit(RunResumed(run=self.id))
        ):
            return self._train()

    def _train(self) -> RunFinished:
        seed_everything(self._config.seed)
        runtime = self._resolve_runtime()
        self._write_recipe(runtime)
        if self._config.backbone.weights == "scratch" and self._source is None:
            self._warn_of_scratch()
        with (
            explaining_memory(self._config, runtime),
            telling_smaller_parts(self._tell_smaller_parts),
        ):
            return self._train_on(runtime)

    def _tell_smaller_parts(self, n: int) -> None:
        what = f"Memory ran short, so images are described {n} at a time here."
        self.emit(Recovered(run=self.id, message=what))

    def _train_on(self, runtime: Runtime) -> RunFinished:
        network = self._build_network(self._config, self._method, runtime)
        if self._fallback is not None:
            self._warn_of_fallback(self._fallback, network)
        data = self._training_data(network, runtime)
        if self._method.trains_epochs:
            return self._train_epochs(network, data, runtime)
        self._method.prepare(network, self._context(data, runtime))
        if self._source is not None:
            self._note_likeness(self._source, network, data, runtime)
        return self._finished(COMPLETED, self._keep_best(network, data, runtime), 0, None)

    def canceled(self) -> RunFinished:
        """Return the end of a run that was asked to end; interrupted ones can be resumed."""
        state = "interrupted" if self._control.interrupted else CANCELED
        self._note(state=state)
        return RunFinished(run=self.id, outcome=CANCELED)

    def failed(self, error: EngineError) -> RunFinished:
        """Return the end of a run that went wrong."""
        self._note(state=FAILED, error=error.message)
        return RunFinished(run=self.id, outcome=FAILED, error=error.message, remedy=error.remedy)

    def _report(self, stage: str, done: int, total: int) -> None:
        """Tell how far a stage other than training is, and honour requests."""
        self.emit(RunProgressed(run=self.id, stage=stage, done=done, total=total))
        self._control.safe_point()

    def _resolve_runtime(self) -> Runtime:
        """Return the run's own runtime if it has one: another thread count gives other bits."""
        earlier = written_runtime(self._folder)
        if earlier is None and self._repeat is not None:
            earlier = self._repeat.runtime
        runtime, self._fallback = place_run(self._config.runtime, earlier=earlier)
        apply_runtime(runtime)
        return runtime

    def _write_recipe(self, runtime: Runtime) -> None:
        """Write everything that is needed to repeat the run, and say how a repeat differs."""
        if written_runtime(self._folder) is not None:
            return
        origin = None
        if self._repeat is not None:
            found = differences(
                self._repeat,
                project=self._project,
                config=self._config,
                table=self._table,
                runtime=runtime,
            )
            tell_differences(self.id, found, self.emit)
            origin = replace(self._repeat.origin, differences=found)
        write_recipe(
            self._folder,
            run=self.id,
            project=self._project,
            config=self._config,
            table=self._table,
            runtime=runtime,
            source=self._source,
            repeats=origin,
        )

    def _note_likeness(
        self, source: Source, network: Network, data: TrainingData, runtime: Runtime
    ) -> None:
        self._facts = {"classifier": source.facts.name, "matches": to_plain(source.matches)}
        found = source.likeness(network, data, runtime)
        if found is None:
            return
        self._facts["likeness"], suits = found
        if not suits:
            self.emit(Warned(run=self.id, message=self._facts["likeness"]))

    def _warn_of_fallback(self, why: Fallback, network: Network) -> None:
        n_train, n_val = (int((self._table.split == part).sum()) for part in (0, 1))
        epochs = self._config.method.max_epochs if self._method.trains_epochs else 0
        seconds = expected_seconds(network, self._config.image.size_px, n_train, n_val, epochs)
        self.emit(fallback_warning(self.id, why, seconds, is_most=epochs > 0))

    def _warn_of_scratch(self) -> None:
        self.emit(
            Warned(
                run=self.id,
                message="This backbone has no pre-trained weights here: it starts from scratch, "
                "with random ones, and needs far more images to become any good.",
                remedy="Add a weights file for it, or choose EfficientNet-Lite0.",
            )
        )

    def _build_network(
        self, config: ExperimentConfig, method: FineTuneMethod, runtime: Runtime
    ) -> Network:
        if self._source is not None:
            return self._source.network(self._table.class_names).to(runtime.device)
        network = build_network(
            config.backbone.key,
            len(self._table.class_names),
            weights=config.backbone.weights,
            seed=config.seed,
            features=method.features,
            drop_path=config.method.stochastic_depth if method.trains_epochs else 0.0,
            activation=self._table.activation,
        )
        network = network.to(runtime.device)
        method.install(network, config)
        return network

    def _training_data(self, network: Network, runtime: Runtime) -> TrainingData:
        pixels = open_pixels(self._project, self._config.image)

        def features_of(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            return self._with_room(
                lambda: cached_features(
                    self._project,
                    network,
                    self._config.image,
                    rows,
                    runtime,
                    control=self._control,
                    on_progress=lambda done, total: self._report("Describing images", done, total),
                )
            )

        return TrainingData(table=self._table, pixels=pixels, features_of=features_of)

    def _context(self, data: TrainingData, runtime: Runtime) -> MethodContext:
        return MethodContext(
            config=self._config,
            data=data,
            runtime=runtime,
            report=self._report,
            control=self._control,
            trial=lambda config, stage, epochs: self._try_out(config, stage, epochs, runtime),
        )

    def _try_out(
        self, config: ExperimentConfig, stage: str, epochs: int, runtime: Runtime
    ) -> NDArray[np.float64]:
        """Train with other settings without a trace, and return what validation gave."""
        last = config.method.max_epochs
        n_epochs = min(epochs, last)
        self._trials.begin(time.perf_counter() - self._control.waited_s)

        def show(event: Event) -> None:
            if isinstance(event, BatchFinished):
                now = time.perf_counter() - self._control.waited_s
                left = self._trials.seconds_left(
                    now, event.seconds_left, n_epochs=n_epochs, epochs_after=last
                )
                total = event.n_batches * n_epochs
                self.emit(
                    RunProgressed(
                        run=self.id, stage=stage, done=event.step, total=total, seconds_left=left
                    )
                )
            elif isinstance(event, RunPaused | RunResumed):
                self.emit(event)

        bench = TrialBench(
            project=self._project,
            table=self._table,
            image=config.image,
            runtime=runtime,
            control=self._control,
        )
        result = bench.train(config, epochs=epochs, on_event=show, is_nested=True)
        return result.probabilities

    def _train_epochs(self, network: Network, data: TrainingData, runtime: Runtime) -> RunFinished:
        context = self._context(data, runtime)
        # A run that was cut off before it saved anything begins anew.
        goes_on = self._is_resumed and has_state(self._folder / "checkpoints")
        if not goes_on:
            self._method.prepare(network, context)
        trainer = Trainer(
            network=network,
            method=self._method,
            context=context,
            folder=self._folder,
            run=self.id,
            config_digest=_digest(self._config),
            split_digest=self._project.split_digest(),
            emit=self.emit,
        )
        if goes_on:
            trainer.resume(anyway=self._goes_on_anyway)
        trainer.train()
        state = trainer.state
        outcome = STOPPED if self._control.stop_requested else COMPLETED
        speed = state.images / state.train_seconds if state.train_seconds > 0 else None
        return self._finished(outcome, state.best_auroc, state.epoch - 1, speed)

    def _keep_best(self, network: Network, data: TrainingData, runtime: Runtime) -> float:
        """Validate and keep a network that was fitted without epochs."""
        table, val = data.table, data.val
        result = validate(
            network,
            data.pixels,
            table.rows[val],
            table.labels[val],
            runtime,
            class_weights=None,
            positive=table.positive,
        )
        facts = {
            "epoch": 0,
            "val_auroc": result.auroc,
            "method_facts": self._facts | self._method.summary(network),
        }
        self._with_room(lambda: save_best(self._folder / "checkpoints", network, facts))
        return result.auroc

    def _finished(
        self, outcome: str, auroc: float, epochs: int, speed: float | None
    ) -> RunFinished:
        seconds = time.perf_counter() - self._started
        self._unsaved |= {
            "state": outcome,
            "val_auroc": auroc,
            "epochs": epochs,
            "seconds": seconds,
        }
        self._with_room(self._save_notes)
        return RunFinished(
            run=self.id,
            outcome=outcome,
            result={
                "run": self.id,
                "outcome": outcome,
                "val_auroc": auroc,
                "epochs": epochs,
                "train_images_per_s": speed,
                "method_facts": best_facts(self._folder / "checkpoints").get("method_facts", {}),
                "seconds": round(seconds, 2),
                **repeat_result(self._folder),
            },
        )


@contextlib.contextmanager
def begin_run(command: Train | Resume, emit: Emit, control: Control) -> Iterator[TrainingRun]:
    """Check that a run can start, make its folder, and say so.

    Raises:
        EngineError: If settings, data or split don't allow the run; nothing has been made then.
    """
    repeat = plan_repeat(command) if isinstance(command, Train) else None
    command = command if repeat is None else repeat.command
    with open_alone(Path(command.project), owner="a training") as project:
        if isinstance(command, Resume):
            run_id, config = command.run, project.run_config(command.run)
            _require_resumable(project, run_id, anyway=command.anyway)
        else:
            if command.finding is not None:
                choose_finding(project, command.finding)
            if repeat is not None:
                choose_same_finding(project, repeat.recipe)
            config = with_weights_there_are(replace(command.config, image=project.image_contract))
            run_id = new_run_id(project)
        goes_on_anyway = isinstance(command, Resume) and command.anyway
        table = checked_table(project, allows_added=goes_on_anyway)
        if repeat is not None:
            require_same_classes(table, repeat.recipe)
        get_method(config.method.key).check(table)
        source = None
        if isinstance(command, Train):
            source = chosen_source(command, table.class_names, is_multi=table.is_multi)
            config = config if source is None else config_for(source, config)
        make_folder(project.run_folder(run_id))
        if source is not None:
            keep_source(project.run_folder(run_id), source)
        if isinstance(command, Train):
            project.add_run(run_id, config)
        project.keep_run_data(run_id, table)
        with RunLog(project.run_folder(run_id), emit) as log:
            run = TrainingRun(
                project,
                run_id,
                config,
                table,
                log.emit,
                control,
                is_resumed=isinstance(command, Resume),
                goes_on_anyway=goes_on_anyway,
                repeat=repeat,
            )
            run.start()
            yield run


def _require_resumable(project: Project, run: str, *, anyway: bool) -> None:
    summary = project.run_summary(run)
    if summary.state in (COMPLETED, STOPPED):
        raise RunError("This run has finished.", remedy="Evaluate it, or train a new one.")
    if summary.state == CANCELED:
        raise RunError(
            "This run was canceled, so there is nothing to go on from.",
            remedy="Start a new run with the same settings.",
        )
    what = " ".join(summary.changes) or "The images, labels or split are others."
    if summary.is_stale and not summary.is_resumable:
        raise RunError(
            f"The project has changed since this run was interrupted. {what}",
            remedy="Start a new run; the interrupted one stays in the history.",
        )
    if summary.changes and not anyway:
        raise RunError(
            f"Something has changed since this run was interrupted. {what}",
            remedy="To go on anyway press Continue, or use 'resume --anyway'; or start a new run.",
        )


def checked_table(project: Project, *, allows_added: bool = False) -> TrainingTable:
    """Return the usable images, if they can be learned from.

    Args:
        project: Open.
        allows_added: Whether the split may be older than images that aren't in it.

    Raises:
        DatasetError: If there are fewer than two classes, or a part lacks one.
        RunError: If there is no split, or it is out of date.
    """
    table = project.training_table()
    require_two_classes(table)
    if project.split_summary() is None or not (table.split == 0).any():
        raise RunError(
            "The images are not divided into training, validation and test yet.",
            remedy="Make a split first.",
        )
    if project.split_is_stale() and not allows_added:
        raise RunError(
            "Images or labels have changed since the split was made.", remedy="Make the split anew."
        )
    if table.is_multi:  # each finding that it holds can be learned
        return table
    for code, name in ((0, "training"), (1, "validation")):
        present = set(table.labels[table.split == code].tolist())
        missing = [label for k, label in enumerate(table.class_names) if k not in present]
        if missing:
            raise DatasetError(
                f"The {name} images hold none of class '{missing[0]}'.",
                remedy="Make the split anew, or leave that class out.",
            )
    return table


def with_weights_there_are(config: ExperimentConfig) -> ExperimentConfig:
    """Return the settings, without pre-training where a backbone has no weights yet.

    That the run then starts from scratch is the first thing it says.
    """
    if backbone_card(config.backbone.key) is None:
        raise ConfigError(
            f"There is no backbone called {config.backbone.key!r}.",
            remedy="Choose one that 'radtune-engine doctor' lists.",
        )
    check_size(config.backbone.key, config.image.size_px)
    if config.backbone.weights.startswith(FILE):
        present_weights(config.backbone.key, config.backbone.weights)
    elif weights_state(config.backbone.key) == "missing":
        return replace(config, backbone=replace(config.backbone, weights="scratch"))
    return config


def new_run_id(project: Project) -> str:
    """Return an id that says when, and that no run has yet."""
    stem = time.strftime("%Y%m%d-%H%M%S")
    run_id, n = stem, 1
    while project.run_folder(run_id).exists():
        n += 1
        run_id = f"{stem}-{n}"
    return run_id


def _digest(config: ExperimentConfig) -> str:
    return hashlib.sha256(config_to_json(config).encode()).hexdigest()[:16]
