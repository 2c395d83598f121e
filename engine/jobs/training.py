"""Training a run from its settings, or going on with an interrupted one."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.contract.config import ExperimentConfig
from engine.contract.config_io import config_to_json
from engine.contract.control import Control
from engine.contract.errors import EngineError
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    STOPPED,
    EpochFinished,
    Event,
    Recovered,
    RunFinished,
    RunPaused,
    RunProgressed,
    RunResumed,
    RunStarted,
)
from engine.contract.recipe import Recipe, recipe_to_plain
from engine.contract.run_states import INTERRUPTED, PAUSED, RUNNING
from engine.data.pixels import open_pixels
from engine.hardware import Fallback, Runtime, apply_runtime, place_run
from engine.hardware.out_of_memory import again_if_short, telling_smaller_parts
from engine.jobs.begun import Begun
from engine.jobs.memory_kills import MemoryKills
from engine.jobs.recipe import keep_recipe, runtime_of, write_recipe
from engine.jobs.repeat import Repeat, differences, repeat_result, tell_differences
from engine.jobs.run_network import run_network
from engine.jobs.run_notes import RunNotes
from engine.jobs.run_trials import RunTrials
from engine.jobs.run_warnings import backbone_warnings, data_warnings, processor_warning
from engine.jobs.source_bundle import kept_source
from engine.jobs.trial_times import n_trials
from engine.jobs.without_passes import WithoutPasses
from engine.methods.method import MethodContext, TrainingData
from engine.methods.registry import get_method
from engine.models.features import cached_features
from engine.models.network import Network
from engine.project.segment_reader import SegmentReader
from engine.project.store import Project
from engine.project.table import TrainingTable
from engine.seeding import remembered_generators, seed_everything
from engine.trainer.best_weights import best_facts, save_best
from engine.trainer.checkpoint import NoSoundStateError, has_state
from engine.trainer.full_disk import PatientPixels, when_there_is_room
from engine.trainer.loop import Trainer
from engine.trainer.memory_advice import explaining_memory

Emit = Callable[[Event], None]
Done = TypeVar("Done")


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
        begun: Begun | None = None,
        goes_on_anyway: bool = False,
        repeat: Repeat | None = None,
    ) -> None:
        self.id = run_id
        self._project = project
        self._config = config if begun is None else begun.config
        self._config_digest = _digest(config)
        self._table = table
        self._method = get_method(config.method.key)
        self._control = control
        self._begun = begun
        self._goes_on_anyway = goes_on_anyway
        self._repeat = repeat
        self._fallback: Fallback | None = None
        self._started = time.perf_counter() - control.waited_s
        self._seconds_before = 0.0 if begun is None else project.run_summary(run_id).seconds
        self._pass_on = emit
        self._folder = project.run_folder(run_id)
        self._notes = RunNotes(project, run_id)
        self._trials = RunTrials(
            project,
            run_id,
            table,
            n_trials(self._method, config),
            emit=self.emit,
            control=control,
            patiently=self._with_room,
        )
        self._source = kept_source(self._folder)
        self._recipe: dict[str, Any] = {}

    def start(self) -> None:
        """Say that the run exists."""
        trains_epochs = self._method.trains_epochs
        self._notes.note(state=RUNNING)
        self.emit(
            RunStarted(
                run=self.id,
                preset=self._config.preset,
                backbone=self._config.backbone.key,
                method=self._config.method.key,
                max_epochs=self._config.method.max_epochs if trains_epochs else 0,
                n_train=int((self._table.split == 0).sum()),
                n_val=int((self._table.split == 1).sum()),
                is_resumed=self._begun is not None,
            )
        )
        is_new, method = self._begun is None, self._config.method.key
        for warned in data_warnings(self.id, self._table, method, is_new=is_new):
            self.emit(warned)

    def emit(self, event: Event) -> None:
        """Pass an event on and keep the history row current."""
        match event:
            case EpochFinished(epoch=epoch):
                self._notes.note(epochs=epoch, seconds=self._seconds())
            case RunPaused():
                self._notes.note(state=PAUSED)
            case RunResumed():
                self._notes.note(state=RUNNING)
        self._pass_on(event)

    def _with_room(self, act: Callable[[], Done], emit: Emit | None = None) -> Done:
        """Write or read in the project; wait while that is away or the disk refuses."""

        def in_place() -> Done:
            self._project.require_there()
            return act()

        return when_there_is_room(
            in_place, run=self.id, emit=emit or self.emit, control=self._control
        )

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
        for told in () if self._begun is None else self._begun.told:
            self.emit(Recovered(run=self.id, message=told))
        if self._repeat is not None and self._repeat.told:
            self.emit(Recovered(run=self.id, message=self._repeat.told))
        runtime = self._resolve_runtime()
        self._recipe = recipe_to_plain(self._write_recipe(runtime))
        self._control.safe_point()  # the first one: now the run has all that it takes to go on
        if self._source is None and not self._lacks_weights:
            for warned in backbone_warnings(
                self.id, self._project, self._table, self._config.backbone
            ):
                self.emit(warned)
        with (
            explaining_memory(self._config, runtime),
            telling_smaller_parts(self._tell_smaller_parts),
        ):
            return self._train_on(runtime)

    def _tell_smaller_parts(self, n: int) -> None:
        what = f"Memory ran short, so images are described {n} at a time here."
        self.emit(Recovered(run=self.id, message=what))

    def _train_on(self, runtime: Runtime) -> RunFinished:
        network = self._again_if_short(
            lambda: run_network(
                self._config,
                self._method,
                self._table,
                runtime,
                source=self._source,
                begun=self._begun,
            )
        )
        if self._fallback is not None:
            self.emit(
                processor_warning(
                    self.id,
                    self._fallback,
                    network,
                    self._table,
                    self._config,
                    trains_epochs=self._method.trains_epochs,
                )
            )
        data = self._training_data(network, runtime)
        if self._method.trains_epochs:
            return self._train_epochs(network, data, runtime)
        self._keep_versions()
        self._prepare(network, self._context(data, runtime))
        return self._fitted(network, data, runtime)

    def _prepare(self, network: Network, context: MethodContext) -> None:
        self._again_if_short(lambda: self._method.prepare(network, context))

    def _again_if_short(self, act: Callable[[], Done]) -> Done:
        """Do something before the first step, once more if memory ran short, with the same bits."""
        put_back = remembered_generators()

        def tell() -> None:
            put_back()
            told = "Memory ran short while the training was prepared; that was done again."
            self.emit(Recovered(run=self.id, message=told))

        return again_if_short(act, tell)

    def _seconds(self) -> float:
        """Return what the run has taken over all its parts, without pauses."""
        return self._seconds_before + time.perf_counter() - self._control.waited_s - self._started

    def canceled(self) -> RunFinished:
        """Return the end of a run that was asked to end; interrupted ones can be resumed."""
        if not self._control.interrupted:
            self._notes.note(state=CANCELED, seconds=self._seconds())
            self._trials.drop()
            return RunFinished(run=self.id, outcome=CANCELED)
        self._notes.note(state=INTERRUPTED, seconds=self._seconds())
        if not self._control.stop_requested:
            return RunFinished(run=self.id, outcome=CANCELED)
        return RunFinished(
            run=self.id,
            outcome=CANCELED,
            error="The run was stopped while it waited, so what it kept is what was saved last.",
            remedy="Continue it when what it waited for is there again.",
        )

    def failed(self, error: EngineError) -> RunFinished:
        """Return the end of a run that went wrong."""
        self._notes.note(state=FAILED, error=error.message, seconds=self._seconds())
        return RunFinished(run=self.id, outcome=FAILED, error=error.message, remedy=error.remedy)

    def _report(self, stage: str, done: int, total: int) -> None:
        """Tell how far a stage other than training is, and honour requests."""
        self.emit(RunProgressed(run=self.id, stage=stage, done=done, total=total))
        self._control.safe_point()

    def _resolve_runtime(self) -> Runtime:
        """Return the run's own runtime if it has one: another thread count gives other bits."""
        earlier = None
        if self._begun is not None and self._begun.recipe is not None:
            earlier = runtime_of(self._begun.recipe)
        elif self._repeat is not None:
            earlier = runtime_of(self._repeat.recipe)
        runtime, self._fallback = place_run(
            self._config.runtime, earlier=earlier, safe_point=self._control.wait_point
        )
        apply_runtime(runtime)
        return runtime

    @property
    def _lacks_weights(self) -> bool:
        return self._begun is not None and self._begun.lacks_weights

    def _write_recipe(self, runtime: Runtime) -> Recipe:
        """Write everything that is needed to repeat the run, and say how a repeat differs."""
        if self._begun is not None and self._begun.recipe is not None:
            recipe = self._begun.recipe
            if self._begun.is_recipe_lost:
                self._with_room(lambda: keep_recipe(self._folder, recipe))
            return recipe
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
        return write_recipe(
            self._folder,
            run=self.id,
            project=self._project,
            config=self._config,
            table=self._table,
            runtime=runtime,
            source=self._source,
            repeats=origin,
        )

    def _training_data(self, network: Network, runtime: Runtime) -> TrainingData:
        def opened() -> SegmentReader:
            return open_pixels(self._project, self._config.image)

        pixels = PatientPixels(
            opened() if self._begun is None else self._with_room(opened),  # a new one is refused
            run=self.id,
            emit=self.emit,
            control=self._control,
        )

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
            trial=lambda config, stage, epochs: self._trials.try_out(
                config, stage, epochs, runtime
            ),
        )

    def _train_epochs(self, network: Network, data: TrainingData, runtime: Runtime) -> RunFinished:
        context = self._context(data, runtime)
        # A run that was cut off before it saved anything begins anew.
        goes_on = self._begun is not None and self._with_room(
            lambda: has_state(self._folder / "checkpoints")
        )
        if not goes_on:
            self._prepare(network, context)
        trainer = Trainer(
            network=network,
            method=self._method,
            context=context,
            folder=self._folder,
            run=self.id,
            config_digest=self._config_digest,
            split_digest=self._project.split_digest(),
            emit=self.emit,
            require_there=self._project.require_there,
            began=self._started - (0.0 if goes_on else self._seconds_before),
        )
        if goes_on:
            try:
                trainer.resume(anyway=self._goes_on_anyway)
            except NoSoundStateError as problem:
                return self._ended_with_best(problem)
            self._seconds_before = trainer.state.seconds
        self._keep_versions()
        trainer.state.recipe = self._recipe
        memory_kills = MemoryKills(self._folder, self._project.require_there)
        if memory_kills.have_ended_it():
            trainer.take_smaller_parts()
        with memory_kills.noted():
            trainer.train()
        state = trainer.state
        outcome = STOPPED if self._control.stop_requested else COMPLETED
        speed = state.images / state.train_seconds if state.train_seconds > 0 else None
        return self._finished(outcome, state.best_auroc, state.epoch - 1, speed)

    def _keep_versions(self) -> None:
        """Note with which program a run goes on, once its state is one of that program."""
        if self._begun is not None:
            self._with_room(lambda: self._project.keep_versions(self.id))

    def _ended_with_best(self, problem: NoSoundStateError) -> RunFinished:
        """End a run that can't be gone on with by the best pass that it kept.

        Raises:
            NoSoundStateError: The problem, if it kept none.
        """
        facts = self._with_room(lambda: best_facts(self._folder / "checkpoints"))
        if not facts:
            raise problem
        message = (
            "Every saved state of this run is damaged, so training can't go on. The run ends with "
            f"the best pass that it kept, pass {facts['epoch']}."
        )
        self.emit(Recovered(run=self.id, message=message))
        epochs = self._project.run_summary(self.id).epochs
        return self._finished(STOPPED, facts["val_auroc"], epochs, None)

    def _fitted(self, network: Network, data: TrainingData, runtime: Runtime) -> RunFinished:
        """Validate and keep a network that was fitted without epochs."""
        measuring = WithoutPasses(
            project=self._project,
            run=self.id,
            config=self._config,
            source=self._source,
            emit=self.emit,
        )
        auroc, told = measuring.measured(network, data, runtime)
        facts = {
            "epoch": 0,
            "val_auroc": auroc,
            "method_facts": told | self._method.summary(network),
            "recipe": self._recipe,  # in case that the file is damaged; no state keeps a copy
        }
        self._with_room(lambda: save_best(self._folder / "checkpoints", network, facts))
        return self._finished(COMPLETED, auroc, 0, None)

    def _finished(
        self, outcome: str, auroc: float, epochs: int, speed: float | None
    ) -> RunFinished:
        seconds = self._seconds()
        finished = RunFinished(
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
        self._with_room(
            lambda: self._notes.end(state=outcome, val_auroc=auroc, epochs=epochs, seconds=seconds),
            emit=self._pass_on,  # the row says how the run ended, no more that it waits
        )
        self._trials.drop()
        return finished


def _digest(config: ExperimentConfig) -> str:
    return hashlib.sha256(config_to_json(config).encode()).hexdigest()[:16]
