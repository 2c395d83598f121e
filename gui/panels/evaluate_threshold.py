"""What another threshold would do: a preview on validation; the locked one stays."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from engine.contract.results import RocCurve
from gui.itemmodels.run_words import number_text, percent_text
from gui.panels.evaluate_numbers import rates_at
from gui.theme import theme
from gui.widgets.buttons import make_link
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.painting import set_role, smooth_painter

__all__ = ["ThresholdPreview"]

_STEPS: Final = 200


class ThresholdPreview(QWidget):
    """A slider over the thresholds, with both rates on validation and a mark at the locked one."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._curve: RocCurve | None = None
        self._locked = 0.5
        heading = ElidedLabel(self.tr("Another threshold?"), role="heading")
        self._slider = _MarkedSlider()
        self._slider.setRange(0, _STEPS)
        self._slider.setAccessibleName(self.tr("Threshold to preview on validation"))
        self._slider.valueChanged.connect(self._show)
        self._rates = QLabel()
        self._rates.setWordWrap(True)
        self._note = QLabel()
        self._note.setWordWrap(True)
        set_role(self._note, "small")
        self._back = make_link("")
        self._back.clicked.connect(self.go_back)
        row = QHBoxLayout()
        row.addWidget(heading, 1)
        row.addWidget(self._back)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(4)
        column.addLayout(row)
        for part in (self._slider, self._rates, self._note):
            column.addWidget(part)

    @property
    def slider(self) -> QSlider:
        """The slider itself."""
        return self._slider

    @property
    def text(self) -> str:
        """The sentence with both rates."""
        return self._rates.text()

    def set_curve(self, curve: RocCurve, locked: float) -> None:
        """Show a validation curve and the threshold that was locked on it."""
        self._curve, self._locked = curve, locked
        self._slider.set_mark(locked)
        shown = number_text(locked, 2)
        note = self.tr("A preview on validation; the test results keep the locked {0}.")
        self._note.setText(note.format(shown))
        self._back.setText(self.tr("Back to {0}").format(shown))
        self.go_back()
        self._show()

    def go_back(self) -> None:
        """Preview the locked threshold again."""
        self._slider.setValue(round(self._locked * _STEPS))

    def _show(self) -> None:
        if self._curve is None:
            return
        is_locked = self._slider.value() == round(self._locked * _STEPS)
        threshold = self._locked if is_locked else self._slider.value() / _STEPS
        sensitivity, specificity = rates_at(self._curve, threshold)
        text = self.tr("From {0} on: sensitivity {1}, specificity {2}")
        # A percent sign alone on the next line would look like a slip.
        shares = (percent_text(s).replace(" ", "\u00a0") for s in (sensitivity, specificity))
        self._rates.setText(text.format(number_text(threshold, 2), *shares))
        self._slider.setAccessibleDescription(self._rates.text())
        self._back.setEnabled(not is_locked)


class _MarkedSlider(QSlider):
    """A slider with a mark that doesn't move."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self._mark = 0.5
        self.setPageStep(10)

    def set_mark(self, share: float) -> None:
        """Put the mark at a share of the length, in [0, 1]."""
        self._mark = min(max(share, 0.0), 1.0)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = smooth_painter(self)
        handle = 16
        x = handle / 2 + self._mark * (self.width() - handle)
        middle = self.height() / 2
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme().color("second"))
        painter.drawRoundedRect(QRectF(x - 1.5, middle - 11, 3, 22), 1.5, 1.5)
