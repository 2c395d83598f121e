"""The whole main job in one process, from a folder of images to a verified bundle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.contract.commands import Evaluate, Export, MakeSplit, RunAll, Scan, Train
from engine.contract.config import preset_config
from engine.contract.config_io import finite, to_plain
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import EngineError, ProjectError
from engine.contract.events import CANCELED, FAILED, Event, RunFinished
from engine.contract.records import EvaluationResult
from engine.files import write_json
from engine.jobs.data import make_split, scan_source
from engine.jobs.results import evaluate_run, export_run
from engine.project.store import Project

TrainJob = Callable[[Train, Callable[[Event], None], Control], RunFinished]


def run_whole_job(
    command: RunAll, emit: Callable[[Event], None], control: Control, train: TrainJob
) -> dict[str, Any]:
    """Import, split if need be, train, evaluate and export; return the evaluation's result.

    The output folder receives ``project.radtune``, ``bundle``, ``results.json`` and ``plots``.

    Args:
        command: What to do.
        emit: Receives the events of every part.
        control: Requests.
        train: Trains a run and returns its last event.

    Raises:
        EngineError: If a part fails.
        JobCanceled: If interrupted.
    """
    started = time.perf_counter()
    out = Path(command.out)
    project = str(out / "project.radtune")
    if Path(project).exists():
        raise ProjectError(
            "The output folder already holds a project.",
            remedy="Name another folder with --out, or remove the old one.",
        )
    threading.Thread(target=_load_torch, daemon=True).start()  # while the images are read
    scan = Scan(source=command.source, project=project, labels=command.labels)
    scanned = scan_source(scan, emit, control)
    if scanned.split is None:
        make_split(MakeSplit(project=project, seed=command.seed), emit, control)
    config = preset_config(
        command.preset, backbone=command.backbone, method=command.method, seed=command.seed
    )
    run = _trained(train(Train(project=project, config=config), emit, control))
    result = evaluate_run(Evaluate(project=project, run=run), emit, control)
    export_run(Export(project=project, run=run, out=str(out / "bundle")), emit, control)
    _write_plots(project, run, result, out / "plots")
    plain = _headline(result) | {"seconds": round(time.perf_counter() - started, 2)}
    write_json(out / "results.json", finite(plain))
    return plain


def _trained(finished: RunFinished) -> str:
    if finished.outcome == CANCELED:
        raise JobCanceled
    if finished.outcome == FAILED:
        raise EngineError(finished.error or "Training failed.", remedy=finished.remedy or "")
    return finished.run


def _headline(result: EvaluationResult) -> dict[str, Any]:
    """Return the result without its per-image cases and curves."""
    plain: dict[str, Any] = to_plain(result)
    return {k: v for k, v in plain.items() if k not in ("cases", "roc", "val_roc")}


def _write_plots(project: str, run: str, result: EvaluationResult, folder: Path) -> None:
    from engine.evaluate.plots import write_plots

    with Project.open(Path(project), read_only=True) as opened:
        write_plots(result, opened.run_folder(run) / "history.csv", folder)


def _load_torch() -> None:
    import engine.jobs.training  # noqa: F401
