"""The theme: contrast by the WCAG formula, following the system, text scale, icons."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QByteArray, Qt
from PySide6.QtGui import QFont, QPalette
from PySide6.QtSvg import QSvgRenderer

from gui.icons import app_icon, bind_icon, icon, pixmap
from gui.theme import ThemeChoice, svg_text, theme
from gui.tokens import DARK, LIGHT, TEXT_PAIRS, contrast_ratio, mix
from gui.widgets.buttons import make_button

ICON_FOLDER = Path(__file__).resolve().parents[2] / "resources" / "icons"
BOTH = pytest.mark.parametrize("tokens", [DARK, LIGHT], ids=["dark", "light"])


def wcag_contrast(first: str, second: str) -> float:
    """The formula of WCAG 2.2 (relative luminance, contrast ratio), written out once more."""

    def luminance(color: str) -> float:
        red, green, blue = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))

        def linear(value: float) -> float:
            return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

        return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)

    bright, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.fixture
def look(qapp):
    """The theme, set back to dark at 100 % afterwards."""
    del qapp
    found = theme()
    found.set_choice(ThemeChoice.DARK)
    yield found
    found.set_text_scale(1.0)
    found.set_choice(ThemeChoice.DARK)


@BOTH
@pytest.mark.parametrize("pair", TEXT_PAIRS, ids="-on-".join)
def test_every_text_is_readable_on_its_background(tokens, pair):
    text, background = (tokens.color(name) for name in pair)
    assert wcag_contrast(text, background) >= 4.5


@BOTH
def test_selected_rows_stay_readable(tokens):
    assert wcag_contrast(tokens.text, mix(tokens.panel, tokens.accent, 0.22)) >= 4.5


@BOTH
@pytest.mark.parametrize("surface", ["background", "panel", "raised"])
def test_borders_of_inputs_and_class_colors_stand_out(tokens, surface):
    for color in (tokens.control, tokens.accent, *tokens.classes):
        assert wcag_contrast(color, tokens.color(surface)) >= 3.0


@BOTH
def test_classes_have_different_colors_and_start_with_blue_and_orange(tokens):
    assert len(set(tokens.classes)) == len(tokens.classes) == 8
    assert tokens.class_color(0) == tokens.accent
    assert tokens.class_color(1) == tokens.second
    assert tokens.class_color(8) == tokens.class_color(0)


def test_contrast_of_known_pairs():
    assert contrast_ratio("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast_ratio("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


def test_forcing_a_theme_changes_palette_and_style_sheet_and_says_so(look, qapp, qtbot):
    with qtbot.waitSignals([look.changed, look.choice_changed]):
        look.set_choice(ThemeChoice.LIGHT)
    assert not look.is_dark
    assert qapp.palette().color(QPalette.ColorRole.Window).name() == LIGHT.background
    assert LIGHT.panel in qapp.styleSheet()
    assert DARK.panel not in qapp.styleSheet()


def test_toggling_forces_the_other_theme(look):
    look.toggle()
    choices = [look.choice]
    look.toggle()
    assert [*choices, look.choice] == [ThemeChoice.LIGHT, ThemeChoice.DARK]


def test_an_unforced_theme_is_that_of_the_system(look, qapp):
    look.set_choice(ThemeChoice.SYSTEM)
    is_light = qapp.styleHints().colorScheme() is Qt.ColorScheme.Light
    assert look.is_dark is not is_light


def test_a_system_that_turns_light_is_followed(look, qapp, monkeypatch):
    look.set_choice(ThemeChoice.SYSTEM)
    hints = qapp.styleHints()
    monkeypatch.setattr(type(hints), "colorScheme", lambda _: Qt.ColorScheme.Light)
    hints.colorSchemeChanged.emit(Qt.ColorScheme.Light)
    assert not look.is_dark


def test_text_grows_to_twice_its_size_and_no_further(look, qapp):
    look.set_text_scale(2.0)
    assert qapp.font().pixelSize() == 28
    assert look.font("title").pixelSize() == 40
    assert look.px(20) == 40
    look.set_text_scale(3.5)
    assert look.text_scale == 2.0
    look.set_text_scale(0.2)
    assert look.text_scale == 1.0


def test_digits_have_equal_width(look):
    assert look.font().featureValue(QFont.Tag("tnum")) == 1


def test_nothing_in_the_style_sheet_is_left_unfilled(look, qapp):
    assert "$" not in qapp.styleSheet()


@pytest.mark.parametrize("path", sorted(ICON_FOLDER.glob("*.svg")), ids=lambda path: path.stem)
def test_every_icon_is_valid_and_takes_the_color_of_the_theme(path):
    text = path.read_text(encoding="utf-8")
    assert QSvgRenderer(QByteArray(text.encode())).isValid()
    assert path.stem == "radtune" or "currentColor" in text


@pytest.mark.parametrize(
    "name",
    "folder project sample data split model train evaluate apply help check warning error info "
    "pause play stop cancel export search close invert zoom eye sun moon".split(),
)
def test_the_icons_of_the_pages_exist(name):
    assert svg_text(name).startswith("<svg")


def test_an_unknown_icon_is_a_programmers_error(look):
    with pytest.raises(ValueError, match="no icon named 'nothing'"):
        icon("nothing")


def test_an_icon_is_painted_in_the_asked_color(look):
    image = pixmap("stop", size_px=40, color="#ff0000").toImage()
    colors = {
        image.pixelColor(x, y).name()
        for x in range(image.width())
        for y in range(image.height())
        if image.pixelColor(x, y).alpha() == 255
    }
    assert colors == {"#ff0000"}


def test_the_application_has_an_icon_for_large_and_small_places(look):
    sizes = {size.width() for size in app_icon().availableSizes()}
    assert {16, 32, 256} <= sizes


def test_icons_on_buttons_follow_the_theme_and_the_text_scale(look, qtbot):
    button = make_button("Pause", icon="pause")
    qtbot.addWidget(button)
    before = button.icon().pixmap(20, 20).toImage()
    look.set_choice(ThemeChoice.LIGHT)
    look.set_text_scale(2.0)
    assert button.iconSize().height() == 32
    assert button.icon().pixmap(20, 20).toImage() != before


def test_a_button_that_is_gone_does_not_disturb_the_theme(look, qtbot):
    button = make_button("Pause")
    bind_icon(button, "pause")
    button.deleteLater()
    qtbot.wait(1)
    look.set_choice(ThemeChoice.LIGHT)
    assert not look.is_dark
