"""A study whose images have several visible findings each, some unknown: real files, real import.

"left" and "right" are bright halves, each there in half of the patients whatever the other is.
"right" is unknown of every seventh patient. "rare" is in two patients alone, so that it can't be
learned.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from engine.contract.commands import MakeSplit, Scan
from engine.project.store import Project
from tests.helpers.tiny_study import CONTRACT, run_job

N_PATIENTS = 48
LEARNED = ("left", "right")


def make_findings_study(folder: Path, *, is_split: bool = True) -> Path:
    """Write images and their sheet, import them, split them; return the project's folder."""
    images = folder / "images"
    images.mkdir(parents=True)
    random = np.random.default_rng(0)
    lines = ["path,patient,left,right,rare"]
    for patient in range(N_PATIENTS):
        left, right = patient % 2, patient // 2 % 2
        for number in range(2):
            values = random.integers(0, 120, (40, 36))
            values[:20, :18] += 70 * left
            values[20:, 18:] += 70 * right
            path = images / f"p{patient:03d}_{number}.png"
            Image.fromarray(values.astype(np.uint8)).save(path)
            known = -1 if patient % 7 == 0 else right
            lines.append(f"{path.name},P{patient},{left},{known},{int(patient in (5, 9))}")
    (images / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    project = folder / "findings.radtune"
    with Project.create(project) as opened:
        opened.image_contract = CONTRACT
    run_job(Scan(source=str(images), project=str(project)))
    if is_split:
        run_job(MakeSplit(project=str(project), fractions=(0.5, 0.25, 0.25)))
    return project
