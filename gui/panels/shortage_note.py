"""Warns before the start that the chosen method needs more images than there are."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from engine.contract.recommendation import shortage
from gui.panels.warning_note import WarningNote
from gui.session import Session

__all__ = ["ShortageNote"]


class ShortageNote(WarningNote):
    """A sentence of ``engine.contract.recommendation``, as the run itself will say it.

    Args:
        session: Whose next run is judged.
        has_button: Whether a button leads to the page where methods are chosen.
    """

    def __init__(
        self, session: Session, *, has_button: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent=parent)
        self._session = session
        if has_button:
            self.add_button(self.tr("Choose another method"))

    def refresh(self, *, is_wanted: bool = True) -> None:
        """Judge the present choice.

        Args:
            is_wanted: Whether the page has room for it.
        """
        facts = self._session.advice.facts
        said = shortage(facts, self._session.config.method.key) if facts is not None else None
        self.show_text(self.tr(said) if said else "", is_wanted=is_wanted)
