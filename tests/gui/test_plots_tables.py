"""The confusion matrix, which is painted without pyqtgraph."""

from __future__ import annotations

import csv
import io

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QFontMetrics

from gui.plots.confusion_view import ConfusionView
from gui.theme import ThemeChoice, theme
from gui.tokens import contrast_ratio


@pytest.fixture
def matrix(qtbot):
    view = ConfusionView()
    qtbot.addWidget(view)
    view.set_counts(["Normal", "Opacity"], [[51, 11], [16, 55]])
    view.resize(400, 300)
    view.show()
    qtbot.waitExposed(view)
    return view


def center(view, row, column):
    return view._cell_rect(row, column).center().toPoint()


@pytest.mark.parametrize("cell", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_click_gives_reference_and_prediction(matrix, qtbot, cell):
    with qtbot.waitSignal(matrix.cell_clicked) as clicked:
        qtbot.mouseClick(matrix, Qt.MouseButton.LeftButton, pos=center(matrix, *cell))
    assert clicked.args == list(cell)


def test_the_reference_runs_down_and_the_prediction_across(matrix):
    assert center(matrix, 1, 0).y() > center(matrix, 0, 0).y()
    assert center(matrix, 0, 1).x() > center(matrix, 0, 0).x()


def test_a_click_beside_the_cells_gives_nothing(matrix, qtbot):
    with qtbot.assertNotEmitted(matrix.cell_clicked):
        qtbot.mouseClick(matrix, Qt.MouseButton.LeftButton, pos=QPoint(2, 2))


def test_a_cell_is_chosen_with_arrows_and_opened_with_enter(matrix, qtbot):
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Down):
        qtbot.keyClick(matrix, key)
    expected = "reference Opacity, predicted Opacity: 55 images, 77 % of the row"
    assert matrix.accessibleDescription() == expected
    with qtbot.waitSignal(matrix.cell_clicked) as clicked:
        qtbot.keyClick(matrix, Qt.Key.Key_Return)
    assert clicked.args == [1, 1]


@pytest.mark.parametrize("choice", [ThemeChoice.DARK, ThemeChoice.LIGHT])
def test_every_cell_is_readable_whatever_its_share(matrix, choice):
    theme().set_choice(choice)
    for share in range(0, 101, 5):
        matrix.set_counts(["a", "b"], [[share, 100 - share], [100 - share, share]])
        for row in range(2):
            for column in range(2):
                assert contrast_ratio(*matrix.cell_colors(row, column)) >= 4.5
    theme().set_choice(ThemeChoice.DARK)


def test_a_class_without_images_has_empty_cells(matrix):
    matrix.set_counts(["a", "b"], [[0, 0], [1, 1]])
    assert matrix.accessibleDescription().endswith("0 images, 0 % of the row")
    matrix.grab()


def test_a_matrix_must_be_square(matrix):
    with pytest.raises(ValueError, match="one row and one column per class"):
        matrix.set_counts(["a", "b"], [[1, 2]])


def test_the_counts_are_saved_as_a_table(matrix):
    rows = list(csv.reader(io.StringIO(matrix.to_csv())))
    assert rows == [
        ["reference", "Normal", "Opacity"],
        ["Normal", "51", "11"],
        ["Opacity", "16", "55"],
    ]


@pytest.mark.parametrize("scale", [1.0, 1.3, 2.0])
def test_short_names_leave_room_for_the_word_above_them(matrix, scale):
    theme().set_text_scale(scale)
    matrix.set_counts(["正常", "肺炎"], [[9, 1], [2, 8]])
    matrix.resize(700, 300)
    word = QFontMetrics(theme().font("secondary")).horizontalAdvance("reference")
    left = min(matrix._cell_rect(row, 0).left() for row in range(2))
    assert left - 8 >= word
