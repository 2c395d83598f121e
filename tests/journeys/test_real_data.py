"""The main job on real radiographs, as processes, as a user of the command line would do it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def engine(*arguments: str | Path) -> dict[str, Any]:
    """Run a command that must succeed and return its result."""
    done = subprocess.run(
        [sys.executable, "-m", "engine", *map(str, arguments), "--json"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.timeout(400)
def test_quick_tells_pneumonia_from_normal_films(shared_data: Path, tmp_path: Path) -> None:
    result = engine("run", shared_data / "cxr_pneumonia", "--out", tmp_path / "out")
    assert (result["n_images"], result["n_patients"]) == (167, 138)
    assert result["positive"] == "PNEUMONIA"
    assert result["auroc"] >= 0.99
    assert result["looks"] == 1
    assert (tmp_path / "out" / "bundle" / "bundle.json").is_file()


@pytest.mark.timeout(400)
def test_the_steps_one_by_one_with_weights_from_a_file(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(tmp_path / "weights"))
    project, source = tmp_path / "p", shared_data / "mednist_subset"
    added = engine("weights", "add", shared_data / "weights" / "squeezenet1_0_imagenet.safetensors")
    assert added["backbone"] == "squeezenet1_0"
    scanned = engine("scan", source, "--project", project)
    assert scanned["classes"] == dict.fromkeys(
        ["AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT"], 120
    )
    assert scanned["patient_source"] == "file"
    split = engine("split", "--project", project)
    assert split["overlap"] == 0
    trained = engine(
        "train", "--project", project, "--preset", "quick", "--backbone", "squeezenet1_0"
    )
    result = engine("evaluate", "--project", project, "--run", trained["run"])
    assert result["threshold"] is None
    assert len(result["per_class"]) == 6
    assert result["auroc"] > 0.99
    bundle, table = tmp_path / "bundle", tmp_path / "table.csv"
    exported = engine("export", "--project", project, "--run", trained["run"], "--out", bundle)
    assert exported["max_difference"] < 1e-4
    predicted = engine("predict", source / "Hand", "--bundle", bundle, "--out", table)
    assert predicted["n_images"] == 120
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sum(row["class"] == "Hand" for row in rows) >= 110


def test_a_split_column_is_adopted_and_proven(shared_data: Path, tmp_path: Path) -> None:
    result = engine("scan", shared_data / "nih_cxr", "--project", tmp_path / "p")
    assert result["n_patients"] == 682
    assert result["split"]["origin"] == "adopted"
    assert result["split"]["overlap"] == 0
    assert result["split"]["counts"]["test"] == {"no_finding": 62, "pneumonia": 71}
