"""What a job that goes on where it was cut off must say first."""

from __future__ import annotations

from collections.abc import Callable

from engine.contract.events import Event, Warned
from engine.project.searching import changes_since_begun
from engine.project.store import Project


def tell_changed_versions(project: Project, name: str, emit: Callable[[Event], None]) -> None:
    """Warn where a job was begun with other versions, or other code, than go on with it now.

    Args:
        project: Keeps the job.
        name: Of the job; of one that has just begun nothing is said.
        emit: Receives the warning.
    """
    if found := changes_since_begun(project, name):
        emit(
            Warned(
                message="This goes on where it was cut off, but with another program than it began "
                f"with. {' '.join(found)} What is still to be made can differ a little from what "
                "it would have been.",
                remedy="To have all of it made alike, cancel it and start it again.",
            )
        )
