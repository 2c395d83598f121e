"""Which frames of multi-frame files, and which slices of volumes, become images."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from engine.contract.import_rules import FramePolicy
from engine.contract.limits import Between, limits_of
from gui.dialogs.label_fields import Choice, Field, note_label
from gui.widgets.buttons import make_link
from gui.widgets.card import Card
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.number_input import NumberInput

__all__ = ["FrameChoiceCard"]


class FrameChoiceCard(Card):
    """One line that says what happens, and the choices once the user wants to change it.

    Signals:
        changed: The policy is another one.
    """

    changed = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._sentence = ElidedLabel(role="secondary")
        self._change = make_link(self.tr("Change"))
        self._change.setAccessibleName(self.tr("Change which frames of a file are imported"))
        self._change.clicked.connect(self._open)
        self._which = Choice(self.tr("Frames, pages or slices of a file"))
        for text, frames in (
            (self.tr("The middle one"), "middle"),
            (self.tr("One in every n"), "every"),
            (self.tr("All"), "all"),
        ):
            self._which.addItem(text, frames)
        limit = limits_of(FramePolicy)["step"]
        low, high = (limit.low, limit.high) if isinstance(limit, Between) else (1, 1)
        self._step = NumberInput(int(low), int(high), FramePolicy().step)
        self._axis = Choice(self.tr("Plane of the slices of a volume"))
        for text, axis in (
            (self.tr("Axial"), "axial"),
            (self.tr("Coronal"), "coronal"),
            (self.tr("Sagittal"), "sagittal"),
        ):
            self._axis.addItem(text, axis)
        self._which.currentIndexChanged.connect(self._on_changed)
        self._step.valueChanged.connect(self._on_changed)
        self._axis.currentIndexChanged.connect(self._on_changed)
        self._fields = QWidget()
        self._hint = note_label(
            self.tr("All frames of a file are of one patient and stay in one part of the split.")
        )
        self._build()
        self._show()

    @property
    def policy(self) -> FramePolicy:
        """The policy chosen."""
        return FramePolicy(
            frames=str(self._which.currentData()),
            step=self._step.value(),
            axis=str(self._axis.currentData()),
        )

    def _open(self) -> None:
        self._change.hide()
        self._fields.show()
        self._hint.show()
        self._which.setFocus()

    def _on_changed(self) -> None:
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        policy = self.policy
        what = {
            "middle": self.tr("the middle one"),
            "every": self.tr("one in %d") % policy.step,
            "all": self.tr("all of them"),
        }
        self._sentence.setText(self.tr("Several frames in a file: %s") % what[policy.frames])
        self._step_field.setVisible(policy.frames == "every")

    def _build(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self._sentence, 1)
        line.addWidget(self._change)
        self._step_field = Field(self.tr("n"), self._step)
        row = QHBoxLayout(self._fields)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(12)
        row.addWidget(Field(self.tr("Frames or slices"), self._which), 2)
        row.addWidget(self._step_field, 1)
        row.addWidget(Field(self.tr("Plane of volumes (NIfTI)"), self._axis), 2)
        self._fields.hide()
        self._hint.hide()
        self.body.addLayout(line)
        self.body.addWidget(self._fields)
        self.body.addWidget(self._hint)
