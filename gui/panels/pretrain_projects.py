"""What other projects have to offer to a pre-training, read without changing them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from engine.contract.errors import EngineError

__all__ = ["FEWEST_PROJECTS", "Candidate", "Problem", "problem_of_choice", "read_candidate"]

FEWEST_PROJECTS: Final = 2


class Problem(StrEnum):
    """Why a project, or a choice of projects, can't be learned from."""

    NONE = ""
    UNREADABLE = "unreadable"
    ONE_CLASS = "one class"
    NOT_DIVIDED = "not divided"
    TOO_FEW = "too few projects"
    SIZES_DIFFER = "sizes differ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A project as the dialog lists it.

    Attributes:
        classes: Names of its classes.
        n_train: Images that would be learned from.
        n_val: Images by which the best pass would be chosen.
        size_px: Side of the images that networks see.
        problem: Why it can't be chosen.
        detail: What the engine says about it, where it can't be opened.
    """

    folder: Path
    name: str
    classes: tuple[str, ...] = ()
    n_train: int = 0
    n_val: int = 0
    size_px: int = 0
    problem: Problem = Problem.NONE
    detail: str = ""


def read_candidate(folder: Path) -> Candidate:
    """Look at a project; for a thread of its own, since it may lie on a slow disk."""
    from engine.project.store import Project

    stem = folder.name.removesuffix(".radtune")
    try:
        with Project.open(folder, read_only=True) as project:
            table = project.training_table()
            size_px, name = project.image_contract.size_px, project.name
            is_divided = project.split_summary() is not None and not project.split_is_stale()
    except EngineError as error:
        return Candidate(folder=folder, name=stem, problem=Problem.UNREADABLE, detail=error.message)
    problem = Problem.NONE if is_divided else Problem.NOT_DIVIDED
    if not table.is_multi and len(set(table.labels.tolist())) < 2:
        problem = Problem.ONE_CLASS
    return Candidate(
        folder=folder,
        name=name,
        classes=table.class_names,
        n_train=int((table.split == 0).sum()),
        n_val=int((table.split == 1).sum()),
        size_px=size_px,
        problem=problem,
    )


def problem_of_choice(chosen: Sequence[Candidate]) -> Problem:
    """Return why these can't be learned from together."""
    if len(chosen) < FEWEST_PROJECTS:
        return Problem.TOO_FEW
    return Problem.SIZES_DIFFER if _n_different(c.size_px for c in chosen) > 1 else Problem.NONE


def _n_different(values: Iterable[int]) -> int:
    return len(set(values))
