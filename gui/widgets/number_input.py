"""Fields for whole and decimal numbers."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QSpinBox, QWidget

__all__ = ["DecimalInput", "NumberInput"]

_INSET_PX = 9


class NumberInput(QSpinBox):
    """A field for a whole number; the wheel scrolls the page unless the field has the focus."""

    def __init__(
        self, low: int, high: int, value: int, *, unit: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        _prepare(self)
        self.setRange(low, high)
        self.setValue(value)
        self.setSuffix(f" {unit}" if unit else "")

    def sizeHint(self) -> QSize:
        """Return room for the longest number and its unit."""
        return super().sizeHint() + QSize(_INSET_PX, 0)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Count only while the field has the focus."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class DecimalInput(QDoubleSpinBox):
    """A field for a decimal number; the wheel scrolls the page unless it has the focus."""

    def __init__(
        self,
        low: float,
        high: float,
        value: float,
        *,
        n_decimals: int = 2,
        unit: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        _prepare(self)
        self.setDecimals(n_decimals)
        self.setSingleStep(10.0**-n_decimals)
        self.setRange(low, high)
        self.setValue(value)
        self.setSuffix(f" {unit}" if unit else "")

    def sizeHint(self) -> QSize:
        """Return room for the longest number and its unit."""
        return super().sizeHint() + QSize(_INSET_PX, 0)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Count only while the field has the focus."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


def _prepare(field: QAbstractSpinBox) -> None:
    field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    field.setAccelerated(True)
    # Qt ignores the left padding that a style sheet gives a spin box.
    field.lineEdit().setTextMargins(_INSET_PX, 0, 0, 0)
