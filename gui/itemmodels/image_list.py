"""The images of the grid, as Qt asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QStringListModel, Qt

from engine.contract.records import ClassSummary, ImageRecord
from gui.itemmodels.label_states import label_text

__all__ = ["RECORD_ROLE", "ImageListModel"]

RECORD_ROLE: Final = Qt.ItemDataRole.UserRole
_Index = QModelIndex | QPersistentModelIndex


class ImageListModel(QStringListModel):
    """A list of records; it holds no pixels, the delegate fetches those that are painted.

    Qt asks for the number of rows once for each image it places, so that is left to C++, which
    counts a list of empty strings.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._records: list[ImageRecord] = []
        self._ids: list[int] = []
        self._classes: dict[int, ClassSummary] = {}
        self._is_multi = False

    @property
    def records(self) -> Sequence[ImageRecord]:
        """What is shown, in order."""
        return self._records

    @property
    def classes(self) -> Mapping[int, ClassSummary]:
        """Classes by id, in their order."""
        return self._classes

    @property
    def is_multi(self) -> bool:
        """Whether images have several findings."""
        return self._is_multi

    def set_records(
        self,
        records: Iterable[ImageRecord],
        classes: Iterable[ClassSummary],
        *,
        is_multi: bool = False,
    ) -> bool:
        """Show other records; True if the list was built anew, False if only contents changed.

        The same images in the same order keep selection and scroll position.
        """
        new = list(records)
        self._classes = {c.id: c for c in classes}
        self._is_multi = is_multi
        ids = [record.id for record in new]
        if ids == self._ids:
            self._records = new
            if new:
                self.dataChanged.emit(self.index(0), self.index(len(new) - 1))
            return False
        self._records, self._ids = new, ids
        self.setStringList([""] * len(new))  # which resets the model
        return True

    def record(self, index: _Index) -> ImageRecord | None:
        """Return the record of an index."""
        if index.isValid() and 0 <= index.row() < len(self._records):
            return self._records[index.row()]
        return None

    def index_of(self, record_id: int) -> QModelIndex:
        """Return where a record is shown; an invalid index if it isn't."""
        try:
            return self.index(self._ids.index(record_id))
        except ValueError:
            return QModelIndex()

    def rows_of(self, record_ids: Iterable[int]) -> list[int]:
        """Return the rows of records that are shown, in increasing order."""
        wanted = set(record_ids)
        return [row for row, record_id in enumerate(self._ids) if record_id in wanted]

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the record, its name, or what a screen reader says."""
        record = self.record(index)
        if record is None:
            return None
        if role == RECORD_ROLE:
            return record
        if role == Qt.ItemDataRole.DisplayRole:
            return record.path.rpartition("/")[2]
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tool_tip(record)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return self._tool_tip(record).replace("\n", ", ")
        return None

    def label(self, record: ImageRecord) -> str:
        """Return the name of a record's class, or of the findings that are present."""
        if self._is_multi:
            return label_text(record.findings, self._classes.values())
        found = self._classes.get(record.class_id) if record.class_id is not None else None
        return found.name if found is not None else self.tr("No label")

    def n_unknown(self, record: ImageRecord) -> int:
        """Return how many findings of an image are unknown."""
        return sum(record.findings.get(class_id) is None for class_id in self._classes)

    def _tool_tip(self, record: ImageRecord) -> str:
        name = record.path.rpartition("/")[2]
        lines = [self.label(record), record.patient, name]
        if record.frame:
            lines[-1] += self.tr(", frame %d") % (record.frame + 1)
        if self._is_multi and (n_unknown := self.n_unknown(record)):
            lines.insert(1, self.tr("%d unknown") % n_unknown)
        if record.excluded is not None:
            lines.append(self.tr("Excluded: %s") % record.excluded)
        return "\n".join(lines)
