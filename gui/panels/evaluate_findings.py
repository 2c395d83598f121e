"""Several findings that were learned at once: a row each, of which one is looked at."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import (
    QIODevice,
    QItemSelectionModel,
    QLocale,
    QModelIndex,
    QSaveFile,
    Qt,
    Signal,
)
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QAbstractItemView, QFileDialog, QWidget

from engine.contract.finding_table import findings_csv
from engine.contract.results import Estimate, EvaluationResult, FindingResult
from gui.itemmodels.run_words import interval_text, number_text
from gui.panels.low_table import RIGHT, LowTable, set_heads
from gui.theme import theme
from gui.widgets.buttons import make_link
from gui.widgets.card import Card
from gui.widgets.painting import class_swatch

__all__ = ["FindingsTable"]


class FindingsTable(Card):
    """Findings with their numbers on the test set; the chosen row is shown in full below.

    Signals:
        chosen: Name of a finding.
        failed: Sentence and remedy, where the table could not be saved.
    """

    chosen = Signal(str)
    failed = Signal(str, str)

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Finding by finding"), parent=parent)
        self._result: EvaluationResult | None = None
        self._rows = QStandardItemModel(self)
        self._table = LowTable()
        self._table.setModel(self._rows)
        self._table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._table.setAccessibleName(self.tr("Findings; the chosen one is shown below"))
        self._table.selectionModel().currentRowChanged.connect(self._on_current)
        save = make_link(self.tr("Save the table…"))
        save.clicked.connect(self.ask_save)
        self.add_action(save)
        self.body.addWidget(self._table)
        theme().changed.connect(self._fill)

    @property
    def table(self) -> LowTable:
        """The table itself."""
        return self._table

    @property
    def current(self) -> str:
        """Name of the chosen finding; empty without any."""
        place = self._table.currentIndex().row()
        findings = self._result.findings if self._result is not None else ()
        return findings[place].name if 0 <= place < len(findings) else ""

    def texts(self) -> list[list[str]]:
        """Return the cells as they are shown, row by row."""
        columns = range(self._rows.columnCount())
        return [
            [self._rows.item(row, column).text() for column in columns]
            for row in range(self._rows.rowCount())
        ]

    def set_result(self, result: EvaluationResult) -> None:
        """Show the findings of a result; the chosen one stays chosen if it is there."""
        name = self.current
        self._result = result
        mean = Estimate(value=result.auroc, low=result.auroc_low, high=result.auroc_high)
        interval = interval_text(mean)
        text = self.tr("mean AUROC {0}").format(number_text(result.auroc))
        self.set_secondary(f"{text} ({interval})" if interval else text)
        names = [found.name for found in result.findings]
        self._fill()
        self.choose(names.index(name) if name in names else 0)

    def choose(self, place: int) -> None:
        """Choose the finding of a row."""
        index = self._rows.index(place, 0)
        flags = QItemSelectionModel.SelectionFlag
        self._table.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)

    def ask_save(self) -> None:
        """Ask where the table shall go."""
        dialog = QFileDialog(self, self.tr("Save the table"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter(self.tr("Table (*.csv)"))
        dialog.setDefaultSuffix("csv")
        dialog.selectFile(self.tr("findings.csv"))
        dialog.fileSelected.connect(lambda name: self.save_to(Path(name)))
        dialog.open()

    def save_to(self, path: Path) -> None:
        """Write the table with all measures and intervals."""
        if self._result is None:
            return
        # The mark lets spreadsheets read accents and Chinese.
        data = findings_csv(self._result).encode("utf-8-sig")
        file = QSaveFile(str(path))
        is_open = file.open(QIODevice.OpenModeFlag.WriteOnly)
        if not (is_open and file.write(data) == len(data) and file.commit()):
            self.failed.emit(
                self.tr("The table could not be saved: %s") % file.errorString(),
                self.tr("Free some room, or choose another folder."),
            )

    def _on_current(self, current: QModelIndex) -> None:
        if current.isValid() and self.current:
            self.chosen.emit(self.current)

    def _fill(self) -> None:
        if self._result is None:
            return
        place = self._table.currentIndex().row()
        selection = self._table.selectionModel()
        selection.blockSignals(True)
        self._rows.clear()
        set_heads(self._rows, self._heads())
        for index, found in enumerate(self._result.findings):
            self._rows.appendRow(self._items(index, found))
        self._table.fit_height()
        self.choose(max(place, 0))
        selection.blockSignals(False)

    def _heads(self) -> tuple[tuple[str, str], ...]:
        return (
            (self.tr("Finding"), ""),
            (self.tr("Present"), self.tr("Test images that show it")),
            (self.tr("Absent"), self.tr("Test images that don't show it")),
            (self.tr("Unknown"), self.tr("Test images left out: it isn't known of them")),
            (self.tr("AUROC"), self.tr("With its 95 % interval, from resampled patients")),
            (
                self.tr("AP"),
                self.tr(
                    "Average precision: precision averaged over recall. A useless classifier gets "
                    "the share of images that show the finding."
                ),
            ),
            (self.tr("Threshold"), self.tr("From this probability on it counts as present")),
            (self.tr("Sensitivity"), self.tr("At the threshold, which was fixed on validation")),
            (self.tr("Specificity"), self.tr("At the threshold, which was fixed on validation")),
            (
                self.tr("Calib. error"),
                self.tr("Mean gap between stated probability and observed share; 0 is best"),
            ),
        )

    def _items(self, index: int, found: FindingResult) -> list[QStandardItem]:
        locale, own = QLocale(), found.result
        auroc = Estimate(value=own.auroc, low=own.auroc_low, high=own.auroc_high)
        interval = interval_text(auroc)
        counts = (found.n_present, found.n_absent, found.n_unknown)
        texts = (
            *(locale.toString(n) for n in counts),
            f"{number_text(own.auroc)} ({interval})" if interval else number_text(own.auroc),
            number_text(found.average_precision.value),
            number_text(own.threshold, 2),
            number_text(own.sensitivity),
            number_text(own.specificity),
            number_text(found.calibration_error),
        )
        items = [QStandardItem(found.name), *(QStandardItem(text) for text in texts)]
        swatch = class_swatch(theme().tokens.class_color(index))
        items[0].setData(swatch, Qt.ItemDataRole.DecorationRole)
        for item in items[1:]:
            item.setTextAlignment(RIGHT)
        limits = interval_text(found.average_precision)
        if limits:
            items[5].setToolTip(self.tr("95 % interval {0}").format(limits))
        return items
