"""Paints one image of the grid: thumbnail, class, patient, and whether it is excluded."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import (
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPointF,
    QRectF,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QImage,
    QPainter,
    QPainterPath,
    QPen,
    QPixmap,
    QPixmapCache,
)
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from engine.contract.errors import EngineError
from engine.contract.records import ClassSummary, ImageRecord
from gui.itemmodels.image_list import RECORD_ROLE, ImageListModel
from gui.itemmodels.label_states import is_unread
from gui.itemmodels.thumbnail_reader import ThumbnailReader
from gui.theme import theme

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.project.thumbnails import Thumbnails

__all__ = ["GAP_PX", "ThumbnailDelegate", "short_list", "thumbnail_pixmap"]

GAP_PX: Final = 8
_LOOK_MS: Final = 15
_CACHE_KB: Final = 96 * 1024
_DIMMED: Final = 0.35
_RADIUS_PX: Final = 6
_INSET_PX: Final = 6
"""The frame of the keyboard is four pixels inside."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What a card is painted with; asked for once per theme, not once per card."""

    font: QFont
    metrics: QFontMetrics
    badge_font: QFont
    badge_metrics: QFontMetrics
    panel: QColor
    raised: QColor
    text: QColor
    secondary: QColor
    warning: QColor
    on_warning: QColor
    line: QPen
    control: QPen
    accent: QPen
    focus: QPen
    classes: tuple[QColor, ...]
    square_px: int


