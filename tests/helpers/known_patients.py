"""A small project on which weights were pre-trained, and runs that began from these and others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.contract.config import BackboneConfig, preset_config
from engine.contract.events import COMPLETED
from engine.contract.searching import ENSEMBLE
from engine.files import write_json
from engine.project.learned_before import note_pretraining
from engine.project.store import Project
from tests.helpers.made_project import make_project

DIGEST = "a" * 64
KEY = "efficientnet_lite0"
WEIGHTS = f"{KEY}-aaaaaaaa"
NAME = "two chest sets"
LISTED: dict[str, Any] = {
    "id": WEIGHTS,
    "backbone": KEY,
    "name": NAME,
    "kind": "made",
    "pretrained_on": "ImageNet-1k; then your projects “one” and “two”",
    "licence": "Apache-2.0",
    "digest": DIGEST,
    "is_noted": True,
}
"""As the engine lists the weights."""
DEVICE: dict[str, Any] = {
    "device": "cpu",
    "weights": {KEY: "embedded"},
    "added_weights": [LISTED],
}
FROM_MADE = {"state": "added", "id": WEIGHTS, "source": NAME, "digest": DIGEST}
BUILT_IN = {"state": "embedded", "source": "a package", "digest": "b" * 64}


def make_known_project(folder: Path) -> Path:
    """Write a project of 12 patients with 2 images each, and return its folder.

    Of the 8 training, 2 validation and 2 test patients the weights know 3, 1 and 1.
    """
    make_project(folder, is_split=True)
    with Project.open(folder) as project:
        of_split = {
            part: [record.id for record in project.records() if record.split == part]
            for part in ("train", "val", "test")
        }
        # One image of a patient is enough: the second is of the same body.
        learned = [*of_split["train"][0:5:2], of_split["val"][0], of_split["test"][0]]
        note_pretraining(project, DIGEST, np.array(learned, dtype=np.int64))
    return folder


def add_run(
    folder: Path,
    run: str,
    weights: dict[str, Any],
    *,
    method: str = "linear_probe",
    members: Sequence[tuple[str, dict[str, Any]]] = (),
    name: str = "pretrained",
) -> None:
    """Enter a finished run with its recipe.

    Args:
        folder: The project's.
        run: Its id.
        weights: What its recipe says of its weights.
        method: Key of the method.
        members: Ids and weights of the runs that it combines.
        name: What its settings call the weights.
    """
    config = preset_config("quick", method=method)
    if members:
        config = replace(config, method=replace(config.method, key=ENSEMBLE))
    config = replace(config, backbone=BackboneConfig(key=KEY, weights=name))
    with Project.open(folder) as project:
        project.add_run(run, config)
        project.update_run(run, outcome=COMPLETED, val_auroc=1.0, epochs=0, seconds=7.0)
        recipe = {
            "run": run,
            "weights": weights,
            "members": [{"name": each, "weights": of} for each, of in members],
        }
        project.run_folder(run).mkdir(parents=True, exist_ok=True)
        write_json(project.run_folder(run) / "recipe.json", recipe)
