"""Cross-validation: how well settings do, told by every training and validation image in turn.

Each fold is held out once and predicted by a network that saw nothing of it, neither in training
nor in early stopping, for which images are carved from the other folds. The test images take no
part, so they can still be looked at afterwards.

References:
    Stone, "Cross-Validatory Choice and Assessment of Statistical Predictions", JRSS B 1974.
    Varma and Simon, "Bias in error estimation when using cross-validation for model selection",
    BMC Bioinformatics 2006 (nothing may be chosen on the fold that is held out).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.commands import Crossval
from engine.contract.config import ExperimentConfig
from engine.contract.config_io import to_plain
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import DamagedFileError
from engine.contract.events import Event, JobProgressed, Recovered, Warned
from engine.contract.results import Estimate
from engine.contract.searching import CrossvalResult, FoldResult
from engine.contract.units import PLURALS
from engine.hardware import Fallback, apply_runtime, place_run
from engine.jobs.folds import Folds, checked_folds
from engine.jobs.going_on import tell_changed_versions
from engine.jobs.kept_folds import (
    KeptFold,
    fold_folder,
    is_kept,
    put_together,
    read_fold,
    write_fold,
)
from engine.jobs.run_checks import checked_table, with_weights_there_are
from engine.jobs.seen_before import crossval_caution
from engine.jobs.trials import TrialBench
from engine.methods.registry import get_method
from engine.metrics.intervals import Interval
from engine.metrics.validation import validation_auroc, validation_interval
from engine.models.fallback import expected_seconds, fallback_warning
from engine.models.weights import weights_info
from engine.models.weights_warning import weights_warning
from engine.project.access import open_alone
from engine.project.searching import CROSSVAL, begin_or_go_on, save_result
from engine.project.store import Project
from engine.project.table import TrainingTable
from engine.seeding import seed_everything, step_seed
from engine.trainer.full_disk import waiting_as_warning

_STEPS: Final = 100  # of the progress bar
Emit = Callable[[Event], None]


def cross_validate(command: Crossval, emit: Emit, control: Control) -> CrossvalResult:
    """Train and measure once for each fold, or go on with a cross-validation that was interrupted.

    Raises:
        EngineError: If data or settings don't allow it.
        JobCanceled: If canceled, and then nothing is kept; or interrupted, and then the same
            command goes on.
    """
    with open_alone(Path(command.project), owner="a cross-validation") as project:
        config = replace(command.config, image=project.image_contract)
        config = with_weights_there_are(config)
        method = get_method(config.method.key)
        table = checked_table(project)
        method.check(config.backbone)
        folds = checked_folds(table, command.folds, config.seed)
        weights = to_plain(weights_info(config.backbone.key, config.backbone.weights))
        asked = {"folds": command.folds, "config": to_plain(config), "weights": weights["digest"]}
        name = begin_or_go_on(project, CROSSVAL, asked)
        tell_changed_versions(project, name, emit)
        work = _Crossval(project, name, config, table, folds, weights, emit, control)
        try:
            result = work.run()
            work.bench.patiently(lambda: save_result(project, asked, result))
        except JobCanceled:
            if not control.interrupted:
                shutil.rmtree(project.run_folder(name), ignore_errors=True)
            raise
        return result


class _Crossval:
    """A cross-validation under way."""

    def __init__(
        self,
        project: Project,
        name: str,
        config: ExperimentConfig,
        table: TrainingTable,
        folds: Folds,
        weights: dict[str, Any],
        emit: Emit,
        control: Control,
    ) -> None:
        self._project, self._name, self._config = project, name, config
        self._table, self._folds, self._emit, self._control = table, folds, emit, control
        self._weights = weights
        self._done: list[FoldResult] = []
        runtime, fallback = place_run(config.runtime, safe_point=control.wait_point)
        apply_runtime(runtime)
        self.bench = TrialBench(
            project=project,
            table=table,
            image=config.image,
            runtime=runtime,
            control=control,
            on_event=self._pass_on,
        )
        if (warned := weights_warning(config.backbone)) is not None:
            emit(warned)
        used = np.flatnonzero(folds.of_image >= 0)
        self._caution = crossval_caution(project, table, config.backbone, used)
        if self._caution:
            emit(Warned(message=self._caution))
        if fallback is not None:
            self._warn_of(fallback)

    def run(self) -> CrossvalResult:
        """Make the folds that are not made yet, and sum up."""
        predicted = []
        for fold in range(self._folds.n_folds):
            kept = self._kept_fold(fold) or self._new_fold(fold)
            predicted.append(kept.probabilities)
            self._done.append(kept.found)
            self._tell("Finished", 0, 1, facts={"fold": to_plain(kept.found)})
        return self._summed_up(*put_together(self._folds, predicted))

    def _warn_of(self, why: Fallback) -> None:
        """Say that the processor trains, and for how long: the folds that are yet to be made."""
        method, n_folds = get_method(self._config.method.key), self._folds.n_folds
        network, _ = self.bench.fresh(self._config, method)
        size_px, n = self._config.image.size_px, int((self._folds.of_image >= 0).sum())
        folder = self._project.run_folder(self._name)
        n_left = sum(not is_kept(fold_folder(folder, k)) for k in range(n_folds))
        if method.trains_epochs:
            n_train = n - n // n_folds  # and the fold itself is looked at in the end
            epochs = self._config.method.max_epochs
            seconds = n_left * expected_seconds(network, size_px, n_train, n // n_folds, epochs)
        else:  # every image is described once, whichever folds it serves
            seconds = expected_seconds(network, size_px, n if n_left else 0, 0, 0)
        self._emit(fallback_warning("", why, seconds, is_most=method.trains_epochs))

    def _kept_fold(self, fold: int) -> KeptFold | None:
        """Return a fold that was made before an interruption; None if it is yet to be made."""
        folder = fold_folder(self._project.run_folder(self._name), fold)
        if not self.bench.patiently(lambda: is_kept(folder)):
            return None
        try:
            return self.bench.patiently(lambda: read_fold(folder, len(self._folds.held_out(fold))))
        except DamagedFileError:
            self._warn(f"What was kept of part {fold + 1} is damaged, so it is made again.")
            shutil.rmtree(folder, ignore_errors=True)
            return None

    def _new_fold(self, fold: int) -> KeptFold:
        folder = fold_folder(self._project.run_folder(self._name), fold)
        learned, chosen_by, held_out = self._folds.parts(fold)
        seed_everything(step_seed(self._config.seed, "fold", fold))
        trial = self.bench.train(
            self._config,
            train=learned,
            val=chosen_by,
            folder=folder,
            on_progress=self._tell,
        )
        predicted = self.bench.predict(self._config, folder, held_out)
        table = self._table
        found = FoldResult(
            fold=fold + 1,
            n_train=len(learned),
            n_held_out=len(held_out),
            auroc=validation_auroc(predicted, table.labels[held_out], table.positive),
            epochs=trial.epochs,
            seconds=trial.seconds,
        )
        if self._control.stop_requested:  # half a fold would speak for the settings
            raise JobCanceled
        kept = KeptFold(
            found=found,
            probabilities=predicted,
            runtime=self.bench.runtime,
            weights=self._weights,
        )
        self.bench.patiently(lambda: write_fold(folder, kept))
        return kept

    def _tell(self, stage: str, done: int, total: int, facts: dict[str, Any] | None = None) -> None:
        n_done, n_folds = len(self._done), self._folds.n_folds
        words = f"Part {min(n_done + 1, n_folds)} of {n_folds}: {stage[:1].lower()}{stage[1:]}"
        if facts is not None:
            words = f"Part {n_done} of {n_folds}: AUROC {self._done[-1].auroc:.3f}"
        share = done / total if total else 0.0
        seconds = [fold.seconds for fold in self._done]
        left = float(np.mean(seconds)) * (n_folds - n_done - share) if seconds else None
        self._emit(
            JobProgressed(
                kind=CROSSVAL,
                stage=words,
                done=round(_STEPS * (n_done + share) / n_folds),
                total=_STEPS,
                seconds_left=left,
                facts=facts or {},
            )
        )
        self._control.safe_point()

    def _pass_on(self, event: Event) -> None:
        """Tell what a run would tell of itself: that it waits, and what it got over."""
        if isinstance(event, Recovered):
            self._warn(f"Part {len(self._done) + 1}: {event.message}")
        else:
            waiting_as_warning(self._emit)(event)

    def _warn(self, text: str) -> None:
        self._emit(Warned(message=text))

    def _summed_up(
        self, used: NDArray[np.int64], probabilities: NDArray[np.float64]
    ) -> CrossvalResult:
        table, config = self._table, self._config
        interval = validation_interval(
            probabilities,
            table.labels[used],
            table.groups[used],
            table.positive,
            n_resamples=config.evaluation.bootstrap_resamples,
            seed=config.seed,
        )
        aurocs = np.array([fold.auroc for fold in self._done])
        positive = _positive_name(table)
        n_patients = len(np.unique(table.groups[used]))
        return CrossvalResult(
            id=self._name,
            n_folds=self._folds.n_folds,
            auroc=Estimate(value=interval.estimate, low=interval.low, high=interval.high),
            mean=float(aurocs.mean()),
            sd=float(aurocs.std(ddof=1)),
            folds=tuple(self._done),
            n_images=len(used),
            n_patients=n_patients,
            classes=table.class_names,
            positive=positive,
            backbone=config.backbone.key,
            method=config.method.key,
            seconds=round(sum(fold.seconds for fold in self._done), 2),
            config=to_plain(config),
            sentence=_sentence(
                interval,
                aurocs,
                f"{n_patients:,} {PLURALS[table.unit]}",
                is_multi=table.is_multi,
                caution=self._caution,
            ),
        )


def _positive_name(table: TrainingTable) -> str | None:
    if table.is_multi or len(table.class_names) != 2:
        return None
    return table.class_names[1 if table.positive is None else table.positive]


def _sentence(
    interval: Interval,
    aurocs: NDArray[np.float64],
    measured_on: str,
    *,
    is_multi: bool,
    caution: str,
) -> str:
    what = "mean AUROC of the findings" if is_multi else "AUROC"
    unseen = "was trained without them" if caution else "never saw them"
    return (
        f"On {measured_on}, each predicted by a network that {unseen}, the {what} is "
        f"{interval.estimate:.3f} (95 % interval {interval.low:.3f} to {interval.high:.3f}). From "
        f"one part to another it varied from {aurocs.min():.3f} to {aurocs.max():.3f}. The test "
        f"images were not looked at. {caution}".rstrip()
    )