class ThumbnailDelegate(QStyledItemDelegate):
    """Cards in a grid; a picture that isn't read yet leaves its place empty and is told of later.

    Signals:
        pictures_arrived: Pictures are there that were missing when their cards were painted.
    """

    pictures_arrived = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._reader = ThumbnailReader()
        self._look_for_more = QTimer(self)
        self._look_for_more.setInterval(_LOOK_MS)
        self._look_for_more.timeout.connect(self._tell)
        self._look = _make_look()
        self._elided: dict[tuple[str | tuple[str, ...], int], str] = {}
        self._cell = QSize(138, 166)
        self._has_two_lines = False
        self._picture_px = 0
        QPixmapCache.setCacheLimit(_CACHE_KB)
        theme().changed.connect(self._on_theme_changed)

    def set_thumbnails(self, thumbnails: Thumbnails | None) -> None:
        """Paint from another project."""
        QPixmapCache.clear()
        self._reader.set_thumbnails(thumbnails)

    @property
    def n_awaited(self) -> int:
        """How many pictures were missing when they were painted and are still being read."""
        return self._reader.n_awaited

    def want(self, rows: Sequence[int], ahead: Sequence[int]) -> None:
        """Read the pictures of these rows, in their order, and then those that may follow."""
        rows, ahead = (
            [row for row in some if not _is_cached(_key(row, self._picture_px))]
            for some in (rows, ahead)
        )
        self._reader.want(rows, ahead)

    def painting(self) -> AbstractContextManager[None]:
        """Within it cards are painted; pictures are read ahead outside of it."""
        return self._reader.painting()

    def set_two_lines(self, *, has_two_lines: bool) -> None:
        """Give the findings of an image a line of their own; takes effect with the cell width."""
        self._has_two_lines = has_two_lines

    def caption_height(self) -> int:
        """Return the height of the text under the picture."""
        line = self._look.metrics.height()
        return 2 * line + 14 if self._has_two_lines else line + 12

    def set_cell_width(self, width: int) -> None:
        """Make cells so wide; pictures are square."""
        self._cell = QSize(width, width + self.caption_height())

    def cell(self) -> QSize:
        """Return the size of a cell, gap included."""
        return self._cell

    def sizeHint(
        self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> QSize:
        """Return the size of a cell."""
        del option, index
        return self._cell

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        """Paint a card."""
        model = index.model()
        record = index.data(RECORD_ROLE)
        if not isinstance(record, ImageRecord) or not isinstance(model, ImageListModel):
            return
        look = self._look
        state = option.state
        is_selected = bool(state & QStyle.StateFlag.State_Selected)
        is_lit = is_selected or bool(state & QStyle.StateFlag.State_MouseOver)
        card = QRectF(option.rect).adjusted(0, 0, -GAP_PX, -GAP_PX)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(look.raised if is_lit else look.panel)
        painter.setPen(look.accent if is_selected else look.line)
        inset = 1.0 if is_selected else 0.5
        painter.drawRoundedRect(card.adjusted(inset, inset, -inset, -inset), _RADIUS_PX, _RADIUS_PX)
        picture = QRectF(card.left() + 2, card.top() + 2, card.width() - 4, card.width() - 4)
        self._paint_picture(painter, picture, record)
        caption = QRectF(card.left(), picture.bottom(), card.width(), self.caption_height())
        if self._has_two_lines:
            self._paint_findings(painter, caption, model, record)
        else:
            self._paint_caption(painter, caption, model, record)
        if record.excluded is not None:
            self._paint_badge(painter, picture)
        if state & QStyle.StateFlag.State_HasFocus:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(look.focus)
            painter.drawRoundedRect(card.adjusted(3.5, 3.5, -3.5, -3.5), 4, 4)
        painter.restore()

    def _paint_picture(self, painter: QPainter, rect: QRectF, record: ImageRecord) -> None:
        ratio = painter.device().devicePixelRatioF()
        self._picture_px = round(rect.width() * ratio)
        picture = self._rounded_picture(record.row, round(4 * ratio))
        if picture is None:
            return
        if record.excluded is not None:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(Qt.GlobalColor.black)
            painter.drawRoundedRect(rect, 4, 4)
            painter.setOpacity(_DIMMED)
        painter.drawPixmap(rect, picture, QRectF(picture.rect()))
        painter.setOpacity(1.0)

    def _rounded_picture(self, row: int, radius: int) -> QPixmap | None:
        """Return a thumbnail at the size it is painted, with its corners cut; kept in the cache."""
        key, picture = _key(row, self._picture_px), QPixmap()
        if QPixmapCache.find(key, picture):
            return picture
        if (pixels := self._reader.picture(row)) is None:
            if self._reader.n_awaited:
                self._look_for_more.start()
            return None
        picture = _rounded(_pixmap(pixels), self._picture_px, radius)
        QPixmapCache.insert(key, picture)
        return picture

    def _paint_caption(
        self, painter: QPainter, rect: QRectF, model: ImageListModel, record: ImageRecord
    ) -> None:
        look = self._look
        found = model.classes.get(record.class_id) if record.class_id is not None else None
        side = look.square_px
        left, right = rect.left() + _INSET_PX, rect.right() - _INSET_PX
        self._paint_square(painter, QRectF(left, rect.center().y() - side / 2, side, side), found)
        left += side + 4
        patient_width = look.metrics.horizontalAdvance(record.patient) + 1
        if right - left - patient_width < 40:
            patient_width = 0  # at large text the class matters more
        painter.setFont(look.font)
        painter.setPen(look.text if record.excluded is None else look.secondary)
        room = int(right - left - (patient_width + 3 if patient_width else 0))
        align = Qt.AlignmentFlag.AlignVCenter
        name = self._fitted(model.label(record), room)
        painter.drawText(QRectF(left, rect.top(), room, rect.height()), align, name)
        if patient_width:
            painter.setPen(look.secondary)
            place = QRectF(right - patient_width, rect.top(), patient_width, rect.height())
            painter.drawText(place, align, record.patient)

    def _paint_findings(
        self, painter: QPainter, rect: QRectF, model: ImageListModel, record: ImageRecord
    ) -> None:
        """Write which findings are present, and the patient below."""
        look = self._look
        side, height = look.square_px, look.metrics.height()
        present = [c for c in model.classes.values() if record.findings.get(c.id)]
        left = rect.left() + _INSET_PX
        top = rect.top() + 5
        square = QRectF(left, top + (height - side) / 2, side, side)
        self._paint_square(painter, square, present[0] if present else None)
        is_read = not is_unread(record.findings)
        if is_read and not present:
            middle, inset = square.center().y(), QPointF(2, 0)
            start, end = QPointF(square.left(), middle), QPointF(square.right(), middle)
            painter.drawLine(start + inset, end - inset)
        left += side + 4
        room = int(rect.right() - _INSET_PX - left)
        painter.setFont(look.font)
        painter.setPen(look.text if present and record.excluded is None else look.secondary)
        align = Qt.AlignmentFlag.AlignVCenter
        names = tuple(c.name for c in present) or (model.label(record),)
        painter.drawText(QRectF(left, top, room, height), align, self._listed(names, room))
        painter.setPen(look.secondary)
        below = QRectF(left, top + height + 2, room, height)
        painter.drawText(below, align, record.patient)
        if is_read and (n_unknown := model.n_unknown(record)):
            painter.drawText(below, align | Qt.AlignmentFlag.AlignRight, f"{n_unknown} ?")

    def _paint_square(self, painter: QPainter, rect: QRectF, found: ClassSummary | None) -> None:
        """Paint the colour of a class that is in use, or an empty square."""
        look = self._look
        if found is not None and found.index is not None:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(look.classes[found.index % len(look.classes)])
        else:
            painter.setPen(look.control)
            painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(rect, 2, 2)

    def _paint_badge(self, painter: QPainter, picture: QRectF) -> None:
        look = self._look
        text = self.tr("excluded")
        width = min(look.badge_metrics.horizontalAdvance(text) + 12.0, picture.width() - 8)
        height = look.badge_metrics.height() + 4.0
        rect = QRectF(picture.right() - 4 - width, picture.top() + 4, width, height)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(look.warning)
        painter.drawRoundedRect(rect, 3, 3)
        painter.setFont(look.badge_font)
        painter.setPen(look.on_warning)
        painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, text)

    def _fitted(self, text: str, room: int) -> str:
        """Elide; few classes and few widths make this worth remembering."""
        key = (text, room)
        if key not in self._elided:
            elided = self._look.metrics.elidedText(text, Qt.TextElideMode.ElideRight, max(0, room))
            self._elided[key] = elided
        return self._elided[key]

    def _listed(self, names: tuple[str, ...], room: int) -> str:
        """Shorten a list; remembered like single names."""
        key = (names, room)
        if key not in self._elided:
            self._elided[key] = short_list(names, room, self._look.metrics)
        return self._elided[key]

    def _tell(self) -> None:
        if not self._reader.n_awaited:
            self._look_for_more.stop()
        if self._reader.has_more():
            self.pictures_arrived.emit()

    def _on_theme_changed(self) -> None:
        self._look = _make_look()
        self._elided.clear()


