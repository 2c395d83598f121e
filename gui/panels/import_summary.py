"""What an import found: images, patients, classes, and what was left out and why."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QLocale
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from engine.contract.records import ScanResult
from gui.dialogs.skipped_files import SkippedList
from gui.messages import split_name
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.card import Card
from gui.widgets.class_bars import ClassBars, ClassCount
from gui.widgets.painting import repolish, set_role
from gui.widgets.stat_tile import StatTile

__all__ = ["ImportSummary"]

_MAX_CLASSES: Final = 8


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
        self._join = JoinReport()
        self._bars = ClassBars()
        classes = Card(self.tr("Classes"), self.tr("images"))
        self._more_classes = QLabel()
        set_role(self._more_classes, "small")
        classes.body.addWidget(self._bars)
        classes.body.addWidget(self._more_classes)
        classes.body.addStretch(1)
        self._notes_card = Card(self.tr("Good to know"))
        self._notes = QVBoxLayout()
        self._notes.setSpacing(6)
        self._notes_card.body.addLayout(self._notes)
        self._notes_card.body.addStretch(1)
        self._skipped_card = Card(self.tr("Left out, and why"))
        self._skipped = SkippedList()
        self._skipped_card.body.addWidget(self._skipped, 1)
        page = QWidget()
        page.setObjectName("page")
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addLayout(tiles)
        column.addWidget(self._join)
        facts = AdaptiveRow()
        facts.add(classes)
        facts.add(self._notes_card)
        column.addWidget(facts)
        column.addWidget(self._skipped_card, 100)
        column.addStretch(1)
        self.setWidget(page)

    def show_result(self, result: ScanResult) -> None:
        """Show what an import found."""
        locale = QLocale()
        self._images.set_value(locale.toString(result.n_images))
        self._patients.set_value(locale.toString(result.n_patients))
        self._left_out.set_value(locale.toString(result.n_skipped))
        self._join.show_result(result)
        shown = list(result.classes.items())[:_MAX_CLASSES]
        n_more = len(result.classes) - len(shown)
        self._more_classes.setText(self.tr("%s more classes") % locale.toString(n_more))
        self._more_classes.setVisible(n_more > 0)
        self._bars.set_counts(
            [
                ClassCount(
                    name=self.tr("%s (positive)") % name if name == result.positive else name,
                    n_images=n,
                )
                for name, n in shown
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


class JoinReport(Card):
    """How a label sheet and the folder fitted together; hidden where no sheet was used."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Sheet and folder"), parent=parent)
        self._matched = _Figure(self.tr("Rows with their file"))
        self._no_file = _Figure(self.tr("Rows without a file"), self.tr("Nothing was imported."))
        self._no_row = _Figure(self.tr("Files without a row"), self.tr("They were left out."))
        self._conflicts = _Figure(
            self.tr("Conflicts"), self.tr("Rows disagree: left without a class.")
        )
        row = AdaptiveRow(spacing_px=16)
        for figure in (self._matched, self._no_file, self._no_row, self._conflicts):
            row.add(figure)
        self.body.addWidget(row)

    def show_result(self, result: ScanResult) -> None:
        """Show what an import found."""
        self.setVisible(result.matched is not None)
        self._matched.set_number(result.matched or 0)
        self._no_file.set_number(result.rows_without_file or 0)
        self._no_row.set_number(result.files_without_row or 0)
        self._conflicts.set_number(result.conflicts or 0)


class _Figure(QWidget):
    """A number with its name, and a remark where it isn't 0."""

    def __init__(self, name: str, remark: str = "") -> None:
        super().__init__()
        self._name, self._remark_text = name, remark
        title = QLabel(name)
        set_role(title, "small")
        self._number = QLabel()
        set_role(self._number, "title")
        self._remark = QLabel(remark)
        self._remark.setWordWrap(True)
        set_role(self._remark, "small")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        for label in (title, self._number, self._remark):
            column.addWidget(label)
        column.addStretch(1)

    def set_number(self, n: int) -> None:
        """Show another number."""
        self._number.setText(QLocale().toString(n))
        is_odd = bool(n and self._remark_text)
        self._number.setProperty("tone", "warning" if is_odd else "")
        repolish(self._number)
        self._remark.setVisible(is_odd)
        self.setAccessibleName(f"{self._name}: {self._number.text()}")
        self.setAccessibleDescription(self._remark_text if is_odd else "")
