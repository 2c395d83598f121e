"""Shares of several parts, one bar below the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui.theme import theme
from gui.widgets.painting import draw_bar, draw_elided, smooth_painter

__all__ = ["Share", "ShareBars"]

_BAR_PX: Final = 8
_GAP_PX: Final = 8
_SPACE_PX: Final = 12


@dataclass(frozen=True, slots=True)
class Share:
    """One row.

    Attributes:
        share: In [0, 1]; None for a row that has none, and so no bar.
        text: What the share is, in words or figures.
    """

    name: str
    share: float | None
    text: str


class ShareBars(QWidget):
    """A row for each part: its name, a bar, and its share in figures, all bars from one line."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shares: tuple[Share, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        theme().changed.connect(self._on_theme_changed)

    @property
    def shares(self) -> tuple[Share, ...]:
        """What is shown."""
        return self._shares

    def set_shares(self, shares: Sequence[Share]) -> None:
        """Show these parts, in this order."""
        self._shares = tuple(shares)
        self.setAccessibleDescription("; ".join(f"{s.name}: {s.text}" for s in shares))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Return room for every row at the present text size."""
        n_rows = len(self._shares)
        height = n_rows * self._row_height() + max(0, n_rows - 1) * _GAP_PX
        return QSize(theme().px(320), height)

    def minimumSizeHint(self) -> QSize:
        """Return the full height; names elide in width."""
        return QSize(theme().px(160), self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint all rows."""
        del event
        painter, look, font = smooth_painter(self), theme(), theme().font("body")
        metrics, height = QFontMetrics(font), self._row_height()
        names = max((metrics.horizontalAdvance(s.name) for s in self._shares), default=0)
        names = min(names, self.width() // 3) + 2
        texts = max((metrics.horizontalAdvance(s.text) for s in self._shares), default=0) + 2
        left = names + _SPACE_PX
        width = max(0, self.width() - left - texts - _SPACE_PX)
        for index, share in enumerate(self._shares):
            top = index * (height + _GAP_PX)
            draw_elided(
                painter, QRectF(0, top, names, height), share.name, font, look.color("text")
            )
            bar = QRectF(left, top + (height - _BAR_PX) / 2, width, _BAR_PX)
            if share.share is not None:
                draw_bar(painter, bar, share.share, look.color("accent"), look.color("chip"))
            value = QRectF(self.width() - texts, top, texts, height)
            align = Qt.AlignmentFlag.AlignRight
            draw_elided(painter, value, share.text, font, look.color("secondary"), align)

    def _row_height(self) -> int:
        return QFontMetrics(theme().font("body")).height()

    def _on_theme_changed(self) -> None:
        self.updateGeometry()
        self.update()
