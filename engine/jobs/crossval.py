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
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.commands import Crossval
from engine.contract.config import ExperimentConfig
from engine.contract.config_io import from_plain, to_plain
from engine.contract.control import Control, JobCanceled
from engine.contract.events import Event, JobProgressed, RunPaused, Warned
from engine.contract.results import Estimate
from engine.contract.searching import CrossvalResult, FoldResult
from engine.files import read_json, write_json
from engine.hardware import Fallback, Runtime, apply_runtime, place_run
from engine.jobs.folds import Folds, checked_folds
from engine.jobs.run_checks import checked_table, with_weights_there_are
from engine.jobs.trials import TrialBench
from engine.methods.registry import get_method
from engine.metrics.findings import bootstrap_findings_auroc
from engine.metrics.intervals import Interval, bootstrap_auroc, bootstrap_ovr_auroc
from engine.metrics.validation import validation_auroc
from engine.models.fallback import expected_seconds, fallback_warning
from engine.models.weights_warning import weights_warning
from engine.project.access import open_alone
from engine.project.searching import CROSSVAL, begin_or_go_on, save_result
from engine.project.store import Project
from engine.project.table import TrainingTable
from engine.seeding import seed_everything, step_seed

_FOLD_FILE: Final = "fold.json"
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
        method.check(table)
        folds = checked_folds(table, command.folds, config.seed)
        asked = {"folds": command.folds, "config": to_plain(config)}
        name = begin_or_go_on(project, CROSSVAL, asked)
        work = _Crossval(project, name, config, table, folds, emit, control)
        try:
            result = work.run()
        except JobCanceled:
            if not control.interrupted:
                shutil.rmtree(project.run_folder(name), ignore_errors=True)
            raise
        save_result(project, result)
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
        emit: Emit,
        control: Control,
    ) -> None:
        self._project, self._name, self._config = project, name, config
        self._table, self._folds, self._emit, self._control = table, folds, emit, control
        self._done: list[FoldResult] = []
        runtime, fallback = place_run(config.runtime)
        apply_runtime(runtime)
        self._bench = TrialBench(
            project=project,
            table=table,
            image=config.image,
            runtime=runtime,
            control=control,
        )
        if (warned := weights_warning(config.backbone)) is not None:
            emit(warned)
        if fallback is not None:
            self._warn_of(fallback)

    def run(self) -> CrossvalResult:
        """Make the folds that are not made yet, and sum up."""
        table = self._table
        probabilities = np.zeros((len(table.labels), len(table.class_names)))
        for fold in range(self._folds.n_folds):
            found, held_out, predicted = self._fold(fold)
            probabilities[held_out] = predicted
            self._done.append(found)
            self._tell("Finished", 0, 1, facts={"fold": to_plain(found)})
        return self._summed_up(probabilities)

    def _warn_of(self, why: Fallback) -> None:
        """Say that the processor trains, and for how long: the folds that are yet to be made."""
        method, n_folds = get_method(self._config.method.key), self._folds.n_folds
        network, _ = self._bench.fresh(self._config, method)
        size_px, n = self._config.image.size_px, int((self._folds.of_image >= 0).sum())
        folder = self._project.run_folder(self._name)
        n_left = sum(not (_fold_folder(folder, k) / _FOLD_FILE).is_file() for k in range(n_folds))
        if method.trains_epochs:
            n_train = n - n // n_folds  # and the fold itself is looked at in the end
            epochs = self._config.method.max_epochs
            seconds = n_left * expected_seconds(network, size_px, n_train, n // n_folds, epochs)
        else:  # every image is described once, whichever folds it serves
            seconds = expected_seconds(network, size_px, n if n_left else 0, 0, 0)
        self._emit(fallback_warning("", why, seconds, is_most=method.trains_epochs))

    def _fold(self, fold: int) -> tuple[FoldResult, NDArray[np.int64], NDArray[np.float64]]:
        folder = _fold_folder(self._project.run_folder(self._name), fold)
        learned, chosen_by, held_out = self._folds.parts(fold)
        if (kept := _read_fold(folder, len(held_out))) is not None:
            return kept[0], held_out, kept[1]
        seed_everything(step_seed(self._config.seed, "fold", fold))
        trial = self._bench.train(
            self._config,
            train=learned,
            val=chosen_by,
            folder=folder,
            on_progress=self._tell,
            on_event=self._pass_on,
        )
        predicted = self._bench.predict(self._config, folder, held_out)
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
        _write_fold(folder, found, predicted, self._bench.runtime)
        return found, held_out, predicted

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
        if isinstance(event, RunPaused) and event.reason:
            self._emit(Warned(message=event.reason))

    def _summed_up(self, probabilities: NDArray[np.float64]) -> CrossvalResult:
        table, config = self._table, self._config
        used = np.flatnonzero(self._folds.of_image >= 0)
        interval = _pooled(probabilities[used], table, used, config)
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
            sentence=_sentence(interval, aurocs, n_patients, is_multi=table.is_multi),
        )


