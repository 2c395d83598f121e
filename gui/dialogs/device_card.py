"""One device with what was tried on it."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from engine.contract.device_checks import CHECK_NAMES, FAILED, PASSED, SKIPPED, WARNED, DeviceCheck
from engine.contract.devices import DeviceInfo
from gui.device_words import check_name, device_facts, state_word
from gui.icons import pixmap
from gui.theme import theme
from gui.tokens import ColorToken
from gui.widgets.card import Card
from gui.widgets.painting import set_role

__all__ = ["DeviceCard", "Sign"]

_SIGNS: Final[dict[str, tuple[str, ColorToken]]] = {
    PASSED: ("success", "good"),
    WARNED: ("warning", "warning"),
    FAILED: ("error", "bad"),
    SKIPPED: ("dash", "secondary"),
}


class DeviceCard(Card):
    """A device's name and facts, why it can't be used, and a line for each check."""

    def __init__(self, info: DeviceInfo, *, parent: QWidget | None = None) -> None:
        super().__init__(info.name, device_facts(info), parent=parent)
        self._rows = QGridLayout()
        self._rows.setHorizontalSpacing(10)
        self._rows.setVerticalSpacing(6)
        self._rows.setColumnStretch(2, 1)
        widest = max(self.fontMetrics().horizontalAdvance(check_name(key)) for key in CHECK_NAMES)
        self._rows.setColumnMinimumWidth(1, widest)
        self.body.addLayout(self._rows)
        self._n_rows = 0
        self._labels: list[QLabel] = []
        if not info.is_usable:
            self._add("error", "bad", self.tr("Can't be used"), "")
            self._add_sentence(info.problem, info.remedy)

    def add_check(self, check: DeviceCheck) -> None:
        """Add what came out of a check."""
        icon, color = _SIGNS.get(check.state, _SIGNS[SKIPPED])
        detail = self.tr(check.detail)
        if not detail and check.state != PASSED:
            detail = state_word(check.state)
        self._add(icon, color, check_name(check.key), detail, said=state_word(check.state))
        if check.problem:
            self._add_sentence(check.problem, check.remedy)

    def texts(self) -> list[str]:
        """Return every text as it is shown, from the top."""
        return [label.text() for label in self._labels if label.text()]

    def _add(self, icon: str, color: ColorToken, name: str, detail: str, said: str = "") -> None:
        sign = Sign(icon, color)
        sign.setAccessibleName(said or name)
        title, found = QLabel(name), QLabel(detail)
        set_role(found, "secondary")
        title.setAlignment(Qt.AlignmentFlag.AlignTop)
        found.setWordWrap(True)
        row = self._n_rows
        self._n_rows += 1
        self._labels += [title, found]
        self._rows.addWidget(sign, row, 0)
        self._rows.addWidget(title, row, 1)
        self._rows.addWidget(found, row, 2)

    def _add_sentence(self, problem: str, remedy: str) -> None:
        text = QLabel(f"{self.tr(problem)} {self.tr(remedy)}".strip())
        text.setWordWrap(True)
        text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._labels.append(text)
        self._rows.addWidget(text, self._n_rows, 1, 1, 2)
        self._n_rows += 1


class Sign(QLabel):
    """A small icon that follows the theme."""

    def __init__(self, icon: str, color: ColorToken, *, size_px: int = 16) -> None:
        super().__init__()
        self._look = (icon, color, size_px)
        self.setAlignment(Qt.AlignmentFlag.AlignTop)
        theme().changed.connect(self._paint)
        self._paint()

    def set_sign(self, icon: str, color: ColorToken) -> None:
        """Show another icon."""
        self._look = (icon, color, self._look[2])
        self._paint()

    def _paint(self) -> None:
        icon, color, size_px = self._look
        self.setPixmap(pixmap(icon, size_px=theme().px(size_px), color=color))
