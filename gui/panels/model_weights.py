"""Adding weights: a file is recognised, a partial match is shown first, the result is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import QLocale, QObject, Signal

from engine.contract.backbones import backbone_card
from engine.contract.commands import AddWeights
from engine.contract.events import COMPLETED, FAILED, JobFinished
from gui.dialogs.partial_weights import PartialWeightsDialog
from gui.panels.panel import Panel
from gui.session import Session
from gui.widgets.message_bar import MessageAction, MessageKind

__all__ = ["WeightsAdder"]

_MOST_NAMED: Final = 3


class WeightsAdder(QObject):
    """Adds files for a page, which shows the messages.

    Signals:
        checking: Whether a file is being checked.
        added: Key of the backbone that weights were added for, and their id.
        another_wanted: Another file is to be asked for.
    """

    checking = Signal(bool)
    added = Signal(str, str)
    another_wanted = Signal()

    def __init__(self, session: Session, page: Panel) -> None:
        super().__init__(page)
        self._session = session
        self._page = page
        self._file = Path()
        self._refusal: JobFinished | None = None

    def add(self, file: Path, *, is_partial: bool = False) -> None:
        """Have a file, or each in a folder, recognised, checked and kept.

        One that fits in part is checked once more, to be shown; it is not kept before the user
        agrees.
        """
        self._file, self._refusal = file, None
        self.checking.emit(True)
        command = AddWeights(file=str(file), allow_partial=is_partial)
        self._session.jobs.start(command, self._on_added)

    def _on_added(self, finished: JobFinished) -> None:
        if finished.outcome == FAILED and self._refusal is None:
            self._refusal = finished
            command = AddWeights(file=str(self._file), check_only=True)
            self._session.jobs.start(command, self._on_checked)
            return
        self.checking.emit(False)
        if finished.outcome == COMPLETED:
            self._tell(finished.result)

    def _on_checked(self, finished: JobFinished) -> None:
        self.checking.emit(False)
        report = finished.result
        if finished.outcome == COMPLETED and report.get("is_usable") and not report.get("fits"):
            dialog = PartialWeightsDialog(report, parent=self._page)
            file = self._file
            dialog.confirmed.connect(lambda: self.add(file, is_partial=True))
            dialog.open()
        elif self._refusal is not None:
            self._page.show_message(
                MessageKind.ERROR,
                self._refusal.error or self.tr("The file could not be added."),
                self._refusal.remedy or "",
                (MessageAction(self.tr("Add another file…"), self.another_wanted.emit),),
            )

    def _tell(self, result: dict[str, Any]) -> None:
        if "added" in result:
            self._tell_of_folder(result)
            return
        key = str(result.get("backbone", ""))
        card = backbone_card(key)
        n_tensors = QLocale().toString(int(result.get("n_tensors") or 0))
        warnings = [str(warning) for warning in result.get("warnings") or ()]
        text = self.tr("Weights for {0} were recognised and added ({1} tensors).")
        self._page.show_message(
            MessageKind.WARNING if warnings else MessageKind.SUCCESS,
            text.format(card.title if card else key, n_tensors),
            " ".join(warnings),
        )
        if card is not None:
            self.added.emit(key, str(result.get("id", "")))

    def _tell_of_folder(self, result: dict[str, Any]) -> None:
        added, refused = result["added"], result["refused"]
        locale = QLocale()
        numbers = (locale.toString(len(added)), locale.toString(len(refused)))
        names = [f"{item['name']}: {item['message']}" for item in refused[:_MOST_NAMED]]
        if len(refused) > _MOST_NAMED:
            names.append(self.tr("And more."))
        self._page.show_message(
            MessageKind.WARNING if refused else MessageKind.SUCCESS,
            self.tr("Weights files added: {0}. Left out: {1}.").format(*numbers),
            " ".join(names),
        )
        self._session.find_device()