def out_of_fold(
    project: Project, result: CrossvalResult, table: TrainingTable
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the images of a cross-validation, each with what a network said that didn't see it.

    Returns:
        Indices into the table, increasing, shape ``(N,)``, and probabilities, shape ``(N, K)``.

    Raises:
        StorageError: If the files can't be read.
    """
    folds = Folds.of(table, result.n_folds, int(result.config["seed"]))
    probabilities = np.zeros((len(table.labels), len(table.class_names)))
    for fold in range(result.n_folds):
        held_out = np.flatnonzero(folds.of_image == fold)
        folder = _fold_folder(project.run_folder(result.id), fold)
        kept = _read_fold(folder, len(held_out))
        assert kept is not None  # a finished one has them all
        probabilities[held_out] = kept[1]
    used = np.flatnonzero(folds.of_image >= 0)
    return used, probabilities[used]


def _read_fold(folder: Path, n_images: int) -> tuple[FoldResult, NDArray[np.float64]] | None:
    path = folder / _FOLD_FILE
    if not path.is_file():
        return None
    plain = read_json(path)
    probabilities = np.array(plain["probabilities"], dtype=np.float64)
    assert len(probabilities) == n_images  # the job's digests vouch for the same images
    found: FoldResult = from_plain(FoldResult, plain["fold"])
    return found, probabilities


def runtime_of_folds(project: Project, result: CrossvalResult) -> Runtime | None:
    """Return where the last fold of a cross-validation was made; None if earlier versions made it.

    Raises:
        StorageError: If its file can't be read.
    """
    folder = _fold_folder(project.run_folder(result.id), result.n_folds - 1)
    plain = read_json(folder / _FOLD_FILE).get("runtime")
    return None if plain is None else Runtime(**plain)


def _fold_folder(folder: Path, fold: int) -> Path:
    return folder / f"fold-{fold + 1}"


def _write_fold(
    folder: Path, found: FoldResult, probabilities: NDArray[np.float64], runtime: Runtime
) -> None:
    """Keep a fold's result and best weights, and drop what its training resumed from."""
    plain = {
        "fold": to_plain(found),
        "probabilities": probabilities.tolist(),
        "runtime": asdict(runtime),
    }
    write_json(folder / _FOLD_FILE, plain)
    for state in ("last", "previous"):
        shutil.rmtree(folder / "checkpoints" / state, ignore_errors=True)


def _pooled(
    probabilities: NDArray[np.float64],
    table: TrainingTable,
    used: NDArray[np.int64],
    config: ExperimentConfig,
) -> Interval:
    labels, patients = table.labels[used], table.groups[used]
    n, seed = config.evaluation.bootstrap_resamples, config.seed
    if table.is_multi:
        return bootstrap_findings_auroc(probabilities, labels, patients, n_resamples=n, seed=seed)[
            0
        ]
    if probabilities.shape[1] > 2:
        return bootstrap_ovr_auroc(probabilities, labels, patients, n_resamples=n, seed=seed)[0]
    index = 1 if table.positive is None else table.positive
    return bootstrap_auroc(
        probabilities[:, index], labels == index, patients, n_resamples=n, seed=seed
    )


def _positive_name(table: TrainingTable) -> str | None:
    if table.is_multi or len(table.class_names) != 2:
        return None
    return table.class_names[1 if table.positive is None else table.positive]


def _sentence(
    interval: Interval, aurocs: NDArray[np.float64], n_patients: int, *, is_multi: bool
) -> str:
    what = "mean AUROC of the findings" if is_multi else "AUROC"
    return (
        f"On {n_patients} patients, each predicted by a network that never saw them, the {what} is "
        f"{interval.estimate:.3f} (95 % interval {interval.low:.3f} to {interval.high:.3f}). From "
        f"one part to another it varied from {aurocs.min():.3f} to {aurocs.max():.3f}. The test "
        "images were not looked at."
    )
