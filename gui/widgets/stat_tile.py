"""The one figure that matters, large, with what it means around it."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

from gui.widgets.card import Card
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.painting import repolish, set_role

__all__ = ["StatTile"]

Tone = Literal["", "good", "warning", "bad"]


class StatTile(Card):
    """A card with a label, a 28-px tabular figure with its unit, and a secondary line."""

    def __init__(
        self,
        label: str,
        value: str = "–",
        unit: str = "",
        detail: str = "",
        *,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent=parent)
        self._label = ElidedLabel(label, role="secondary")
        self._value = QLabel()
        set_role(self._value, "figure")
        self._unit = ElidedLabel(role="unit")
        self._unit.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom)
        self._detail = QLabel()
        set_role(self._detail, "secondary")
        self._detail.setWordWrap(True)
        figure = QHBoxLayout()
        figure.setSpacing(8)
        figure.addWidget(self._value)
        # Lifted so that the smaller unit stands on the base line of the figure.
        self._unit.setContentsMargins(0, 0, 0, 3)
        self._unit.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        figure.addWidget(self._unit, 1)
        self.body.setSpacing(2)
        self.body.addWidget(self._label)
        self.body.addLayout(figure)
        self.body.addWidget(self._detail)
        self.body.addStretch(1)
        self.set_value(value, unit, detail)

    def set_value(self, value: str, unit: str = "", detail: str = "", *, tone: Tone = "") -> None:
        """Show another figure; ``tone`` colours the secondary line, which must say why."""
        self._value.setText(value)
        self._unit.setText(unit)
        self._detail.setText(detail)
        self._detail.setVisible(bool(detail))
        if self._detail.property("tone") != tone:
            self._detail.setProperty("tone", tone)
            repolish(self._detail)
        self.setAccessibleName(f"{self._label.text()}: {value} {unit}".strip())
        self.setAccessibleDescription(detail)

    def set_label(self, label: str) -> None:
        """Replace the line above the figure."""
        self._label.setText(label)
