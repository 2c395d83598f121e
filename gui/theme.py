"""Dark and light: one palette, one style sheet and one font for the whole window.

The theme follows the system until the user forces one; text scales from 100 to 200 %. Widgets that
paint themselves read `theme().tokens` and repaint on `Theme.changed`.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template

from PySide6.QtCore import QDir, QObject, Qt, QTemporaryDir, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QPalette
from PySide6.QtWidgets import QApplication

from gui.tokens import DARK, GRID_PX, LIGHT, RADIUS_PX, TEXT_SIZES_PX, ColorToken, Tokens, mix

__all__ = ["MAX_TEXT_SCALE", "MIN_TEXT_SCALE", "Theme", "ThemeChoice", "theme"]

MIN_TEXT_SCALE = 1.0
MAX_TEXT_SCALE = 2.0

_ICON_PREFIX = "radtuneqss"
# Simplified Chinese faces first where the system font lacks the glyphs; otherwise Linux may pick
# Japanese or Korean shapes for the same code points.
_FALLBACK_FAMILIES = (
    "Inter",
    "Segoe UI",
    "Helvetica Neue",
    "Noto Sans",
    "Microsoft YaHei UI",
    "Microsoft YaHei",
    "PingFang SC",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "SimHei",
)


class ThemeChoice(StrEnum):
    """What the user asked for; stored in the preferences by its value."""

    SYSTEM = "system"
    DARK = "dark"
    LIGHT = "light"


class Theme(QObject):
    """The look of the running application.

    Signals:
        changed: Colours or text scale are different now; everything should repaint.
        choice_changed: The user's `ThemeChoice` (as its string value), for the preferences.
    """

    changed = Signal()
    choice_changed = Signal(str)

    def __init__(self, app: QApplication) -> None:
        super().__init__(app)
        self._app = app
        self._choice = ThemeChoice.SYSTEM
        self._text_scale = 1.0
        self._tokens = DARK
        self._families = _families()
        self._is_applying = False
        # Coloured copies of the few icons that a style sheet can only name by file.
        self._qss_icons = QTemporaryDir()
        QDir.setSearchPaths(_ICON_PREFIX, [self._qss_icons.path()])
        app.aboutToQuit.connect(self._qss_icons.remove)
        app.styleHints().colorSchemeChanged.connect(self._on_system_change)
        app.setStyle("Fusion")
        self._apply()

    @property
    def tokens(self) -> Tokens:
        """The colours in use."""
        return self._tokens

    @property
    def is_dark(self) -> bool:
        """Whether the dark theme is shown, forced or not."""
        return self._tokens.is_dark

    @property
    def choice(self) -> ThemeChoice:
        """What the user asked for."""
        return self._choice

    @property
    def text_scale(self) -> float:
        """Factor on every text size and on what must grow with it, in [1, 2]."""
        return self._text_scale

    def set_choice(self, choice: ThemeChoice) -> None:
        """Follow the system, or force one theme."""
        choice = ThemeChoice(choice)
        if choice is self._choice:
            return
        self._choice = choice
        self._apply()
        self.choice_changed.emit(choice.value)

    def toggle(self) -> None:
        """Force the theme that is not shown now."""
        self.set_choice(ThemeChoice.LIGHT if self.is_dark else ThemeChoice.DARK)

    def set_text_scale(self, scale: float) -> None:
        """Scale all text; values outside [1, 2] are clamped."""
        scale = min(max(scale, MIN_TEXT_SCALE), MAX_TEXT_SCALE)
        if scale != self._text_scale:
            self._text_scale = scale
            self._apply()

    def color(self, token: ColorToken) -> QColor:
        """Return the colour of a token."""
        return QColor(self._tokens.color(token))

    def px(self, length: float) -> int:
        """Return a length given at 100 % text in pixels of the present text scale."""
        return round(length * self._text_scale)

    def font(self, size: str = "body", *, is_bold: bool = False) -> QFont:
        """Return the interface font at a named size of `TEXT_SIZES_PX`, digits of equal width."""
        font = QFont(self._families)
        font.setPixelSize(self.px(TEXT_SIZES_PX[size]))
        font.setWeight(QFont.Weight.DemiBold if is_bold else QFont.Weight.Normal)
        # Counters and tables must not jitter, so every face uses tabular figures.
        font.setFeature(QFont.Tag("tnum"), 1)
        return font

    def _on_system_change(self) -> None:
        if not self._is_applying:
            self._apply()

    def _apply(self) -> None:
        self._is_applying = True
        try:
            self._choose_tokens()
            self._write_qss_icons()
            self._app.setPalette(_palette(self._tokens))
            self._app.setFont(self.font())
            self._app.setStyleSheet(self._style_sheet())
        finally:
            self._is_applying = False
        self.changed.emit()

    def _choose_tokens(self) -> None:
        hints = self._app.styleHints()
        if self._choice is ThemeChoice.SYSTEM:
            hints.unsetColorScheme()
            # A system that doesn't say is most often a plain Linux desktop: the reading-room look.
            self._tokens = LIGHT if hints.colorScheme() is Qt.ColorScheme.Light else DARK
            return
        is_dark = self._choice is ThemeChoice.DARK
        self._tokens = DARK if is_dark else LIGHT
        # Also turns title bars and native dialogs on the systems that have such a switch.
        hints.setColorScheme(Qt.ColorScheme.Dark if is_dark else Qt.ColorScheme.Light)

    def _write_qss_icons(self) -> None:
        tokens = self._tokens
        suffix = self._suffix
        for name, color in (
            ("check", tokens.on_accent),
            ("chevron-down", tokens.secondary),
            ("chevron-up", tokens.secondary),
            ("chevron-right", tokens.secondary),
            ("dash", tokens.on_accent),
            ("dot", tokens.on_accent),
        ):
            svg = svg_text(name).replace("currentColor", color)
            path = Path(self._qss_icons.path()) / f"{name}-{suffix}.svg"
            path.write_text(svg, encoding="utf-8")

    @property
    def _suffix(self) -> str:
        # One file name per theme: Qt caches the pixmaps of a style sheet by name.
        return "dark" if self.is_dark else "light"

    def _style_sheet(self) -> str:
        sizes = {f"size_{name}": f"{self.px(px)}px" for name, px in TEXT_SIZES_PX.items()}
        values = {
            **self._tokens.colors(),
            **sizes,
            "radius": f"{RADIUS_PX}px",
            "grid": f"{GRID_PX}px",
            "control_height": f"{self.px(18)}px",
            "selection": mix(self._tokens.panel, self._tokens.accent, 0.22),
            "chip_radius": f"{4 + self.px(7)}px",
            "indicator_radius": f"{self.px(8) + 1}px",
            "indicator": f"{self.px(16)}px",
            "arrow": f"{self.px(12)}px",
            "arrow_box": f"{self.px(12) + 16}px",
            "icons": f"{_ICON_PREFIX}:",
            "mode": self._suffix,
        }
        return Template(_template()).substitute(values)


def theme() -> Theme:
    """Return the theme of the running application, made on the first call.

    Raises:
        ValueError: If there is no `QApplication` yet.
    """
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        raise ValueError("The theme needs a QApplication.")
    found = app.findChild(Theme, options=Qt.FindChildOption.FindDirectChildrenOnly)
    return found if isinstance(found, Theme) else Theme(app)


@cache
def svg_text(name: str) -> str:
    """Return the SVG source of a shipped icon; its lines are drawn in ``currentColor``.

    Raises:
        ValueError: If there is no such icon.
    """
    path = files("resources") / "icons" / f"{name}.svg"
    if not path.is_file():
        raise ValueError(f"There is no icon named '{name}'.")
    return path.read_text(encoding="utf-8")


@cache
def _template() -> str:
    return (files("resources") / "themes" / "radtune.qss").read_text(encoding="utf-8")


def _families() -> list[str]:
    system = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont).family()
    known = set(QFontDatabase.families())
    # Naming a face that isn't installed makes Qt search aliases for a long time on macOS.
    return [system, *(name for name in _FALLBACK_FAMILIES if name in known and name != system)]


def _palette(tokens: Tokens) -> QPalette:
    palette = QPalette()
    role = QPalette.ColorRole
    colors = {
        role.Window: tokens.background,
        role.WindowText: tokens.text,
        role.Base: tokens.panel,
        role.AlternateBase: tokens.raised,
        role.Text: tokens.text,
        role.Button: tokens.raised,
        role.ButtonText: tokens.text,
        role.BrightText: tokens.bad,
        role.Highlight: tokens.accent,
        role.HighlightedText: tokens.on_accent,
        role.Accent: tokens.accent,
        role.Link: tokens.accent,
        role.LinkVisited: tokens.accent,
        role.PlaceholderText: tokens.secondary,
        role.ToolTipBase: tokens.raised,
        role.ToolTipText: tokens.text,
        role.Light: tokens.raised,
        role.Midlight: tokens.line,
        role.Mid: tokens.line,
        role.Dark: tokens.line,
        role.Shadow: tokens.background,
    }
    for key, color in colors.items():
        palette.setColor(key, QColor(color))
    for key in (role.WindowText, role.Text, role.ButtonText, role.HighlightedText):
        palette.setColor(QPalette.ColorGroup.Disabled, key, QColor(tokens.disabled))
    palette.setColor(QPalette.ColorGroup.Disabled, role.Highlight, QColor(tokens.line))
    return palette
