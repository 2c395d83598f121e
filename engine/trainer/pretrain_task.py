"""What one project asks of a backbone that several projects train."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.contract.targets import UNKNOWN
from engine.methods.balance import balanced_states, image_weights, inverse_frequency, state_counts
from engine.methods.findings_head import FindingsHeadLoss, fit_findings_head
from engine.methods.linear_head import LinearHead, fit_linear_head
from engine.metrics.validation import validation_auroc
from engine.models.features import PixelRows
from engine.trainer.finding_losses import FindingsLoss


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What one project gives to pre-training; its test images are not among it.

    Attributes:
        pixels: Indexed by ``train_rows`` and ``val_rows``.
        train_rows: int64, shape ``(N,)``; every class, or state of a finding, occurs.
        train_labels: Class indices of the project, int64 ``(N,)``; of several findings at once 1
            present, 0 absent, -1 unknown, int64 ``(N, K)``, of which each row knows one.
        val_rows: int64, shape ``(M,)``.
        val_labels: int64 ``(M,)`` or ``(M, K)``.
        n_classes: K, at least 2; or the number of findings.
        positive: Index of the positive class of two, else None.
        padding: ``ImageContract.padding`` of the pixels.
    """

    pixels: PixelRows
    train_rows: NDArray[np.int64]
    train_labels: NDArray[np.int64]
    val_rows: NDArray[np.int64]
    val_labels: NDArray[np.int64]
    n_classes: int
    positive: int | None
    padding: str

    @property
    def is_multi(self) -> bool:
        """Whether an image has any number of findings, not one class."""
        return self.train_labels.ndim == 2

    def draw(self, n: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return positions of ``n`` training images, each class as likely as any other.

        Of several findings images with a rare state of one come more often.
        """
        if self.is_multi:
            weights = image_weights(self.train_labels)
            return generator.choice(len(weights), size=n, p=weights / weights.sum())
        classes = generator.integers(self.n_classes, size=n)
        members = [np.flatnonzero(self.train_labels == k) for k in range(self.n_classes)]
        return np.array([generator.choice(members[k]) for k in classes], dtype=np.int64)

    def loss(self, logits: Tensor, labels: Tensor, *, label_smoothing: float) -> Tensor:
        """Return the loss of a batch as a share of that of guessing, a scalar.

        Args:
            logits: Of this task alone, ``(n, K)``.
            labels: As ``train_labels``, of the images of the batch.
            label_smoothing: Share of each label spread over the others.
        """
        if self.is_multi:
            loss = FindingsLoss(label_smoothing=label_smoothing)(logits, labels)
            return torch.as_tensor(loss / math.log(2))
        entropy = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
        return entropy / math.log(self.n_classes)

    def weigh(self, labels: Tensor) -> float:
        """Return by how much :meth:`loss` divides: the findings that are known, or the images.

        Args:
            labels: On the CPU, as :meth:`loss` takes them.
        """
        return float((labels != UNKNOWN).sum()) if self.is_multi else float(len(labels))

    def fit_head(self, features: NDArray[np.float32], widths: Sequence[int]) -> LinearHead:
        """Return a decision layer fitted to the features of a network that isn't trained yet.

        Args:
            features: Of the training, then of the validation images, ``(N + M, F)``.
            widths: Widths of the feature blocks, summing to F.
        """
        n = len(self.train_rows)
        train, val = (features[:n], self.train_labels), (features[n:], self.val_labels)
        if self.is_multi:
            weights = balanced_states(state_counts(self.train_labels))
            loss = FindingsHeadLoss(state_weights=weights)
            return fit_findings_head(train, val, widths=widths, loss=loss)
        counts = np.bincount(self.train_labels, minlength=self.n_classes)
        return fit_linear_head(
            train,
            val,
            widths=widths,
            class_weights=inverse_frequency(counts),
            score=partial(validation_auroc, positive=self.positive),
        )

    def measured(self, logits: Tensor) -> tuple[float, float]:
        """Return the AUROC (a mean above two classes, or over findings) and the loss.

        Args:
            logits: Of the validation images, float64 ``(M, K)``.
        """
        labels = torch.from_numpy(self.val_labels)
        if self.is_multi:
            probabilities, loss = logits.sigmoid(), FindingsLoss()(logits, labels)
        else:
            probabilities, loss = logits.softmax(dim=1), F.cross_entropy(logits, labels)
        auroc = validation_auroc(probabilities.numpy(), self.val_labels, self.positive)
        return auroc, float(loss)


def n_outputs(tasks: Sequence[Task]) -> int:
    """Return how many logits a network needs: a block of its own for each task."""
    return sum(task.n_classes for task in tasks)


def blocks_of(tasks: Sequence[Task]) -> list[slice]:
    """Return which of the logits belong to each task."""
    ends = np.cumsum([task.n_classes for task in tasks]).tolist()
    return [slice(end - task.n_classes, end) for task, end in zip(tasks, ends, strict=True)]
