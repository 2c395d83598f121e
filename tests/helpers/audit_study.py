"""Projects whose faults are known by construction, imported from real files and a real sheet."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.audit.study import Study
from engine.contract.commands import Scan
from engine.contract.config import ImageContract
from engine.contract.records import Finding
from engine.project.store import Project
from tests.helpers.tiny_study import run_job

SIZE_PX = 32
SPLIT = ("train", "train", "train", "val", "test")


@dataclass(frozen=True)
class Made:
    """An image to write.

    Attributes:
        values: Grey levels, uint8.
        columns: Further cells of the sheet.
        name: File name; None takes a number.
    """

    values: NDArray[np.uint8]
    label: str
    patient: str
    split: str | None = None
    columns: dict[str, Any] = field(default_factory=dict)
    name: str | None = None


def scene(seed: int, shape: tuple[int, int] = (96, 96)) -> NDArray[np.uint8]:
    """Return a picture like no other of another seed: blobs and streaks of all sizes."""
    random = np.random.default_rng(seed)
    height, width = shape
    y, x = np.mgrid[:height, :width] / max(shape)
    picture = np.zeros(shape)
    for size in (2, 4, 8, 16):
        phase, turn = random.uniform(0, 2 * np.pi, 2)
        wave = size * (x * np.cos(turn) + y * np.sin(turn))
        picture += np.sin(2 * np.pi * wave + phase) / size**0.5
    for _ in range(12):
        cx, cy, radius = random.uniform(0, 1, 3) * (1, 1, 0.15)
        picture += random.normal() * np.exp(
            -((x - cx) ** 2 + (y - cy) ** 2) / (2 * radius**2 + 1e-4)
        )
    picture -= picture.min()
    return np.asarray(np.rint(20 + 210 * picture / picture.max()), dtype=np.uint8)


def study_of(n_patients: int, *, per_patient: int = 1, seed: int = 0) -> list[Made]:
    """Return sound images: two classes in turn, split by patient, nothing that gives them away."""
    made = []
    for patient in range(n_patients):
        label = "ab"[patient % 2]
        for image in range(per_patient):
            made.append(
                Made(
                    values=scene(10_000 * seed + patient * per_patient + image),
                    label=label,
                    patient=f"p{patient:03d}",
                    split=SPLIT[patient // 2 % len(SPLIT)],
                )
            )
    return made


def import_study(folder: Path, made: Sequence[Made], *, fit: str = "letterbox") -> Path:
    """Write images and their sheet, import them, and return the project's folder."""
    source, project = folder / "images", folder / "made.radtune"
    source.mkdir(parents=True)
    extra = sorted({column for image in made for column in image.columns})
    has_split = all(image.split for image in made)
    header = ["path", "label", "patient_id", *(["split"] if has_split else []), *extra]
    with (source / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        sheet = csv.DictWriter(stream, header)
        sheet.writeheader()
        for number, image in enumerate(made):
            name = image.name or f"i{number:03d}.png"
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.values).save(source / name)
            row = {"path": name, "label": image.label, "patient_id": image.patient}
            if has_split:
                row["split"] = image.split or ""
            sheet.writerow(row | {k: str(v) for k, v in image.columns.items()})
    with Project.create(project) as opened:
        opened.image_contract = ImageContract(size_px=SIZE_PX, fit=fit)
    run_job(Scan(source=str(source), project=str(project)))
    return project


@contextmanager
def opened_study(project: Path):
    """Open a project and what an audit looks at."""
    with Project.open(project) as opened:
        yield Study(opened)


def only(findings: Sequence[Finding], kind: str, **facts: str) -> Finding:
    """Return the one finding of a kind, with such severity or key if given."""
    found = [
        finding
        for finding in findings
        if finding.kind == kind
        and all(getattr(finding, name) == value for name, value in facts.items())
    ]
    assert len(found) == 1, [(f.kind, f.key, f.severity) for f in findings]
    return found[0]


def numbers_of(study: Study, finding: Finding) -> list[int]:
    """Return which of the written images a finding concerns, by their place in the list."""
    place = {int(record): index for index, record in enumerate(study.record_ids)}
    return [place[record] for record in finding.records]
