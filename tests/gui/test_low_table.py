"""Tables that are as high as their rows, and cards in a row: nothing juts out, nothing is lost."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QHelpEvent, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QToolTip

from gui.panels.low_table import LowTable
from gui.theme import theme
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.buttons import make_button
from gui.widgets.card import Card

LONG = "双侧胸膜增厚伴钙化斑块及膈肌粘连并肋膈角变钝不能除外陈旧性病变, pleural thickening"


@pytest.fixture
def table_of(qtbot):
    tables = []

    def shown(*rows, width=700):
        table = LowTable()
        tables.append(table)
        qtbot.addWidget(table)
        model = QStandardItemModel(table)
        model.setHorizontalHeaderLabels([f"Head {n}" for n in range(len(rows[0]))])
        for row in rows:
            model.appendRow([QStandardItem(text) for text in row])
        table.setModel(model)
        table.resize(width, 300)
        table.show()
        table.fit_height()
        return table

    return shown


def widths(table):
    return [table.columnWidth(column) for column in range(table.model().columnCount())]


@pytest.mark.parametrize("width", [640, 641, 643, 700])
def test_rows_reach_the_edge(table_of, width):
    table = table_of(("a", "b", "c", "d", "e", "f", "g"), width=width)
    assert sum(widths(table)) == table.viewport().width()


def test_long_texts_make_room_for_the_others(table_of):
    table = table_of((LONG, "1", "2", "3", "4"), (LONG, "x", LONG, "3", "4"), width=640)
    assert sum(widths(table)) <= table.viewport().width()
    assert table.horizontalScrollBar().maximum() == 0


def test_numbers_are_never_cut(table_of):
    interval = "0.875 (0.72 – 0.98) of 1,234 images"
    table = table_of((LONG, LONG, interval), width=660)
    before = table.sizeHintForColumn(2)
    right = Qt.AlignmentFlag.AlignRight
    table.model().horizontalHeaderItem(2).setTextAlignment(right)
    table.fit_height()
    assert table.columnWidth(2) >= before
    assert table.horizontalScrollBar().maximum() == 0


def test_columns_stay_readable_where_there_is_no_room_at_all(table_of):
    table = table_of((LONG,) * 8, width=400)
    assert min(widths(table)) >= theme().px(250)  # as without a limit: it is scrolled anyway
    assert table.horizontalScrollBar().maximum() > 0


def test_a_text_that_is_cut_is_whole_in_its_tooltip(table_of, monkeypatch):
    told = []
    monkeypatch.setattr(QToolTip, "showText", lambda place, text, widget: told.append(text))
    table = table_of((LONG, "short"), width=400)

    def point_at(column):
        place = table.visualRect(table.model().index(0, column)).center()
        table.viewportEvent(QHelpEvent(QHelpEvent.Type.ToolTip, place, QPoint()))

    point_at(0)
    assert told == [LONG]
    point_at(1)
    assert told == [LONG]


@pytest.mark.parametrize("scale", [1.0, 1.3])
def test_titles_of_cards_side_by_side_are_level(qtbot, scale):
    theme().set_text_scale(scale)
    row = AdaptiveRow()
    qtbot.addWidget(row)
    plain, with_button = Card("Largest errors"), Card("ROC")
    button = make_button("Save")
    with_button.add_action(button)
    for card in (plain, with_button):
        card.setMinimumSize(200, 150)
        row.add(card)
    row.resize(800, 200)
    row.show()

    def height_of_title(card):
        return card._title.mapTo(row, card._title.rect().center()).y()

    qtbot.waitUntil(lambda: abs(height_of_title(plain) - height_of_title(with_button)) <= 1)
    row.resize(250, 500)
    qtbot.waitUntil(lambda: row.n_columns == 1)
    assert plain._header.minimumHeight() == 0
    row.resize(800, 200)
    button.hide()
    qtbot.waitUntil(lambda: plain._header.minimumHeight() < theme().px(32))
