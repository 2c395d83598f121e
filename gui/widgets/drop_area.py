"""Dropping files and folders onto the window."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QRectF, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gui.icons import pixmap
from gui.theme import theme
from gui.widgets.buttons import make_button
from gui.widgets.painting import set_role, smooth_painter

__all__ = ["DropArea", "DropTarget"]


class DropTarget(QObject):
    """Lets any widget take files and folders: ``DropTarget(page).paths_dropped.connect(...)``.

    Signals:
        paths_dropped: A ``list[pathlib.Path]`` of what was dropped, at least one.
        hover_changed: Whether something that can be dropped is held over the widget.
    """

    paths_dropped = Signal(list)
    hover_changed = Signal(bool)

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        widget.setAcceptDrops(True)
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take drags that carry local files; leave everything else alone."""
        kind = event.type()
        if kind is QEvent.Type.DragEnter and isinstance(event, QDragEnterEvent):
            if not _local_paths(event):
                return False
            event.acceptProposedAction()
            self.hover_changed.emit(True)
            return True
        if kind is QEvent.Type.DragLeave:
            self.hover_changed.emit(False)
        elif kind is QEvent.Type.Drop and isinstance(event, QDropEvent):
            self.hover_changed.emit(False)
            if paths := _local_paths(event):
                event.acceptProposedAction()
                self.paths_dropped.emit(paths)
                return True
        return super().eventFilter(watched, event)


class DropArea(QWidget):
    """A dashed area that asks for files or folders, with buttons for those who don't drag.

    Signals:
        paths_dropped: A ``list[pathlib.Path]`` of what was dropped.
    """

    paths_dropped = Signal(list)

    def __init__(
        self, text: str, detail: str = "", *, icon: str = "folder", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._icon_name = icon
        self._is_hovered = False
        self._icon = QLabel()
        self._icon.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self._text = _centred(text, "heading")
        self._detail = _centred(detail, "secondary")
        self._detail.setVisible(bool(detail))
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(12)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addLayout(self._buttons)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 24, 24, 24)
        column.setSpacing(8)
        column.addStretch(1)
        column.addWidget(self._icon)
        column.addWidget(self._text)
        column.addWidget(self._detail)
        column.addSpacing(8)
        column.addLayout(row)
        column.addStretch(1)
        self.setAccessibleName(text)
        self.setAccessibleDescription(detail)
        target = DropTarget(self)
        target.paths_dropped.connect(self.paths_dropped)
        target.hover_changed.connect(self._on_hover_changed)
        theme().changed.connect(self._paint_icon)
        self._paint_icon()

    def add_button(self, text: str, *, icon: str = "", is_primary: bool = False) -> QPushButton:
        """Add a button under the text and return it."""
        button = make_button(text, icon=icon, is_primary=is_primary)
        self._buttons.addWidget(button)
        return button

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the dashed frame, filled and in accent while something is held over it."""
        del event
        painter = smooth_painter(self)
        look = theme()
        pen = QPen(look.color("accent" if self._is_hovered else "control"), 1.5)
        pen.setDashPattern([4, 4])
        painter.setPen(pen)
        painter.setBrush(look.color("raised" if self._is_hovered else "panel"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 8, 8)

    def _on_hover_changed(self, is_hovered: bool) -> None:
        self._is_hovered = is_hovered
        self.update()

    def _paint_icon(self) -> None:
        side = theme().px(40)
        self._icon.setPixmap(pixmap(self._icon_name, size_px=side, color="accent"))
        self.update()


def _local_paths(event: QDropEvent) -> list[Path]:
    urls = event.mimeData().urls()
    return [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]


def _centred(text: str, role: str) -> QLabel:
    label = QLabel(text)
    label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
    label.setWordWrap(True)
    set_role(label, role)
    return label
