"""A study small enough to train on in seconds: real files, real import, real network, 32 pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.contract.commands import MakeSplit, Scan, Train
from engine.contract.config import ExperimentConfig, ImageContract, preset_config
from engine.contract.control import Control
from engine.contract.events import COMPLETED, Event, JobFinished, RunFinished
from engine.contract.import_rules import PatientRule
from engine.project.store import Project
from engine.run import execute

SIZE_PX = 32
CONTRACT = ImageContract(size_px=SIZE_PX)


def write_images(
    folder: Path, *, n_patients: int = 30, classes: tuple[str, ...] = ("a", "b")
) -> Path:
    """Write two noisy images a patient, one folder a class; the class is a bright quarter."""
    random = np.random.default_rng(0)
    for patient in range(n_patients):
        k = patient % len(classes)
        for image in range(2):
            values = random.integers(0, 120, (40, 36))
            values[:20, 18 * (k % 2) : 18 * (k % 2) + 18] += 60 + 20 * k
            path = folder / classes[k] / f"p{patient:03d}_{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(path)
    return folder


def make_study(folder: Path, **images: Any) -> Path:
    """Write images, import them and split them; return the project's folder."""
    source = write_images(folder / "images", **images)
    project = folder / "tiny.radtune"
    with Project.create(project) as opened:
        opened.image_contract = CONTRACT
    rule = PatientRule(source="pattern", pattern=r"p\d+")
    run_job(Scan(source=str(source), project=str(project), patient_rule=rule))
    run_job(MakeSplit(project=str(project)))
    return project


def run_job(command: Any) -> dict[str, Any]:
    """Perform a command that must complete, and return its result."""
    finished = execute(command, lambda event: None, Control())
    assert isinstance(finished, JobFinished)
    assert finished.outcome == COMPLETED, (finished.error, finished.remedy)
    return finished.result


def small_config(
    method: str = "full_finetune", *, max_epochs: int = 2, seed: int = 0
) -> ExperimentConfig:
    """Return settings for training in a second or two: plain arithmetic, one thread."""
    config = preset_config("standard", method=method, seed=seed)
    return replace(
        config,
        method=replace(config.method, max_epochs=max_epochs, patience=max_epochs),
        optimizer=replace(config.optimizer, batch_size=8),
        runtime=replace(config.runtime, device="cpu", precision="fp32", threads=1),
        evaluation=replace(config.evaluation, bootstrap_resamples=200),
    )


def train(
    project: Path, config: ExperimentConfig | None = None, control: Control | None = None
) -> tuple[RunFinished, list[Event]]:
    """Train and return the last event and all events."""
    events: list[Event] = []
    command = Train(project=str(project), config=config or small_config())
    finished = execute(command, events.append, control or Control())
    assert isinstance(finished, RunFinished)
    return finished, events
