"""The line above the grid: words to look for, and chips for class, split, modality and order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QMenu, QWidget

from engine.contract.records import SPLITS
from gui.icons import icon
from gui.itemmodels.image_query import (
    NO_SPLIT,
    UNLABELLED,
    ImageQuery,
    Shown,
    SortBy,
    modalities,
)
from gui.messages import split_name
from gui.session import Snapshot
from gui.theme import theme
from gui.widgets.chip import ChipButton

__all__ = ["FilterBar"]

_TYPING_MS: Final = 150
_Choice = tuple[str, Any]


class FilterBar(QWidget):
    """What the grid shows.

    Signals:
        query_changed: The :class:`ImageQuery`.
    """

    query_changed = Signal(object)

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._query = ImageQuery()
        self._text = QLineEdit()
        self._text.setPlaceholderText(self.tr("Filter: class, patient, split, modality, text…"))
        self._text.setClearButtonEnabled(True)
        self._text.setAccessibleName(self.tr("Filter the images"))
        self._text.textChanged.connect(self._on_text_changed)
        self._search = self._text.addAction(
            icon("search", "secondary"), QLineEdit.ActionPosition.LeadingPosition
        )
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(_TYPING_MS)
        self._typing.timeout.connect(self._on_typed)
        self._only = ChipButton()
        self._only.clicked.connect(self.clear)
        self._only.hide()
        self._class = _ChoiceChip(self.tr("Class"))
        self._split = _ChoiceChip(self.tr("Split"))
        self._modality = _ChoiceChip(self.tr("Modality"))
        self._shown = _ChoiceChip(self.tr("Show"))
        self._sort = _ChoiceChip(self.tr("Sort"))
        self._fields = {
            self._class: "class_id",
            self._split: "split",
            self._modality: "modality",
            self._shown: "shown",
            self._sort: "sort_by",
        }
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self._text, 1)
        row.addWidget(self._only)
        for chip in self._fields:
            chip.chosen.connect(self._on_chosen)
            row.addWidget(chip)
        self._shown.set_choices(
            [
                (self.tr("all"), Shown.ALL),
                (self.tr("included"), Shown.INCLUDED),
                (self.tr("excluded"), Shown.EXCLUDED),
            ]
        )
        self._sort.set_choices(
            [
                (self.tr("name"), SortBy.NAME),
                (self.tr("class"), SortBy.CLASS),
                (self.tr("patient"), SortBy.PATIENT),
            ]
        )
        theme().changed.connect(self._on_theme_changed)

    @property
    def query(self) -> ImageQuery:
        """What is asked for."""
        return self._query

    def focus_text(self) -> None:
        """Put the cursor into the text field."""
        self._text.setFocus()
        self._text.selectAll()

    def clear(self) -> None:
        """Ask for everything, in the present order."""
        self._reset()
        self._set(ImageQuery(sort_by=self._query.sort_by))

    def show_only(self, ids: Iterable[int], title: str) -> None:
        """Ask for these images alone, until the chip with the title is pressed."""
        self._reset()
        room = theme().px(220)
        shown = self.fontMetrics().elidedText(title, Qt.TextElideMode.ElideRight, room)
        self._only.setText(f"{shown}  ×".replace("&", "&&"))
        self._only.setToolTip(self.tr("%s: show all images again") % title)
        self._only.setAccessibleName(self._only.toolTip())
        self._only.show()
        self._set(ImageQuery(sort_by=self._query.sort_by, only=frozenset(ids)))

    def set_snapshot(self, snapshot: Snapshot) -> None:
        """Offer the classes, parts and modalities that occur."""
        classes: list[_Choice] = [(self.tr("all"), None)]
        classes += [(c.name, c.id) for c in snapshot.classes]
        if any(record.class_id is None for record in snapshot.records):
            classes.append((self.tr("no label"), UNLABELLED))
        self._class.set_choices(classes)
        parts: list[_Choice] = [(self.tr("all"), None)]
        if snapshot.split is not None:
            parts += [(split_name(part), part) for part in SPLITS]
            parts.append((split_name(None), NO_SPLIT))
        self._split.set_choices(parts)
        found = modalities(snapshot.records)
        self._modality.set_choices([(self.tr("all"), None), *((name, name) for name in found)])
        self._modality.setVisible(len(found) > 1)
        self._split.setVisible(snapshot.split is not None)
        values = {field: chip.value for chip, field in self._fields.items()}
        self._query = replace(self._query, **values)

    def _reset(self) -> None:
        for chip in (self._class, self._split, self._modality, self._shown):
            chip.choose_first()
        self._text.clear()
        self._typing.stop()
        self._only.hide()

    def _on_text_changed(self) -> None:
        self._typing.start()

    def _on_typed(self) -> None:
        self._set(replace(self._query, text=self._text.text()))

    def _on_chosen(self) -> None:
        values = {field: chip.value for chip, field in self._fields.items()}
        self._set(replace(self._query, **values))

    def _set(self, query: ImageQuery) -> None:
        if query != self._query:
            self._query = query
            self.query_changed.emit(query)

    def _on_theme_changed(self) -> None:
        self._search.setIcon(icon("search", "secondary"))


class _ChoiceChip(ChipButton):
    """A chip "Class: all" with a menu of choices; a choice that is gone becomes the first."""

    chosen = Signal()

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title
        self._choices: Sequence[_Choice] = ()
        self._place = 0
        self._menu = QMenu(self)
        self._group: QActionGroup | None = None
        self._menu.aboutToShow.connect(self._fill)
        self.setMenu(self._menu)
        self._show()

    @property
    def value(self) -> Any:
        return self._choices[self._place][1] if self._choices else None

    def set_choices(self, choices: Sequence[_Choice]) -> None:
        value = self.value
        self._choices = tuple(choices)
        places = [place for place, choice in enumerate(choices) if choice[1] == value]
        self._place = places[0] if places else 0
        self._show()

    def choose_first(self) -> None:
        self._place = 0
        self._show()

    def _fill(self) -> None:
        self._menu.clear()
        self._group = QActionGroup(self)
        for place, (text, _) in enumerate(self._choices):
            action = QAction(text.replace("&", "&&"), self._group)
            action.setCheckable(True)
            action.setChecked(place == self._place)
            action.setData(place)
            self._menu.addAction(action)
        self._group.triggered.connect(self._on_triggered)

    def _on_triggered(self, action: QAction) -> None:
        self._place = int(action.data())
        self._show()
        self.chosen.emit()

    def _show(self) -> None:
        value = self._choices[self._place][0] if self._choices else ""
        whole = f"{self._title}: {value}"
        room = theme().px(150)
        shown = self.fontMetrics().elidedText(whole, Qt.TextElideMode.ElideRight, room)
        self.setText(shown.replace("&", "&&"))
        self.setToolTip(whole if shown != whole else "")
        self.setAccessibleName(whole)
