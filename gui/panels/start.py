"""The first page: three ways to begin, and the projects of the last days."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QEvent, QRectF, Qt, Signal
from PySide6.QtGui import QEnterEvent, QKeyEvent, QMouseEvent, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from gui.preferences import Preferences
from gui.theme import theme
from gui.widgets.buttons import IconButton
from gui.widgets.choice_card import ChoiceCard
from gui.widgets.drop_area import DropTarget
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.painting import draw_focus_ring, set_role, smooth_painter

__all__ = ["StartPanel"]

_MAX_WIDTH_PX = 940


class StartPanel(QScrollArea):
    """Where to begin; a folder dropped anywhere begins too.

    Signals:
        images_requested: Choose a folder of images.
        project_requested: Choose a project.
        sample_requested: Make and open the sample study.
        recent_chosen: Path of a project of the list.
        paths_dropped: A list of paths.
    """

    images_requested = Signal()
    project_requested = Signal()
    sample_requested = Signal()
    recent_chosen = Signal(Path)
    paths_dropped = Signal(list)

    def __init__(self, preferences: Preferences, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._preferences = preferences
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        page = QWidget()
        page.setObjectName("page")
        self._column = QVBoxLayout()
        self._column.setSpacing(12)
        self._recent = QVBoxLayout()
        self._recent.setSpacing(4)
        outer = QHBoxLayout(page)
        outer.setContentsMargins(20, 16, 20, 16)
        self._middle = QWidget()
        self._middle.setLayout(self._column)
        outer.addStretch(1)
        outer.addWidget(self._middle, 1000)
        outer.addStretch(1)
        self._build()
        self.setWidget(page)
        target = DropTarget(self)
        target.paths_dropped.connect(self.paths_dropped)
        theme().changed.connect(self._fit)
        self._fit()
        self.refresh()

    def showEvent(self, event: QShowEvent) -> None:
        """Put the keyboard on the first choice, without a mark until a key is pressed."""
        super().showEvent(event)
        self.setFocus(Qt.FocusReason.OtherFocusReason)

    def refresh(self) -> None:
        """Show the recent projects of the preferences."""
        while (item := self._recent.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        known = self._preferences.recent_projects
        self._recent_title.setVisible(bool(known))
        for folder in known:
            row = _RecentRow(folder)
            row.opened.connect(self.recent_chosen)
            row.forgotten.connect(self._forget)
            self._recent.addWidget(row)

    def _build(self) -> None:
        title = QLabel(self.tr("What would you like to do?"))
        set_role(title, "title")
        hint = QLabel(
            self.tr(
                "RadTune turns your labelled radiographs into a tested image classifier. Nothing "
                "leaves this computer."
            )
        )
        hint.setWordWrap(True)
        set_role(hint, "secondary")
        self._column.addSpacing(theme().px(24))
        self._column.addWidget(title)
        self._column.addWidget(hint)
        self._column.addSpacing(8)
        self._column.addLayout(self._cards())
        drop = QLabel(self.tr("You can also drop a folder, a label sheet or a project here."))
        set_role(drop, "small")
        self._column.addWidget(drop)
        self._recent_title = QLabel(self.tr("Recent projects"))
        set_role(self._recent_title, "heading")
        self._column.addSpacing(16)
        self._column.addWidget(self._recent_title)
        self._column.addLayout(self._recent)
        self._column.addStretch(1)

    def _cards(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(12)
        self.open_images = ChoiceCard(
            self.tr("Open a folder of images"),
            self.tr(
                "DICOM, PNG, JPEG or TIFF: one folder per class, or any folder with a label sheet."
            ),
            icon="folder",
            is_checkable=False,
        )
        self.open_images.clicked.connect(self._on_images)
        self.open_project = ChoiceCard(
            self.tr("Open a project"),
            self.tr("Go on where you stopped: images, labels, runs and results are kept."),
            icon="project",
            is_checkable=False,
        )
        self.open_project.clicked.connect(self._on_project)
        self.try_sample = ChoiceCard(
            self.tr("Try the sample study"),
            self.tr(
                "360 simulated chest radiographs, made on this computer. No patient data; ready in "
                "half a minute."
            ),
            icon="sample",
            chips=(self.tr("Simulated"),),
            is_checkable=False,
        )
        self.try_sample.clicked.connect(self._on_sample)
        for card in (self.open_images, self.open_project, self.try_sample):
            card.setMinimumHeight(theme().px(132))
            row.addWidget(card, 1)
        return row

    def _on_images(self) -> None:
        self.images_requested.emit()

    def _on_project(self) -> None:
        self.project_requested.emit()

    def _on_sample(self) -> None:
        self.sample_requested.emit()

    def _fit(self) -> None:
        self._middle.setMaximumWidth(theme().px(_MAX_WIDTH_PX))

    def _forget(self, folder: Path) -> None:
        self._preferences.forget_recent(folder)
        self.refresh()


class _RecentRow(QFrame):
    """A project: its name, its place, and a way off the list."""

    opened = Signal(Path)
    forgotten = Signal(Path)

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        set_role(self, "row")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        name = ElidedLabel(folder.name.removesuffix(".radtune"))
        place = ElidedLabel(str(folder.parent), role="small", mode=Qt.TextElideMode.ElideMiddle)
        away = IconButton("close", self.tr("Take off the list"), size_px=16)
        away.clicked.connect(self._on_away)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 4, 4, 4)
        row.setSpacing(12)
        row.addWidget(name, 2)
        row.addWidget(place, 3)
        row.addWidget(away)
        self.setAccessibleName(self.tr("Open the project %s") % name.text())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Open with a click."""
        if event.button() is Qt.MouseButton.LeftButton and self.rect().contains(event.pos()):
            self.opened.emit(self._folder)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Open with Enter or Space, take off the list with Delete."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.opened.emit(self._folder)
        elif event.key() == Qt.Key.Key_Delete:
            self.forgotten.emit(self._folder)
        else:
            super().keyPressEvent(event)

    def enterEvent(self, event: QEnterEvent) -> None:
        """Lighten under the mouse."""
        super().enterEvent(event)
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """Darken again."""
        super().leaveEvent(event)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the row's ground and its focus."""
        del event
        painter = smooth_painter(self)
        look = theme()
        if self.underMouse() or self.hasFocus():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(look.color("raised"))
            painter.drawRoundedRect(QRectF(self.rect()), 6, 6)
        if self.hasFocus():
            draw_focus_ring(painter, QRectF(self.rect()))

    def _on_away(self) -> None:
        self.forgotten.emit(self._folder)
