"""What stands on the pages: cards, tiles, bars, choices, drops, figures' menus."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QImage, QWheelEvent
from PySide6.QtWidgets import QApplication, QButtonGroup, QLabel, QPushButton, QWidget

from gui.theme import theme
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.card import Card
from gui.widgets.chip import Chip, ChipButton
from gui.widgets.choice_card import ChoiceCard
from gui.widgets.class_bars import ClassBars, ClassCount
from gui.widgets.counts import images_text, patients_text
from gui.widgets.drop_area import DropArea
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.empty_state import EmptyState
from gui.widgets.figure_menu import FigureMenu, Popover, save_figure
from gui.widgets.flow_layout import FlowLayout
from gui.widgets.number_input import DecimalInput, NumberInput
from gui.widgets.progress_row import ProgressRow
from gui.widgets.split_bars import SplitBars, SplitCount
from gui.widgets.stat_tile import StatTile

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def large_text(qapp):
    """Text at 200 %."""
    del qapp
    theme().set_text_scale(2.0)
    yield
    theme().set_text_scale(1.0)


class Figure:
    """A figure with known content."""

    def to_image(self, scale=2.0):
        return QImage(int(4 * scale), 4, QImage.Format.Format_ARGB32)

    def to_svg(self):
        return b"<svg/>"

    def to_csv(self):
        return "class,n\nœdème,3\n"


def test_widgets_load_neither_numpy_nor_pyqtgraph():
    names = sorted(path.stem for path in (ROOT / "gui" / "widgets").glob("*.py"))
    names = [name for name in names if name not in ("__init__", "image_pixels")]
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module('gui.widgets.' + name)\n"
        "print(sorted({'numpy', 'pyqtgraph', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_label_that_does_not_fit_offers_its_whole_text(qtbot):
    label = ElidedLabel("A very long class name that nobody would type twice")
    qtbot.addWidget(label)
    label.resize(60, 20)
    label.show()
    assert label.is_elided
    assert label.toolTip() == label.text()
    label.resize(900, 20)
    assert label.toolTip() == ""


def test_the_header_of_a_card_is_there_only_when_it_says_something(qtbot):
    card = Card()
    qtbot.addWidget(card)
    bare = card.sizeHint().height()
    card.set_title("Classes")
    card.set_secondary("images / patients")
    card.set_legend([("training", "accent"), ("validation", "second")])
    assert card.sizeHint().height() > bare
    assert card.accessibleName() == "Classes"
    card.set_legend([])
    assert "training" not in [label.text() for label in card.findChildren(QLabel) if label.parent()]


def test_a_tile_says_its_figure_with_unit_and_detail(qtbot):
    tile = StatTile("Speed")
    qtbot.addWidget(tile)
    tile.set_value("184", "images/s", "data never waited for", tone="good")
    assert tile.accessibleName() == "Speed: 184 images/s"
    assert tile.accessibleDescription() == "data never waited for"


@pytest.mark.parametrize(("n", "text"), [(0, "0 images"), (1, "1 image"), (2, "2 images")])
def test_counted_nouns_agree_with_their_number(qapp, n, text):
    assert images_text(n) == text
    assert patients_text(n) == text.replace("image", "patient")


def test_class_bars_describe_every_class(qtbot):
    bars = ClassBars()
    qtbot.addWidget(bars)
    bars.set_counts([ClassCount("Normal", 500, 402), ClassCount("Opacity", 1)])
    assert bars.accessibleDescription() == "Normal: 500 images, 402 patients; Opacity: 1 image"


def test_class_bars_are_as_long_as_the_share_of_the_largest_class(qtbot):
    bars = ClassBars()
    qtbot.addWidget(bars)
    bars.set_counts([ClassCount("Normal", 400), ClassCount("Opacity", 100)])
    bars.resize(400, bars.sizeHint().height())
    image = bars.grab().toImage()
    colors = [theme().tokens.class_color(index) for index in range(2)]
    row_of_second = bars.height() - 3
    shown = [image.pixelColor(x, row_of_second).name() for x in range(400)]
    assert shown.count(colors[1]) == pytest.approx(100, abs=4)


def test_a_split_needs_one_number_per_class(qtbot):
    bars = SplitBars()
    qtbot.addWidget(bars)
    bars.set_counts(["a", "b"], [SplitCount("Training", (70, 30), 60)])
    assert bars.accessibleDescription() == "Training: 100 images · 60 patients (a 70, b 30)"
    with pytest.raises(ValueError, match="one number per class"):
        bars.set_counts(["a", "b"], [SplitCount("Test", (1,))])


def test_one_choice_of_a_group_is_made_with_the_arrow_keys(qtbot):
    page = QWidget()
    qtbot.addWidget(page)
    group = QButtonGroup(page)
    cards = [ChoiceCard(name, "What it does.", chips=("fast",)) for name in ("Quick", "Standard")]
    row = AdaptiveRow(parent=page)
    for card in cards:
        group.addButton(card)
        row.add(card)
    cards[0].setChecked(True)
    row.resize(row.sizeHint())
    page.show()
    page.activateWindow()
    cards[0].setFocus()
    qtbot.waitUntil(cards[0].hasFocus)
    qtbot.keyClick(cards[0], Qt.Key.Key_Right)
    assert cards[1].isChecked()
    assert not cards[0].isChecked()


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Space])
def test_a_choice_is_pressed_by_enter_and_space(qtbot, key):
    card = ChoiceCard("Open a project", is_checkable=False)
    qtbot.addWidget(card)
    with qtbot.waitSignal(card.clicked):
        qtbot.keyClick(card, key)


def test_a_choice_tells_its_facts_to_screen_readers(qtbot):
    card = ChoiceCard("Standard", "Fine-tunes.", chips=("3 min", "8 epochs"), badge="Recommended")
    qtbot.addWidget(card)
    assert card.accessibleName() == "Standard"
    assert card.accessibleDescription() == "Recommended. Fine-tunes. 3 min. 8 epochs"


def test_a_chosen_card_differs_by_more_than_color(qtbot):
    card = ChoiceCard("Standard")
    qtbot.addWidget(card)
    card.resize(240, 100)
    mark = (card.width() - 16 - 9, 26)
    before = card.grab().toImage().pixelColor(*mark)
    card.setChecked(True)
    assert card.grab().toImage().pixelColor(*mark) != before


def test_a_narrow_row_breaks_into_two_by_two_and_then_one_column(qtbot):
    row = AdaptiveRow(spacing_px=10)
    qtbot.addWidget(row)
    for _ in range(4):
        child = QWidget()
        child.setMinimumWidth(100)
        row.add(child)
    row.show()
    for width, n_columns in ((430, 4), (429, 2), (210, 2), (209, 1)):
        row.resize(width, 300)
        assert row.n_columns == n_columns
    assert row.minimumSizeHint().width() == 100


def test_hidden_widgets_leave_no_gap_in_a_row(qtbot):
    row = AdaptiveRow(spacing_px=10)
    qtbot.addWidget(row)
    parts = [QLabel(f"tile {k}") for k in range(3)]
    for part in parts:
        row.add(part)
    row.resize(320, 60)
    parts[2].hide()
    row.show()
    qtbot.waitExposed(row)
    assert row.n_columns == 2
    assert parts[1].geometry().right() == row.width() - 1
    parts[2].show()
    qtbot.waitUntil(lambda: row.n_columns == 3)
    assert parts[2].isVisible()
    parts[0].hide()
    qtbot.waitUntil(lambda: parts[1].x() == 0)
    assert parts[2].geometry().right() == row.width() - 1


def test_chips_flow_into_new_rows(qtbot):
    box = QWidget()
    qtbot.addWidget(box)
    flow = FlowLayout(box)
    for _ in range(6):
        flow.addWidget(Chip("about 3 min"))
    assert flow.heightForWidth(2000) < flow.heightForWidth(200) < flow.heightForWidth(100)


def test_nothing_is_cut_at_twice_the_text_size(qtbot, large_text):
    del large_text
    widgets = [
        ChipButton("Class: all"),
        Chip("NVIDIA RTX"),
        StatTile("AUROC", "0.862", "", "95 % interval"),
        EmptyState("train", "No run yet.", "Train", "Choose a model first."),
    ]
    for widget in widgets:
        qtbot.addWidget(widget)
        widget.resize(widget.sizeHint())
        widget.show()
        for label in (*widget.findChildren(QLabel), *widget.findChildren(QPushButton)):
            if label.isVisible():
                assert label.height() >= label.minimumSizeHint().height()
                assert label.height() >= label.fontMetrics().height()


def test_progress_shows_a_share_or_movement(qtbot):
    row = ProgressRow("Epoch 7 of 12")
    qtbot.addWidget(row)
    row.set_progress(0.25, "4 min left")
    assert row.bar.value() / row.bar.maximum() == 0.25
    row.set_progress(None)
    assert row.bar.maximum() == 0
    row.set_progress(7.0)
    assert row.bar.value() == row.bar.maximum()


def test_number_fields_keep_their_limits_and_leave_the_wheel_to_the_page(qtbot):
    whole, decimal = NumberInput(1, 40, 8, unit="epochs"), DecimalInput(0.0, 1.0, 0.5)
    for field in (whole, decimal):
        qtbot.addWidget(field)
        event = QWheelEvent(
            QPointF(5, 5),
            QPointF(5, 5),
            QPoint(),
            QPoint(0, 120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(field, event)
        assert not event.isAccepted()
    assert whole.text() == "8 epochs"
    assert decimal.value() == 0.5
    whole.setValue(99)
    assert whole.value() == 40


def test_an_empty_page_says_what_to_do(qtbot):
    state = EmptyState("data", "No images yet.", "Open a folder…")
    qtbot.addWidget(state)
    button = state.findChild(QPushButton)
    assert button is not None
    with qtbot.waitSignal(state.action_requested):
        button.click()
    state.set_content("data", "Nothing to do.")
    assert button.isHidden()


def drop(widget, urls):
    data = QMimeData()
    data.setUrls(urls)
    copy, left, none = (
        Qt.DropAction.CopyAction,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    enter = QDragEnterEvent(QPoint(5, 5), copy, data, left, none)
    QApplication.sendEvent(widget, enter)
    event = QDropEvent(QPointF(5, 5), copy, data, left, none)
    QApplication.sendEvent(widget, event)
    return enter.isAccepted()


def test_dropped_folders_arrive_as_paths(qtbot, tmp_path):
    area = DropArea("Drop a folder here")
    qtbot.addWidget(area)
    folder = tmp_path / "Röntgen 胸部"
    with qtbot.waitSignal(area.paths_dropped) as dropped:
        assert drop(area, [QUrl.fromLocalFile(str(folder))])
    assert dropped.args == [[folder]]


def test_links_to_the_web_are_not_taken(qtbot):
    area = DropArea("Drop a folder here")
    qtbot.addWidget(area)
    with qtbot.assertNotEmitted(area.paths_dropped):
        drop(area, [QUrl("https://example.org/image.png")])


def test_a_figure_is_saved_by_the_suffix_of_its_file(qtbot, tmp_path):
    menu = FigureMenu(Figure(), "roc", "It shows.")
    qtbot.addWidget(menu)
    for suffix in ("png", "svg", "csv"):
        path = tmp_path / f"Bild ü.{suffix}"
        with qtbot.waitSignal(menu.saved) as saved:
            menu.save_to(path)
        assert saved.args == [path]
    assert (tmp_path / "Bild ü.csv").read_text(encoding="utf-8-sig") == "class,n\nœdème,3\n"
    assert QImage(str(tmp_path / "Bild ü.png")).width() == 8
    assert (tmp_path / "Bild ü.svg").read_bytes() == b"<svg/>"


def test_a_figure_that_cannot_be_saved_says_what_to_do(qtbot, tmp_path):
    menu = FigureMenu(Figure(), "roc")
    qtbot.addWidget(menu)
    with qtbot.waitSignal(menu.failed) as failed:
        menu.save_to(tmp_path / "not there" / "roc.csv")
    what, remedy = failed.args
    assert "could not be saved" in what
    assert "another folder" in remedy
    with pytest.raises(ValueError, match=r"\.bmp"):
        save_figure(Figure(), tmp_path / "roc.bmp")


def test_a_figure_is_copied_as_an_image(qtbot):
    menu = FigureMenu(Figure(), "roc")
    qtbot.addWidget(menu)
    menu.copy()
    assert QApplication.clipboard().image().width() == 8


def test_an_explanation_closes_with_escape(qtbot):
    anchor = QWidget()
    qtbot.addWidget(anchor)
    anchor.show()
    popover = Popover("Two sentences. That explain.", anchor)
    popover.show()
    assert popover.accessibleName().startswith("Two sentences")
    qtbot.keyClick(popover, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not anchor.findChildren(Popover))
