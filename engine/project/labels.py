"""What the user decides about images and classes; every step can be undone.

Each function is one transaction and one step of the history. Steps name ids, never paths or
patients.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from engine.contract.errors import DatasetError
from engine.project.classes import ClassStore, clean_name

_TABLES: Final = {"record": "records", "class": "classes"}
_FIELDS: Final = {
    "record": frozenset({"class_id", "exclusion"}),
    "class": frozenset({"name", "is_positive", "is_left_out", "merged_into"}),
}
_WHO: Final = "user"
_NO_REASON: Final = "no reason given"
_IDS_PER_QUERY: Final = 900  # below the 999 parameters that old SQLite builds allow


def rename_class(project: ClassStore, class_id: int, name: str) -> None:
    """Give a class another name.

    Raises:
        DatasetError: If the name is empty, or another class has it.
        ValueError: If there is no such class.
    """
    name = clean_name(name)
    with project.transaction():
        _require_classes(project, [class_id])
        for summary in project.classes():
            if summary.id != class_id and summary.name.casefold() == name.casefold():
                raise DatasetError(
                    f"There is a class named '{summary.name}' already.",
                    remedy="Choose another name, or merge the two classes.",
                )
        _Step(project).change("class", "name", [class_id], name)


def merge_classes(project: ClassStore, class_ids: Sequence[int], into_id: int) -> None:
    """Give every image of some classes to one class; the others disappear.

    Args:
        project: The project.
        class_ids: Classes to merge; may contain ``into_id``.
        into_id: The class that stays.

    Raises:
        ValueError: If one of the classes doesn't exist.
    """
    others = [class_id for class_id in dict.fromkeys(class_ids) if class_id != into_id]
    with project.transaction():
        _require_classes(project, [*others, into_id])
        step = _Step(project)
        for other in others:
            rows = project.db.all("SELECT id FROM records WHERE class_id = ?", (other,))
            step.change("record", "class_id", [row[0] for row in rows], into_id)
        step.change("class", "merged_into", others, into_id)


def leave_out(project: ClassStore, class_id: int, flag: bool) -> None:
    """Leave a class out of every use, or take it in again.

    Raises:
        ValueError: If there is no such class.
    """
    with project.transaction():
        _require_classes(project, [class_id])
        _Step(project).change("class", "is_left_out", [class_id], int(flag))


def set_positive(project: ClassStore, class_id: int) -> None:
    """Make a class the positive one; it counts while exactly two classes are in use.

    Raises:
        ValueError: If there is no such class.
    """
    with project.transaction():
        _require_classes(project, [class_id])
        others = [summary.id for summary in project.classes() if summary.id != class_id]
        step = _Step(project)
        step.change("class", "is_positive", others, 0)
        step.change("class", "is_positive", [class_id], 1)


def set_labels(project: ClassStore, record_ids: Sequence[int], class_id: int | None) -> None:
    """Give images a class, or none.

    Raises:
        ValueError: If the class or one of the images doesn't exist.
    """
    with project.transaction():
        if class_id is not None:
            _require_classes(project, [class_id])
        _Step(project).change("record", "class_id", record_ids, class_id)


def exclude(project: ClassStore, record_ids: Sequence[int], reason: str) -> None:
    """Leave images out of every use.

    Args:
        project: The project.
        record_ids: The images.
        reason: Why, in the user's words.

    Raises:
        ValueError: If one of the images doesn't exist.
    """
    with project.transaction():
        _Step(project).change("record", "exclusion", record_ids, reason.strip() or _NO_REASON)


def include(project: ClassStore, record_ids: Sequence[int]) -> None:
    """Take excluded images in again.

    Raises:
        ValueError: If one of the images doesn't exist.
    """
    with project.transaction():
        _Step(project).change("record", "exclusion", record_ids, None)


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
            _write(project, subject, field, (change[2:] for change in group))
        project.db.execute(
            "UPDATE label_history SET state = ? WHERE batch = ? AND state = ?",
            (to_state, batch, state),
        )
        project.note_data_change()
    return True


class _Step:
    """One step of the history, inside the caller's transaction."""

    def __init__(self, project: ClassStore) -> None:
        self._project = project
        self._batch = 1 + int(project.db.value("SELECT coalesce(max(batch), 0) FROM label_history"))
        project.db.execute("UPDATE label_history SET state = 'dropped' WHERE state = 'undone'")

    def change(self, subject: str, field: str, ids: Sequence[int], new: Any) -> None:
        """Set a field of some records or classes and note what it was.

        Raises:
            ValueError: If one of them doesn't exist.
        """
        before = self._values(subject, field, [int(id_) for id_ in dict.fromkeys(ids)])
        changed = [(id_, old) for id_, old in before if old != new]
        at = time.time()
        _write(self._project, subject, field, [(new, id_) for id_, _ in changed])
        self._project.db.execute_many(
            """
            INSERT INTO label_history (batch, at, who, subject, subject_id, field, old, new)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [(self._batch, at, _WHO, subject, id_, field, old, new) for id_, old in changed],
        )
        self._project.note_data_change()

    def _values(self, subject: str, field: str, ids: list[int]) -> list[tuple[int, Any]]:
        _check(subject, field)
        found: list[tuple[int, Any]] = []
        for start in range(0, len(ids), _IDS_PER_QUERY):
            part = ids[start : start + _IDS_PER_QUERY]
            marks = ",".join("?" * len(part))
            found += self._project.db.all(
                f"SELECT id, {field} FROM {_TABLES[subject]} WHERE id IN ({marks})", part
            )
        if len(found) != len(ids):
            raise ValueError(f"there is no {subject} {(set(ids) - {id_ for id_, _ in found})}")
        return found


def _write(
    project: ClassStore, subject: str, field: str, values: Iterable[tuple[Any, int]]
) -> None:
    _check(subject, field)
    project.db.execute_many(f"UPDATE {_TABLES[subject]} SET {field} = ? WHERE id = ?", values)


def _check(subject: str, field: str) -> None:
    if field not in _FIELDS[subject]:  # names go into the statement as they are
        raise ValueError(f"{field} of a {subject} has no history")


def _require_classes(project: ClassStore, class_ids: Sequence[int]) -> None:
    known = {summary.id for summary in project.classes()}
    if unknown := set(class_ids) - known:
        raise ValueError(f"there is no class {unknown}")
