"""What surrounds every page: rail, top bar, messages, status strip, page header."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from gui.theme import ThemeChoice, theme
from gui.widgets.buttons import IconButton, make_button
from gui.widgets.message_bar import MessageAction, MessageBar, MessageKind
from gui.widgets.page_header import PageHeader
from gui.widgets.stage_rail import Stage, StageRail, StageState
from gui.widgets.status_strip import StatusStrip
from gui.widgets.top_bar import TopBar

KINDS = list(StageState)


@pytest.fixture
def rail(qtbot):
    widget = StageRail([Stage("data", "Data"), Stage("split", "Split"), Stage("train", "Train")])
    qtbot.addWidget(widget)
    widget.resize(183, 400)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def item(rail, title):
    return next(child for child in rail.children() if getattr(child, "text", str)() == title)


def test_a_click_asks_for_a_stage_and_the_owner_confirms_it(rail, qtbot):
    with qtbot.waitSignal(rail.stage_activated) as asked:
        qtbot.mouseClick(item(rail, "Split"), Qt.MouseButton.LeftButton)
    assert asked.args == ["split"]
    assert rail.current == ""
    rail.set_current("split")
    assert rail.current == "split"


def test_arrows_move_and_enter_opens(rail, qtbot):
    item(rail, "Data").setFocus()
    qtbot.keyClick(item(rail, "Data"), Qt.Key.Key_Down)
    assert item(rail, "Split").hasFocus()
    with qtbot.waitSignal(rail.stage_activated) as asked:
        qtbot.keyClick(item(rail, "Split"), Qt.Key.Key_Return)
    assert asked.args == ["split"]


def test_alt_and_a_number_open_a_stage(rail, qtbot):
    with qtbot.waitSignal(rail.stage_activated) as asked:
        qtbot.keyClick(rail, Qt.Key.Key_3, Qt.KeyboardModifier.AltModifier)
    assert asked.args == ["train"]


def test_a_refused_stage_cannot_be_opened_and_says_why(rail, qtbot):
    rail.set_stage_enabled("train", False, "Import images first.")
    with qtbot.assertNotEmitted(rail.stage_activated):
        qtbot.mouseClick(item(rail, "Train"), Qt.MouseButton.LeftButton)
        qtbot.keyClick(rail, Qt.Key.Key_3, Qt.KeyboardModifier.AltModifier)
    assert item(rail, "Train").toolTip() == "Import images first."


def test_f1_and_the_last_entry_open_help(rail, qtbot):
    with qtbot.waitSignal(rail.help_requested):
        qtbot.keyClick(rail, Qt.Key.Key_F1)
    with qtbot.waitSignal(rail.help_requested):
        qtbot.mouseClick(item(rail, "Help"), Qt.MouseButton.LeftButton)


@pytest.mark.parametrize("state", KINDS)
def test_states_are_told_to_screen_readers(rail, state):
    rail.set_state("data", state)
    assert rail.state("data") is state
    assert item(rail, "Data").accessibleName() == "Data"
    assert item(rail, "Data").accessibleDescription()


def test_states_differ_in_shape_and_not_only_in_color(rail):
    shapes = set()
    for state in KINDS:
        rail.set_state("train", state)
        image = item(rail, "Train").grab().toImage()
        panel = image.pixelColor(image.width() // 2, 2)
        shapes.add(
            tuple(
                image.pixelColor(x, y) != panel for x in range(8, 26) for y in range(image.height())
            )
        )
    assert len(shapes) == len(KINDS)


def test_the_rail_grows_with_the_text(rail):
    before = rail.sizeHint()
    theme().set_text_scale(2.0)
    after = rail.sizeHint()
    theme().set_text_scale(1.0)
    assert after.width() > before.width()
    assert after.height() > before.height()


def test_messages_stack_up_to_three_and_errors_stay(qtbot):
    bar = MessageBar()
    qtbot.addWidget(bar)
    error = bar.show_message(MessageKind.ERROR, "The disk is full.", "Free some space.")
    info = bar.show_message(MessageKind.INFO, "Saved.")
    bar.show_message(MessageKind.WARNING, "Three files could not be read.")
    with qtbot.waitSignal(bar.dismissed) as gone:
        bar.show_message(MessageKind.INFO, "Exported.")
    assert gone.args == [info]
    assert bar.n_messages == 3
    bar.dismiss(error)
    bar.clear()
    assert bar.n_messages == 0
    assert bar.isHidden()


def test_the_same_message_is_not_shown_twice(qtbot):
    bar = MessageBar()
    qtbot.addWidget(bar)
    bar.show_message(MessageKind.INFO, "Saved.")
    bar.show_message(MessageKind.INFO, "Saved.")
    assert bar.n_messages == 1


def test_a_message_has_buttons_that_act_and_close_it(qtbot):
    bar = MessageBar()
    qtbot.addWidget(bar)
    done = []
    action = MessageAction("Merge…", lambda: done.append("merged"))
    bar.show_message(MessageKind.ERROR, "Too few images.", "Merge the class.", [action])
    button = next(b for b in bar.findChildren(QPushButton) if b.text() == "Merge…")
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert done == ["merged"]
    assert bar.n_messages == 0


def test_escape_closes_the_message_in_focus(qtbot):
    bar = MessageBar()
    qtbot.addWidget(bar)
    bar.show_message(MessageKind.INFO, "Saved.")
    bar.show_message(MessageKind.WARNING, "Three files could not be read.")
    qtbot.keyClick(bar.findChildren(IconButton)[0], Qt.Key.Key_Escape)
    assert bar.n_messages == 1


def test_a_message_with_a_time_closes_itself(qtbot):
    bar = MessageBar()
    qtbot.addWidget(bar)
    with qtbot.waitSignal(bar.dismissed, timeout=2000):
        bar.show_message(MessageKind.SUCCESS, "Saved.", timeout_s=0.02)


def test_long_messages_wrap_instead_of_widening_the_window(qtbot):
    bar = MessageBar()
    qtbot.addWidget(bar)
    bar.show_message(MessageKind.WARNING, "word " * 80, "remedy " * 60)
    assert bar.minimumSizeHint().width() < 500
    assert bar.heightForWidth(500) > bar.heightForWidth(1300)


def test_pause_shows_as_pending_until_it_is_confirmed(qtbot):
    strip = StatusStrip()
    qtbot.addWidget(strip)
    strip.set_job("Training: epoch 1 of 8", 0.1)
    pause, stop = strip.findChildren(QPushButton)
    with qtbot.waitSignal(strip.pause_requested):
        pause.click()
    strip.set_pending("Pausing…")
    assert not pause.isEnabled()
    assert not stop.isEnabled()
    strip.set_paused(True)
    assert pause.text() == "Resume"
    with qtbot.waitSignal(strip.resume_requested):
        pause.click()
    with qtbot.waitSignal(strip.stop_requested):
        stop.click()


def test_an_idle_strip_has_only_its_text_and_the_same_height(qtbot):
    strip = StatusStrip()
    qtbot.addWidget(strip)
    strip.set_job("Importing", None)
    busy = strip.sizeHint().height()
    strip.set_idle("CPU ready")
    assert all(button.isHidden() for button in strip.findChildren(QPushButton))
    assert strip.sizeHint().height() == busy


def test_the_text_of_a_running_job_leads_to_its_page(qtbot):
    strip = StatusStrip()
    qtbot.addWidget(strip)
    strip.set_job("Training", 0.5)
    strip.show()
    with qtbot.waitSignal(strip.job_activated):
        qtbot.mouseClick(strip, Qt.MouseButton.LeftButton)


def test_the_switch_of_the_top_bar_turns_the_theme(qtbot):
    theme().set_choice(ThemeChoice.DARK)
    bar = TopBar()
    qtbot.addWidget(bar)
    switch = bar.findChild(IconButton)
    assert switch is not None
    assert switch.accessibleName() == "Light theme"
    switch.click()
    assert theme().choice is ThemeChoice.LIGHT
    assert switch.accessibleName() == "Dark theme"
    switch.click()


def test_a_long_project_name_does_not_widen_the_top_bar(qtbot):
    bar = TopBar()
    qtbot.addWidget(bar)
    before = bar.minimumSizeHint().width()
    bar.set_project("A very long name of a project " * 20)
    assert bar.minimumSizeHint().width() < before + 100


def test_a_page_has_exactly_one_primary_button_and_it_is_the_last(qtbot):
    header = PageHeader("Train", "Standard")
    qtbot.addWidget(header)
    first = header.add_button("Start", is_primary=True)
    second = header.add_button("Cancel")
    header.resize(900, 40)
    header.show()
    assert first.x() > second.x()
    header.set_primary(second)
    primaries = [b for b in header.findChildren(QPushButton) if b.property("primary")]
    assert primaries == [second] == [header.primary]
    with pytest.raises(ValueError, match="must belong"):
        header.set_primary(QPushButton())


def test_buttons_of_a_page_move_below_the_title_where_there_is_no_room(qtbot):
    header = PageHeader("Train", "EfficientNet-Lite0 · full fine-tuning · Standard")
    qtbot.addWidget(header)
    button = header.add_button("Stop and keep best", is_primary=True)
    header.resize(900, 100)
    header.show()
    wide = button.y()
    header.resize(header.minimumSizeHint().width(), 100)
    qtbot.waitUntil(lambda: button.y() > wide)
    assert button.geometry().right() <= header.width()


def test_a_button_is_ringed_for_the_keyboard_only(qtbot):
    window = QWidget()
    qtbot.addWidget(window)
    first, second = make_button("First", parent=window), make_button("Second", parent=window)
    window.show()
    qtbot.waitExposed(window)
    window.activateWindow()

    first.setFocus()
    qtbot.waitUntil(first.hasFocus)
    assert first.property("keyboard") is False
    qtbot.keyClick(first, Qt.Key.Key_Tab)
    assert second.hasFocus()
    assert second.property("keyboard") is True


def test_a_message_that_is_no_longer_so_is_withdrawn_alone(qtbot):
    bar = MessageBar()
    qtbot.addWidget(bar)
    bar.show_message(MessageKind.ERROR, "The training process ended.")
    bar.show_message(MessageKind.ERROR, "The disk is full.")
    bar.withdraw("The training process ended.")
    assert [line.what for line in bar._lines.values()] == ["The disk is full."]


EVALUATED = (
    "Test: 1,234 images of 567 patients · looked at 12 times · threshold 0.47 fixed on validation"
)
CHINESE = "测试集：1,234 张图像，567 名患者 · 已查看 12 次 · 阈值 0.47 由验证集确定 · " * 2


@pytest.fixture
def evaluate_header(qtbot):
    """Return a function that shows a page of a width with the header of the Evaluate page."""
    pages = []

    def shown(width, subtitle):
        page = QWidget()
        pages.append(page)
        qtbot.addWidget(page)
        column = QVBoxLayout(page)
        header = PageHeader("Evaluate", subtitle)
        header.add_button("Find better settings")
        header.add_button("Measure again")
        header.add_button("Export…", is_primary=True)
        column.addWidget(header)
        column.addWidget(QWidget(), 1)
        page.resize(width, 400)
        page.show()
        return header

    return shown


def parts(header):
    title, subtitle = header.findChildren(QLabel)
    return title, subtitle, [b for b in header.findChildren(QPushButton) if b.isVisible()]


@pytest.mark.parametrize("subtitle", [EVALUATED, CHINESE, "Standard", ""])
@pytest.mark.parametrize("scale", [1.0, 1.3, 2.0])
@pytest.mark.parametrize("width", [1182, 696])
def test_a_subtitle_is_read_as_a_whole_at_every_size(
    qtbot, evaluate_header, width, scale, subtitle
):
    theme().set_text_scale(scale)
    header = evaluate_header(width, subtitle)
    title, shown, buttons = parts(header)
    qtbot.waitUntil(
        lambda: not shown.is_elided and shown.height() >= shown.heightForWidth(shown.width())
    )
    places = [w.geometry() for w in (title, *([shown] if subtitle else []), *buttons)]
    assert all(header.rect().contains(place) for place in places)
    assert not any(a.intersects(b) for a in places for b in places if a is not b)


def test_a_subtitle_that_grows_makes_room_below_the_title_and_gives_it_back(qtbot, evaluate_header):
    header = evaluate_header(1182, "Standard")
    title, shown, _ = parts(header)
    low = header.height()
    assert shown.y() < title.geometry().bottom()
    header.set_subtitle(EVALUATED)
    qtbot.waitUntil(lambda: shown.y() >= title.geometry().bottom())
    assert header.height() > low
    header.set_subtitle("Standard")
    qtbot.waitUntil(lambda: shown.y() < title.geometry().bottom())
    assert header.height() == low


def test_a_button_that_appears_moves_the_subtitle(qtbot, evaluate_header):
    header = evaluate_header(1182, EVALUATED)
    title, shown, buttons = parts(header)
    for button in buttons:
        button.hide()
    qtbot.waitUntil(lambda: shown.y() < title.geometry().bottom())
    for button in buttons:
        button.show()
    qtbot.waitUntil(lambda: shown.y() >= title.geometry().bottom())
    assert not shown.is_elided


def test_a_margin_of_the_header_counts(qtbot, evaluate_header):
    header = evaluate_header(1182, "Standard")
    title, shown, buttons = parts(header)
    header.setContentsMargins(0, 0, 300, 0)
    header.set_subtitle("Standard " * 20)
    qtbot.waitUntil(lambda: shown.y() >= title.geometry().bottom())
    assert all(button.geometry().right() <= header.width() - 300 for button in buttons)


def test_a_word_that_no_line_holds_is_elided(qtbot, evaluate_header):
    header = evaluate_header(696, "a_very_long_folder_name_without_any_blank_" * 4)
    _, shown, _ = parts(header)
    qtbot.waitUntil(lambda: shown.is_elided)
    assert shown.toolTip() == shown.text()
    assert shown.geometry().right() <= header.width()
