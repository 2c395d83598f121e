"""Design tokens: the colours and sizes every page is drawn with, and the WCAG contrast formula.

The values of the first block come from the design (dark for reading rooms, light for offices).
The rest are derived for states that the design leaves open and are checked for contrast in
``tests/gui/test_theme.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Literal

__all__ = [
    "DARK",
    "GRID_PX",
    "LIGHT",
    "RADIUS_PX",
    "TEXT_PAIRS",
    "TEXT_SIZES_PX",
    "ColorToken",
    "Tokens",
    "contrast_ratio",
    "mix",
    "relative_luminance",
]

GRID_PX = 8
RADIUS_PX = 6

TEXT_SIZES_PX = {"small": 11, "secondary": 12, "body": 14, "title": 20, "figure": 28}

ColorToken = Literal[
    "background",
    "panel",
    "raised",
    "hover",
    "line",
    "control",
    "chip",
    "text",
    "secondary",
    "disabled",
    "accent",
    "accent_hover",
    "second",
    "on_accent",
    "on_warning",
    "good",
    "warning",
    "bad",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The colours of one theme, each as ``#rrggbb``.

    Attributes:
        line: Hairlines and grid lines; decorative, never the only sign of anything.
        control: Borders of inputs and of state dots; at least 3:1 against its surroundings.
        on_accent: Text and icons on ``accent``.
        on_warning: Text on ``warning`` used as a fill (badges over images).
        classes: Colour-blind-safe fills of the classes, by class index, used again after the last.
    """

    is_dark: bool
    background: str
    panel: str
    raised: str
    hover: str
    line: str
    control: str
    chip: str
    text: str
    secondary: str
    disabled: str
    accent: str
    accent_hover: str
    second: str
    on_accent: str
    on_warning: str
    good: str
    warning: str
    bad: str
    classes: tuple[str, ...]

    def color(self, token: ColorToken) -> str:
        """Return the colour of a token as ``#rrggbb``."""
        value: str = getattr(self, token)
        return value

    def class_color(self, index: int) -> str:
        """Return the fill colour of the class with this index (0 is the accent, 1 the second)."""
        return self.classes[index % len(self.classes)]

    def colors(self) -> dict[str, str]:
        """Return every single colour by its name, for substitution in templates."""
        return dict(_colors(self))


@cache
def _colors(tokens: Tokens) -> dict[str, str]:
    values = {field.name: getattr(tokens, field.name) for field in fields(tokens)}
    return {name: value for name, value in values.items() if isinstance(value, str)}


DARK = Tokens(
    is_dark=True,
    background="#14171c",
    panel="#1b1f26",
    raised="#232831",
    line="#2e3541",
    chip="#2a313c",
    text="#e6e9ee",
    secondary="#9aa4b2",
    accent="#4aa8ff",
    second="#ffb454",
    on_accent="#08131f",
    good="#3fb68b",
    warning="#e3b341",
    bad="#ef6f6c",
    hover="#2c333e",
    control="#707b8b",
    disabled="#6a7483",
    accent_hover="#6bb8ff",
    on_warning="#14171c",
    classes=(
        "#4aa8ff",
        "#ffb454",
        "#3fb68b",
        "#d98ae0",
        "#e6dc62",
        "#ef6f6c",
        "#9aa4b2",
        "#8f8cf5",
    ),
)

LIGHT = Tokens(
    is_dark=False,
    background="#f4f6f8",
    panel="#ffffff",
    raised="#eef1f5",
    line="#d7dde5",
    chip="#e7ecf2",
    text="#1b2430",
    secondary="#566273",
    accent="#0b66c3",
    second="#a85b00",
    on_accent="#ffffff",
    good="#13795b",
    warning="#8a6100",
    bad="#b3261e",
    hover="#e3e8ee",
    control="#7d8998",
    disabled="#8d97a5",
    accent_hover="#0a59aa",
    on_warning="#ffffff",
    classes=(
        "#0b66c3",
        "#a85b00",
        "#13795b",
        "#9a3f9f",
        "#7d7000",
        "#b3261e",
        "#566273",
        "#5650c0",
    ),
)

TEXT_PAIRS: tuple[tuple[ColorToken, ColorToken], ...] = (
    ("text", "background"),
    ("text", "panel"),
    ("text", "raised"),
    ("text", "hover"),
    ("text", "chip"),
    ("secondary", "background"),
    ("secondary", "panel"),
    ("secondary", "raised"),
    ("secondary", "chip"),
    ("accent", "background"),
    ("accent", "panel"),
    ("accent", "raised"),
    ("on_accent", "accent"),
    ("on_accent", "accent_hover"),
    ("on_warning", "warning"),
    ("second", "panel"),
    ("good", "panel"),
    ("good", "raised"),
    ("warning", "panel"),
    ("warning", "raised"),
    ("bad", "panel"),
    ("bad", "raised"),
)
"""Every (text, background) pair that the style sheet and the widgets use."""


def _channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def relative_luminance(color: str) -> float:
    """Return the relative luminance of ``#rrggbb``, in [0, 1] (WCAG 2.2)."""
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in _channels(color))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast_ratio(first: str, second: str) -> float:
    """Return the WCAG 2.2 contrast ratio of two ``#rrggbb`` colours, from 1 to 21."""
    low, high = sorted((relative_luminance(first), relative_luminance(second)))
    return (high + 0.05) / (low + 0.05)


def mix(base: str, top: str, share: float) -> str:
    """Return ``top`` laid over ``base`` with an opacity of ``share`` in [0, 1]."""
    channels = zip(_channels(base), _channels(top), strict=True)
    return "#" + "".join(f"{round(low + (high - low) * share):02x}" for low, high in channels)
