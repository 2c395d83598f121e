"""The stages of the main job and how each stands: pure rules over the project's facts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from gui.widgets.stage_rail import StageState


class Stage(Enum):
    """A page of the window, in the order of the job."""

    DATA = "data"
    AUDIT = "audit"
    SPLIT = "split"
    MODEL = "model"
    TRAIN = "train"
    EVALUATE = "evaluate"
    APPLY = "apply"
    SEARCH = "search"


STAGES: Final = tuple(stage for stage in Stage if stage is not Stage.SEARCH)
"""Those on the rail; the search is a way from Model and Train, and back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFacts:
    """What the rules look at.

    Attributes:
        can_split: Whether there are classes, or findings, to be kept in balance.
        is_finding_missing: Whether one of several findings must be chosen before a run.
        is_audit_stale: Whether the data have changed since the newest audit.
        n_serious: Open findings of the audit that would make results wrong.
        is_run_stale: Whether data or split have changed since the newest finished run.
    """

    has_project: bool = False
    n_images: int = 0
    can_split: bool = False
    is_finding_missing: bool = False
    has_audit: bool = False
    is_audit_stale: bool = False
    n_serious: int = 0
    is_auditing: bool = False
    has_split: bool = False
    is_split_stale: bool = False
    is_importing: bool = False
    is_training: bool = False
    is_model_chosen: bool = False
    has_finished_run: bool = False
    is_run_stale: bool = False
    has_evaluation: bool = False


def stage_state(stage: Stage, facts: ProjectFacts) -> StageState:
    """Return how a stage stands."""
    is_data_ready = facts.n_images > 0 and facts.can_split
    is_split_ready = is_data_ready and facts.has_split and not facts.is_split_stale
    match stage:
        case Stage.DATA:
            if facts.is_importing:
                return StageState.ACTIVE
            if is_data_ready:
                return StageState.DONE
            return StageState.READY if facts.has_project else StageState.EMPTY
        case Stage.AUDIT:
            return _of_audit(facts)
        case Stage.SPLIT:
            if not is_data_ready:
                return StageState.EMPTY
            if facts.has_split and facts.is_split_stale:
                return StageState.STALE
            return StageState.DONE if facts.has_split else StageState.READY
        case Stage.MODEL:
            if not is_data_ready:
                return StageState.EMPTY
            return StageState.DONE if facts.is_model_chosen else StageState.READY
        case Stage.TRAIN:
            if facts.is_training:
                return StageState.ACTIVE
            is_ready = is_split_ready and not facts.is_finding_missing
            return _of_results(is_ready, facts.has_finished_run, facts.is_run_stale)
        case Stage.EVALUATE:
            return _of_results(facts.has_finished_run, facts.has_evaluation, facts.is_run_stale)
        case Stage.APPLY:
            return StageState.READY if facts.has_finished_run else StageState.EMPTY
        case Stage.SEARCH:
            return StageState.READY if is_split_ready else StageState.EMPTY


def _of_audit(facts: ProjectFacts) -> StageState:
    if facts.is_auditing:
        return StageState.ACTIVE
    if facts.n_images == 0:
        return StageState.EMPTY
    if not facts.has_audit:
        return StageState.READY
    if facts.is_audit_stale:
        return StageState.STALE
    return StageState.ALERT if facts.n_serious else StageState.DONE


def _of_results(is_ready: bool, is_done: bool, is_stale: bool) -> StageState:
    if is_done:
        return StageState.STALE if is_stale else StageState.DONE
    return StageState.READY if is_ready else StageState.EMPTY
