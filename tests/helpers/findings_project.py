"""A small project whose images have several findings each, made through ``engine.project``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from engine.project.classes import MULTI
from engine.project.labels import set_many_findings
from engine.project.records import NewRecord
from engine.project.store import Project
from engine.project.thumbnails import THUMBNAIL_PX, ThumbnailWriter

FINDINGS: Final = ("Pneumonia", "Effusion", "Nodule")
_VALUES: Final[tuple[dict[int, int | None], ...]] = (
    {0: 1, 1: 1, 2: 0},
    {0: 1, 1: 0, 2: None},
    {0: 0, 1: 0, 2: 0},
    {},
)
"""Both, one and one unknown, none, and an image that nobody has read."""


def make_findings_project(folder: Path, *, n_images: int = 12) -> Path:
    """Write a project and return its folder.

    The findings of image ``i`` are ``_VALUES[i % 4]``; each patient has a study of two images;
    sites, views and sexes take turns. Findings came with the import: there is nothing to undo.
    """
    root = folder.with_suffix(".images")
    with Project.create(folder) as project:
        project.set_task(MULTI)
        source = project.add_source(root, "folder")
        classes = [project.add_class(name) for name in FINDINGS]
        records = [
            NewRecord(
                source_id=source,
                path=f"image {row:03d}.png",
                row=row,
                patient_id=project.patient(f"patient {row // 2}"),
                study=project.study(f"study {row // 2}"),
                site=project.site(("North", "South")[row // 2 % 2]),
                view=("PA", "AP", None)[row % 3],
                sex="FM"[row // 2 % 2],
                age=40.0 + row,
                format="PNG",
                modality="DX",
                width=64,
                height=48,
            )
            for row in range(n_images)
        ]
        ids = project.add_records(records)
        found = {
            record: {classes[k]: value for k, value in _VALUES[row % 4].items()}
            for row, record in enumerate(ids)
        }
        set_many_findings(project, found, who="import")
        project.db.execute("UPDATE label_history SET state = 'dropped'")
        with ThumbnailWriter(project) as thumbnails:
            for row in range(n_images):
                thumbnails.append(row, np.full((THUMBNAIL_PX, THUMBNAIL_PX), row, np.uint8))
    for record in records:
        root.mkdir(exist_ok=True)
        (root / record.path).write_bytes(b"not really an image")
    return folder
