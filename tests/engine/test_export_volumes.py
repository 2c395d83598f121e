"""The bundle of a project whose images are slices of volumes."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel
import numpy as np

from engine.contract.commands import Export, MakeSplit, Predict, Scan
from engine.contract.events import COMPLETED
from engine.contract.import_rules import FramePolicy
from engine.project.store import Project
from tests.helpers.tiny_study import CONTRACT, run_job, small_config, train


def _project_of_volumes(folder: Path, policy: FramePolicy) -> Path:
    random = np.random.default_rng(0)
    for k in range(24):
        volume = random.integers(0, 120, (40, 12, 36)).astype(np.int16)
        volume[:20, :, 18 * (k % 2) : 18 * (k % 2) + 18] += 100
        path = folder / "volumes" / "ab"[k % 2] / f"{k:02d}.nii"
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.nifti1.Nifti1Image(volume, np.eye(4)), path)
    project = folder / "coronal.radtune"
    with Project.create(project) as opened:
        opened.image_contract = CONTRACT
    run_job(Scan(source=str(folder / "volumes"), project=str(project), frames=policy))
    run_job(MakeSplit(project=str(project)))
    return project


def test_a_classifier_of_coronal_slices_is_verified_on_coronal_slices(tmp_path):
    project = _project_of_volumes(tmp_path, FramePolicy(axis="coronal"))
    finished, _ = train(project, small_config("linear_probe"))
    assert finished.outcome == COMPLETED
    exported = run_job(Export(project=str(project), run=finished.run, out=str(tmp_path / "bundle")))
    assert exported["max_difference"] < 1e-3


def test_new_volumes_are_cut_as_those_of_the_training_were(tmp_path):
    policy = FramePolicy(frames="every", step=5, axis="coronal")
    project = _project_of_volumes(tmp_path, policy)
    finished, _ = train(project, small_config("linear_probe"))
    bundle, out = tmp_path / "bundle", tmp_path / "table.csv"
    run_job(Export(project=str(project), run=finished.run, out=str(bundle)))
    source = tmp_path / "volumes" / "a"
    result = run_job(Predict(bundle=str(bundle), source=str(source), out=str(out)))
    with out.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0])[:6] == ["path", "frame", "patient", "class", "p_a", "p_b"]
    expected = [(f"{k:02d}.nii", frame) for k in range(0, 24, 2) for frame in ("0", "5", "10")]
    assert sorted((row["path"], row["frame"]) for row in rows) == sorted(expected)
    assert result["n_images"] == len(expected)
    n_right = sum(row["class"] == "a" for row in rows)
    assert n_right > 0.8 * len(rows)  # they were learned from


def test_every_item_of_a_table_of_images_is_predicted(tmp_path):
    project = _project_of_volumes(tmp_path, FramePolicy(axis="coronal"))
    finished, _ = train(project, small_config("linear_probe"))
    bundle, out = tmp_path / "bundle", tmp_path / "table.csv"
    run_job(Export(project=str(project), run=finished.run, out=str(bundle)))
    images = np.random.default_rng(1).integers(0, 255, (70, 28, 28), dtype=np.uint8)
    source = tmp_path / "items.npz"
    np.savez(source, test_images=images, test_labels=np.zeros((70, 1), dtype=np.uint8))
    result = run_job(Predict(bundle=str(bundle), source=str(source), out=str(out)))
    assert [row["frame"] for row in result["rows"]] == list(range(70))
