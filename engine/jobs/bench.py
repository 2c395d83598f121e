"""A project's images on one machine, for jobs that learn from them without making a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.contract.config import ImageContract
from engine.contract.control import Control
from engine.contract.events import Event
from engine.data.pixels import open_pixels
from engine.hardware import Runtime
from engine.models.features import cached_features
from engine.models.network import Network
from engine.project.segment_reader import SegmentReader
from engine.project.store import Project
from engine.project.table import TrainingTable
from engine.trainer.full_disk import PatientPixels, when_there_is_room

Progress = Callable[[str, int, int], None]
Done = TypeVar("Done")
TRIAL: Final = "trial"
"""Stands in events where a run's have its id."""


def ignore(*_: Any) -> None:
    """Take whatever is told, and do nothing."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What trainings share: one project's images, one runtime.

    Features of frozen backbones come from the project's cache and go there, so the project must be
    open for writing. While the disk refuses, whoever reads or writes waits.

    Attributes:
        table: The usable images.
        image: How pixels are made.
        control: Requests to honour.
        on_event: Called with the trainer's events, ``RunPaused`` while the disk refuses among them.
    """

    project: Project
    table: TrainingTable
    image: ImageContract
    runtime: Runtime
    control: Control
    on_event: Callable[[Event], None] = ignore

    def pixels(self, control: Control) -> PatientPixels:
        """Return the pixels of all usable images; ``control`` ends the waiting for their disk."""
        return PatientPixels(self._stored, run=TRIAL, emit=self.on_event, control=control)

    @cached_property
    def _stored(self) -> SegmentReader:
        return self.patiently(lambda: open_pixels(self.project, self.image))

    def features(
        self,
        network: Network,
        rows: NDArray[np.int64],
        control: Control,
        *,
        body: str | None = None,
        on_progress: Progress = ignore,
    ) -> NDArray[np.float32]:
        """Return a frozen body's features of pixel rows, ``(N, F)``, from the project if it can.

        Raises:
            JobCanceled: If the job was asked to cancel.
            TimeIsUp: If the control says so.
        """
        return self.patiently(
            lambda: cached_features(
                self.project,
                network,
                self.image,
                rows,
                self.runtime,
                body=body,
                control=control,
                on_progress=lambda done, total: on_progress("Describing images", done, total),
            ),
            control,
        )

    def patiently(self, act: Callable[[], Done], control: Control | None = None) -> Done:
        """Write or read in the project; wait while that is away or the disk refuses.

        Args:
            act: Writes or reads; can be repeated after it failed.
            control: Ends the waiting; None for the bench's.

        Raises:
            JobCanceled: If the job was asked to end while it waited.
        """

        def in_place() -> Done:
            self.project.require_there()
            return act()

        return when_there_is_room(
            in_place, run=TRIAL, emit=self.on_event, control=control or self.control
        )
