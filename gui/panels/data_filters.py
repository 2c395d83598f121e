"""The line above the grid: words to look for, and chips for what is shown and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QLayout, QLineEdit, QWidget

from engine.contract.records import SPLITS, ClassSummary, ImageRecord
from gui.icons import icon
from gui.itemmodels.image_query import (
    NO_SPLIT,
    NOT_KNOWN,
    UNLABELLED,
    FindingIs,
    ImageQuery,
    Reading,
    Shown,
    SortBy,
    values_of,
)
from gui.itemmodels.label_states import SIGNS, Mark, mark_text
from gui.messages import split_name
from gui.panels.choice_chip import Choice, ChoiceChip
from gui.snapshot import Snapshot
from gui.theme import theme
from gui.widgets.chip import ChipButton
from gui.widgets.flow_layout import FlowLayout

__all__ = ["FilterBar"]

_TYPING_MS: Final = 150
_TEXT_PX: Final = 240
_MARKS: Final = (Mark.PRESENT, Mark.ABSENT, Mark.UNKNOWN)


class FilterBar(QWidget):
    """What the grid shows.

    Signals:
        query_changed: The :class:`ImageQuery`.
    """

    query_changed = Signal(object)

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._query = ImageQuery()
        self._records: Sequence[ImageRecord] = ()
        self._text = QLineEdit()
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
        self._class = ChoiceChip(self.tr("Class"))
        self._finding = ChoiceChip(self.tr("Finding"))
        self._split = ChoiceChip(self.tr("Split"))
        self._modality = ChoiceChip(self.tr("Modality"))
        self._site = ChoiceChip(self.tr("Site"))
        self._view = ChoiceChip(self.tr("View"))
        self._shown = ChoiceChip(self.tr("Show"))
        self._sort = ChoiceChip(self.tr("Sort"))
        self._fields = {
            self._class: "class_id",
            self._finding: "finding",
            self._split: "split",
            self._modality: "modality",
            self._site: "site",
            self._view: "view",
            self._shown: "shown",
            self._sort: "sort_by",
        }
        self._build()
        self.set_snapshot(Snapshot())
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
        self._arrange()
        self._set(ImageQuery(sort_by=self._query.sort_by, only=frozenset(ids)))

    def set_snapshot(self, snapshot: Snapshot) -> None:
        """Offer the classes, parts, modalities, sites and views that occur."""
        self._set_labels(snapshot)
        parts = [Choice(self.tr("all"), None)]
        if snapshot.split is not None:
            parts += [Choice(split_name(part), part) for part in SPLITS]
            parts.append(Choice(split_name(None), NO_SPLIT))
        self._split.set_choices(parts)
        self._split.setVisible(snapshot.split is not None)
        self._set_values(snapshot)
        self._shown.set_choices(
            [
                Choice(self.tr("all"), Shown.ALL),
                Choice(self.tr("included"), Shown.INCLUDED),
                Choice(self.tr("excluded"), Shown.EXCLUDED),
            ]
        )
        self._set_orders(snapshot)
        values = {name: chip.value for chip, name in self._fields.items()}
        self._query = replace(self._query, **values)
        self._arrange()

    def _set_labels(self, snapshot: Snapshot) -> None:
        """Offer the classes, or present, absent and unknown of each finding."""
        classes = [Choice(self.tr("all"), None)]
        findings = [Choice(self.tr("all"), None)]
        if snapshot.is_multi:
            findings += [_finding_choice(c, mark) for c in snapshot.classes for mark in _MARKS]
            findings.append(Choice(self.tr("no finding"), Reading.CLEAR))
            findings.append(Choice(self.tr("no label"), Reading.UNREAD))
        else:
            classes += [Choice(c.name, c.id) for c in snapshot.classes]
            if any(record.class_id is None for record in snapshot.records):
                classes.append(Choice(self.tr("no label"), UNLABELLED))
        self._class.set_choices(
            classes, title=self.tr("Grade") if snapshot.is_ordinal else self.tr("Class")
        )
        self._finding.set_choices(findings)
        self._class.setVisible(not snapshot.is_multi)
        self._finding.setVisible(snapshot.is_multi)
        what = _label_word(self, snapshot)
        self._text.setPlaceholderText(self.tr("Filter: %s, patient, site, file…") % what)
        self._text.setToolTip(
            self.tr(
                "Words that must all occur: %s, patient, study, split, modality, site, view, file "
                "(Ctrl+F)"
            )
            % what
        )

    def _set_values(self, snapshot: Snapshot) -> None:
        """Offer what there is more than one of; records alone decide, and they seldom change."""
        if snapshot.records is self._records:
            return
        self._records = snapshot.records
        for chip in (self._modality, self._site, self._view):
            found = values_of(snapshot.records, self._fields[chip])
            n_known = len(found) - (NOT_KNOWN in found)
            choices = [Choice(self.tr("all"), None)]
            if n_known > 1:
                choices += [Choice(value or self.tr("not known"), value) for value in found]
            chip.set_choices(choices)
            chip.setVisible(n_known > 1)

    def _set_orders(self, snapshot: Snapshot) -> None:
        orders = [
            Choice(self.tr("name"), SortBy.NAME),
            Choice(_label_word(self, snapshot), SortBy.CLASS),
            Choice(self.tr("patient"), SortBy.PATIENT),
        ]
        if snapshot.suspects:
            orders.append(Choice(self.tr("suspicion"), SortBy.SUSPICION))
        self._sort.set_choices(orders)

    def minimumSizeHint(self) -> QSize:
        """Return the width of the text field; the chips wrap."""
        return QSize(self._text.minimumSizeHint().width(), self._rows.minimumSize().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the chips below the text field where both don't fit."""
        super().resizeEvent(event)
        self._arrange()

    def _build(self) -> None:
        self._chips = QWidget()
        flow = FlowLayout(self._chips)
        flow.addWidget(self._only)
        for chip in self._fields:
            chip.chosen.connect(self._on_chosen)
            flow.addWidget(chip)
        self._rows = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(8)
        self._rows.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
        self._rows.addWidget(self._text, 1)
        self._rows.addWidget(self._chips)

    def _arrange(self) -> None:
        chips = self._chips.sizeHint().width()
        is_narrow = theme().px(_TEXT_PX) + self._rows.spacing() + chips > self.width()
        side_by_side, below = QBoxLayout.Direction.LeftToRight, QBoxLayout.Direction.TopToBottom
        self._rows.setDirection(below if is_narrow else side_by_side)
        # With an alignment the chips keep the width of one row, without it they wrap.
        beside = Qt.AlignmentFlag.AlignVCenter
        self._rows.setAlignment(self._chips, Qt.AlignmentFlag(0) if is_narrow else beside)

    def _reset(self) -> None:
        for chip in self._fields:
            if chip is not self._sort:
                chip.choose_first()
        self._text.clear()
        self._typing.stop()
        self._only.hide()
        self._arrange()

    def _on_text_changed(self) -> None:
        self._typing.start()

    def _on_typed(self) -> None:
        self._set(replace(self._query, text=self._text.text()))

    def _on_chosen(self) -> None:
        values = {name: chip.value for chip, name in self._fields.items()}
        self._arrange()
        self._set(replace(self._query, **values))

    def _set(self, query: ImageQuery) -> None:
        if query != self._query:
            self._query = query
            self.query_changed.emit(query)

    def _on_theme_changed(self) -> None:
        self._search.setIcon(icon("search", "secondary"))
        self._arrange()


def _label_word(bar: FilterBar, snapshot: Snapshot) -> str:
    """Return what an image has, in a word."""
    if snapshot.is_multi:
        return bar.tr("finding")
    return bar.tr("grade") if snapshot.is_ordinal else bar.tr("class")


def _finding_choice(summary: ClassSummary, mark: Mark) -> Choice:
    # The sign comes first: a long name may be cut, how the finding stands may not.
    sign, word = SIGNS[mark], mark_text(mark)
    return Choice(
        f"{sign} {summary.name}",
        FindingIs(summary.id, mark),
        group=summary.name,
        entry=f"{sign}  {word}",
        spoken=f"{summary.name} {word}",
    )
