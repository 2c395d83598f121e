"""The images of a finding: one by one, or in pairs side by side such as copies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from PySide6.QtCore import (
    QAbstractListModel,
    QCoreApplication,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QListView,
    QStyle,
    QStyleOptionViewItem,
    QWidget,
)

from engine.contract.records import ClassSummary, ImageRecord
from gui.itemmodels.label_states import label_text
from gui.itemmodels.thumbnail_delegate import GAP_PX, ThumbnailDelegate
from gui.messages import split_name
from gui.theme import theme
from gui.tokens import ColorToken
from gui.widgets.painting import draw_elided

if TYPE_CHECKING:
    from engine.project.thumbnails import Thumbnails

__all__ = ["FindingImages", "Group"]

_Index = QModelIndex | QPersistentModelIndex
_NO_PARENT: Final = QModelIndex()
_LEAST_PX: Final = {1: 140, 2: 264}
_PAD_PX: Final = 8
_RADIUS_PX: Final = 6

Group = tuple[ImageRecord, ...]
"""One image, or two that belong side by side."""


class FindingImages(QListView):
    """Images or pairs to look at, as many in a row as fit; arrow keys move, Enter opens."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = _GroupModel(self)
        self._delegate = _GroupDelegate(self)
        self.setModel(self._model)
        self.setItemDelegate(self._delegate)
        self._delegate.pictures_arrived.connect(self.viewport().update)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setStyleSheet("QListView { border: none; background: transparent; }")
        # List mode with wrapping: icon mode keeps a tree of all items.
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setMouseTracking(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName(self.tr("Images of the finding"))
        theme().changed.connect(self._fit_columns)

    @property
    def groups(self) -> Sequence[Group]:
        """What is shown."""
        return self._model.groups

    def group(self, index: _Index) -> Group | None:
        """Return what is shown at a place."""
        return self._model.group(index)

    def set_thumbnails(self, thumbnails: Thumbnails | None) -> None:
        """Paint from another project."""
        self._delegate.set_thumbnails(thumbnails)
        self.viewport().update()

    def set_groups(self, groups: Sequence[Group], classes: Iterable[ClassSummary]) -> None:
        """Show these; the same images in other states keep place and focus.

        Args:
            groups: All of one image, or all of two.
            classes: For the names and colours.
        """
        if self._model.set_groups(groups, classes):
            self.scrollToTop()
            if groups:
                self.setCurrentIndex(self._model.index(0))
        self._fit_columns()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the cards."""
        with self._delegate.painting():
            super().paintEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Let the columns fill the width."""
        self._fit_columns()
        super().resizeEvent(event)

    def sizeHint(self) -> QSize:
        """Return room for two pairs."""
        return QSize(2 * theme().px(_LEAST_PX[2]), theme().px(240))

    def _fit_columns(self) -> None:
        n_images = len(self.groups[0]) if self.groups else 1
        # As if the scroll bar were always there: its coming must not change the columns.
        width = self.width() - self.verticalScrollBar().sizeHint().width()
        n_columns = max(1, width // theme().px(_LEAST_PX[n_images]))
        self._delegate.set_cell(max(100, (width - 1) // n_columns), n_images)
        if self.gridSize() != self._delegate.cell():
            self.setGridSize(self._delegate.cell())
            self.verticalScrollBar().setSingleStep(max(20, self._delegate.cell().height() // 3))
        self.viewport().update()


class _GroupModel(QAbstractListModel):
    """Images or pairs; what is said about one is put together when it is asked for."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.groups: list[Group] = []
        self.classes: dict[int, ClassSummary] = {}

    def set_groups(self, groups: Sequence[Group], classes: Iterable[ClassSummary]) -> bool:
        """Return whether other images are shown than before."""
        self.classes = {c.id: c for c in classes}
        is_same = _ids(groups) == _ids(self.groups)
        if is_same:
            self.groups = list(groups)
            if groups:
                self.dataChanged.emit(self.index(0), self.index(len(groups) - 1))
            return False
        self.beginResetModel()
        self.groups = list(groups)
        self.endResetModel()
        return True

    def group(self, index: _Index) -> Group | None:
        """Return what an index stands for."""
        if index.isValid() and 0 <= index.row() < len(self.groups):
            return self.groups[index.row()]
        return None

    def class_of(self, record: ImageRecord) -> ClassSummary | None:
        """Return the class of a record, or the first of its findings that is present."""
        if record.findings:
            return next((c for c in self.classes.values() if record.findings.get(c.id)), None)
        return self.classes.get(record.class_id) if record.class_id is not None else None

    def label(self, record: ImageRecord) -> str:
        """Return the name of a record's class, or of the findings that are present."""
        if record.findings:
            return label_text(record.findings, self.classes.values())
        found = self.class_of(record)
        return found.name if found is not None else self.tr("No label")

    def rowCount(self, parent: _Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(self.groups)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        group = self.group(index)
        if group is None:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._described(group).partition("\n")[0]
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._described(group)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return self._described(group).replace("\n", "; ")
        return None

    def _described(self, group: Group) -> str:
        lines = []
        for record in group:
            parts = [self.label(record), record.patient]
            if record.split:
                parts.append(split_name(record.split))
            parts.append(record.path.rpartition("/")[2])
            if record.excluded is not None:
                parts.append(self.tr("excluded: %s") % record.excluded)
            lines.append(", ".join(parts))
        if len(group) > 1:
            lines.append(_relation(group))
        return "\n".join(lines)


class _GroupDelegate(ThumbnailDelegate):
    """One or two thumbnails on a card; class, patient and part of the split under each."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._n_images = 1

    def set_cell(self, width: int, n_images: int) -> None:
        """Make cells so wide, for so many square pictures side by side."""
        self._n_images = n_images
        line = QFontMetrics(theme().font("secondary")).height()
        captions = 2 * line + 2 + (line + 6 if n_images > 1 else 0)
        height = round(self._side(width)) + 3 * _PAD_PX - 2 + captions + GAP_PX
        self._cell = QSize(width, height)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        """Paint a card."""
        model = index.model()
        if not isinstance(model, _GroupModel) or (group := model.group(index)) is None:
            return
        look, state = theme(), option.state
        is_selected = bool(state & QStyle.StateFlag.State_Selected)
        is_lit = is_selected or bool(state & QStyle.StateFlag.State_MouseOver)
        card = QRectF(option.rect).adjusted(0, 0, -GAP_PX, -GAP_PX)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(look.color("raised" if is_lit else "background"))
        painter.setPen(QPen(look.color("accent"), 2) if is_selected else look.color("line"))
        inset = 1.0 if is_selected else 0.5
        painter.drawRoundedRect(card.adjusted(inset, inset, -inset, -inset), _RADIUS_PX, _RADIUS_PX)
        side = self._side(self._cell.width())
        for place, record in enumerate(group):
            left = card.left() + _PAD_PX + place * (side + _PAD_PX)
            picture = QRectF(left, card.top() + _PAD_PX, side, side)
            self._paint_picture(painter, picture, record)
            if record.excluded is not None:
                self._paint_badge(painter, picture)
            self._paint_words(painter, picture, record, model)
        if len(group) > 1:
            self._paint_relation(painter, card, group)
        if state & QStyle.StateFlag.State_HasFocus:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(look.color("text"), 1, Qt.PenStyle.DotLine))
            painter.drawRoundedRect(card.adjusted(3.5, 3.5, -3.5, -3.5), 4, 4)
        painter.restore()

    def _side(self, width: int) -> float:
        return (width - GAP_PX - (self._n_images + 1) * _PAD_PX) / self._n_images

    @staticmethod
    def _paint_words(
        painter: QPainter, picture: QRectF, record: ImageRecord, model: _GroupModel
    ) -> None:
        """Write class, patient and part of the split under a picture."""
        look, found = theme(), model.class_of(record)
        font = look.font("secondary")
        height, square = QFontMetrics(font).height(), look.px(8)
        top = picture.bottom() + _PAD_PX - 2
        if found is not None and found.index is not None:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(look.tokens.class_color(found.index)))
        else:
            painter.setPen(look.color("control"))
            painter.setBrush(Qt.BrushStyle.NoBrush)
        swatch = QRectF(picture.left(), top + (height - square) / 2, square, square)
        painter.drawRoundedRect(swatch, 2, 2)
        name = QRectF(picture.left() + square + 5, top, picture.width() - square - 5, height)
        draw_elided(painter, name, model.label(record), font, look.color("text"))
        where = f"{record.patient} · {split_name(record.split)}" if record.split else record.patient
        line = QRectF(picture.left(), top + height + 2, picture.width(), height)
        draw_elided(painter, line, where, font, look.color("secondary"))

    @staticmethod
    def _paint_relation(painter: QPainter, card: QRectF, group: Group) -> None:
        look, is_alarming = theme(), _is_torn(group) or _is_contradicting(group)
        font = look.font("secondary", is_bold=is_alarming)
        color: ColorToken = "warning" if is_alarming else "secondary"
        height = QFontMetrics(font).height()
        room = QRectF(
            card.left() + _PAD_PX,
            card.bottom() - _PAD_PX - height + 2,
            card.width() - 2 * _PAD_PX,
            height,
        )
        draw_elided(painter, room, _relation(group), font, look.color(color))


def _ids(groups: Sequence[Group]) -> list[int]:
    return [record.id for group in groups for record in group]


def _is_torn(group: Group) -> bool:
    """Return whether two images are in different parts of the split."""
    first, second = group
    return bool(first.split and second.split) and first.split != second.split


def _is_contradicting(group: Group) -> bool:
    first, second = group
    return first.class_id != second.class_id or first.findings != second.findings


def _relation(group: Group) -> str:
    """Return what matters about two images, such as "Differ in: label, patient"."""
    differences = (
        (_is_contradicting(group), _tr("label")),
        (_is_torn(group), _tr("part of the split")),
        (group[0].patient_id != group[1].patient_id, _tr("patient")),
    )
    words = [word for is_different, word in differences if is_different]
    return _tr("Differ in: %s") % ", ".join(words) if words else _tr("Same label and patient")


def _tr(text: str) -> str:
    return QCoreApplication.translate("FindingImages", text)
