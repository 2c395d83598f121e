"""Training on any division of a project's images without making a run of it.

Cross-validation, the search, and methods that choose a setting by trying all train this way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.contract.config import ExperimentConfig
from engine.data.transforms import test_time_views
from engine.evaluate.score import kept_network
from engine.files import make_folder
from engine.jobs.bench import Bench, Progress, ignore
from engine.jobs.head_probabilities import head_probabilities
from engine.jobs.one_trial import OneTrial, TrialResult
from engine.methods.method import FineTuneMethod, MethodContext
from engine.methods.registry import get_method
from engine.models.network import Network
from engine.models.weights import body_name
from engine.project.table import TrainingTable
from engine.trainer.steps import predict_probabilities


@dataclass(frozen=True, kw_only=True)
class TrialBench(Bench):
    """Where trials are made; nothing but features is written unless a trial is given a folder.

    Trials that name no images use the table's training and validation part.
    """

    def fresh(
        self, config: ExperimentConfig, method: FineTuneMethod
    ) -> tuple[Network, MethodContext]:
        """Return a network as it was pre-trained, and what its method works with.

        The parts are those of the table.
        """
        config = replace(config, image=self.image)
        table = _with_parts(self.table, None, None)
        return OneTrial(self, config, table, method=method).begin(is_nested=True)

    def predict(
        self, config: ExperimentConfig, folder: Path, chosen: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return what the network that a trial kept says of images, ``(N, K)``, as a run does.

        Args:
            config: Of the trial.
            folder: Of the trial.
            chosen: Indices into the table.

        Raises:
            JobCanceled: If the job was asked to cancel.
            RunError: If the trial kept no network.
        """
        config = replace(config, image=self.image)
        n_classes = len(self.table.class_names)
        network = self.patiently(lambda: kept_network(config, n_classes, folder))
        network = network.to(self.runtime.device).eval()
        rows, n_views = self.table.rows[chosen], config.evaluation.test_time_views
        if n_views == 1 and not get_method(config.method.key).trains_epochs:
            backbone = config.backbone  # its body is still the one that training began with
            body = body_name(backbone.key, backbone.weights, config.seed)
            return head_probabilities(
                network, self.features(network, rows, self.control, body=body)
            )
        views = partial(test_time_views, n=n_views, padding=self.image.padding)
        return predict_probabilities(
            network,
            self.pixels(self.control),
            rows,
            self.runtime,
            views=views if n_views > 1 else None,
            on_batch=lambda *_: self.control.safe_point(),
        )

    def train(
        self,
        config: ExperimentConfig,
        *,
        train: NDArray[np.int64] | None = None,
        val: NDArray[np.int64] | None = None,
        seconds: float | None = None,
        folder: Path | None = None,
        epochs: int | None = None,
        on_progress: Progress = ignore,
        is_nested: bool = False,
    ) -> TrialResult:
        """Train from the pre-trained weights and return what validation says.

        Random numbers follow from the settings' seed alone. The global state of torch's generator
        is used up as by any training.

        Args:
            config: All settings; its number of epochs is the budget in passes. Its image contract
                gives way to the bench's.
            train: Indices into the table to learn from; None takes the training part.
            val: Indices to validate on, likewise.
            seconds: Time after which training stops after the batch in progress and its best
                epoch counts, without pauses; None sets no limit.
            folder: Where the state and the best weights are kept, as in the folder of a run: a
                trial that was interrupted goes on from there. None keeps nothing.
            epochs: Epoch to end with, while the schedule stays that of the settings; None for
                theirs.
            on_progress: Called with a stage in plain words, and how much of it is done.
            is_nested: Whether this is a trial within a trial: its method can't try further.

        Raises:
            JobCanceled: If the job was asked to cancel; with a folder, the state is kept if it was
                interrupted.
            TimeIsUp: If the time was up before the first epoch began.
        """
        config = replace(config, image=self.image)
        if folder is not None:
            self.patiently(lambda: make_folder(folder, parents=False))
        trial = OneTrial(
            self,
            config,
            _with_parts(self.table, train, val),
            seconds=seconds,
            folder=folder,
            last_epoch=epochs,
            on_progress=on_progress,
        )
        return trial.run(is_nested=is_nested)


def _with_parts(
    table: TrainingTable, train: NDArray[np.int64] | None, val: NDArray[np.int64] | None
) -> TrainingTable:
    """Return the table with other training and validation images; whatever is left is in no part.

    Raises:
        ValueError: If an image is in both.
    """
    train = np.flatnonzero(table.split == 0) if train is None else train
    val = np.flatnonzero(table.split == 1) if val is None else val
    if len(np.intersect1d(train, val)):
        raise ValueError("an image can't be in training and in validation")
    split = np.full(len(table.split), -1, dtype=np.int8)
    split[train], split[val] = 0, 1
    return replace(table, split=split)
