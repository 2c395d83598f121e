"""Pre-trainings that were cut off, each with a button to go on with it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from engine.project.pretrainings import UnfinishedPretraining
from gui.widgets.buttons import make_button
from gui.widgets.painting import set_role

__all__ = ["PretrainOffers", "cut_off_sentence"]


class PretrainOffers(QWidget):
    """Takes no room while there is nothing to offer.

    Signals:
        chosen: The :class:`~engine.contract.commands.Pretrain` to go on with.
    """

    chosen = Signal(object)

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: list[QFrame] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(8)
        self.hide()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is offered."""
        return not self._rows

    def add(self, found: Sequence[UnfinishedPretraining]) -> None:
        """Offer these, too."""
        for unfinished in found:
            self._add(unfinished)

    def _add(self, found: UnfinishedPretraining) -> None:
        row = QFrame()
        set_role(row, "message")
        row.setProperty("kind", "info")
        label = QLabel(f"{cut_off_sentence(found)} {self.tr('It can go on where it was.')}")
        label.setWordWrap(True)
        button = make_button(self.tr("Go on"))
        button.clicked.connect(partial(self.chosen.emit, found.command))
        line = QHBoxLayout(row)
        line.setContentsMargins(12, 8, 12, 8)
        line.setSpacing(12)
        line.addWidget(label, 1)
        line.addWidget(button)
        row.setAccessibleName(label.text())
        self._column.addWidget(row)
        self._rows.append(row)

    def clear(self) -> None:
        """Offer nothing."""
        for row in self._rows:
            row.hide()
            row.deleteLater()
        self._rows.clear()


def cut_off_sentence(found: UnfinishedPretraining) -> str:
    """Return what happened to a pre-training, by the names of the new backbone and its projects."""
    text = QCoreApplication.translate(
        "PretrainOffers", "The pre-training “{0}” on {1} was interrupted."
    )
    return text.format(found.command.name, ", ".join(found.projects))
