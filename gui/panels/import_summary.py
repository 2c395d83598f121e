"""What an import found: images, patients, classes, and what was left out and why."""

from __future__ import annotations

from PySide6.QtCore import QLocale
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from engine.contract.records import ScanResult
from gui.dialogs.skipped_files import SkippedTable
from gui.messages import split_name
from gui.widgets.card import Card
from gui.widgets.class_bars import ClassBars, ClassCount
from gui.widgets.painting import set_role
from gui.widgets.stat_tile import StatTile

__all__ = ["ImportSummary"]


class ImportSummary(QScrollArea):
    """The result of an import, to read once."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self._images = StatTile(self.tr("Images"))
        self._patients = StatTile(self.tr("Patients"))
        self._left_out = StatTile(self.tr("Files left out"))
        tiles = QHBoxLayout()
        tiles.setSpacing(12)
        for tile in (self._images, self._patients, self._left_out):
            tiles.addWidget(tile, 1)
        self._bars = ClassBars()
        classes = Card(self.tr("Classes"), self.tr("images"))
        classes.body.addWidget(self._bars)
        self._notes_card = Card(self.tr("Good to know"))
        self._notes = QVBoxLayout()
        self._notes.setSpacing(6)
        self._notes_card.body.addLayout(self._notes)
        self._skipped_card = Card(self.tr("Left out, and why"))
        self._skipped = SkippedTable()
        self._skipped_card.body.addWidget(self._skipped)
        page = QWidget()
        page.setObjectName("page")
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addLayout(tiles)
        for card in (classes, self._notes_card, self._skipped_card):
            column.addWidget(card)
        column.addStretch(1)
        self.setWidget(page)

    def show_result(self, result: ScanResult) -> None:
        """Show what an import found."""
        locale = QLocale()
        self._images.set_value(locale.toString(result.n_images))
        self._patients.set_value(locale.toString(result.n_patients))
        self._left_out.set_value(locale.toString(result.n_skipped))
        self._bars.set_counts(
            [
                ClassCount(
                    name=self.tr("%s (positive)") % name if name == result.positive else name,
                    n_images=n,
                )
                for name, n in result.classes.items()
            ]
        )
        notes = self._sentences(result)
        while (item := self._notes.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for note in notes:
            label = QLabel(note)
            label.setWordWrap(True)
            set_role(label, "secondary")
            self._notes.addWidget(label)
        self._notes_card.setVisible(bool(notes))
        self._skipped.set_files(result.skipped)
        self._skipped_card.setVisible(bool(result.skipped))

    def _sentences(self, result: ScanResult) -> list[str]:
        sources = {
            "dicom": self.tr("Patient ids come from the DICOM headers."),
            "column": self.tr("Patient ids come from the label sheet."),
            "pattern": self.tr("Patient ids come from the file names."),
        }
        lines = [sources[result.patient_source]] if result.patient_source in sources else []
        if result.split is not None:
            parts = ", ".join(
                f"{split_name(part)} {QLocale().toString(sum(counts.values()))}"
                for part, counts in result.split.counts.items()
            )
            lines.append(self.tr("The sheet's own split was adopted: %s images.") % parts)
        return [*lines, *result.notes]
