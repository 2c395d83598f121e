"""Who decided what about an image, and when, behind a fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from PySide6.QtCore import QCoreApplication, QDateTime, QLocale, QTimer
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from engine.contract.records import ImageRecord
from gui.itemmodels.label_states import Mark, mark_text
from gui.session import Session
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.fold import Fold
from gui.widgets.painting import set_role

if TYPE_CHECKING:
    from engine.project.history import LabelChange

__all__ = ["ImageHistory"]

_DELAY_MS: Final = 160
"""As for the image itself: arrow keys held down ask for the last one only."""
_MAX_SHOWN: Final = 20
_SAME_STEP_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _History:
    """The changes of an image, the oldest first, and the names of all classes that ever were."""

    record: int
    changes: tuple[LabelChange, ...]
    names: Mapping[int, str]


class ImageHistory(QWidget):
    """The changes of one image, the newest first; read from the project while the fold is open."""

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._record: ImageRecord | None = None
        self._entries: list[QWidget] = []
        self._lines = QWidget()
        self.fold = Fold(self.tr("History"), self._lines)
        self.fold.setToolTip(self.tr("Who changed the labels of this image, and when"))
        self.fold.toggled.connect(self._ask)
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.setInterval(_DELAY_MS)
        self._delay.timeout.connect(self._ask)
        self._column = QVBoxLayout(self._lines)
        self._column.setContentsMargins(12, 0, 12, 4)
        self._column.setSpacing(8)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.fold)
        column.addWidget(self._lines)

    @property
    def texts(self) -> list[str]:
        """What the open fold says, entry by entry."""
        return [entry.accessibleName() for entry in self._entries]

    def show_record(self, record: ImageRecord | None) -> None:
        """Show the history of another image, or of the same one after a change."""
        if record is self._record:
            return
        is_other = record is None or self._record is None or record.id != self._record.id
        self._record = record
        self.setVisible(record is not None)
        if is_other:
            self._set_entries([])
        self._delay.start()

    def _ask(self) -> None:
        folder = self._session.folder
        if self._record is not None and folder is not None and self.fold.isChecked():
            self._session.background.do(partial(_read, folder, self._record.id), self._take)

    def _take(self, found: _History) -> None:
        if self._record is not None and found.record == self._record.id:
            self._set_entries(_entries(found))

    def _set_entries(self, texts: Sequence[tuple[str, str]]) -> None:
        for entry in self._entries:
            self._column.removeWidget(entry)
            entry.hide()
            entry.deleteLater()
        self._entries = [_Entry(what, when) for what, when in texts]
        for entry in self._entries:
            self._column.addWidget(entry)


class _Entry(QWidget):
    """What was changed; below it when, and by whom."""

    def __init__(self, what: str, when: str) -> None:
        super().__init__()
        text = QLabel(what)
        text.setWordWrap(True)
        set_role(text, "smallText")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(text)
        if when:
            column.addWidget(ElidedLabel(when, role="small"))
        self.setAccessibleName(f"{what}; {when}" if when else what)


def _read(folder: Path, record: int) -> _History:
    """Read the history of an image, off the window's thread."""
    from engine.project.history import changes_of
    from engine.project.store import Project

    with Project.open(folder, read_only=True) as project:
        names = dict(project.db.all("SELECT id, name FROM classes"))
        return _History(record, tuple(changes_of(project, record)), names)


def _entries(found: _History) -> list[tuple[str, str]]:
    """Return what to say on the changes, the newest first."""
    groups = _steps(found.changes)
    if not groups:
        return [(_tr("Nothing was changed since the import."), "")]
    entries = [(_what(group, found.names), _when(group[-1])) for group in reversed(groups)]
    if (n_more := len(entries) - _MAX_SHOWN) > 0:
        entries[_MAX_SHOWN:] = [(_tr("%d earlier changes") % n_more, "")]
    return entries


def _steps(changes: Sequence[LabelChange]) -> list[list[LabelChange]]:
    """Put findings that were given the same value at once together."""
    groups: list[list[LabelChange]] = []
    for change in changes:
        last = groups[-1][-1] if groups else None
        if last is not None and _is_same_step(last, change):
            groups[-1].append(change)
        else:
            groups.append([change])
    return groups


def _is_same_step(last: LabelChange, change: LabelChange) -> bool:
    kinds = [(c.field, c.who, c.new, c.is_undone) for c in (last, change)]
    is_near = change.at - last.at < _SAME_STEP_S
    return change.field == "finding" and kinds[0] == kinds[1] and is_near


def _what(group: Sequence[LabelChange], names: Mapping[int, str]) -> str:
    change = group[0]
    if change.field == "exclusion":
        text = _tr("Included again") if change.new is None else _tr("Excluded: %s") % change.new
    elif change.field == "class_id":
        text = _tr("Label: {0} → {1}").format(
            *(names.get(value, _tr("none")) for value in (change.old, change.new))
        )
    elif len(group) > 1:
        listed = ", ".join(names.get(c.class_id or 0, "?") for c in group)
        text = f"{listed}: {_value_text(change.new)}"
    else:
        name = names.get(change.class_id or 0, "?")
        text = f"{name}: {_value_text(change.old)} → {_value_text(change.new)}"
    return _tr("%s (taken back)") % text if change.is_undone else text


def _value_text(value: Any) -> str:
    if value == "":
        return _tr("not said")
    return mark_text(Mark.UNKNOWN if value is None else Mark.PRESENT if value else Mark.ABSENT)


def _when(change: LabelChange) -> str:
    at = QDateTime.fromSecsSinceEpoch(int(change.at))
    time = QLocale().toString(at, QLocale.FormatType.ShortFormat)
    return f"{time} · {_tr('import') if change.who == 'import' else change.who}"


def _tr(text: str) -> str:
    return QCoreApplication.translate("ImageHistory", text)
