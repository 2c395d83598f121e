"""The whole main job in one process, from a folder of images to a verified bundle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from engine.contract.commands import Evaluate, Export, MakeSplit, Resume, RunAll, Scan, Train
from engine.contract.config import ExperimentConfig, preset_config
from engine.contract.config_io import finite, to_plain
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import EngineError, ProjectError
from engine.contract.events import CANCELED, COMPLETED, FAILED, Event, RunFinished
from engine.contract.finding_table import findings_csv
from engine.contract.records import RunSummary
from engine.contract.results import EvaluationResult
from engine.contract.run_states import INTERRUPTED
from engine.files import long_path, write_atomic, write_json
from engine.jobs.data import make_split, scan_source
from engine.jobs.results import evaluate_run, export_run
from engine.project.sources import file_key
from engine.project.store import RUN_PROJECT, Project, has_project

_RESULTS: Final = "results.json"
_FINDINGS: Final = "findings.csv"
_LONG: Final = ("cases", "roc", "val_roc")
TrainJob = Callable[[Train | Resume, Callable[[Event], None], Control], RunFinished]


def run_whole_job(
    command: RunAll, emit: Callable[[Event], None], control: Control, train: TrainJob
) -> dict[str, Any]:
    """Import, split if need be, train, evaluate and export; return the evaluation's result.

    The output folder receives ``project.radtune``, ``bundle``, ``results.json`` and ``plots``, and
    ``findings.csv`` where several findings were learned. A job that failed or was interrupted can
    be repeated there: its images aren't read again, and an interrupted training goes on.

    Args:
        command: What to do.
        emit: Receives the events of every part.
        control: Requests.
        train: Trains a run, or goes on with one, and returns its last event.

    Raises:
        EngineError: If a part fails.
        JobCanceled: If interrupted.
    """
    started = time.perf_counter()
    config = preset_config(
        command.preset, backbone=command.backbone, method=command.method, seed=command.seed
    )
    out = Path(command.out)
    project = str(out / RUN_PROJECT)
    _check_target(Path(command.source), out)
    threading.Thread(target=_load_torch, daemon=True).start()  # while the images are read
    scan = Scan(source=command.source, project=project, labels=command.labels)
    scanned = scan_source(scan, emit, control)
    if scanned.split is None:
        make_split(MakeSplit(project=project, seed=command.seed), emit, control)
    run = _trained(project, config, lambda job: train(job, emit, control))
    result = evaluate_run(Evaluate(project=project, run=run), emit, control)
    export_run(Export(project=project, run=run, out=str(out / "bundle")), emit, control)
    _write_plots(project, run, result, out / "plots")
    if result.findings:
        write_atomic(out / _FINDINGS, findings_csv(result))
    plain = _headline(result) | {"seconds": round(time.perf_counter() - started, 2)}
    write_json(out / _RESULTS, finite(plain))
    return plain


def _check_target(source: Path, out: Path) -> None:
    """Refuse an output folder where something would be lost or mixed up.

    Raises:
        ProjectError: If it is the source, holds finished results, or a project of other images.
    """
    if long_path(out).resolve() == long_path(source).resolve():
        raise ProjectError(
            "The output folder is the folder of images itself.",
            remedy="Name another folder with --out.",
        )
    project = out / RUN_PROJECT
    is_other = has_project(project) and not _is_unfinished(project, source, out)
    if is_other or (long_path(project).exists() and not long_path(project).is_dir()):
        raise ProjectError(
            "The output folder already holds a project.",
            remedy="Name another folder with --out, or remove the old one.",
        )


def _is_unfinished(project: Path, source: Path, out: Path) -> bool:
    """Return whether a project was left by the same job when it failed or was interrupted."""
    if long_path(out / _RESULTS).exists():
        return False
    root = source if long_path(source).is_dir() else source.parent
    with Project.open_or_create(project) as opened:
        return all(file_key(str(known.root)) == file_key(str(root)) for known in opened.sources())


def _trained(
    project: str, config: ExperimentConfig, train: Callable[[Train | Resume], RunFinished]
) -> str:
    """Return a finished run of the settings: the one that an earlier try left, or a new one."""
    left = _left_run(Path(project), config)
    if left is not None and left.state == COMPLETED:
        return left.id
    if left is not None:
        finished = train(Resume(project=project, run=left.id))
    else:
        finished = train(Train(project=project, config=config))
    if finished.outcome == CANCELED:
        raise JobCanceled
    if finished.outcome == FAILED:
        raise EngineError(finished.error or "Training failed.", remedy=finished.remedy or "")
    return finished.run


def _left_run(project: Path, config: ExperimentConfig) -> RunSummary | None:
    """Return the newest run of the settings, if it was finished or interrupted.

    One that failed isn't gone on with: the reason may lie in its saved state.
    """
    from engine.jobs.run_checks import with_weights_there_are

    with Project.open(project, read_only=True) as opened:
        wanted = with_weights_there_are(replace(config, image=opened.image_contract))
        for run in opened.runs(has_worker=False):
            if not run.is_stale and opened.run_config(run.id) == wanted:
                can_go_on = run.state == INTERRUPTED and run.is_resumable and not run.changes
                return run if can_go_on or run.state == COMPLETED else None
    return None


def _headline(result: EvaluationResult) -> dict[str, Any]:
    """Return the result without its per-image cases and curves."""
    plain: dict[str, Any] = to_plain(result)
    for found in plain["findings"]:
        found["result"] = {k: v for k, v in found["result"].items() if k not in _LONG}
    return {k: v for k, v in plain.items() if k not in _LONG}


def _write_plots(project: str, run: str, result: EvaluationResult, folder: Path) -> None:
    from engine.evaluate.plots import write_plots

    with Project.open(Path(project), read_only=True) as opened:
        write_plots(result, opened.run_folder(run) / "history.csv", folder)


def _load_torch() -> None:
    import engine.jobs.beginning  # noqa: F401
