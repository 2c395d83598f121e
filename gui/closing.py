"""The one question that RadTune asks in a modal window: closing while a run is under way."""

from __future__ import annotations

from PySide6.QtWidgets import QMessageBox, QWidget

from gui.session import Session

__all__ = ["may_close"]


def may_close(window: QWidget, session: Session) -> bool:
    """Return whether the window may close; a run is then canceled, or left to be continued."""
    if not session.runs.state.is_busy:
        return True
    box = QMessageBox(window)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("RadTune")
    box.setText(window.tr("A training run is under way."))
    box.setInformativeText(
        window.tr("It can be continued the next time you open this project, or canceled now.")
    )
    later = box.addButton(window.tr("Continue next time"), QMessageBox.ButtonRole.AcceptRole)
    cancel = box.addButton(window.tr("Cancel the run"), QMessageBox.ButtonRole.DestructiveRole)
    stay = box.addButton(window.tr("Keep working"), QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(later)
    box.setEscapeButton(stay)
    box.exec()
    chosen = box.clickedButton()
    if chosen is cancel:
        session.runs.cancel()
    return chosen in (later, cancel)
