"""The pages of the stages; each is loaded when it is first shown, so that the window opens fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from PySide6.QtCore import QCoreApplication

from gui.panels.panel import Panel
from gui.session import Session
from gui.stages import Stage

__all__ = ["RAIL_TITLES", "make_page"]


def _title(text: str) -> Callable[[], str]:
    return lambda: QCoreApplication.translate("Pages", text)


RAIL_TITLES: Final[dict[Stage, Callable[[], str]]] = {
    Stage.DATA: _title("Data"),
    Stage.AUDIT: _title("Audit"),
    Stage.SPLIT: _title("Split"),
    Stage.MODEL: _title("Model"),
    Stage.TRAIN: _title("Train"),
    Stage.EVALUATE: _title("Evaluate"),
    Stage.APPLY: _title("Apply"),
    Stage.SEARCH: _title("Search"),
}


def make_page(stage: Stage, session: Session) -> Panel:
    """Return a new page for a stage."""
    match stage:
        case Stage.DATA:
            from gui.panels.data import DataPanel

            return DataPanel(session)
        case Stage.AUDIT:
            from gui.panels.audit import AuditPanel

            return AuditPanel(session)
        case Stage.SPLIT:
            from gui.panels.split import SplitPanel

            return SplitPanel(session)
        case Stage.MODEL:
            from gui.panels.model import ModelPanel

            return ModelPanel(session)
        case Stage.TRAIN:
            from gui.panels.train import TrainPanel

            return TrainPanel(session)
        case Stage.EVALUATE:
            from gui.panels.evaluate import EvaluatePanel

            return EvaluatePanel(session)
        case Stage.APPLY:
            from gui.panels.apply import ApplyPanel

            return ApplyPanel(session)
        case Stage.SEARCH:
            from gui.panels.search import SearchPanel

            return SearchPanel(session)
