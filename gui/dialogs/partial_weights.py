"""A weights file that fits a backbone in part: what fits and what doesn't, before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from engine.contract.backbones import backbone_card
from gui.theme import theme
from gui.widgets.buttons import set_primary
from gui.widgets.painting import set_role
from gui.widgets.progress_row import ThinProgress

__all__ = ["PartialWeightsDialog"]

_PERCENT: Final = 100


class PartialWeightsDialog(QDialog):
    """Shows the report of a check and asks whether to use the weights anyway.

    Signals:
        confirmed: They are to be used.
    """

    confirmed = Signal()

    def __init__(self, report: Mapping[str, Any], *, parent: QWidget | None = None) -> None:
        """Build the dialog.

        Args:
            report: Result of ``AddWeights`` with ``check_only``.
            parent: Window that it belongs to.
        """
        super().__init__(parent)
        self.setWindowTitle(self.tr("The weights fit in part"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(theme().px(620), theme().px(460))
        card = backbone_card(str(report["backbone"]))
        title = card.title if card is not None else str(report["backbone"])
        locale = QLocale()
        share = float(report["share"])
        percent = self.tr("{0} %").format(locale.toString(share * _PERCENT, "f", 1))
        question = QLabel(
            self.tr("{0} of {1}'s weights are in {2}. Use it all the same?").format(
                percent, title, report["name"]
            )
        )
        set_role(question, "heading")
        question.setWordWrap(True)
        bar = ThinProgress()
        bar.set_fraction(share)
        bar.setAccessibleName(percent)
        explanation = QLabel(self._explanation(report))
        explanation.setWordWrap(True)
        set_role(explanation, "secondary")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        use = buttons.addButton(self.tr("Use it"), QDialogButtonBox.ButtonRole.AcceptRole)
        set_primary(use, is_primary=True)
        buttons.accepted.connect(self._on_accepted)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        for widget in (question, bar, explanation, self._examples(report), buttons):
            column.addWidget(widget)

    def _explanation(self, report: Mapping[str, Any]) -> str:
        locale = QLocale()
        numbers = [locale.toString(int(report[n])) for n in ("n_wanted", "missing", "misfits")]
        counted = self.tr("Of {0} tensors, {1} are missing and {2} have another shape.")
        found = [str(warning) for warning in report.get("warnings") or ()]
        less = self.tr("Expect less of it than of a whole file.")
        return " ".join((counted.format(*numbers), *found, less))

    def _examples(self, report: Mapping[str, Any]) -> QTreeWidget:
        words = {
            "missing": self.tr("missing"),
            "another shape": self.tr("another shape"),
            "another layer": self.tr("not in this backbone"),
        }
        tree = QTreeWidget()
        tree.setRootIsDecorated(False)
        tree.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        tree.setHeaderLabels([self.tr("Tensor"), self.tr("What is wrong"), self.tr("Shape wanted")])
        tree.setAccessibleName(self.tr("Tensors that don't fit"))
        for example in report.get("examples") or ():
            shape = " x ".join(str(side) for side in example["wanted"])
            problem = str(example["problem"])
            row = [str(example["name"]), words.get(problem, problem), shape]
            tree.addTopLevelItem(QTreeWidgetItem(row))
        tree.header().setStretchLastSection(False)
        tree.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            tree.header().setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        return tree

    def _on_accepted(self) -> None:
        self.confirmed.emit()
        self.accept()
