"""What the checks look at: the usable images of a project, with what is costly made only once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.control import Control
from engine.contract.errors import DatasetError
from engine.contract.events import Warned
from engine.data.pixels import open_pixels, pixel_kind
from engine.project.classes import MULTI
from engine.project.facts import ImageFacts, image_facts
from engine.project.segment_reader import SegmentReader
from engine.project.store import Project
from engine.project.table import FindingsTable, TrainingTable

if TYPE_CHECKING:
    from engine.audit.pictures import Pictures

Progress = Callable[[int, int], None]
"""Takes how many of how many are done; raises ``JobCanceled`` if the user has had enough."""
UNASSIGNED: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """A class or finding against the rest, on the images of which it is known.

    Attributes:
        name: The class.
        other: What the rest is called: the other of two classes, or "the other classes".
        is_positive: bool, shape ``(N,)``; False where nothing is known.
        is_known: bool, shape ``(N,)``.
    """

    name: str
    other: str
    is_positive: NDArray[np.bool_]
    is_known: NDArray[np.bool_]


class Study:
    """The usable images of a project, by record id.

    Attributes:
        project: The project.
        record_ids: int64 ``(N,)``, increasing.
        rows: Rows in the thumbnail and pixel segments, int64 ``(N,)``.
        labels: Equal for images with the same class, or with the same findings, int64 ``(N,)``.
        groups: What a split keeps together, int64 ``(N,)``.
        patients: Row ids of patients, int64 ``(N,)``.
        split: int8 ``(N,)``: 0 train, 1 validation, 2 test, -1 none.
        class_names: Classes or findings in use.
        has_one_class: Whether an image has one class, not several findings.
        targets: What is to be told apart: one for two classes, else one for each class or finding.
        unit: What most groups really are: ``patient``, ``study`` or ``file``.
        tick: Called by long checks; set by whoever runs them.
        warn: Takes what the user has to be told meanwhile; likewise.
        control: Asked by what takes one.
    """

    def __init__(
        self, project: Project, *, tick: Progress | None = None, control: Control | None = None
    ) -> None:
        self.project = project
        self.tick: Progress = tick or (lambda done, total: None)
        self.warn: Callable[[Warned], None] = lambda warned: None
        self.control = control or Control()
        self.has_one_class = project.task != MULTI
        table: TrainingTable | FindingsTable
        if self.has_one_class:
            table = project.training_table()
            self.labels = table.labels
            self.targets = _class_targets(table.labels, table.class_names, table.positive)
        else:
            table = project.findings_table()
            self.labels, self.targets = _finding_targets(table)
        self.record_ids, self.rows = table.record_ids, table.rows
        self.groups, self.patients, self.split = table.groups, table.patients, table.split
        self.class_names, self.unit = table.class_names, table.unit

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self.record_ids)

    @property
    def has_split(self) -> bool:
        """Whether any image is in a part of a split."""
        return bool((self.split != UNASSIGNED).any())

    def ids(self, indices: NDArray[np.integer] | NDArray[np.bool_]) -> tuple[int, ...]:
        """Return the record ids of images given by index or mask."""
        return tuple(self.record_ids[indices].tolist())

    @cached_property
    def facts(self) -> ImageFacts:
        """What is known of each image besides its pixels."""
        return image_facts(self.project, self.record_ids)

    @cached_property
    def pictures(self) -> Pictures:
        """What the thumbnails show."""
        from engine.audit.pictures import look_at_thumbnails

        return look_at_thumbnails(self)

    @cached_property
    def pixels(self) -> SegmentReader:
        """The pixels that networks see, made where they are missing.

        Raises:
            DatasetError: If originals are needed and can't be read.
        """
        contract = self.project.image_contract
        reader = SegmentReader(self.project, pixel_kind(contract))
        if len(reader.missing(self.rows)):
            reader = open_pixels(self.project, contract, self.tick, self.control)
        return reader

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """What a pre-trained network says about each image, shape ``(N, D)``; loads torch."""
        from engine.audit.features import describe_images

        return describe_images(self)


def require_images(study: Study) -> None:
    """Check that there is something to look at.

    Raises:
        DatasetError: If there is not.
    """
    if len(study) == 0:
        raise DatasetError(
            "There are no labelled images to look at.",
            remedy="Import images with labels, or take back exclusions.",
        )


def _class_targets(
    labels: NDArray[np.int64], names: tuple[str, ...], positive: int | None
) -> tuple[Target, ...]:
    is_known = np.ones(len(labels), dtype=np.bool_)
    if len(names) == 2:
        index = 1 if positive is None else positive
        chosen = [(index, names[1 - index])]
    else:
        chosen = [(index, "the other classes") for index in range(len(names))]
    return tuple(
        Target(name=names[index], other=other, is_positive=labels == index, is_known=is_known)
        for index, other in chosen
    )


def _finding_targets(table: FindingsTable) -> tuple[NDArray[np.int64], tuple[Target, ...]]:
    targets = tuple(
        Target(
            name=name,
            other=f"no {name}",
            is_positive=table.values[:, k] == 1,
            is_known=table.is_known[:, k],
        )
        for k, name in enumerate(table.class_names)
    )
    _, codes = np.unique(table.values, axis=0, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), targets
