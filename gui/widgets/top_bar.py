"""The top of the window: application, project, machine, theme, and what RadTune is not for."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QMenu, QSizePolicy, QWidget

from gui.icons import pixmap
from gui.theme import theme
from gui.widgets.buttons import IconButton
from gui.widgets.chip import Chip, ChipButton
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.painting import set_role

__all__ = ["TopBar"]


class TopBar(QFrame):
    """Application name, project name (elided), device, theme switch, "Research use only".

    The switch turns the theme itself; `Theme.choice_changed` tells whoever stores it.

    Signals:
        device_activated: The device chip was pressed.
    """

    device_activated = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "bar")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._mark = QLabel()
        name = QLabel("RadTune")
        set_role(name, "heading")
        self._project = ElidedLabel(role="secondary", mode=Qt.TextElideMode.ElideMiddle)
        self._device = ChipButton()
        self._device.clicked.connect(self.device_activated)
        self._device.hide()
        self._switch = IconButton("sun", "", size_px=18)
        self._switch.clicked.connect(theme().toggle)
        notice = Chip(self.tr("Research use only"))
        notice.setToolTip(self.tr("RadTune is for research. It is not for clinical use."))
        self._row = row = QHBoxLayout(self)
        row.setContentsMargins(16, 7, 16, 8)
        row.setSpacing(8)
        row.addWidget(self._mark)
        row.addWidget(name)
        row.addSpacing(8)
        row.addWidget(self._project, 1)
        row.addWidget(self._device)
        row.addWidget(notice)
        row.addWidget(self._switch)
        theme().changed.connect(self._refresh)
        self._refresh()

    def sizeHint(self) -> QSize:
        """Return a bar of 48 px, higher where large text needs it."""
        hint = super().sizeHint()
        return QSize(hint.width(), max(48, hint.height()))

    def add_menu(self, menu: QMenu) -> None:
        """Put a button at the end that opens a menu."""
        button = IconButton("more", self.tr("Menu"), size_px=18)
        button.setPopupMode(IconButton.ToolButtonPopupMode.InstantPopup)
        button.setMenu(menu)
        self._row.addWidget(button)

    def set_project(self, name: str) -> None:
        """Show the name of the open project; empty for none."""
        self._project.setText(name)

    def set_device(self, text: str, tool_tip: str = "") -> None:
        """Show what computes, such as "CPU, about 14 min per run"; empty hides the chip."""
        self._device.setText(text)
        self._device.setToolTip(tool_tip)
        self._device.setAccessibleName(self.tr("Device: %s") % text)
        self._device.setVisible(bool(text))

    def _refresh(self) -> None:
        self._mark.setPixmap(pixmap("radtune", size_px=theme().px(24)))
        if theme().is_dark:
            self._switch.set_icon("sun", self.tr("Light theme"))
        else:
            self._switch.set_icon("moon", self.tr("Dark theme"))
        self.updateGeometry()
