"""What every page has in common: a header with the one primary button, and a body."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from engine.contract.errors import EngineError
from engine.contract.events import FAILED, JobFinished, RunFinished
from gui.session import Session
from gui.stages import Stage
from gui.widgets.message_bar import MessageAction, MessageKind
from gui.widgets.page_header import PageHeader

__all__ = ["Panel"]


class Panel(QWidget):
    """A page of the window. It shows the session and asks it for changes; it decides nothing.

    Attributes:
        opened_from: The page that was shown before this one, or None.

    Signals:
        stage_requested: A :class:`Stage` to go to.
        message_requested: A :class:`MessageKind`, what happened, what to do, and a list of
            :class:`MessageAction`; the window shows it under the top bar.
        message_withdrawn: What happened, of a message that is no longer so.
    """

    stage_requested = Signal(object)
    message_requested = Signal(object, str, str, list)
    message_withdrawn = Signal(str)

    def __init__(self, session: Session, title: str = "", *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.opened_from: Stage | None = None
        self.header = PageHeader(title)
        self.body = QVBoxLayout()
        self.body.setSpacing(12)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        column.addWidget(self.header)
        column.addLayout(self.body, 1)

    def on_shown(self) -> None:
        """React to being opened, each time; override where a page needs it."""

    def go_to(self, stage: Stage) -> None:
        """Ask the window for another page."""
        self.stage_requested.emit(stage)

    def show_message(
        self,
        kind: MessageKind,
        what: str,
        remedy: str = "",
        actions: tuple[MessageAction, ...] = (),
    ) -> None:
        """Show a message under the top bar."""
        self.message_requested.emit(kind, what, remedy, list(actions))

    def show_error(self, error: EngineError) -> None:
        """Say what happened and what to do next."""
        self.show_message(MessageKind.ERROR, error.message, error.remedy)

    def show_failure(self, finished: JobFinished | RunFinished) -> bool:
        """Say why a job failed; False, and nothing shown, if it didn't fail."""
        if finished.outcome != FAILED:
            return False
        self.show_message(
            MessageKind.ERROR, finished.error or self.tr("That failed."), finished.remedy or ""
        )
        return True
