"""Performs any command; the one place that turns any failure into a finished event.

``execute`` always ends in exactly one ``RunFinished`` or ``JobFinished``, which it emits last.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from engine.contract.commands import (
    KIND_OF,
    AddWeights,
    Audit,
    Combine,
    Command,
    Crossval,
    Deidentify,
    Doctor,
    Evaluate,
    Export,
    ExportLabels,
    InspectFile,
    ListBackbones,
    ListMethods,
    ListRuns,
    ListWeights,
    LrRange,
    MakeSample,
    MakeSplit,
    Predict,
    PrepareImages,
    Pretrain,
    Preview,
    RecommendSetup,
    RefitHead,
    Relabel,
    RemoveWeights,
    Resume,
    Robustness,
    RunAll,
    Scan,
    Search,
    Train,
    ViewImage,
)
from engine.contract.config_io import to_plain
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import EngineError
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    Event,
    JobFinished,
    JobStarted,
    RunFinished,
)
from engine.contract.pretraining import PretrainResult
from engine.contract.results import HeadRefit
from engine.files import storage_error
from engine.hardware.explain import explain_failure
from engine.jobs import catalog, data, results, searching
from engine.logs import log_failure

Emit = Callable[[Event], None]
Job = Callable[[Any, Emit, Control], Any]


def execute(command: Command, emit: Emit, control: Control) -> JobFinished | RunFinished:
    """Perform a command to its end, whatever happens, and return its last event."""
    if isinstance(command, Train | Resume):
        return train(command, emit, control)
    kind = KIND_OF[type(command)]
    emit(JobStarted(kind=kind))
    try:
        result = to_plain(_JOBS[type(command)](command, emit, control))
        finished = JobFinished(kind=kind, outcome=COMPLETED, result=result)
    except JobCanceled:
        finished = JobFinished(kind=kind, outcome=CANCELED)
    except Exception as failure:
        error = as_engine_error(failure)
        finished = JobFinished(kind=kind, outcome=FAILED, error=error.message, remedy=error.remedy)
    emit(finished)
    return finished


def train(command: Train | Resume, emit: Emit, control: Control) -> RunFinished:
    """Train or resume a run; a failure before the run exists is a failed run without an id."""
    run_id = command.run if isinstance(command, Resume) else ""
    with ExitStack() as stack:
        try:
            from engine.jobs.beginning import begin_run

            run = stack.enter_context(begin_run(command, emit, control))
        except JobCanceled:  # while it waited for the disk; the run is what it was
            finished = RunFinished(run=run_id, outcome=CANCELED)
            emit(finished)
            return finished
        except Exception as failure:
            error = as_engine_error(failure)
            finished = RunFinished(
                run=run_id, outcome=FAILED, error=error.message, remedy=error.remedy
            )
            emit(finished)
            return finished
        try:
            finished = run.train()
        except JobCanceled:
            finished = run.canceled()
        except Exception as failure:
            finished = run.failed(as_engine_error(failure))
        run.emit(finished)
        return finished


def run_all(command: RunAll, emit: Emit, control: Control) -> dict[str, Any]:
    """Do the whole main job in one process."""
    from engine.jobs.whole import run_whole_job

    return run_whole_job(command, emit, control, train)


def refit_head(command: RefitHead, emit: Emit, control: Control) -> HeadRefit:
    """Fit a decision layer to the present labels."""
    from engine.jobs import head_refit

    return head_refit.refit_head(command, emit, control)


def recommend(command: RecommendSetup, emit: Emit, control: Control) -> dict[str, Any]:
    """Say what to try first with a project."""
    from engine.jobs.recommend import recommend_for_project

    return recommend_for_project(command, emit, control)


def pretrain_backbone(command: Pretrain, emit: Emit, control: Control) -> PretrainResult:
    """Train one backbone on several projects."""
    from engine.jobs.pretraining import pretrain

    return pretrain(command, emit, control)


def as_engine_error(failure: Exception) -> EngineError:
    """Return any failure as something a user can act on; unexpected ones go to the log."""
    if isinstance(failure, EngineError):
        return failure
    if isinstance(failure, OSError) and failure.errno is not None:
        return storage_error(failure, "a file", reading=None)
    log_path = log_failure(failure)
    if isinstance(failure, MemoryError):
        return EngineError(
            "The computer ran out of memory.",
            remedy="Close other programs, or choose a smaller batch, and try again.",
        )
    if (found := explain_failure(failure)) is not None:
        return EngineError(found.problem, remedy=found.remedy)
    return EngineError(
        f"Something unexpected went wrong ({type(failure).__name__}).",
        remedy=f"Try again. If it happens again, send {log_path.name} from RadTune's log folder.",
    )


_JOBS: Final[dict[type[Command], Job]] = {
    MakeSample: data.make_sample,
    Preview: data.preview_source,
    InspectFile: data.inspect_one_file,
    Relabel: data.relabel,
    ExportLabels: data.write_label_sheet,
    Deidentify: data.copy_without_identifiers,
    Audit: results.audit_data,
    Scan: data.scan_source,
    MakeSplit: data.make_split,
    ViewImage: data.view_image,
    ListRuns: results.list_runs,
    Evaluate: results.evaluate_run,
    Robustness: results.measure_robustness,
    Export: results.export_run,
    Predict: results.predict_source,
    AddWeights: catalog.add_weights,
    ListWeights: catalog.list_weights,
    RemoveWeights: catalog.remove_weights,
    ListBackbones: catalog.list_backbones,
    RecommendSetup: recommend,
    PrepareImages: data.prepare,
    Pretrain: pretrain_backbone,
    Crossval: searching.cross_validate_settings,
    Search: searching.search,
    LrRange: searching.find_learning_rate,
    Combine: searching.combine,
    RefitHead: refit_head,
    ListMethods: results.list_methods,
    Doctor: results.doctor,
    RunAll: run_all,
}
