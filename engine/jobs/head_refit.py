"""Fitting the decision layer alone, quickly enough to follow someone who relabels images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.contract.commands import RefitHead
from engine.contract.config import preset_config
from engine.contract.control import Control
from engine.contract.errors import DatasetError
from engine.contract.events import Event, JobProgressed
from engine.contract.records import HeadRefit
from engine.hardware import apply_runtime, resolve_runtime
from engine.jobs.trials import TrialBench
from engine.project.access import open_alone
from engine.project.table import TrainingTable


def refit_head(command: RefitHead, emit: Callable[[Event], None], control: Control) -> HeadRefit:
    """Fit a linear probe to the present labels and say how good it is on validation.

    The division of the images is taken as it is, also where labels have changed since it was made:
    what is wanted is whether they have become better. Images that came later are in no part.

    Raises:
        DatasetError: If a part lacks a class.
        ProjectError: If the project can't be written.
    """

    def show(stage: str, done: int, total: int) -> None:
        emit(JobProgressed(kind="refit_head", stage=stage, done=done, total=total))

    with open_alone(Path(command.project), owner="a fit of the decision layer") as project:
        table = project.training_table()
        _require_classes(table)
        config = preset_config("quick", backbone=command.backbone, method="linear_probe")
        config = replace(config, image=project.image_contract)
        runtime = resolve_runtime(config.runtime)
        apply_runtime(runtime)
        bench = TrialBench(
            project=project, table=table, image=config.image, runtime=runtime, control=control
        )
        result = bench.train(config, on_progress=show)
    return HeadRefit(
        val_auroc=result.val_auroc,
        n_train=int((table.split == 0).sum()),
        n_val=int((table.split == 1).sum()),
        seconds=result.seconds,
    )


def _require_classes(table: TrainingTable) -> None:
    for code, name in ((0, "training"), (1, "validation")):
        if len(np.unique(table.labels[table.split == code])) < max(2, len(table.class_names)):
            raise DatasetError(
                f"The {name} images don't hold all classes, so there is nothing to measure yet.",
                remedy="Make a split, or label more images.",
            )
