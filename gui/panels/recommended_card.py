"""What is recommended for the next run, why, and the one button that takes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from PySide6.QtCore import QLocale, Qt
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from engine.contract.recommendation import Choice as Part
from engine.contract.recommendation import Recommendation, estimated_seconds
from gui.itemmodels.run_words import backbone_name, method_name, preset_name
from gui.messages import time_text
from gui.next_run import is_recommended, with_recommended
from gui.panels.choice_chip import Choice, ChoiceChip
from gui.panels.setting_fields import choice_name
from gui.panels.train_estimate import estimate_text
from gui.session import Session
from gui.widgets.buttons import make_button
from gui.widgets.card import Card
from gui.widgets.fold import Fold
from gui.widgets.painting import set_role

__all__ = ["RecommendedCard"]

_MINUTES: Final = (5, 15, 30, 60, 120, 480)


class RecommendedCard(Card):
    """Shows the session's advice; it asks for more time or less, and takes what is recommended."""

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._session = session
        self.set_title(self.tr("Recommended for your images"))
        self._time = ChoiceChip(self.tr("Time for training"))
        self._time.set_choices(
            [
                Choice(self.tr("any"), None),
                *(Choice(self.tr("at most %s") % time_text(60.0 * m), float(m)) for m in _MINUTES),
            ]
        )
        self._time.chosen.connect(self._on_time)
        self.use = make_button("")
        self.use.setToolTip(self.tr("Takes all of this for the next training"))
        self.use.clicked.connect(self._on_use)
        self.add_action(_in_a_row(self._time, self.use))
        self._line, self._why = QLabel(), QLabel()
        self._reasons = _Reasons()
        self._fold = Fold(self.tr("Reasons"), self._reasons)
        self._build()
        session.project_changed.connect(self._time.choose_first)
        session.advice.changed.connect(self.refresh)
        session.choices_changed.connect(self.refresh)
        self.refresh()

    @property
    def line(self) -> str:
        """What is recommended, in a line."""
        return self._line.text()

    @property
    def reasons(self) -> str:
        """Everything that is said about it."""
        return self._reasons.text()

    def refresh(self) -> None:
        """Show the present recommendation."""
        found = self._session.advice.found
        self.setVisible(found is not None)
        if found is None:
            return
        parts = (
            backbone_name(str(found.backbone.value)),
            method_name(str(found.method.value)),
            preset_name(str(found.preset.value)),
            self.tr("%s px") % QLocale().toString(int(found.size_px.value)),
        )
        self._line.setText(" · ".join([*parts, *self._time_needed(found)]))
        self._why.setText(self.tr(found.method.why))
        self._reasons.show_reasons(found)
        is_used = is_recommended(self._session.config, found)
        self.use.setText(self.tr("Chosen") if is_used else self.tr("Use recommended"))
        self.use.setEnabled(not is_used)

    def _build(self) -> None:
        set_role(self._line, "heading")
        set_role(self._why, "secondary")
        for label in (self._line, self._why):
            label.setWordWrap(True)
        for part in (self._line, self._why, self._fold, self._reasons):
            self.body.addWidget(part)

    def _time_needed(self, found: Recommendation) -> list[str]:
        """Return how long it would take, as it would be trained; nothing without images."""
        facts = self._session.advice.facts
        if facts is None or not facts.n_train:
            return []
        config = with_recommended(self._session.config, found)
        prepared = replace(facts, size_px=int(found.size_px.value))
        return [estimate_text(config, estimated_seconds(prepared, config))]

    def _on_time(self) -> None:
        self._session.advice.set_minutes(self._time.value)

    def _on_use(self) -> None:
        found = self._session.advice.found
        if found is not None:
            self._session.choose(with_recommended(self._session.config, found))


def _in_a_row(*widgets: QWidget) -> QWidget:
    holder = QWidget()
    row = QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(12)
    for widget in widgets:
        row.addWidget(widget, 0, Qt.AlignmentFlag.AlignVCenter)
    return holder


class _Reasons(QWidget):
    """Every part of a recommendation with its reason, and what the rules don't tell."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[tuple[QLabel, QLabel]] = []
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(16)
        self._grid.setVerticalSpacing(6)
        self._grid.setColumnStretch(2, 1)
        self._notes = QLabel()
        self._notes.setWordWrap(True)
        set_role(self._notes, "secondary")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(self._grid)
        column.addWidget(self._notes)
        for row, name in enumerate(
            (
                self.tr("Backbone"),
                self.tr("Method"),
                self.tr("Preset"),
                self.tr("Image size"),
                self.tr("Unequal classes"),
            )
        ):
            head, value, why = QLabel(name), QLabel(), QLabel()
            set_role(head, "secondary")
            why.setWordWrap(True)
            for place, label in enumerate((head, value, why)):
                label.setAlignment(Qt.AlignmentFlag.AlignTop)
                self._grid.addWidget(label, row, place)
            self._rows.append((value, why))

    def show_reasons(self, found: Recommendation) -> None:
        """Show a recommendation."""
        named: tuple[tuple[str, Part], ...] = (
            (backbone_name(str(found.backbone.value)), found.backbone),
            (method_name(str(found.method.value)), found.method),
            (preset_name(str(found.preset.value)), found.preset),
            (self.tr("%s px") % QLocale().toString(int(found.size_px.value)), found.size_px),
            (choice_name("loss.imbalance", str(found.imbalance.value)), found.imbalance),
        )
        for (value, why), (name, part) in zip(self._rows, named, strict=True):
            value.setText(name)
            why.setText(self.tr(part.why))
        self._notes.setText(" ".join(self.tr(note) for note in found.notes))
        self._notes.setVisible(bool(found.notes))

    def text(self) -> str:
        """Return the reasons and notes."""
        return "\n".join([*(why.text() for _, why in self._rows), self._notes.text()])
