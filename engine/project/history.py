"""The history of what was decided about images and classes: kept for good, undone step by step.

A step is everything that one action changed. It names ids, never paths or patients, and says when
it was done and under which account of the computer.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from engine.project.classes import ClassStore

IMPORT: Final = "import"
"""Who changed labels when a source was imported again; no decision of the user."""
NO_ROW: Final = ""
"""Value of a finding that nobody has said anything on, unlike None: unknown."""
_TABLES: Final = {"record": "records", "class": "classes"}
_FIELDS: Final = {
    "record": frozenset({"class_id", "exclusion"}),
    "class": frozenset({"name", "is_positive", "is_left_out", "merged_into", "position"}),
}
_FINDING: Final = "finding:"
_IDS_PER_QUERY: Final = 900  # below the 999 parameters that old SQLite builds allow


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelChange:
    """One change of one image.

    Attributes:
        at: When, in seconds since 1970.
        who: The account of the computer that it was made under, or ``import``.
        field: ``class_id``, ``exclusion``, or ``finding``.
        class_id: The finding that changed; None for other fields.
        old: What it was: a class, a reason, or 1, 0, None (unknown) or "" (nothing said).
        is_undone: Whether it was taken back.
    """

    at: float
    who: str
    field: str
    class_id: int | None
    old: Any
    new: Any
    is_undone: bool


def finding_field(class_id: int) -> str:
    """Return the field of a record that holds its value for a finding."""
    return f"{_FINDING}{class_id}"


@cache
def account() -> str:
    """Return the name of the account that this program runs under; ``user`` without one."""
    try:
        return getpass.getuser() or "user"
    except (OSError, KeyError, ImportError):
        return "user"


class Step:
    """One step of the history, inside the caller's transaction."""

    def __init__(self, project: ClassStore, who: str | None = None) -> None:
        """Begin a step; what was undone before can't be done again any more.

        Args:
            project: The project.
            who: Who takes the step; None for the person at the computer.
        """
        self._project = project
        self._who = who or account()
        self._batch = 1 + int(project.db.value("SELECT coalesce(max(batch), 0) FROM label_history"))
        project.db.execute("UPDATE label_history SET state = 'dropped' WHERE state = 'undone'")

    def change(self, subject: str, field: str, ids: Iterable[int], new: Any) -> list[int]:
        """Set a field of some records or classes to one value; see :meth:`change_each`."""
        return self.change_each(subject, field, {int(id_): new for id_ in ids})

    def change_each(self, subject: str, field: str, values: Mapping[int, Any]) -> list[int]:
        """Set a field of some records or classes, note what it was, and return which changed.

        Raises:
            ValueError: If one of them doesn't exist.
        """
        before = _values(self._project, subject, field, list(values))
        changed = [(id_, old) for id_, old in before if not _is_same(old, values[id_])]
        at = time.time()
        _write(self._project, subject, field, [(values[id_], id_) for id_, _ in changed])
        self._project.db.execute_many(
            """
            INSERT INTO label_history (batch, at, who, subject, subject_id, field, old, new)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                (self._batch, at, self._who, subject, id_, field, old, values[id_])
                for id_, old in changed
            ],
        )
        self._project.note_data_change()
        return [id_ for id_, _ in changed]


def _is_same(old: Any, new: Any) -> bool:
    return type(old) is type(new) and bool(old == new)  # NO_ROW is neither 0 nor None


def can_undo(project: ClassStore) -> bool:
    """Return whether there is a step to undo."""
    return _next_batch(project, "done") is not None


def can_redo(project: ClassStore) -> bool:
    """Return whether there is an undone step, with no other step since."""
    return _next_batch(project, "undone") is not None


def undo(project: ClassStore) -> bool:
    """Take the last step back, and return whether there was one."""
    return _travel(project, "done", "undone", "old", "DESC")


def redo(project: ClassStore) -> bool:
    """Do the last undone step again, and return whether there was one."""
    return _travel(project, "undone", "done", "new", "ASC")


def changes_of(project: ClassStore, record_id: int) -> list[LabelChange]:
    """Return what was decided about an image, the oldest first; what was replaced is left away."""
    rows = project.db.all(
        "SELECT at, who, field, old, new, state FROM label_history "
        "WHERE subject = 'record' AND subject_id = ? AND state != 'dropped' ORDER BY id",
        (record_id,),
    )
    found = []
    for at, who, field, old, new, state in rows:
        name, _, class_id = field.partition(":")
        found.append(
            LabelChange(
                at=at,
                who=who,
                field=name,
                class_id=int(class_id) if class_id else None,
                old=old,
                new=new,
                is_undone=state == "undone",
            )
        )
    return found


def decided_by_user(project: ClassStore, field: str = "class_id") -> set[int]:
    """Return the records whose field somebody set in RadTune, and nobody took back since."""
    rows = project.db.all(
        "SELECT DISTINCT subject_id FROM label_history "
        "WHERE subject = 'record' AND field = ? AND state = 'done' AND who != ?",
        (field, IMPORT),
    )
    return {row[0] for row in rows}


def _next_batch(project: ClassStore, state: str) -> int | None:
    """Return the step to undo (the newest done) or to redo (the oldest undone)."""
    which = "max" if state == "done" else "min"
    batch: int | None = project.db.value(
        f"SELECT {which}(batch) FROM label_history WHERE state = ?", (state,)
    )
    return batch


def _travel(project: ClassStore, state: str, to_state: str, column: str, order: str) -> bool:
    with project.transaction():
        batch = _next_batch(project, state)
        if batch is None:
            return False
        changes = project.db.all(
            f"SELECT subject, field, {column}, subject_id FROM label_history "
            f"WHERE batch = ? AND state = ? ORDER BY id {order}",
            (batch, state),
        )
        for (subject, field), group in groupby(changes, key=itemgetter(0, 1)):
            _write(project, subject, field, [change[2:] for change in group])
        project.db.execute(
            "UPDATE label_history SET state = ? WHERE batch = ? AND state = ?",
            (to_state, batch, state),
        )
        project.note_data_change()
    return True


def _values(
    project: ClassStore, subject: str, field: str, ids: Sequence[int]
) -> list[tuple[int, Any]]:
    """Return the present value of a field by id, in any order."""
    class_id = _class_of(subject, field)
    column = "id" if class_id is not None else field
    found: dict[int, Any] = {}
    for start in range(0, len(ids), _IDS_PER_QUERY):
        part = ids[start : start + _IDS_PER_QUERY]
        marks = ",".join("?" * len(part))
        rows = project.db.all(
            f"SELECT id, {column} FROM {_TABLES[subject]} WHERE id IN ({marks})", part
        )
        found.update(rows)
        if class_id is not None:
            found.update(dict.fromkeys((row[0] for row in rows), NO_ROW))
            found.update(
                project.db.all(
                    "SELECT record_id, value FROM record_findings "
                    f"WHERE class_id = ? AND record_id IN ({marks})",
                    (class_id, *part),
                )
            )
    if len(found) != len(ids):
        raise ValueError(f"there is no {subject} {set(ids) - found.keys()}")
    return list(found.items())


def _write(
    project: ClassStore, subject: str, field: str, values: Sequence[tuple[Any, int]]
) -> None:
    class_id = _class_of(subject, field)
    if class_id is None:
        project.db.execute_many(f"UPDATE {_TABLES[subject]} SET {field} = ? WHERE id = ?", values)
        return
    project.db.execute_many(
        "DELETE FROM record_findings WHERE record_id = ? AND class_id = ?",
        [(record, class_id) for value, record in values if value == NO_ROW],
    )
    project.db.execute_many(
        "INSERT OR REPLACE INTO record_findings (record_id, class_id, value) VALUES (?, ?, ?)",
        [(record, class_id, value) for value, record in values if value != NO_ROW],
    )


def _class_of(subject: str, field: str) -> int | None:
    """Return the class of a finding's field, or None for a column of the table."""
    if subject == "record" and field.startswith(_FINDING):
        return int(field.removeprefix(_FINDING))
    if field not in _FIELDS[subject]:  # names go into the statement as they are
        raise ValueError(f"{field} of a {subject} has no history")
    return None
