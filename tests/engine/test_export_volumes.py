"""The bundle of a project whose images are slices of volumes."""

from __future__ import annotations

import nibabel
import numpy as np

from engine.contract.commands import Export, MakeSplit, Scan
from engine.contract.events import COMPLETED
from engine.contract.records import FramePolicy
from engine.project.store import Project
from tests.helpers.tiny_study import CONTRACT, run_job, small_config, train


def test_a_classifier_of_coronal_slices_is_verified_on_coronal_slices(tmp_path):
    random = np.random.default_rng(0)
    for k in range(24):
        volume = random.integers(0, 120, (40, 12, 36)).astype(np.int16)
        volume[:20, :, 18 * (k % 2) : 18 * (k % 2) + 18] += 100
        path = tmp_path / "volumes" / "ab"[k % 2] / f"{k:02d}.nii"
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.nifti1.Nifti1Image(volume, np.eye(4)), path)
    project = tmp_path / "coronal.radtune"
    with Project.create(project) as opened:
        opened.image_contract = CONTRACT
    policy = FramePolicy(axis="coronal")
    run_job(Scan(source=str(tmp_path / "volumes"), project=str(project), frames=policy))
    run_job(MakeSplit(project=str(project)))
    finished, _ = train(project, small_config("linear_probe"))
    assert finished.outcome == COMPLETED
    exported = run_job(Export(project=str(project), run=finished.run, out=str(tmp_path / "bundle")))
    assert exported["max_difference"] < 1e-3
