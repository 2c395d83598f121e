"""What the search page found: a sentence, a table and a plot for each kind of work."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication, QLocale, Qt, Signal
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from engine.contract.searching import (
    CrossvalResult,
    EnsembleResult,
    FoldResult,
    LrRangeResult,
    SearchResult,
    TriedSettings,
)
from gui.itemmodels.run_words import backbone_name, interval_text, method_name, number_text
from gui.messages import time_text
from gui.panels.low_table import LowTable
from gui.plots.plot_card import PlotCard
from gui.plots.search_plots import ROUND_LOOKS, FoldsPlot, RatePlot, TrialsPlot
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.buttons import make_button
from gui.widgets.card import Card
from gui.widgets.counts import images_text, patients_text

__all__ = ["CombinedView", "FoldsView", "RateView", "ResultView", "TrialsView"]

_AS_GOOD = "≈"


class _Table(Card):
    """A card with a table."""

    def __init__(self, title: str, heads: Sequence[str]) -> None:
        super().__init__(title)
        self._heads = list(heads)
        self.rows = QStandardItemModel(self)
        self.view = LowTable()
        self.view.setModel(self.rows)
        self.view.setAccessibleName(title)
        self.body.addWidget(self.view)
        self.body.addStretch(1)

    def set_rows(self, rows: Sequence[Sequence[str]], n_left: int) -> None:
        """Show rows of text; columns from ``n_left`` on are numbers."""
        self.rows.clear()
        self.rows.setHorizontalHeaderLabels(self._heads)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        for column in range(len(self._heads)):
            side = right if column >= n_left else left
            self.rows.horizontalHeaderItem(column).setTextAlignment(side)
        for row in rows:
            items = [QStandardItem(text) for text in row]
            for column, item in enumerate(items):
                item.setTextAlignment(right if column >= n_left else left)
            self.rows.appendRow(items)
        self.view.fit_height()

    def texts(self) -> list[list[str]]:
        """Return the cells, row by row."""
        columns = range(self.rows.columnCount())
        return [
            [self.rows.item(row, column).text() for column in columns]
            for row in range(self.rows.rowCount())
        ]


class ResultView(QWidget):
    """A result with its words and the button that uses it.

    Signals:
        use_requested: The result should be used.
        figure_failed: Sentence and remedy, where a figure could not be saved.
    """

    use_requested = Signal()
    figure_failed = Signal(str, str)

    def __init__(self, title: str, use: str, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.card = Card(title)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.use = make_button(use)
        self.use.clicked.connect(self.use_requested)
        self.card.body.addWidget(self.words)
        self.card.add_action(self.use)
        self.figures = AdaptiveRow()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addWidget(self.card)
        column.addWidget(self.figures)

    def clear(self) -> None:
        """Forget everything; such work begins."""
        self.hide()

    def add_plot(self, card: PlotCard) -> None:
        """Add a plot to the figures."""
        card.failed.connect(self.figure_failed)
        self.figures.add(card)


class TrialsView(ResultView):
    """The trials of a search, while it goes on and after it."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(_tr("Result"), _tr("Use these settings"), parent=parent)
        self.use.setToolTip(_tr("Takes the settings of the marked row for the next training"))
        heads = (_tr("AUROC"), _tr("Backbone"), _tr("Method"), _tr("Changes"), _tr("Round"))
        self.table = _Table(_tr("Settings tried"), (*heads, _tr("Time")))
        self._plot = TrialsPlot()
        self._plot_card = PlotCard(
            _tr("Trainings"),
            self._plot,
            explanation=_tr(
                "Every mark is one short training. The first round tries many settings "
                "briefly; later rounds train the best of them longer. The dashed line is the "
                "best so far."
            ),
            file_name="search",
        )
        self.add_plot(self._plot_card)
        self.figures.add(self.table, 3)  # what was changed needs the room
        self._trials: list[TriedSettings] = []
        self._carried: list[TriedSettings] = []
        self._shown: tuple[TriedSettings, ...] = ()
        self._has_result = False

    def clear(self) -> None:
        """Forget everything; a search begins."""
        self._trials, self._carried, self._has_result = [], [], False
        self._refresh()

    def add(self, row: TriedSettings) -> None:
        """Show another trial."""
        self._trials.append(row)
        self._refresh()

    def carry(self, row: TriedSettings) -> None:
        """Rank settings in a later round, too, that aren't trained anew for it."""
        self._carried.append(row)
        self._refresh()

    def set_result(self, result: SearchResult) -> None:
        """Show what a search found."""
        self._has_result = True
        self._shown = result.rows
        if not self._trials:
            self._trials = sorted(result.rows, key=lambda row: (row.round, row.number))
        self.words.setText(" ".join((*result.sentences, *result.notes)))
        spent, given = time_text(result.seconds), time_text(60 * result.minutes)
        self.card.set_secondary(_tr("{0} of {1}").format(spent, given))
        self._refresh()

    def chosen(self) -> TriedSettings | None:
        """Return the marked row, or the best."""
        row = self.table.view.currentIndex().row()
        if not self._shown:
            return None
        return self._shown[row] if 0 <= row < len(self._shown) else self._shown[0]

    def _refresh(self) -> None:
        if not self._has_result:
            last = {row.number: row for row in (*self._trials, *self._carried)}
            order = sorted(last.values(), key=lambda row: (-row.round, -row.auroc, row.loss))
            self._shown = tuple(order)
        self.card.setVisible(self._has_result)
        self.table.set_rows([self._texts(row) for row in self._shown], n_left=4)
        if self._has_result:
            self.table.view.selectRow(0)
            self.table.set_secondary(_tr("{0} as good as the best").format(_AS_GOOD))
        self._plot.set_rows(self._trials)
        shown = {row.round for row in self._trials}
        self._plot_card.set_legend(
            [
                (_tr("round {0}").format(QLocale().toString(number)), token)
                for number, (token, _) in enumerate(ROUND_LOOKS, start=1)
                if number in shown
            ]
        )

    def _texts(self, row: TriedSettings) -> tuple[str, ...]:
        auroc = number_text(row.auroc)
        if self._has_result and row.is_as_good and row is not self._shown[0]:
            auroc = f"{_AS_GOOD} {auroc}"
        return (
            auroc,
            backbone_name(row.backbone),
            method_name(row.method),
            ", ".join(row.changes) or "–",
            QLocale().toString(row.round),
            time_text(row.seconds) if row.seconds else "–",
        )