def short_list(names: Sequence[str], room: int, metrics: QFontMetrics) -> str:
    """Return as many names as fit, and how many more there are: "Nodule, Effusion +2".

    Args:
        names: At least one.
        room: Width in pixels.
        metrics: Of the font that they are written in.
    """
    for n_shown in range(len(names), 0, -1):
        n_more = len(names) - n_shown
        more = f" +{n_more}" if n_more else ""
        text = ", ".join(names[:n_shown]) + more
        if metrics.horizontalAdvance(text) <= room:
            return text
    rest = max(0, room - metrics.horizontalAdvance(more))
    return metrics.elidedText(names[0], Qt.TextElideMode.ElideRight, rest) + more


def thumbnail_pixmap(thumbnails: Thumbnails | None, row: int) -> QPixmap | None:
    """Return a thumbnail from the project as it is stored; None if it isn't there."""
    if thumbnails is None:
        return None
    try:
        return _pixmap(thumbnails.image(row))
    except EngineError:
        return None  # its segment is gone; importing again makes it


def _pixmap(pixels: NDArray[np.uint8]) -> QPixmap:
    height, width = pixels.shape[:2]
    is_color = pixels.ndim == 3
    form = QImage.Format.Format_RGB888 if is_color else QImage.Format.Format_Grayscale8
    image = QImage(pixels.tobytes(), width, height, width * (3 if is_color else 1), form)
    return QPixmap.fromImage(image)


def _key(row: int, side: int) -> str:
    return f"radtune-{row}-{side}"


def _is_cached(key: str) -> bool:
    return QPixmapCache.find(key, QPixmap())


def _rounded(stored: QPixmap, side: int, radius: int) -> QPixmap:
    picture = QPixmap(side, side)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    outline = QPainterPath()
    outline.addRoundedRect(QRectF(0, 0, side, side), radius, radius)
    painter.setClipPath(outline)
    painter.drawPixmap(QRectF(0, 0, side, side), stored, QRectF(stored.rect()))
    painter.end()
    return picture


def _make_look() -> _Look:
    look = theme()
    focus = QPen(look.color("text"), 1, Qt.PenStyle.DotLine)
    font, badge_font = look.font("small"), look.font("small")
    return _Look(
        font=font,
        metrics=QFontMetrics(font),
        badge_font=badge_font,
        badge_metrics=QFontMetrics(badge_font),
        panel=look.color("panel"),
        raised=look.color("raised"),
        text=look.color("text"),
        secondary=look.color("secondary"),
        warning=look.color("warning"),
        on_warning=look.color("on_warning"),
        line=QPen(look.color("line"), 1),
        control=QPen(look.color("control"), 1),
        accent=QPen(look.color("accent"), 2),
        focus=focus,
        classes=tuple(QColor(color) for color in look.tokens.classes),
        square_px=look.px(8),
    )
