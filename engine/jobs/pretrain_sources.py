"""The projects that a backbone is pre-trained on, checked, without copies of test images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import DatasetError
from engine.jobs.splitting import require_two_classes
from engine.project.access import open_alone
from engine.project.facts import image_facts
from engine.project.store import Project
from engine.project.table import TrainingTable


@dataclass(frozen=True, kw_only=True, eq=False)
class PretrainSource:
    """A project with its images as arrays.

    Attributes:
        is_kept: Which images no project's test image is equal to, shape of the table.
    """

    project: Project
    table: TrainingTable
    is_kept: NDArray[np.bool_]

    @property
    def train(self) -> NDArray[np.int64]:
        """Indices into the table of the images to learn from."""
        return np.flatnonzero((self.table.split == 0) & self.is_kept)

    @property
    def val(self) -> NDArray[np.int64]:
        """Indices into the table of the images to validate on."""
        return np.flatnonzero((self.table.split == 1) & self.is_kept)


@contextmanager
def opened_sources(folders: Sequence[str]) -> Iterator[list[PretrainSource]]:
    """Open the projects alone, since images without pixels may have to be read; check them.

    Raises:
        DatasetError: If one isn't ready for training, or two prepare images of other sizes.
        ProjectError: If one can't be opened.
    """
    with ExitStack() as stack:
        projects = [
            stack.enter_context(open_alone(Path(folder), owner="a pre-training"))
            for folder in folders
        ]
        _require_one_size(projects)
        tables = [_checked_table(project) for project in projects]
        hashes = [_hashes(*pair) for pair in zip(projects, tables, strict=True)]
        tested = {
            value
            for table, pairs in zip(tables, hashes, strict=True)
            for i in np.flatnonzero(table.split == 2)
            for value in pairs[int(i)]
        } - {""}
        yield [
            _checked_source(
                PretrainSource(
                    project=project,
                    table=table,
                    is_kept=np.array([tested.isdisjoint(pair) for pair in pairs], dtype=np.bool_),
                )
            )
            for project, table, pairs in zip(projects, tables, hashes, strict=True)
        ]


def _require_one_size(projects: Sequence[Project]) -> None:
    first, *others = projects
    for other in others:
        one, two = first.image_contract.size_px, other.image_contract.size_px
        if one != two:
            raise DatasetError(
                f"“{first.name}” prepares its images at {one} px and “{other.name}” at {two} px; "
                "one network can't learn from both.",
                remedy="Choose projects that prepare their images at the same size.",
            )


def _checked_table(project: Project) -> TrainingTable:
    try:
        table = project.training_table()
        require_two_classes(table)
    except DatasetError as error:
        message = f"“{project.name}” can't be learned from: {error.message}"
        raise DatasetError(message, remedy=error.remedy) from error
    if project.split_summary() is None or project.split_is_stale():
        raise DatasetError(
            f"The images of “{project.name}” are not divided, or have changed since they were.",
            remedy="Open that project and make its split; its test images then stay untouched.",
        )
    return table


def _checked_source(source: PretrainSource) -> PretrainSource:
    for what, chosen in (("training", source.train), ("validation", source.val)):
        if (lacking := _lacking(source.table, chosen)) is not None:
            raise DatasetError(
                f"The {what} images of “{source.project.name}” hold none {lacking}.",
                remedy="Make its split anew, leave that class out, or leave the project out.",
            )
    return source


def _lacking(table: TrainingTable, chosen: NDArray[np.int64]) -> str | None:
    """Return what some images lack, in words that follow "none"; None if it is all there.

    The division holds enough of each finding, but images equal to test images are left out.
    """
    labels = table.labels[chosen]
    for k, name in enumerate(table.class_names):
        if not table.is_multi:
            if not (labels == k).any():
                return f"of class '{name}'"
            continue
        for state, words in ((1, "that shows"), (0, "that is without")):
            if not (labels[:, k] == state).any():
                return f"{words} “{name}”"
    return None


def _hashes(project: Project, table: TrainingTable) -> tuple[tuple[str, str], ...]:
    """Return hashes of each image's file and of its pixels; frames share that of their file."""
    facts = image_facts(project, table.record_ids)
    of_file = facts.texts["sha256"]
    times: dict[str, int] = {}
    for value in of_file:
        times[value] = times.get(value, 0) + 1
    # The frames of one file have one file hash; only their pixels tell them apart.
    own = [value if times[value] == 1 else "" for value in of_file]
    return tuple(zip(own, facts.texts["pixel_hash"], strict=True))
