"""Preparing a project's images at another size; nothing here loads torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from engine.contract.commands import PrepareImages
from engine.contract.control import Control
from engine.contract.events import Event
from engine.data.pixels import open_pixels
from engine.data.progress import Progress
from engine.project.access import open_alone

KIND: Final = "prepare_images"


def prepare_images(
    command: PrepareImages,
    emit: Callable[[Event], None],
    control: Control,
    *,
    kind: str = KIND,
) -> dict[str, Any]:
    """Make the pixels of every usable image at a size, and take that size for later runs.

    The project changes last: one that was canceled, or whose originals can't be read, keeps its
    size. Pixels that were made stay, so that the same command goes on with the rest.

    Args:
        command: What to do.
        emit: Takes the events.
        control: Its safe points lie between images.
        kind: Of the job that reports progress.

    Raises:
        DatasetError: If originals are needed and can't be read.
        JobCanceled: If canceled.
        ProjectError: If the project can't be written.
        StorageError: If the disk is full or read-only.
    """
    with open_alone(Path(command.project), owner="a change of the image size") as project:
        before = project.image_contract
        wanted = replace(before, size_px=command.size_px)
        progress: Progress | None = None

        def step(done: int, total: int) -> None:
            nonlocal progress
            if progress is None:
                stage = f"Preparing images at {command.size_px} px"
                progress = Progress(emit, kind, stage, total, n_before=done - 1)
            progress.step()

        reader = open_pixels(project, wanted, step, control)
        reader.close()
        control.safe_point()
        if wanted != before:
            project.image_contract = wanted
        n_images = len(project.training_table().rows)
    return {"size_px": command.size_px, "size_before_px": before.size_px, "n_images": n_images}
