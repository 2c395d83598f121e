"""Jobs on finished runs, bundles and the machine; torch is loaded when one starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract.commands import AddWeights, Audit, Doctor, Evaluate, Export, Predict
from engine.contract.control import Control
from engine.contract.events import Event
from engine.contract.records import AuditReport, EvaluationResult, PredictionResult
from engine.project.access import open_alone

if TYPE_CHECKING:
    from engine.export.write import Exported

Emit = Callable[[Event], None]


def audit_data(command: Audit, emit: Emit, control: Control) -> AuditReport:
    """Look for what ruins classifiers."""
    from engine.jobs.audit import audit_project

    return audit_project(command, emit, control)


def evaluate_run(command: Evaluate, emit: Emit, control: Control) -> EvaluationResult:
    """Look at the test set with a finished run, and count it."""
    from engine.jobs.evaluation import evaluate

    with open_alone(Path(command.project), owner="an evaluation") as project:
        return evaluate(project, command.run, emit, control)


def export_run(command: Export, emit: Emit, control: Control) -> Exported:
    """Write a bundle and verify it on real images."""
    from engine.export.write import export_bundle

    with open_alone(Path(command.project), owner="an export") as project:
        return export_bundle(project, command.run, Path(command.out), emit, control)


def predict_source(command: Predict, emit: Emit, control: Control) -> PredictionResult:
    """Apply a bundle to new images."""
    from engine.export.predictor import predict

    return predict(Path(command.bundle), Path(command.source), Path(command.out), emit, control)


def add_weights(command: AddWeights, emit: Emit, control: Control) -> dict[str, Any]:
    """Recognise, check and keep a weights file."""
    from engine.models.weights import add_weights as add

    return add(Path(command.file), command.backbone)


def doctor(command: Doctor, emit: Emit, control: Control) -> dict[str, Any]:
    """Say what this machine can do."""
    from engine.contract.backbones import BACKBONES
    from engine.hardware import describe
    from engine.models.weights import weights_state

    weights = {card.key: weights_state(card.key) for card in BACKBONES}
    return {**describe(), "weights": weights}
