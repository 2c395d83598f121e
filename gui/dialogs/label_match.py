"""Whether the rows of a label sheet belong to images of the folder, and by what."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QLocale, QSize, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from engine.contract.import_rules import ColumnMapping
from engine.contract.records import SourcePreview
from gui.dialogs.label_fields import Choice, note_label
from gui.icons import pixmap
from gui.theme import theme
from gui.tokens import ColorToken
from gui.widgets.painting import repolish, set_role

__all__ = ["MatchLine", "is_about_same_rows"]

_MOST_CHECKED: Final = 1000
"""The preview tries no more rows than these."""
_GOOD_SHARE: Final = 0.9
_ICON_PX: Final = 16


class MatchLine(QWidget):
    """A sentence with the share of rows that were found, and the choice of the join key.

    Signals:
        changed: Rows are to be matched by something else.
    """

    changed = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tone: ColorToken = "secondary"
        self._icon_name = "refresh"
        self._hint = ""
        self._icon = QLabel()
        self._sentence = QLabel()
        self._sentence.setWordWrap(True)
        self._by = Choice(self.tr("Rows are matched by"), n_letters=16)
        for join in ("auto", "path", "sop_uid", "patient_date"):
            self._by.addItem(self._join_name(join), join)
        self._by.activated.connect(self._on_activated)
        self._explanation = note_label()
        self._build()
        theme().changed.connect(self._paint)
        self._say("secondary", "refresh", "")

    @property
    def join(self) -> str:
        """What rows are matched by, as in ``ColumnMapping.join``."""
        return str(self._by.currentData())

    @property
    def sentence(self) -> str:
        """What is said now."""
        return self._sentence.text()

    def forget(self) -> None:
        """Leave the join key to the engine, for another sheet."""
        self._by.choose("auto")
        self._by.setItemText(0, self._join_name("auto"))
        self._explain()

    def show_checking(self) -> None:
        """Say that the folder is looked at again."""
        text = self.tr("Comparing the sheet with the folder…")
        self._say("secondary", "refresh", text)

    def show_nothing(self) -> None:
        """Say nothing, as nothing was compared."""
        self._say("secondary", "refresh", "")

    def show_preview(self, preview: SourcePreview) -> None:
        """Say how many rows were found."""
        if (join := preview.guess.join) != "auto":
            self._by.setItemText(0, self.tr("Found: %s") % self._join_name(join))
        n_found, n_checked = preview.n_matched, preview.n_checked
        if n_found is None:
            is_costly = n_checked > 0 and self.join in ("sop_uid", "patient_date")
            later = self.tr("The import compares them: there are many headers to read.")
            self._say("secondary", "info", later if is_costly else "")
            return
        if not n_checked:
            self.show_nothing()
            return
        text = self._count_sentence(n_found, n_checked, preview.guess.join)
        if n_found >= _GOOD_SHARE * n_checked:
            self._say("good", "success", text)
        elif n_found:
            self._say("warning", "warning", text)
        else:
            hint = self.tr(
                "Is it the right column, and the folder that the sheet's paths start from?"
            )
            self._say("bad", "error", text, hint)

    def _join_name(self, join: str) -> str:
        names = {
            "auto": self.tr("Automatic"),
            "path": self.tr("File or path"),
            "sop_uid": self.tr("SOP Instance UID"),
            "patient_date": self.tr("Patient and date"),
        }
        return names[join]

    def _count_sentence(self, n_found: int, n_checked: int, join: str) -> str:
        locale = QLocale()
        of = locale.toString(n_checked)
        if n_checked >= _MOST_CHECKED:
            rows = self.tr("the first %s rows") % of
        else:
            rows = self.tr("the %s rows") % of if n_checked > 1 else self.tr("the one row")
        if n_found == n_checked:
            share = self.tr("All of %s") % rows
        elif n_found:
            share = self.tr("%s of %s") % (locale.toString(n_found), rows)
        else:
            share = self.tr("None of %s") % rows
        if join == "path":
            return self.tr("%s name an image of the folder.") % share
        return self.tr("%s belong to an image of the folder.") % share

    def _on_activated(self) -> None:
        self._explain()
        self.changed.emit()

    def _explain(self) -> None:
        sentences = {
            "path": self.tr("The image column holds a file name or a path, as in the folder."),
            "sop_uid": self.tr(
                "The image column holds the SOP Instance UID that is in the DICOM header."
            ),
            "patient_date": self.tr(
                "A row stands for all images that have its patient id and study date in the "
                "DICOM header."
            ),
        }
        self._explanation.setText(f"{self._hint} {sentences.get(self.join, '')}".strip())
        self._explanation.setVisible(bool(self._explanation.text()))

    def _say(self, tone: ColorToken, icon: str, text: str, hint: str = "") -> None:
        self._tone, self._icon_name, self._hint = tone, icon, hint
        self._explain()
        self._sentence.setText(text)
        self._sentence.setProperty("tone", "" if tone == "secondary" else tone)
        repolish(self._sentence)
        self._paint()

    def _paint(self) -> None:
        side = theme().px(_ICON_PX)
        self._icon.setFixedSize(QSize(side, side))
        self._icon.setVisible(bool(self._sentence.text()))
        self._icon.setPixmap(pixmap(self._icon_name, size_px=side, color=self._tone))

    def _build(self) -> None:
        matched = QLabel(self.tr("Matched by"))
        set_role(matched, "small")
        matched.setBuddy(self._by)
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self._icon)
        line.addWidget(self._sentence, 1)
        line.addWidget(matched)
        line.addWidget(self._by)
        self._explanation.setAlignment(Qt.AlignmentFlag.AlignLeft)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(line)
        column.addWidget(self._explanation)


def is_about_same_rows(answer: ColumnMapping, wanted: ColumnMapping) -> bool:
    """Return whether rows were matched by the columns that are chosen now."""
    if wanted.join not in ("auto", answer.join):
        return False
    if answer.join == "patient_date":
        return (answer.patient, answer.date) == (wanted.patient, wanted.date)
    return answer.path == (wanted.path or None)
