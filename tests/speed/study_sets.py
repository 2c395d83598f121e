"""The four real sets as projects, divided by a seed, with all or with few labelled images.

Everything goes through the engine's own jobs: import, split, and the label sheet it exports.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.contract.commands import Command, ExportLabels, MakeSplit, Scan
from engine.contract.config import ImageContract
from engine.contract.control import Control
from engine.contract.events import COMPLETED, JobFinished, RunFinished
from engine.project.store import Project
from engine.run import execute
from tests.speed.machine import data_folder

SETS: Final = ("pneumoniamnist", "mednist_subset", "cxr_pneumonia", "nih_cxr")
"""From the smallest images to the largest."""
FEW: Final = 20
"""Labelled images of each class in the small version of a set."""
AMOUNTS: Final = (f"{FEW} a class", "all")
_MOST_TRAINING_IMAGES: Final = 1000  # of pneumoniamnist, so that a table is done within days


@dataclass(frozen=True, slots=True)
class Study:
    """A set with one division.

    Attributes:
        name: One of :data:`SETS`.
        amount: One of :data:`AMOUNTS`.
        seed: Of the division and of the draw of few images.
        size_px: Side of the images that networks see.
    """

    name: str
    amount: str
    seed: int
    size_px: int = ImageContract().size_px

    @property
    def folder_name(self) -> str:
        """Name of its project."""
        amount = self.amount.replace(" ", "-")
        return f"{self.name}-{amount}-{self.seed}-{self.size_px}.radtune"


def make_project(study: Study, workspace: Path) -> Path:
    """Return the project of a study in a workspace, made on first use.

    Validation and test images are those of the full set, whichever the amount; ``N a class`` draws
    whole patients from its training images.
    """
    done = workspace / study.folder_name
    if done.exists():
        return done
    half = workspace / f"half-{study.folder_name}"
    source, labels = _source(study, workspace)
    if study.amount != "all":
        source, labels = _few(study, workspace, source)
    _import(source, labels, half, study)
    if study.amount == "all" and study.name != "pneumoniamnist":
        perform(MakeSplit(project=str(half), seed=study.seed))
    half.rename(done)
    return done


def perform(command: Command) -> dict[str, Any]:
    """Perform a command as the command line does and return its result.

    Raises:
        RuntimeError: If it failed, with what the engine tells users.
    """
    finished: JobFinished | RunFinished = execute(command, lambda event: None, Control())
    if finished.outcome != COMPLETED:
        raise RuntimeError(finished.error or finished.outcome)
    return finished.result


def draw_few(
    patients: NDArray[np.int64],
    labels: NDArray[np.int64],
    n_classes: int,
    *,
    n_each: int,
    seed: int,
) -> NDArray[np.bool_]:
    """Return which images to keep, so that each class has ``n_each``, patients kept whole.

    Patients come in random order and are left out where they would give a class too many. A class
    ends below ``n_each`` only where no patient fits the rest.

    Args:
        patients: Shape ``(N,)``.
        labels: Class indices, shape ``(N,)``.
        n_classes: Number of classes.
        n_each: Images of each class.
        seed: Of the order.
    """
    order = np.random.default_rng(seed).permutation(np.unique(patients))
    chosen, counts = np.zeros(len(patients), dtype=np.bool_), np.zeros(n_classes, dtype=np.int64)
    for patient in order:
        own = patients == patient
        more = counts + np.bincount(labels[own], minlength=n_classes)
        if (more <= n_each).all():
            chosen |= own
            counts = more
    return chosen


def _source(study: Study, workspace: Path) -> tuple[Path, Path | None]:
    """Return the folder or file of a full set, and its sheet without the set's own split."""
    folder = data_folder() / study.name
    if study.name == "pneumoniamnist":
        return _official_pneumoniamnist(folder, study.seed, workspace)
    if not (folder / "labels.csv").exists():
        return folder, None
    sheet = workspace / f"{study.name}.csv"
    if not sheet.exists():
        rows = _read_csv(folder / "labels.csv")
        for row in rows:
            row["path"] = str(folder / row["path"])
        _write_csv(sheet, ("path", "label", "patient_id"), rows)
    return folder, sheet


def _few(study: Study, workspace: Path, source: Path) -> tuple[Path, Path | None]:
    """Return a source whose training part has few images, divided as the full set is."""
    whole = make_project(Study(study.name, "all", study.seed), workspace)
    with Project.open(whole, read_only=True) as project:
        table = project.training_table()
    train = np.flatnonzero(table.split == 0)
    kept = draw_few(
        table.groups[train],
        table.labels[train],
        len(table.class_names),
        n_each=FEW,
        seed=study.seed,
    )
    sheet = workspace / f"{study.name}-{study.seed}-all.csv"
    perform(ExportLabels(project=str(whole), out=str(sheet)))
    return source, _few_rows(sheet, kept)


def _few_rows(sheet: Path, kept: NDArray[np.bool_]) -> Path:
    """Write the sheet without the training rows that were not drawn; rows are in record order."""
    rows = _read_csv(sheet)
    is_kept = iter(kept.tolist())
    few = sheet.with_name(sheet.name.replace("-all", "-few"))
    chosen = [row for row in rows if row["split"] != "train" or next(is_kept)]
    if next(is_kept, None) is not None:
        raise RuntimeError("the exported sheet has fewer training rows than the project")
    _write_csv(few, tuple(rows[0]), chosen)
    return few


def _official_pneumoniamnist(folder: Path, seed: int, workspace: Path) -> tuple[Path, Path]:
    """Write PneumoniaMNIST as files, and a sheet with its split and some of its training images.

    As files, so that a sheet can leave some of them out.
    """
    images = workspace / "pneumoniamnist"
    sheet = workspace / f"pneumoniamnist-{seed}.csv"
    rows = []
    with np.load(folder / "pneumoniamnist.npz") as arrays:
        for part in ("train", "val", "test"):
            pixels, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"].ravel()
            chosen = np.arange(len(pixels))
            if part == "train":
                chosen = np.random.default_rng(seed).permutation(chosen)[:_MOST_TRAINING_IMAGES]
            for i in np.sort(chosen):
                path = images / f"{part}-{i:04d}.png"
                if not path.exists():
                    path.parent.mkdir(exist_ok=True)
                    Image.fromarray(pixels[i]).save(path)
                label = ("normal", "pneumonia")[labels[i]]
                rows.append({"path": str(path), "label": label, "split": part})
    _write_csv(sheet, ("path", "label", "split"), rows)
    return images, sheet


def _import(source: Path, labels: Path | None, target: Path, study: Study) -> None:
    with Project.open_or_create(target, study.name) as project:
        project.image_contract = ImageContract(size_px=study.size_px)
    command = Scan(source=str(source), project=str(target), labels=str(labels) if labels else None)
    perform(command)


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[dict[str, str]]) -> None:
    half = path.with_suffix(".half")
    with half.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    half.rename(path)
