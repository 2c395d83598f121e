"""The images of the grid, as Qt asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from engine.contract.records import ClassSummary, ImageRecord
from gui.itemmodels.label_states import label_text

__all__ = ["RECORD_ROLE", "ImageListModel"]

RECORD_ROLE: Final = Qt.ItemDataRole.UserRole
_Index = QModelIndex | QPersistentModelIndex
_NO_PARENT: Final = QModelIndex()


class ImageListModel(QAbstractListModel):
    """A list of records; it holds no pixels, the delegate fetches those that are painted."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._records: list[ImageRecord] = []
        self._place: dict[int, int] = {}
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
        if ids == list(self._place):
            self._records = new
            if new:
                self.dataChanged.emit(self.index(0), self.index(len(new) - 1))
            return False
        self.beginResetModel()
        self._records = new
        self._place = dict(zip(ids, range(len(ids)), strict=True))
        self.endResetModel()
        return True

    def record(self, index: _Index) -> ImageRecord | None:
        """Return the record of an index."""
        if index.isValid() and 0 <= index.row() < len(self._records):
            return self._records[index.row()]
        return None

    def index_of(self, record_id: int) -> QModelIndex:
        """Return where a record is shown; an invalid index if it isn't."""
        place = self._place.get(record_id)
        return QModelIndex() if place is None else self.index(place)

    def rowCount(self, parent: _Index = _NO_PARENT) -> int:
        """Return how many images are shown."""
        return 0 if parent.isValid() else len(self._records)

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

    def _tool_tip(self, record: ImageRecord) -> str:
        name = record.path.rpartition("/")[2]
        lines = [self.label(record), record.patient, name]
        if record.frame:
            lines[2] += self.tr(", frame %d") % (record.frame + 1)
        if record.excluded is not None:
            lines.append(self.tr("Excluded: %s") % record.excluded)
        return "\n".join(lines)
