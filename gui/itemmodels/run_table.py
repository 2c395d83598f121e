"""The run history as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from PySide6.QtCore import (
    QAbstractTableModel,
    QLocale,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
)

from engine.contract.records import RunSummary
from engine.contract.searching import ENSEMBLE
from gui.icons import pixmap
from gui.itemmodels.run_words import (
    backbone_text,
    findings_text,
    method_name,
    number_text,
    preset_name,
    state_name,
    when_text,
)
from gui.itemmodels.seen_words import mark_text, run_text
from gui.messages import goes_on_text, time_text
from gui.theme import theme

__all__ = ["RunTableModel"]

_Index = QModelIndex | QPersistentModelIndex
_NO_PARENT: Final = QModelIndex()
_NUMBERS: Final = ("auroc", "epochs", "time")
_SIGN_PX: Final = 16


class RunTableModel(QAbstractTableModel):
    """Runs, newest first, one line each.

    What each learned is shown where images have several findings. A sign marks results that are or
    may be too good.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._runs: tuple[RunSummary, ...] = ()
        self._heads = {
            "when": self.tr("When"),
            "learned": self.tr("Learned"),
            "preset": self.tr("Preset"),
            "backbone": self.tr("Backbone"),
            "method": self.tr("Method"),
            "state": self.tr("State"),
            "auroc": self.tr("AUROC (validation)"),
            "epochs": self.tr("Epochs"),
            "time": self.tr("Time"),
        }
        self._columns = self._columns_for(has_findings=False)

    def set_runs(self, runs: Sequence[RunSummary], *, has_findings: bool = False) -> None:
        """Show these runs; equal ones keep selection and scroll position.

        Args:
            runs: The history, newest first.
            has_findings: Whether images have several findings, of which runs learn one or all.
        """
        columns = self._columns_for(has_findings=has_findings)
        if tuple(runs) == self._runs and columns == self._columns:
            return
        is_same_list = [run.id for run in runs] == [run.id for run in self._runs]
        if is_same_list and columns == self._columns:
            self._runs = tuple(runs)
            last = self.index(len(runs) - 1, len(columns) - 1)
            self.dataChanged.emit(self.index(0, 0), last)
            return
        self.beginResetModel()
        self._runs, self._columns = tuple(runs), columns
        self.endResetModel()

    def _columns_for(self, *, has_findings: bool) -> tuple[str, ...]:
        return tuple(key for key in self._heads if has_findings or key != "learned")

    def run_at(self, row: int) -> RunSummary | None:
        """Return the run of a line."""
        return self._runs[row] if 0 <= row < len(self._runs) else None

    def rowCount(self, parent: _Index = _NO_PARENT) -> int:
        """Return the number of runs."""
        return 0 if parent.isValid() else len(self._runs)

    def columnCount(self, parent: _Index = _NO_PARENT) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self._columns)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the name of a column."""
        if orientation is not Qt.Orientation.Horizontal or not 0 <= section < len(self._columns):
            return None
        column = self._columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._heads[column]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignment(column)
        return None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of a cell, why a run failed as its tooltip, and numbers right-aligned."""
        run = self.run_at(index.row()) if index.isValid() else None
        if run is None:
            return None
        column = self._columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(run, column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignment(column)
        if role == Qt.ItemDataRole.DecorationRole and column == "state" and mark_text(run):
            return pixmap("warning", size_px=theme().px(_SIGN_PX), color="warning")
        if role == Qt.ItemDataRole.AccessibleTextRole and column == "state":
            return ", ".join(filter(None, (self._text(run, column), mark_text(run))))
        if role == Qt.ItemDataRole.ToolTipRole and column == "backbone":
            return None  # the table shows it as a whole where it is cut
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n".join(run.findings) if column == "learned" else self._tool_tip(run)
        return None

    def _text(self, run: RunSummary, column: str) -> str:
        state = state_name(run.state)
        if run.is_stale:
            state = self.tr("%s · stale") % state
        texts = {
            "when": when_text(run.created),
            "learned": findings_text(run.findings) or "–",
            "preset": "–" if run.method == ENSEMBLE else preset_name(run.preset),
            "backbone": backbone_text(run) or "–",
            "method": method_name(run.method),
            "state": state,
            "auroc": number_text(run.val_auroc),
            "epochs": QLocale().toString(run.epochs) if run.epochs else "–",
            "time": time_text(run.seconds) if run.seconds else "–",
        }
        return texts[column]

    def _tool_tip(self, run: RunSummary) -> str:
        lines = [run_text(run)] if mark_text(run) else []
        if run.error:
            lines.append(run.error)
        if run.changes:
            lines += run.changes
        elif run.is_stale:
            lines.append(self.tr("Images, labels or split have changed since this run."))
        if run.is_resumable:
            lines.append(goes_on_text(run))
        return "\n".join(lines)

    @staticmethod
    def _alignment(column: str) -> Qt.AlignmentFlag:
        side = Qt.AlignmentFlag.AlignRight if column in _NUMBERS else Qt.AlignmentFlag.AlignLeft
        return side | Qt.AlignmentFlag.AlignVCenter
