"""What the labels of a source mean: a class, several findings, or a grade for each image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QRadioButton, QVBoxLayout, QWidget

from engine.contract.import_rules import LabelRule
from gui.dialogs.label_fields import Choice, Field, note_label
from gui.dialogs.label_order import GradeOrder
from gui.widgets.card import Card

__all__ = ["LabelMeaningCard", "looks_like_grades"]

_TASKS: Final = ("single", "multi", "ordinal")
_MAX_NAMED: Final = 8
_GRADE_WORDS: Final = re.compile(
    r"grade|grading|stage|score|severity|bi-?rads|pi-?rads|kellgren|\bkl\b|级|分期|评分|程度",
    re.IGNORECASE,
)
_MIN_GRADES: Final = 3


class LabelMeaningCard(Card):
    """Preselected by what the first rows show; the user may know better.

    Signals:
        changed: The rule is another one.
    """

    changed = Signal()

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("What the labels mean"), parent=parent)
        self._is_touched = False
        self._is_one_hot = False
        self._about = ""
        self._group = QButtonGroup(self)
        self._buttons = {
            "single": QRadioButton(self.tr("One class per image")),
            "multi": QRadioButton(self.tr("Several findings per image")),
            "ordinal": QRadioButton(self.tr("Grades in order")),
        }
        for number, task in enumerate(_TASKS):
            self._group.addButton(self._buttons[task], number)
        self._buttons["single"].setChecked(True)
        self._group.idClicked.connect(self._on_task)
        self._sentence = note_label()
        self._found = note_label()
        self._separator = Choice(self.tr("Between the findings of a cell"), n_letters=4)
        self._uncertain = Choice(self.tr("Uncertain counts as"), n_letters=6)
        self._uncertain_sentence = note_label()
        self._blank = Choice(self.tr("A blank cell counts as"), n_letters=6)
        self._findings = QWidget()
        self._order = GradeOrder()
        self._fill()
        self._build()
        self._show()

    @property
    def task(self) -> str:
        """The meaning that is selected: ``single``, ``multi`` or ``ordinal``."""
        return _TASKS[self._group.checkedId()]

    @property
    def rule(self) -> LabelRule:
        """The rule chosen; single or multi is left to the engine until the user says it."""
        task = self.task
        return LabelRule(
            task=task if self._is_touched or task == "ordinal" else "auto",
            separator=str(self._separator.currentData()),
            uncertain=str(self._uncertain.currentData()),
            blank=str(self._blank.currentData()),
            order=self._order.order if task == "ordinal" and self._order.is_touched else (),
        )

    @property
    def problem(self) -> str:
        """What is wrong; empty if nothing is."""
        if self._is_one_hot and self.task == "ordinal":
            return self.tr("Grades stand in one column: choose it as the class.")
        return ""

    def set_labels(
        self,
        about: str,
        column: str,
        task: str,
        classes: Sequence[tuple[str, int]],
        *,
        is_one_hot: bool,
        is_complete: bool,
        is_folders: bool = False,
    ) -> None:
        """Show what was found.

        Args:
            about: Where the labels come from; another place makes the card propose anew.
            column: What the column of the labels is called.
            task: What the engine thinks; empty if it doesn't say.
            classes: Names and how often each occurs.
            is_one_hot: Whether each finding has a column of its own.
            is_complete: Whether the counts are of all rows, not of the first ones.
            is_folders: Whether they are the names of folders, which the other card counts.
        """
        is_new = about != self._about
        self._about, self._is_one_hot = about, is_one_hot
        names = [name for name, _ in classes]
        if is_new:
            self._is_touched = False
        if not self._is_touched and task in _TASKS:
            is_graded = task == "single" and looks_like_grades(column, names)
            self._buttons["ordinal" if is_graded else task].setChecked(True)
        self._order.set_grades(names, keeps_order=not is_new)
        self._found.setText(self._counts(classes, is_complete=is_complete))
        self._found.setVisible(bool(classes) and not is_folders)
        self._buttons["multi"].setVisible(not is_folders)
        self._show()

    def _counts(self, classes: Sequence[tuple[str, int]], *, is_complete: bool) -> str:
        locale = QLocale()
        named = [f"{name} ({locale.toString(n)})" for name, n in classes[:_MAX_NAMED]]
        if len(classes) > _MAX_NAMED:
            named.append(self.tr("%d more") % (len(classes) - _MAX_NAMED))
        text = self.tr("Found: %s") if is_complete else self.tr("In the first rows: %s")
        return text % ", ".join(named)

    def _on_task(self) -> None:
        self._is_touched = True
        self._on_changed()

    def _on_changed(self) -> None:
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        sentences = {
            "single": self.tr("Every image has exactly one, such as normal or pneumonia."),
            "multi": self.tr("Every finding is present or absent, each on its own."),
            "ordinal": self.tr("Every image has one grade, such as mild, moderate or severe."),
        }
        uncertain = {
            "ignore": self.tr("The image is neither trained on nor measured for that finding."),
            "negative": self.tr("Doubtful findings are learned as absent."),
            "positive": self.tr("Doubtful findings are learned as present."),
        }
        task = self.task
        for name, button in self._buttons.items():
            # The Tab key goes to the selected one, as everywhere; Qt sees to that after a click.
            policy = Qt.FocusPolicy.StrongFocus if name == task else Qt.FocusPolicy.ClickFocus
            button.setFocusPolicy(policy)
        self._sentence.setText(sentences[task])
        self._sentence.show()
        self._findings.setVisible(task == "multi")
        self._separator_field.setVisible(not self._is_one_hot)
        self._blank_field.setVisible(self._is_one_hot)
        self._uncertain_sentence.setText(uncertain[str(self._uncertain.currentData())])
        self._uncertain_sentence.show()
        self._order.setVisible(task == "ordinal" and not self._is_one_hot)

    def _fill(self) -> None:
        for text, data in (
            ("|", "|"),
            (";", ";"),
            (",", ","),
            ("/", "/"),
            ("、", "、"),
            (self.tr("Blank"), " "),
        ):
            self._separator.addItem(text, data)
        for text, data in (
            (self.tr("Unknown"), "ignore"),
            (self.tr("Absent"), "negative"),
            (self.tr("Present"), "positive"),
        ):
            self._uncertain.addItem(text, data)
        for text, data in (
            (self.tr("Automatic"), "auto"),
            (self.tr("Absent"), "absent"),
            (self.tr("Unknown"), "unknown"),
        ):
            self._blank.addItem(text, data)
        for box in (self._separator, self._uncertain, self._blank):
            box.activated.connect(self._on_changed)
        self._order.changed.connect(self._on_changed)

    def _build(self) -> None:
        self._separator_field = Field(self.tr("Between findings"), self._separator)
        self._blank_field = Field(self.tr("A blank cell counts as"), self._blank)
        fields = QHBoxLayout()
        fields.setSpacing(12)
        uncertain = Field(self.tr("Uncertain (-1, “?”, “unclear”) counts as"), self._uncertain)
        for field in (uncertain, self._separator_field, self._blank_field):
            fields.addWidget(field, 1)
        findings = QVBoxLayout(self._findings)
        findings.setContentsMargins(0, 0, 0, 0)
        findings.setSpacing(4)
        findings.addLayout(fields)
        findings.addWidget(self._uncertain_sentence)
        choices = QVBoxLayout()
        choices.setSpacing(0)
        for button in self._buttons.values():
            choices.addWidget(button)
        self.body.addLayout(choices)
        for widget in (self._sentence, self._findings, self._order, self._found):
            self.body.addWidget(widget)


def looks_like_grades(column: str, values: Sequence[str]) -> bool:
    """Return whether a column's name speaks of grades and its values can be put in order."""
    has_numbers = all(re.search(r"\d|[ⅠⅡⅢⅣⅤ]", value) for value in values)
    is_named = _GRADE_WORDS.search(column) is not None
    return is_named and has_numbers and len(set(values)) >= _MIN_GRADES
