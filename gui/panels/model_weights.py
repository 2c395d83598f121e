"""Adding weights: a file is recognised, a partial match is shown first, the result is told."""

from __future__ import annotations

from functools import partial
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
        self._is_partial = False
        self._refusal: JobFinished | None = None
        self._to_ask: list[tuple[Path, dict[str, Any]]] = []
        self._told = ""

    def add(self, file: Path, *, is_partial: bool = False) -> None:
        """Have a file, or each in a folder, recognised, checked and kept.

        One that fits in part is checked once more, to be shown; it is not kept before the user
        agrees. The message on what was added before goes.

        Args:
            file: The file or folder.
            is_partial: Whether the user agreed to have it kept though it fits in part.
        """
        self._file, self._is_partial, self._refusal = file, is_partial, None
        self._page.message_withdrawn.emit(self._told)
        self.checking.emit(True)
        command = AddWeights(file=str(file), allow_partial=is_partial)
        self._session.jobs.start(command, self._on_added)

    def _on_added(self, finished: JobFinished) -> None:
        if finished.outcome == FAILED and not self._is_partial:
            self._refusal = finished
            command = AddWeights(file=str(self._file), check_only=True)
            self._session.jobs.start(command, self._on_checked)
            return
        self.checking.emit(False)
        if finished.outcome == COMPLETED:
            self._tell(finished.result)
        elif finished.outcome == FAILED:
            self._tell_refusal(finished)
        self._ask_next()

    def _on_checked(self, finished: JobFinished) -> None:
        self.checking.emit(False)
        report = finished.result
        if finished.outcome == COMPLETED and not report.get("fits", True):
            self._ask_about([(self._file, report)])
        elif self._refusal is not None:
            self._tell_refusal(self._refusal)

    def _ask_next(self) -> None:
        """Show the next file that fits in part."""
        if not self._to_ask:
            return
        self._file, report = self._to_ask.pop(0)
        dialog = PartialWeightsDialog(report, parent=self._page)
        dialog.confirmed.connect(self._on_agreed)
        dialog.rejected.connect(self._ask_next)
        dialog.open()

    def _on_agreed(self) -> None:
        self.add(self._file, is_partial=True)

    def _say(
        self, kind: MessageKind, what: str, more: str = "", actions: tuple[MessageAction, ...] = ()
    ) -> None:
        self._told = what
        self._page.show_message(kind, what, more, actions)

    def _tell_refusal(self, refusal: JobFinished) -> None:
        error = refusal.error or self.tr("The file could not be added.")
        self._say(
            MessageKind.ERROR,
            f"{self._file.name}: {error}",
            refusal.remedy or "",
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
        text = self.tr("{0}: recognised and added as weights for {1} ({2} tensors).")
        self._say(
            MessageKind.WARNING if warnings else MessageKind.SUCCESS,
            text.format(self._file.name, card.title if card else key, n_tensors),
            " ".join(warnings),
        )
        if card is not None:
            self.added.emit(key, str(result.get("id", "")))

    def _tell_of_folder(self, result: dict[str, Any]) -> None:
        added, in_part, refused = (result[name] for name in ("added", "partial", "refused"))
        notes = [f"{item['file']}: {item['message']}" for item in refused]
        notes += [self.tr("{0}: it fits in part only.").format(item["file"]) for item in in_part]
        notes += [f"{item['file']}: {note}" for item in added for note in item["warnings"]]
        kind = MessageKind.WARNING if notes else MessageKind.SUCCESS
        if len(notes) > _MOST_NAMED:
            notes[_MOST_NAMED:] = [self.tr("And more.")]
        locale = QLocale()
        numbers = (locale.toString(len(added)), locale.toString(len(in_part) + len(refused)))
        show = partial(self._ask_about, [(self._file / item["file"], item) for item in in_part])
        self._say(
            kind,
            self.tr("Weights files added: {0}. Left out: {1}.").format(*numbers),
            " ".join(notes),
            (MessageAction(self.tr("Show what fits…"), show),) if in_part else (),
        )
        self._session.find_device()

    def _ask_about(self, files: list[tuple[Path, dict[str, Any]]]) -> None:
        self._to_ask = files
        self._ask_next()
