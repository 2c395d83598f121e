"""Small projects made through ``engine.project`` alone: no import, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.contract.records import SPLITS, SplitSummary
from engine.project.records import NewRecord
from engine.project.segments import SegmentWriter
from engine.project.store import Project
from engine.project.thumbnails import THUMBNAIL_PX, ThumbnailWriter


def make_project(
    folder: Path,
    *,
    classes: Sequence[str] = ("Normal", "Pneumonia"),
    n_patients: int = 12,
    per_patient: int = 2,
    is_split: bool = False,
    has_originals: bool = True,
) -> Path:
    """Write a project and return its folder.

    Patient ``i`` has the class ``i % len(classes)``; every pixel of record ``r`` is ``10 + r``.

    Args:
        folder: Where the project goes; the originals lie beside it.
        classes: Names of the classes.
        n_patients: Number of patients.
        per_patient: Images of each patient.
        is_split: Whether the patients are divided, 4 : 1 : 1 in turn.
        has_originals: Whether the original files exist.
    """
    root = folder.with_suffix(".images")
    with Project.create(folder) as project:
        source = project.add_source(root, "folder")
        class_ids = [project.add_class(name) for name in classes]
        records: list[NewRecord] = []
        for patient in range(n_patients):
            patient_id = project.patient(f"patient {patient}")
            for image in range(per_patient):
                row = len(records)
                records.append(
                    NewRecord(
                        source_id=source,
                        path=f"series {patient % 3}/image {row:03d}.png",
                        row=row,
                        class_id=class_ids[patient % len(classes)],
                        patient_id=patient_id,
                        format="PNG",
                        modality="CR" if image else "DX",
                        width=64,
                        height=48,
                        bits=8,
                        window_center=128.0,
                        window_width=256.0,
                        dicom={"Modality": "CR", "View": "PA"},
                    )
                )
        ids = project.add_records(records)
        _write_pixels(project, len(records))
        if is_split:
            _split(project, ids, per_patient)
    if has_originals:
        for record in records:
            (root / record.path).parent.mkdir(parents=True, exist_ok=True)
            (root / record.path).write_bytes(b"not really an image")
    return folder


def _write_pixels(project: Project, n_rows: int) -> None:
    size = project.image_contract.size_px
    kind = f"pixels-{project.image_contract.key()}"
    with (
        ThumbnailWriter(project) as thumbnails,
        SegmentWriter(project, kind, (size, size), np.uint8) as pixels,
    ):
        for row in range(n_rows):
            value = (10 + row) % 256
            thumbnails.append(row, np.full((THUMBNAIL_PX, THUMBNAIL_PX), value, np.uint8))
            pixels.append(np.full((size, size), value, np.uint8), [row])


def _split(project: Project, ids: Sequence[int], per_patient: int) -> None:
    parts = ("train", "train", "train", "train", "val", "val", "test", "test")
    assignment = {id_: parts[(i // per_patient) % len(parts)] for i, id_ in enumerate(ids)}
    by_id = {record.id: record for record in project.records()}
    names = {c.id: c.name for c in project.classes()}
    counts = {split: dict.fromkeys(names.values(), 0) for split in SPLITS}
    patients: dict[str, set[int]] = {split: set() for split in SPLITS}
    for id_, split in assignment.items():
        record = by_id[id_]
        counts[split][names[record.class_id or 0]] += 1
        patients[split].add(record.patient_id)
    summary = SplitSummary(
        origin="made",
        counts=counts,
        n_patients={split: len(members) for split, members in patients.items()},
        overlap=0,
        unit="patient",
        seed=0,
        fractions=(0.5, 0.25, 0.25),
        digest="0123456789abcdef",
    )
    project.save_split(assignment, summary)
