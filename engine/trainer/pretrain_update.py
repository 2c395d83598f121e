"""Updates of a network that several projects train: a batch is drawn from each of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.contract.config import ExperimentConfig
from engine.data.transforms import Augment, pixels_to_batch
from engine.hardware import Runtime
from engine.methods.method import FineTuneMethod
from engine.models.network import Network
from engine.trainer.pretrain_task import Task, blocks_of
from engine.trainer.update import BatchUpdater

_FEWEST_OF_A_TASK: Final = 4  # images in a batch, so that one update sees several of each task


@dataclass(frozen=True, kw_only=True, eq=False)
class PretrainSetup:
    """What a pre-training is made with; settings as ``Pretrainer`` takes them."""

    tasks: tuple[Task, ...]
    config: ExperimentConfig
    runtime: Runtime


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """The images of a batch, task after task.

    Attributes:
        chosen: For each task positions of its training images, int64.
    """

    chosen: tuple[NDArray[np.int64], ...]

    def __len__(self) -> int:
        """Return the number of images."""
        return sum(len(chosen) for chosen in self.chosen)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Piece:
    """What belongs to one task in a part of a batch, and its share in the task's loss."""

    task: int
    labels: Tensor
    share: float


class PretrainUpdater(BatchUpdater[Drawn]):
    """Changes a network by batches that hold as many images of each task."""

    def __init__(self, network: Network, method: FineTuneMethod, setup: PretrainSetup) -> None:
        super().__init__(network, method, setup)
        self._setup, self._tasks = setup, setup.tasks
        self._blocks = blocks_of(self._tasks)
        size = setup.config.optimizer.batch_size
        self._n_each = max(_FEWEST_OF_A_TASK, size // len(self._tasks))
        self.n_images = self._n_each * len(self._tasks)
        augmentation = setup.config.augmentation
        self._augments = [Augment(augmentation, padding=task.padding) for task in self._tasks]

    def draw(self, seed: int) -> Drawn:
        """Return a batch of ``n_images``, as many of each task."""
        numbers = np.random.default_rng(seed)
        return Drawn(chosen=tuple(task.draw(self._n_each, numbers) for task in self._tasks))

    def example(self, n: int) -> Drawn:
        """Return the first images of a batch."""
        chosen, left = [], n
        for own in self.draw(0).chosen:
            chosen.append(own[:left])
            left -= len(chosen[-1])
        return Drawn(chosen=tuple(chosen))

    def copied(self) -> PretrainUpdater:
        """Return one that changes a copy of the network and of everything else."""
        network, method = copy.deepcopy((self._network, self._method))
        return PretrainUpdater(network, method, self._setup)

    def _parts(
        self, batch: Drawn, bounds: Sequence[tuple[int, int]], seed: int
    ) -> Iterator[Callable[[], Tensor]]:
        moves = torch.Generator().manual_seed(seed)
        ends = np.cumsum([len(chosen) for chosen in batch.chosen]).tolist()
        held, images = -1, torch.empty(0)
        for start, stop in bounds:
            shown, pieces = [], []
            for task, (chosen, end) in enumerate(zip(batch.chosen, ends, strict=True)):
                begin = end - len(chosen)
                part = slice(max(start, begin) - begin, min(stop, end) - begin)
                if part.start >= part.stop:
                    continue
                if task != held:  # each once, in order: their random changes follow each other
                    held, images = task, self._read(task, chosen, moves)
                shown.append(images[part])
                pieces.append(self._piece(task, chosen, part))
            together = torch.cat(shown)
            shown.clear()
            yield partial(self._loss, together, pieces)

    def _read(self, task: int, chosen: NDArray[np.int64], moves: torch.Generator) -> Tensor:
        own = self._tasks[task]
        images = pixels_to_batch(own.pixels.read(own.train_rows[chosen]), self._runtime.device)
        changed = self._augments[task](images, moves)
        return changed.expand(-1, 3, -1, -1)  # grey and colour together

    def _piece(self, task: int, chosen: NDArray[np.int64], part: slice) -> _Piece:
        own = self._tasks[task]
        labels = torch.from_numpy(own.train_labels[chosen])
        return _Piece(
            task=task,
            labels=labels[part].to(self._runtime.device),
            share=own.weigh(labels[part]) / own.weigh(labels),
        )

    def _loss(self, images: Tensor, pieces: Sequence[_Piece]) -> Tensor:
        """Return a part's share of the mean of the tasks' losses, each a share of guessing's."""
        logits = self._network(images).float().split([len(piece.labels) for piece in pieces])
        smoothing = self._config.loss.label_smoothing
        losses = []
        for own, piece in zip(logits, pieces, strict=True):
            block = own[:, self._blocks[piece.task]]
            loss = self._tasks[piece.task].loss(block, piece.labels, label_smoothing=smoothing)
            losses.append(loss * piece.share)
        return torch.stack(losses).mean() * (len(losses) / len(self._tasks))
