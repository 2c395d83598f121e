"""Runs on projects with several findings an image: what is learned, and what is left out."""

from __future__ import annotations

from engine.contract.errors import DatasetError
from engine.project.classes import MULTI
from engine.project.run_findings import ALL
from engine.project.store import Project


def choose_finding(project: Project, name: str) -> None:
    """Choose what runs learn: one finding, or all.

    Args:
        project: Open for writing.
        name: Of a finding, or :data:`ALL`.

    Raises:
        DatasetError: If there is no such finding, or the project has one class an image.
    """
    if project.task != MULTI:
        raise DatasetError(
            "The images of this project have one class each, so there is no finding to choose.",
            remedy="Leave out --finding.",
        )
    found = project.class_named(name)
    if found is None and name.casefold() != ALL:
        names = ", ".join(summary.name for summary in project.classes())
        raise DatasetError(
            f"There is no finding “{name}”.", remedy=f"Choose one of: {names}; or {ALL}."
        )
    if found != project.chosen_finding:
        project.choose_finding(found)
