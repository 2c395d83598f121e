"""The results on the test set: figures first, then curves, then the images behind them."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QLocale, QSize, Qt, Signal
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from engine.contract.results import CasePrediction, ClassResult, Estimate, EvaluationResult
from engine.contract.targets import one_finding
from gui.itemmodels.prediction_grid import PredictionCell, PredictionGrid
from gui.itemmodels.run_words import interval_text, number_text
from gui.panels.evaluate_findings import FindingsTable
from gui.panels.evaluate_numbers import (
    cases_of_cell,
    largest_errors,
    positive_index,
    predicted_class,
    recognised,
)
from gui.panels.evaluate_threshold import ThresholdPreview
from gui.panels.low_table import LowTable
from gui.plots.confusion_view import ConfusionView
from gui.plots.plot_card import PlotCard
from gui.plots.roc_plot import OperatingPoint, RocCurve, RocPlot
from gui.session import Session
from gui.theme import theme
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.buttons import make_link
from gui.widgets.card import Card
from gui.widgets.counts import images_text
from gui.widgets.painting import class_swatch, set_role
from gui.widgets.stat_tile import StatTile

__all__ = ["EvaluateResult"]

_CARD_PX: Final = 330
_ROC_PX: Final = 200


class EvaluateResult(QWidget):
    """Everything that is known from one look at the test set.

    Signals:
        figure_failed: Sentence and remedy, where a figure could not be saved.
    """

    figure_failed = Signal(str, str)

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._whole: EvaluationResult | None = None
        self._result: EvaluationResult | None = None  # of one finding where there are several
        self._findings = FindingsTable()
        self._findings.chosen.connect(self.show_finding)
        self._findings.failed.connect(self.figure_failed)
        self._sentence = QLabel()
        self._sentence.setWordWrap(True)
        set_role(self._sentence, "secondary")
        self._threshold = ThresholdPreview()
        self._classes = _ClassTable()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addWidget(self._findings)
        column.addWidget(self._build_tiles())
        column.addWidget(self._build_cards(), 1)
        column.addWidget(self._classes)
        column.addWidget(self._clinical_line())

    @property
    def confusion(self) -> ConfusionView:
        """The confusion matrix."""
        return self._confusion

    @property
    def findings(self) -> FindingsTable:
        """The findings, where several were learned at once."""
        return self._findings

    @property
    def gallery(self) -> PredictionGrid:
        """The images that are shown."""
        return self._gallery

    @property
    def gallery_text(self) -> str:
        """Which images those are."""
        return f"{self._gallery_card.title}. {self._gallery_note.text()}".strip()

    @property
    def threshold(self) -> ThresholdPreview:
        """The preview of other thresholds."""
        return self._threshold

    def set_result(self, result: EvaluationResult) -> None:
        """Show a result; of several findings the chosen one, with all of them in a table."""
        self._whole = result
        self._findings.setVisible(bool(result.findings))
        if not result.findings:
            self._show(result)
            return
        self._findings.set_result(result)
        self.show_finding(self._findings.current)

    def show_finding(self, name: str) -> None:
        """Show one of several findings in full."""
        if self._whole is not None and name:
            self._show(one_finding(self._whole, name))

    def _show(self, result: EvaluationResult) -> None:
        self._result = result
        self._show_tiles(result)
        self._show_roc(result)
        self._confusion.set_counts(result.classes, result.confusion)
        self._sentence.setText(result.sentence)
        curve = result.val_roc.get(result.positive or "")
        has_threshold = result.threshold is not None and curve is not None
        self._threshold.setVisible(has_threshold)
        if result.threshold is not None and curve is not None:
            self._threshold.set_curve(curve, result.threshold)
        self._classes.setVisible(len(result.classes) > 2)
        self._classes.set_classes(result.per_class)
        self.show_errors()

    def show_errors(self) -> None:
        """Show the surest mistakes."""
        if self._result is not None:
            self._back.hide()
            cases = largest_errors(self._result)
            self._show_cases(self.tr("Largest errors"), "", cases)

    def show_cell(self, label: int, predicted: int) -> None:
        """Show the images of a cell of the confusion matrix, worst first."""
        result = self._result
        if result is None:
            return
        cases = cases_of_cell(result, label, predicted)
        names = result.classes[label], result.classes[predicted]
        note = self.tr("Labelled {0} and predicted {1}, the least sure first.")
        if label != predicted:
            note = self.tr("Labelled {0} but predicted {1}, the surest mistakes first.")
        self._back.show()
        self._show_cases(images_text(len(cases)), note.format(*names), cases)

    def _build_tiles(self) -> AdaptiveRow:
        self._auroc = StatTile(self.tr("AUROC"))
        self._sensitivity = StatTile(self.tr("Sensitivity"))
        self._specificity = StatTile(self.tr("Specificity"))
        self._accuracy = StatTile(self.tr("Accuracy"))
        self._kappa = StatTile(self.tr("Weighted kappa"))
        row = AdaptiveRow()
        tiles = (self._auroc, self._sensitivity, self._specificity, self._accuracy, self._kappa)
        for tile in tiles:
            tile.setToolTip(
                self.tr("The range is a 95 % interval: what resampling the test patients gives.")
            )
            row.add(tile)
        self._kappa.setToolTip(
            self.tr(
                "Agreement on grades beyond chance: 1 is perfect, 0 is chance. A miss by two "
                "grades counts four times one by the next."
            )
        )
        return row

    def _build_cards(self) -> AdaptiveRow:
        self._roc = _LowRocPlot()
        roc = PlotCard(
            self.tr("ROC on the test set"),
            self._roc,
            explanation=self.tr(
                "Each point of the curve is a threshold: how many of the sick are found, against "
                "how many of the healthy are called sick. The dot is the threshold that was locked "
                "on validation; the dashed line is guessing."
            ),
            file_name="roc",
        )
        roc.body.addWidget(self._sentence)
        self._confusion = ConfusionView()
        self._confusion.cell_clicked.connect(self.show_cell)
        confusion = PlotCard(
            self.tr("Confusion"),
            self._confusion,
            explanation=self.tr(
                "Rows are what the images were labelled, columns what they were taken for. Blue "
                "cells are right, orange ones wrong; click a cell to see its images."
            ),
            file_name="confusion",
        )
        confusion.set_secondary(self.tr("click a cell"))
        confusion.body.addWidget(self._threshold)
        row = AdaptiveRow()
        for card in (roc, confusion, self._build_gallery()):
            card.setMinimumHeight(_CARD_PX)
            row.add(card)
        for plot_card in (roc, confusion):
            plot_card.failed.connect(self.figure_failed)
        return row

    def _build_gallery(self) -> Card:
        self._gallery = PredictionGrid()
        self._no_cases = QLabel()
        self._no_cases.setWordWrap(True)
        self._no_cases.setAlignment(Qt.AlignmentFlag.AlignTop)
        set_role(self._no_cases, "secondary")
        self._back = make_link(self.tr("Largest errors"))
        self._back.setToolTip(self.tr("Back to the largest errors"))
        self._back.clicked.connect(self.show_errors)
        self._gallery_card = Card()
        self._gallery_card.add_action(self._back)
        self._gallery_note = QLabel()
        self._gallery_note.setWordWrap(True)
        set_role(self._gallery_note, "small")
        self._gallery_card.body.addWidget(self._gallery_note)
        self._gallery_card.body.addWidget(self._gallery, 1)
        self._gallery_card.body.addWidget(self._no_cases, 1)
        return self._gallery_card

    def _clinical_line(self) -> QLabel:
        line = QLabel(
            self.tr("For research and teaching. Not for clinical use: not a medical device.")
        )
        set_role(line, "secondary")
        line.setWordWrap(True)
        return line

    def _show_tiles(self, result: EvaluationResult) -> None:
        auroc = Estimate(value=result.auroc, low=result.auroc_low, high=result.auroc_high)
        detail = self.tr("95 % interval {0}").format(interval_text(auroc))
        self._auroc.set_value(number_text(result.auroc), "", detail)
        index = positive_index(result)
        for tile, name, value, of in (
            (self._sensitivity, "sensitivity", result.sensitivity, index),
            (self._specificity, "specificity", result.specificity, _other(index)),
        ):
            interval = interval_text(result.intervals.get(name))
            tile.set_value(number_text(value), "", _joined(interval, self._counts(result, of)))
        accuracy = self.tr("balanced {0} · F1 {1}").format(
            number_text(result.balanced_accuracy, 2), number_text(result.f1, 2)
        )
        self._accuracy.set_value(number_text(result.accuracy), "", accuracy)
        if interval := interval_text(result.intervals.get("accuracy")):
            self._accuracy.setToolTip(self.tr("95 % interval {0}").format(interval))
        kappa = result.intervals.get("weighted_kappa")
        self._kappa.setVisible(kappa is not None)  # of grades alone
        if kappa is not None:
            self._kappa.set_value(number_text(kappa.value), "", interval_text(kappa))

    def _counts(self, result: EvaluationResult, index: int | None) -> str:
        if index is None:
            return self.tr("mean of the classes")
        locale = QLocale()
        found, total = recognised(result.confusion, index)
        return self.tr("{0} of {1}").format(locale.toString(found), locale.toString(total))

    def _show_roc(self, result: EvaluationResult) -> None:
        curves = []
        for name, curve in result.roc.items():
            index = result.classes.index(name) if name in result.classes else 0
            is_only = len(result.roc) == 1
            color = 0 if is_only else index
            curves.append(RocCurve(name, curve.fpr, curve.tpr, curve.thresholds, color))
        self._roc.set_curves(curves)
        point = None
        if result.threshold is not None:
            point = OperatingPoint(1.0 - result.specificity, result.sensitivity, result.threshold)
        self._roc.set_operating_point(point)

    def _show_cases(self, title: str, note: str, cases: list[CasePrediction]) -> None:
        self._gallery_card.set_title(title)
        self._gallery_note.setText(note)
        self._gallery_note.setVisible(bool(note))
        cells = [cell for case in cases if (cell := self._cell(case)) is not None]
        self._gallery.setVisible(bool(cells))
        self._no_cases.setVisible(not cells)
        self._no_cases.setText(
            self.tr("There are none.") if not cases else self.tr("These images are gone.")
        )
        self._gallery.setAccessibleName(f"{title}. {note}".strip())
        self._gallery.set_cells(cells, self._session.thumbnails)

    def _cell(self, case: CasePrediction) -> PredictionCell | None:
        record = self._session.snapshot.by_id.get(case.record)
        result = self._result
        if record is None or result is None:
            return None
        index = positive_index(result)
        predicted = predicted_class(result, case)
        shown = index if index is not None else predicted
        label = result.classes[case.label]
        value = number_text(case.probabilities[shown], 2)
        text = self.tr("{0}: labelled {1}, predicted {2}; probability of {3}: {4}")
        return PredictionCell(
            row=record.row,
            caption=f"{result.classes[shown]} {value}",
            label=self.tr("labelled {0}").format(label),
            is_right=predicted == case.label,
            tool_tip=text.format(
                record.patient, label, result.classes[predicted], result.classes[shown], value
            ),
        )


class _LowRocPlot(RocPlot):
    """Asks for little height and takes what there is, so that the page fits where it can."""

    def sizeHint(self) -> QSize:
        return QSize(theme().px(300), theme().px(_ROC_PX))

    def minimumSizeHint(self) -> QSize:
        return QSize(super().minimumSizeHint().width(), theme().px(_ROC_PX))


class _ClassTable(Card):
    """Each class against the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.set_title(self.tr("Class by class"))
        self.set_secondary(self.tr("each class against the rest"))
        self._rows = QStandardItemModel(self)
        self._table = LowTable()
        self._table.setModel(self._rows)
        self._table.setAccessibleName(self.tr("Class by class"))
        self.body.addWidget(self._table)

    def set_classes(self, classes: tuple[ClassResult, ...]) -> None:
        """Show these classes."""
        heads = (
            self.tr("Class"),
            self.tr("Images"),
            self.tr("AUROC"),
            self.tr("Sensitivity"),
            self.tr("Specificity"),
            self.tr("Precision"),
            self.tr("F1"),
        )
        self._rows.clear()
        self._rows.setHorizontalHeaderLabels(heads)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        for column in range(len(heads)):
            side = right if column else left
            self._rows.horizontalHeaderItem(column).setTextAlignment(side)
        for index, row in enumerate(classes):
            measures = (row.auroc, row.sensitivity, row.specificity, row.precision, row.f1)
            texts = (QLocale().toString(row.n_images), *map(number_text, measures))
            items = [QStandardItem(row.name), *(QStandardItem(text) for text in texts)]
            swatch = class_swatch(theme().tokens.class_color(index))
            items[0].setData(swatch, Qt.ItemDataRole.DecorationRole)
            for item in items[1:]:
                item.setTextAlignment(right)
            self._rows.appendRow(items)
        self._table.fit_height()


def _other(index: int | None) -> int | None:
    return None if index is None else 1 - index


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)
