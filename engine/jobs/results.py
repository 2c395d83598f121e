"""Jobs on finished runs, bundles and the machine; torch is loaded when one starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract.commands import (
    Audit,
    Doctor,
    Evaluate,
    Export,
    ListMethods,
    ListRuns,
    Predict,
    Robustness,
)
from engine.contract.config_io import to_plain
from engine.contract.control import Control
from engine.contract.events import Event
from engine.contract.methods import METHODS
from engine.contract.records import AuditReport
from engine.contract.results import EvaluationResult, PredictionResult, RobustnessResult
from engine.project.access import open_alone

if TYPE_CHECKING:
    from engine.export.write import Exported

Emit = Callable[[Event], None]


def audit_data(command: Audit, emit: Emit, control: Control) -> AuditReport:
    """Look for what ruins classifiers."""
    from engine.jobs.audit import audit_project

    return audit_project(command, emit, control)


def list_runs(command: ListRuns, emit: Emit, control: Control) -> dict[str, Any]:
    """Return the run history, and lines of a table for people."""
    from engine.jobs import run_list

    return run_list.list_runs(command, emit, control)


def evaluate_run(command: Evaluate, emit: Emit, control: Control) -> EvaluationResult:
    """Look at the test set with a finished run, and count it."""
    from engine.jobs.evaluation import evaluate

    with open_alone(Path(command.project), owner="an evaluation") as project:
        return evaluate(project, command.run, emit, control)


def measure_robustness(command: Robustness, emit: Emit, control: Control) -> RobustnessResult:
    """Attack and degrade images with a finished run."""
    from engine.jobs.robustness import measure_run

    return measure_run(command, emit, control)


def export_run(command: Export, emit: Emit, control: Control) -> Exported:
    """Write a bundle and verify it on real images."""
    from engine.export.write import export_bundle

    with open_alone(Path(command.project), owner="an export") as project:
        return export_bundle(
            project,
            command.run,
            Path(command.out),
            emit,
            control,
            difference_only=command.difference_only,
        )


def predict_source(command: Predict, emit: Emit, control: Control) -> PredictionResult:
    """Apply a bundle to new images."""
    from engine.export.predictor import predict

    return predict(Path(command.bundle), Path(command.source), Path(command.out), emit, control)


def list_methods(command: ListMethods, emit: Emit, control: Control) -> dict[str, Any]:
    """Return the cards of the methods, and lines of a table for people."""
    cards = [to_plain(card) for card in METHODS]
    width = max(len(card.key) for card in METHODS)
    indent = " " * (width + 2)
    lines = [
        f"{card.key:<{width}}  {card.title}: {card.advice}\n"
        f"{indent}How it works: {card.how}\n"
        f"{indent}Reference: {card.reference}."
        for card in METHODS
    ]
    return {"methods": cards, "sentences": lines}


def doctor(command: Doctor, emit: Emit, control: Control) -> dict[str, Any]:
    """Say what this machine can do, after trying it out if asked to."""
    from engine.jobs.doctor import examine

    return examine(command, emit, control)
