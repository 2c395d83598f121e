"""Every setting of a run, with unit, range, help and reset; nobody needs to open it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from PySide6.QtCore import QEvent, QLocale, QObject, QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from engine.contract.backbones import backbone_card
from engine.contract.config import ExperimentConfig
from engine.contract.config_edit import is_idle, is_lacking
from engine.contract.limits import Between, OneOf
from engine.contract.methods import method_card
from gui.panels.setting_fields import (
    ONLY_OF_GRADES,
    Setting,
    choice_name,
    group_name,
    groups_used,
    setting_groups,
    value_of,
    with_value,
)
from gui.theme import theme
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.buttons import IconButton
from gui.widgets.card import Card
from gui.widgets.number_input import DecimalInput, NumberInput
from gui.widgets.painting import set_role

__all__ = ["ModelDetails"]

_DECIMALS: Final = 6
_EDITOR_PX: Final = 200
_SHORTEST: Final = QLocale.FloatingPointPrecisionOption.FloatingPointShortest.value
_UNEQUAL_CLASSES: Final = "loss"


class ModelDetails(QWidget):
    """A form of the settings that the chosen method has, in cards by stage, two columns if wide.

    Signals:
        config_edited: The settings after a change by the user.
    """

    config_edited = Signal(object)

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._config = ExperimentConfig()
        self._default = ExperimentConfig()
        self._rows: dict[str, _SettingRow] = {}
        self._cards: dict[str, Card] = {}
        self._has_grades = False
        self._advice = QLabel()
        self._advice.setWordWrap(True)
        set_role(self._advice, "secondary")
        self._sides = (QVBoxLayout(), QVBoxLayout())
        self._lengths = [0, 0]
        self._waiting = list(setting_groups().items())
        row = AdaptiveRow()
        for side in self._sides:
            side.setContentsMargins(0, 0, 0, 0)
            side.setSpacing(12)
            side.addStretch(1)
            holder = QWidget()
            holder.setLayout(side)
            row.add(holder)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(row)
        # A card at a time: all of them at once would hold the window up.
        self._clock = QTimer(self)
        self._clock.timeout.connect(self._build_next)
        self._clock.start(0)

    def set_config(self, config: ExperimentConfig, default: ExperimentConfig) -> None:
        """Show settings; ``default`` is what reset goes back to."""
        self._config, self._default = config, default
        for path, row in self._rows.items():
            row.show_value(value_of(config, path), value_of(default, path))
        self._show_used()

    def set_imbalance_advice(self, sentence: str) -> None:
        """Say beside the setting what suits these classes."""
        self._advice.setText(sentence)
        self._advice.setVisible(bool(sentence))

    def set_grades(self, *, has_grades: bool) -> None:
        """Say whether the classes are grades, which some settings are for alone."""
        self._has_grades = has_grades
        self._show_used()

    def _show_used(self) -> None:
        used = groups_used(self._config)
        for group, card in self._cards.items():
            card.setVisible(group in used)
        own, backbone = (
            method_card(self._config.method.key),
            backbone_card(self._config.backbone.key),
        )
        hidden = set() if own is None else set(own.ignores)
        if not self._has_grades:
            hidden |= ONLY_OF_GRADES
        if backbone is not None:
            hidden |= {path for path in self._rows if is_lacking(backbone, path)}
        for path, row in self._rows.items():
            is_visible = path not in hidden and not is_idle(self._config, path)
            row.set_visible(is_visible=is_visible)

    def _build_next(self) -> None:
        if not self._waiting:
            self._clock.stop()
            return
        group, settings = self._waiting.pop(0)
        shorter = self._lengths.index(min(self._lengths))
        self._lengths[shorter] += len(settings) + 1
        side = self._sides[shorter]
        self._cards[group] = self._card(group, settings)
        side.insertWidget(side.count() - 1, self._cards[group])
        self._show_used()
        for setting in settings:
            values = (value_of(c, setting.path) for c in (self._config, self._default))
            self._rows[setting.path].show_value(*values)

    def _card(self, group: str, settings: list[Setting]) -> Card:
        card = Card(group_name(group))
        if group == _UNEQUAL_CLASSES:
            card.body.addWidget(self._advice)
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(10)
        grid.setColumnStretch(0, 1)
        for number, setting in enumerate(settings):
            row = _SettingRow(setting, grid, number)
            row.changed.connect(partial(self._edit, setting.path))
            row.setParent(self)
            self._rows[setting.path] = row
        card.body.addLayout(grid)
        return card

    def _edit(self, path: str, value: Any) -> None:
        if value == value_of(self._config, path):
            return
        self._config = with_value(self._config, path, value)
        self._rows[path].show_value(value, value_of(self._default, path))
        self._show_used()
        self.config_edited.emit(self._config)


class _SettingRow(QObject):
    """A line of the form: label with help, editor with its range, reset."""

    changed = Signal(object)

    def __init__(self, setting: Setting, grid: QGridLayout, number: int) -> None:
        super().__init__()
        self._setting = setting
        self._default: Any = None
        self._editor, self._write = self._make_editor()
        self._editor.setAccessibleName(setting.label)
        self._editor.setAccessibleDescription(setting.help)
        self._editor.setFixedWidth(theme().px(_EDITOR_PX))
        self._editor.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._editor.installEventFilter(self)
        self._reset = IconButton("undo", self.tr("Reset: %s") % setting.label, size_px=16)
        self._reset.clicked.connect(self._go_back)
        left, right = QWidget(), QWidget()
        self._fill_texts(_column(left))
        column = _column(right)
        column.addWidget(self._editor)
        if text := _range_text(setting):
            column.addWidget(_small(text))
        column.addStretch(1)
        self._widgets = (left, right, self._reset)
        grid.addWidget(left, number, 0)
        grid.addWidget(right, number, 1)
        grid.addWidget(self._reset, number, 2, Qt.AlignmentFlag.AlignTop)
        theme().changed.connect(self._on_theme_changed)

    def set_visible(self, *, is_visible: bool) -> None:
        """Show or hide the line."""
        for widget in self._widgets:
            widget.setVisible(is_visible)

    def show_value(self, value: Any, default: Any) -> None:
        """Put a value into the editor without reporting it as an edit."""
        self._default = default
        with QSignalBlocker(self._editor):
            self._write(value)
        self._reset.setEnabled(value != default)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let the wheel scroll the page over editors that don't have the focus."""
        if event.type() is QEvent.Type.Wheel and not self._editor.hasFocus():
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    def _fill_texts(self, column: QVBoxLayout) -> None:
        label = QLabel(self._setting.label)
        label.setBuddy(self._editor)
        column.addWidget(label)
        if self._setting.help:
            column.addWidget(_small(self._setting.help))
        column.addStretch(1)

    def _make_editor(self) -> tuple[QWidget, Callable[[Any], None]]:
        setting = self._setting
        if setting.kind is bool:
            return self._check_box()
        if isinstance(setting.limit, OneOf):
            choices = setting.limit.choices
            return self._combo([(choice_name(setting.path, choice), choice) for choice in choices])
        if setting.kind is int:
            return self._whole_number()
        return self._number()

    def _check_box(self) -> tuple[QWidget, Callable[[Any], None]]:
        box = QCheckBox(self.tr("on"))
        box.toggled.connect(self._tell)
        return box, box.setChecked

    def _combo(self, names: list[tuple[str, Any]]) -> tuple[QWidget, Callable[[Any], None]]:
        combo = QComboBox()
        for text, value in names:
            combo.addItem(f"{text} {self._setting.unit}".strip(), value)
        combo.currentIndexChanged.connect(lambda _: self.changed.emit(combo.currentData()))
        return combo, lambda value: combo.setCurrentIndex(combo.findData(value))

    def _whole_number(self) -> tuple[QWidget, Callable[[Any], None]]:
        low, high = _ends(self._setting)
        spin = NumberInput(int(low), int(high), int(low), unit=self._setting.unit)
        spin.setKeyboardTracking(False)
        spin.valueChanged.connect(self._tell)
        return spin, spin.setValue

    def _number(self) -> tuple[QWidget, Callable[[Any], None]]:
        low, high = _ends(self._setting)
        spin = _TrimmedInput(low, high, low, n_decimals=_DECIMALS, unit=self._setting.unit)
        spin.setKeyboardTracking(False)
        spin.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        spin.valueChanged.connect(self._tell)
        return spin, spin.setValue

    def _tell(self, value: Any) -> None:
        self.changed.emit(value)  # of any type, unlike the editors' own signals

    def _go_back(self) -> None:
        self.changed.emit(self._default)

    def _on_theme_changed(self) -> None:
        self._editor.setFixedWidth(theme().px(_EDITOR_PX))


class _TrimmedInput(DecimalInput):
    """Shows 0.001 as "0.001" and 0.1 as "0.1", whatever the number of decimals."""

    def textFromValue(self, value: float) -> str:
        return QLocale().toString(value, "g", _DECIMALS)


def _ends(setting: Setting) -> tuple[float, float]:
    if not isinstance(setting.limit, Between):
        raise ValueError(f"{setting.path} has no limits.")
    return setting.limit.low, setting.limit.high


def _range_text(setting: Setting) -> str:
    if not isinstance(setting.limit, Between):
        return ""
    locale = QLocale()
    low, high = setting.limit.low, setting.limit.high
    texts = [
        locale.toString(int(end))
        if float(end).is_integer()
        else locale.toString(end, "f", _SHORTEST)
        for end in (low, high)
    ]
    return f"{texts[0]} – {texts[1]} {setting.unit}".strip()


def _column(holder: QWidget) -> QVBoxLayout:
    column = QVBoxLayout(holder)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(2)
    return column


def _small(text: str) -> QLabel:
    label = QLabel(text)
    set_role(label, "small")
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label
