"""What the selected images show, to be said by click or key, and what else can be done to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QHBoxLayout, QSizePolicy, QWidget

from engine.contract.records import ClassSummary, ImageRecord
from gui.itemmodels.label_states import Mark, count_marks
from gui.panels.finding_rows import MAX_KEYS, FindingRows
from gui.theme import theme
from gui.widgets.buttons import IconButton, make_link
from gui.widgets.card import Card
from gui.widgets.counts import images_text
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.painting import draw_elided, draw_focus_ring, smooth_painter

__all__ = ["MAX_KEYS", "LabelCard"]


class LabelCard(Card):
    """Gives the selected images a class, a grade or findings, or excludes them.

    Attributes:
        findings: The rows of a project with several findings an image.

    Signals:
        class_chosen: Id of a class.
        mark_chosen: Id of a finding, and its new :class:`Mark`.
        none_chosen: All findings are absent.
        exclude_requested, include_requested: For the selected images.
        undo_requested, redo_requested: Of the last change.
    """

    class_chosen = Signal(int)
    mark_chosen = Signal(int, object)
    none_chosen = Signal()
    exclude_requested = Signal()
    include_requested = Signal()
    undo_requested = Signal()
    redo_requested = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Label"), parent=parent)
        self._buttons: dict[int, _ClassButton] = {}
        self._classes: tuple[ClassSummary, ...] = ()
        self.findings = FindingRows()
        self.findings.mark_chosen.connect(self.mark_chosen)
        self._none = _ClassButton(0, None, self.tr("No finding: all absent"), "0")
        self._none.chosen.connect(self._on_none)
        self._undo = IconButton("undo", self.tr("Undo (Ctrl+Z)"), size_px=16)
        self._undo.clicked.connect(self.undo_requested)
        self._redo = IconButton("redo", self.tr("Redo (Ctrl+Shift+Z)"), size_px=16)
        self._redo.clicked.connect(self.redo_requested)
        self._exclude = make_link(self.tr("Exclude…"))
        self._exclude.setToolTip(self.tr("Leave the selected images out of everything (X)"))
        self._exclude.clicked.connect(self.exclude_requested)
        for widget in (self._exclude, self._undo, self._redo):
            self.add_action(widget)
        self._excluded = ElidedLabel(role="small")
        self._include = make_link(self.tr("Include again"))
        self._include.clicked.connect(self.include_requested)
        self._rest = QWidget()
        row = QHBoxLayout(self._rest)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self._excluded, 1)
        row.addWidget(self._include)
        self.body.setSpacing(6)
        for part in (self.findings, self._none, self._rest):
            self.body.addWidget(part)
        self.set_history(can_undo=False, can_redo=False)
        self.set_images((), ())

    def set_history(self, *, can_undo: bool, can_redo: bool) -> None:
        """Offer undo and redo where there is something to undo or redo."""
        self._undo.setEnabled(can_undo)
        self._redo.setEnabled(can_redo)

    def set_images(
        self,
        records: Sequence[ImageRecord],
        classes: Sequence[ClassSummary],
        *,
        is_multi: bool = False,
    ) -> None:
        """Show what the selected images have in common.

        Args:
            records: The selected images.
            classes: Of the project.
            is_multi: Whether images have several findings.
        """
        self.findings.setVisible(is_multi)
        self._none.setVisible(is_multi)
        if is_multi:
            self._show_findings(records, classes)
        else:
            self._show_classes({record.class_id for record in records}, classes)
        several = len(records) > 1
        self.set_title(images_text(len(records)) if several else self.tr("Label"))
        self._show_exclusions([r.excluded for r in records if r.excluded is not None], len(records))

    def _show_findings(
        self, records: Sequence[ImageRecord], classes: Sequence[ClassSummary]
    ) -> None:
        self._set_classes(())
        marks = count_marks(records, classes)
        self.findings.set_findings(classes, marks, n_images=len(records))
        common = {counts.common for counts in marks.values()}
        self._none.set_current(is_current=bool(records) and common == {Mark.ABSENT})
        self._none.setEnabled(bool(records))

    def _show_classes(self, labels: set[int | None], classes: Sequence[ClassSummary]) -> None:
        if _looks(classes) != _looks(self._classes):  # counts alone change no button
            self._set_classes(classes)
        common = next(iter(labels)) if len(labels) == 1 else None
        for class_id, button in self._buttons.items():
            button.set_current(is_current=class_id == common)
            button.setEnabled(bool(labels))

    def _show_exclusions(self, reasons: Sequence[str], n_images: int) -> None:
        n_excluded = len(reasons)
        self._rest.setVisible(n_excluded > 0)
        self._exclude.setVisible(n_excluded < n_images)
        if n_excluded == n_images and len(set(reasons)) == 1:
            self._excluded.setText(self.tr("Excluded: %s") % reasons[0])
        else:
            self._excluded.setText(self.tr("%d excluded") % n_excluded if n_excluded else "")

    def class_of_key(self, number: int) -> int | None:
        """Return the id of the class with a number key, from 1."""
        ids = list(self._buttons)
        return ids[number - 1] if 0 < number <= min(len(ids), MAX_KEYS) else None

    def _on_none(self, _class_id: int) -> None:
        self.none_chosen.emit()

    def _set_classes(self, classes: Iterable[ClassSummary]) -> None:
        self._classes = tuple(classes)
        for button in self._buttons.values():
            self.body.removeWidget(button)
            button.hide()
            button.deleteLater()
        self._buttons = {}
        for number, summary in enumerate(self._classes, start=1):
            key = str(number) if number <= MAX_KEYS else ""
            button = _ClassButton(summary.id, summary.index, summary.name, key)
            button.chosen.connect(self.class_chosen)
            self.body.insertWidget(number - 1, button)
            self._buttons[summary.id] = button


def _looks(classes: Iterable[ClassSummary]) -> list[tuple[int, int | None, str]]:
    return [(c.id, c.index, c.name) for c in classes]


class _ClassButton(QAbstractButton):
    """A row with number key, colour and name; the common class of the selection is outlined."""

    chosen = Signal(int)

    def __init__(self, class_id: int, index: int | None, name: str, key: str) -> None:
        super().__init__()
        self._class_id = class_id
        self._index = index
        self._key = key
        self._is_current = False
        self.setText(name)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the keyboard to the grid
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.clicked.connect(self._on_clicked)
        self._describe()
        theme().changed.connect(self.updateGeometry)

    def set_current(self, *, is_current: bool) -> None:
        self._is_current = is_current
        self._describe()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(theme().px(160), self.fontMetrics().height() + 14)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.click()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        del event
        painter = smooth_painter(self)
        look = theme()
        is_lit = self.isEnabled() and (self.underMouse() or self.isDown())
        painter.setBrush(look.color("hover" if is_lit else "raised"))
        painter.setPen(
            QPen(look.color("accent" if self._is_current else "line"), 2 if self._is_current else 1)
        )
        inset = 1.0 if self._is_current else 0.5
        rect = QRectF(self.rect())
        painter.drawRoundedRect(rect.adjusted(inset, inset, -inset, -inset), 6, 6)
        color = look.color("text" if self.isEnabled() else "disabled")
        key_width = look.px(10)
        left = 12.0
        draw_elided(
            painter,
            QRectF(left, 0, key_width, rect.height()),
            self._key,
            look.font("secondary"),
            look.color("secondary"),
        )
        left += key_width + 6
        side = look.px(8)
        if self._index is not None:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(look.tokens.class_color(self._index)))
        else:
            painter.setPen(QPen(look.color("control"), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(QRectF(left, (rect.height() - side) / 2, side, side), 2, 2)
        left += side + 8
        name = QRectF(left, 0, rect.width() - left - 12, rect.height())
        is_cut = draw_elided(painter, name, self.text(), look.font("body"), color)
        self.setToolTip(self.text() if is_cut else "")
        if self.hasFocus():
            draw_focus_ring(painter, rect)

    def _describe(self) -> None:
        key = self.tr("key %s") % self._key if self._key else ""
        current = self.tr("the present label") if self._is_current else ""
        self.setAccessibleName(self.text())
        self.setAccessibleDescription(", ".join(part for part in (key, current) if part))

    def _on_clicked(self) -> None:
        self.chosen.emit(self._class_id)
