"""Closing: the one question that RadTune asks in a modal window, and leaving whatever happens."""

from __future__ import annotations

import os

from PySide6.QtCore import QCoreApplication, QObject
from PySide6.QtWidgets import QMessageBox, QWidget

from gui.run_state import RunState
from gui.session import Session

__all__ = ["Closing", "leave", "may_close"]


class Closing(QObject):
    """Whether the window may close, and the end of all that runs, in order.

    Where the system ends the session or the program nobody is asked: what can go on later is saved.

    Args:
        window: Parent of the question.
        session: Whose run and jobs end.
    """

    def __init__(self, window: QWidget, session: Session) -> None:
        super().__init__(window)
        self._window = window
        self._session = session
        self._is_asking = True
        session.runs.state_changed.connect(self._on_run_state)
        session.jobs.started.connect(self._ask_again)

    def is_allowed(self) -> bool:
        """Return whether the window may close, as the user or the system wants."""
        if self._is_asking and may_close(self._window, self._session):
            return True
        return not self._is_asking  # the system may have ended the question as well

    def end_work(self) -> None:
        """End the run, the jobs and their workers, and let go of the project."""
        session = self._session
        session.runs.interrupt()
        session.jobs.cancel_all()
        session.client.close()
        session.runs.interrupt()
        session.jobs.cancel_all()
        session.close_project()

    def save(self) -> None:
        """Let what runs save itself, since the system may end the session as soon as this returns.

        If the session doesn't end after all the run can be continued.
        """
        self._is_asking = False
        self._session.runs.interrupt()
        self._session.jobs.interrupt()

    def end(self) -> None:
        """Close the window and end the program, whatever question is open."""
        self._is_asking = False
        self._window.close()
        QCoreApplication.exit()  # an open dialog would keep the program alive

    def _on_run_state(self, state: RunState) -> None:
        if state is RunState.STARTING:
            self._ask_again()

    def _ask_again(self) -> None:
        """Ask before closing: whoever starts something is there, so the session didn't end."""
        self._is_asking = True


def may_close(window: QWidget, session: Session) -> bool:
    """Return whether the window may close; what runs is then canceled, or left to be continued."""
    kind = "" if session.runs.state.is_busy else session.jobs.resumable_kind
    if not session.runs.state.is_busy and not kind:
        return True
    what, how = _question(kind)
    box = QMessageBox(window)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("RadTune")
    box.setText(what)
    box.setInformativeText(how)
    later = box.addButton(window.tr("Continue next time"), QMessageBox.ButtonRole.AcceptRole)
    text = window.tr("Cancel it") if kind else window.tr("Cancel the run")
    cancel = box.addButton(text, QMessageBox.ButtonRole.DestructiveRole)
    stay = box.addButton(window.tr("Keep working"), QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(later)
    box.setEscapeButton(stay)
    box.exec()
    chosen = box.clickedButton()
    if chosen is cancel and kind:
        session.jobs.cancel(kind)
    elif chosen is cancel:
        session.runs.cancel()
    return chosen in (later, cancel)


def _question(kind: str) -> tuple[str, str]:
    """Return what is under way, and what can become of it.

    Args:
        kind: Of the job; empty for a run.
    """
    again = _tr("It goes on the next time you start it with the same choices, or is canceled now.")
    texts = {
        "": (
            _tr("A training run is under way."),
            _tr("It can be continued the next time you open this project, or canceled now."),
        ),
        "pretrain": (
            _tr("A pre-training is under way."),
            _tr(
                "It can go on the next time, from “Pre-train…” on the Model page, or be canceled "
                "now. What is canceled is lost."
            ),
        ),
        "search": (_tr("A search for better settings is under way."), again),
        "crossval": (_tr("A cross-validation is under way."), again),
    }
    return texts[kind]


def _tr(text: str) -> str:
    return QCoreApplication.translate("Closing", text)


def leave(code: int, session: Session) -> int:
    """Return the exit code, or end the process here if a thread can't be ended.

    A worker that is stuck inside a driver survives being killed, and the thread that reads from it
    waits as long; Qt would abort where that thread is destroyed. Everything is saved by now.
    """
    if session.runs.has_thread or session.jobs.has_thread:
        os._exit(code)
    return code