class FoldsView(ResultView):
    """A cross-validation."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(_tr("Result"), _tr("Combine its networks"), parent=parent)
        self.use.setToolTip(
            _tr("Makes a run of the networks of all parts, which answer together from then on")
        )
        heads = (_tr("Part"), _tr("Learned from"), _tr("Held out"), _tr("AUROC"), _tr("Time"))
        self.table = _Table(_tr("Parts"), heads)
        self._plot = FoldsPlot()
        self.add_plot(
            PlotCard(
                _tr("AUROC of each part"),
                self._plot,
                explanation=_tr(
                    "Each part was predicted by a network trained without it. How far the marks "
                    "lie apart shows how much a result depends on which images it is measured on."
                ),
                file_name="cross-validation",
                legend=((_tr("mean"), "second"),),
            )
        )
        self.figures.add(self.table)
        self._folds: list[FoldResult] = []

    def clear(self) -> None:
        """Forget everything; a cross-validation begins."""
        self._folds = []
        self.card.hide()
        self.figures.hide()

    def add(self, fold: FoldResult) -> None:
        """Show another part."""
        self._folds.append(fold)
        self.figures.show()
        self._show(self._folds)

    def set_result(self, result: CrossvalResult, networks: str) -> None:
        """Show a finished cross-validation.

        Args:
            result: What it gave.
            networks: Backbone, weights and method, for people.
        """
        interval = interval_text(result.auroc)
        self.card.set_secondary(
            _tr("{0}: {1} of {2}").format(
                networks,
                images_text(result.n_images),
                patients_text(result.n_patients),
            )
        )
        figures = _tr("AUROC {0} ({1}) · mean of the parts {2} ± {3}").format(
            number_text(result.auroc.value),
            interval,
            number_text(result.mean),
            number_text(result.sd),
        )
        self.words.setText(f"{figures}\n{result.sentence}")
        self._plot.set_result(result)
        self.card.show()
        self.figures.show()
        self._show(result.folds)

    def _show(self, folds: Sequence[FoldResult]) -> None:
        locale = QLocale()
        self.table.set_rows(
            [
                (
                    locale.toString(fold.fold),
                    images_text(fold.n_train),
                    images_text(fold.n_held_out),
                    number_text(fold.auroc),
                    time_text(fold.seconds),
                )
                for fold in folds
            ],
            n_left=1,
        )


class RateView(ResultView):
    """A learning-rate test."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(_tr("Result"), _tr("Use this rate"), parent=parent)
        self._plot = RatePlot()
        self.add_plot(
            PlotCard(
                _tr("Loss by learning rate"),
                self._plot,
                explanation=_tr(
                    "The learning rate rises from far too small, where nothing is learned, to far "
                    "too large, where training breaks down. The mark is the suggestion: the "
                    "highest rate up to which the loss still falls."
                ),
                file_name="learning-rate",
                legend=((_tr("loss"), "accent"), (_tr("suggestion"), "second")),
            )
        )

    def set_result(self, result: LrRangeResult) -> None:
        """Show a test."""
        self.words.setText(result.sentence)
        self.use.setText(_tr("Use {0}").format(f"{result.suggested:g}"))
        self.card.set_secondary(time_text(result.seconds))
        self._plot.set_result(result)
        self.show()


class CombinedView(ResultView):
    """A run that was made of others."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(_tr("Result"), _tr("Look at the results"), parent=parent)
        heads = (_tr("Network"), _tr("Backbone"), _tr("Method"), _tr("AUROC (validation)"))
        self.table = _Table(_tr("Networks"), heads)
        self.figures.add(self.table)

    def set_result(self, result: EnsembleResult) -> None:
        """Show a combination."""
        self.words.setText(result.sentence)
        self.table.set_rows(
            [
                (
                    str(number),
                    backbone_name(member.backbone),
                    method_name(member.method),
                    number_text(member.val_auroc if math.isfinite(member.val_auroc) else None),
                )
                for number, member in enumerate(result.members, start=1)
            ],
            n_left=3,
        )
        self.show()


def _tr(text: str) -> str:
    return QCoreApplication.translate("SearchResults", text)
