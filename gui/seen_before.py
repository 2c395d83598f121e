"""Whom networks learned from before, as far as the open project and this computer tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine.contract.config import BackboneConfig
from engine.contract.records import RunSummary
from engine.contract.seen_before import SeenBefore
from gui.next_run import chosen_file, every_added
from gui.session import Session

__all__ = ["is_certain", "seen_by_backbone", "seen_by_choice", "told_runs"]


def told_runs(session: Session, runs: Sequence[RunSummary]) -> tuple[RunSummary, ...]:
    """Return runs with what this computer knows of their weights besides what the project says."""
    untold = _untold(session)
    return tuple(
        run if run.seen is None else replace(run, seen=run.seen.with_untold(untold)) for run in runs
    )


def is_certain(session: Session, run: RunSummary) -> bool:
    """Return whether it can be said whom a run's networks knew.

    The engine lists a moment after the start which of the weights earlier versions made.
    """
    return run.seen is not None and (bool(session.device) or not run.weights_name)


def seen_by_choice(session: Session) -> SeenBefore | None:
    """Return whom the chosen weights know of the project; None if they know nobody of it.

    Of a classifier that is applied as it is, the run itself says it.
    """
    if session.answering is not None:
        return None
    return seen_by_backbone(session, session.config.backbone)


def seen_by_backbone(session: Session, backbone: BackboneConfig) -> SeenBefore | None:
    """Return whom certain weights know of the project; None if they know nobody of it."""
    if (file := chosen_file(session.device, backbone)) is None:
        return None
    none = SeenBefore(unlisted=(file.digest,))
    return session.snapshot.seen.get(file.digest, none).with_untold(_untold(session))


def _untold(session: Session) -> set[str]:
    """Return the digests of the weights that an earlier version pre-trained."""
    files = every_added(session.device)
    return {file.digest for file in files if file.is_made and not file.is_noted}
