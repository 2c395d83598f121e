"""Where the patient id comes from, with what a file-name pattern would give."""

from __future__ import annotations

import re
from typing import Final

from PySide6.QtCore import Signal
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QComboBox, QLabel, QLineEdit, QVBoxLayout, QWidget

from engine.contract.import_rules import PatientRule
from gui.widgets.card import Card
from gui.widgets.painting import set_role

__all__ = ["FIRST_PATTERN", "PatientSourceCard"]

FIRST_PATTERN: Final = r"^[^_\-\s.]+"
_MAX_LINES: Final = 5
_OWN: Final = "own"


class PatientSourceCard(Card):
    """A rule for the patient id.

    Signals:
        changed: The rule is different now.
    """

    changed = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Patients"), parent=parent)
        self._names: tuple[str, ...] = ()
        self._source = QComboBox()
        self._source.setAccessibleName(self.tr("Where the patient id comes from"))
        for text, source in (
            (self.tr("Automatic: column, else DICOM header, else the file"), "auto"),
            (self.tr("DICOM header"), "dicom"),
            (self.tr("Column of the label sheet"), "column"),
            (self.tr("Part of the file name"), "pattern"),
            (self.tr("Each file is its own patient"), "file"),
        ):
            self._source.addItem(text, source)
        self._source.currentIndexChanged.connect(self._on_changed)
        self._kind = QComboBox()
        self._kind.setAccessibleName(self.tr("Which part of the file name"))
        for text, pattern in (
            (self.tr("Up to the first _ - . or blank"), FIRST_PATTERN),
            (self.tr("The first number"), r"\d+"),
            (self.tr("Up to the last _ or -"), r"^(.+)[_\-]"),
            (self.tr("A pattern of your own"), _OWN),
        ):
            self._kind.addItem(text, pattern)
        self._kind.currentIndexChanged.connect(self._on_kind_changed)
        self._pattern = QLineEdit(FIRST_PATTERN)
        self._pattern.setAccessibleName(self.tr("Pattern (regular expression)"))
        self._pattern.setToolTip(
            self.tr("A regular expression; its first group in brackets, or all it finds, is the id")
        )
        self._pattern.textChanged.connect(self._on_changed)
        self._example = QLabel()
        self._example.setWordWrap(True)
        set_role(self._example, "small")
        self._advice = QLabel()
        self._advice.setWordWrap(True)
        self._details = QWidget()
        column = QVBoxLayout(self._details)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self._kind)
        column.addWidget(self._pattern)
        column.addWidget(self._example)
        for widget in (self._source, self._details, self._advice):
            self.body.addWidget(widget)
        self._on_kind_changed()

    @property
    def rule(self) -> PatientRule:
        """The rule chosen."""
        source = str(self._source.currentData())
        return PatientRule(
            source=source, pattern=self._pattern.text() if source == "pattern" else ""
        )

    @property
    def problem(self) -> str:
        """What is wrong with the rule; empty if nothing is."""
        if self.rule.source == "pattern" and _compiled(self._pattern.text()) is None:
            return self.tr("The pattern for the patient id isn't complete.")
        return ""

    def set_file_names(self, names: tuple[str, ...]) -> None:
        """Show what patterns give for these files."""
        self._names = names
        self._show()

    def set_has_column(self, *, has_column: bool) -> None:
        """Offer the sheet's column only where there is one."""
        model = self._source.model()
        if isinstance(model, QStandardItemModel):
            model.item(self._source.findData("column")).setEnabled(has_column)
        if not has_column and self._source.currentData() == "column":
            self._source.setCurrentIndex(0)
        self._show()

    def _on_kind_changed(self) -> None:
        pattern = str(self._kind.currentData())
        self._pattern.setVisible(pattern == _OWN)
        if pattern != _OWN:
            self._pattern.setText(pattern)
        self._on_changed()

    def _on_changed(self) -> None:
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        source = self.rule.source
        self._details.setVisible(source == "pattern")
        if source == "pattern":
            self._example.setText(self._examples())
        warnings = {
            "file": self.tr(
                "If a patient has several images, they can end up in training and in test, and "
                "results look better than they are."
            ),
        }
        advice = {
            "auto": self.tr("Images of one patient always stay in the same part of the split."),
            "dicom": self.tr("The id itself isn't stored, only a pseudonym such as P0001."),
            "column": self.tr("The id itself isn't stored, only a pseudonym such as P0001."),
        }
        text = warnings.get(source) or advice.get(source, "")
        self._advice.setText(text)
        self._advice.setVisible(bool(text))
        self._advice.setProperty("tone", "warning" if source in warnings else "")
        set_role(self._advice, "small" if source not in warnings else "")

    def _examples(self) -> str:
        pattern = _compiled(self._pattern.text())
        if pattern is None:
            return self.tr("This pattern isn't complete.")
        lines = []
        for name in self._names[:_MAX_LINES]:
            found = pattern.search(name)
            text = (found.group(1) if pattern.groups else found.group()) if found else ""
            lines.append(f"{name}  →  {text or self.tr('no id: its own patient')}")
        return "\n".join(lines) or self.tr("There are no files to try it on.")


def _compiled(pattern: str) -> re.Pattern[str] | None:
    if not pattern:
        return None
    try:
        return re.compile(pattern)
    except re.error:
        return None
