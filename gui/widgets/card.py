"""The panel that most content sits on."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from gui.theme import theme
from gui.tokens import ColorToken
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.painting import set_role, smooth_painter

__all__ = ["Card"]


class Card(QFrame):
    """A titled panel with a hairline border.

    Content goes into `body`. The header has the title, an optional legend of coloured dashes, and
    at the right a secondary text and small actions; it is hidden while it is empty.
    """

    def __init__(
        self, title: str = "", secondary: str = "", *, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        set_role(self, "card")
        self._title = ElidedLabel(role="heading", n_letters=12)
        self._secondary = ElidedLabel(role="secondary")
        self._secondary.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._legend = QHBoxLayout()
        self._legend.setSpacing(6)
        self._actions = QHBoxLayout()
        self._actions.setSpacing(4)
        self._header = QWidget()
        self._build_header()
        self._body = QVBoxLayout()
        self._body.setSpacing(8)
        outer = QVBoxLayout(self)
        # With the hairline, which the style sheet adds, these are 12 and 16.
        outer.setContentsMargins(15, 11, 15, 15)
        outer.setSpacing(8)
        outer.addWidget(self._header)
        outer.addLayout(self._body, 1)
        self.set_title(title)
        self.set_secondary(secondary)

    @property
    def body(self) -> QVBoxLayout:
        """The layout that takes the content."""
        return self._body

    @property
    def title(self) -> str:
        """The title, also the accessible name."""
        return self._title.text()

    def set_title(self, title: str) -> None:
        """Replace the title; an empty one takes no room."""
        self._title.setText(title)
        self._title.setVisible(bool(title))
        self.setAccessibleName(title)
        self._show_header_if_needed()

    def set_secondary(self, text: str) -> None:
        """Replace the grey text at the right of the title."""
        self._secondary.setText(text)
        self._secondary.setVisible(bool(text))
        self._show_header_if_needed()

    @property
    def header_height(self) -> int:
        """Height in px that the header needs; 0 while it is hidden."""
        return 0 if self._header.isHidden() else self._header.sizeHint().height()

    def set_header_height(self, height: int) -> None:
        """Make the header at least so high, so that titles side by side are level."""
        if height != self._header.minimumHeight():
            self._header.setMinimumHeight(height)

    def set_legend(self, entries: Sequence[tuple[str, ColorToken]]) -> None:
        """Name the lines of a plot after the title, each followed by a dash in its colour."""
        while (item := self._legend.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.setParent(None)
                widget.deleteLater()
        for text, token in entries:
            label = QLabel(text)
            set_role(label, "secondary")
            self._legend.addWidget(label)
            self._legend.addWidget(_Dash(token))

    def add_action(self, widget: QWidget) -> None:
        """Put a small control at the right end of the header."""
        self._actions.addWidget(widget)
        self._show_header_if_needed()

    def _build_header(self) -> None:
        row = QHBoxLayout(self._header)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(12)
        row.addWidget(self._title)
        row.addLayout(self._legend)
        row.addStretch(1)
        row.addWidget(self._secondary)
        row.addLayout(self._actions)
        self._header.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def _show_header_if_needed(self) -> None:
        texts = (self._title.text(), self._secondary.text())
        self._header.setVisible(any(texts) or self._actions.count() > 0)


class _Dash(QWidget):
    """A short line in the colour of a curve."""

    def __init__(self, token: ColorToken) -> None:
        super().__init__()
        self._token: ColorToken = token
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)

    def sizeHint(self) -> QSize:
        return QSize(18, 12)

    def paintEvent(self, event: QPaintEvent) -> None:
        del event
        painter = smooth_painter(self)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme().color(self._token))
        painter.drawRoundedRect(0, self.height() // 2 - 1, 12, 3, 1.5, 1.5)
