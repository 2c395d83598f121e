"""Closing: the one question that RadTune asks in a modal window, and leaving whatever happens."""

from __future__ import annotations

import os

from PySide6.QtWidgets import QMessageBox, QWidget

from gui.session import Session

__all__ = ["leave", "may_close"]


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


def leave(code: int, session: Session) -> int:
    """Return the exit code, or end the process here if a thread can't be ended.

    A worker that is stuck inside a driver survives being killed, and the thread that reads from it
    waits as long; Qt would abort where that thread is destroyed. Everything is saved by now.
    """
    if session.runs.has_thread or session.jobs.has_thread:
        os._exit(code)
    return code
