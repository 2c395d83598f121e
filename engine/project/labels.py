"""What the user decides about images and classes; every step can be undone.

Each function is one transaction and one step of the history.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from engine.contract.errors import DatasetError
from engine.project.classes import MULTI, ClassStore, clean_name
from engine.project.history import (
    NO_ROW,
    LabelChange,
    Step,
    can_redo,
    can_undo,
    changes_of,
    finding_field,
    redo,
    undo,
)

__all__ = [
    "LabelChange",
    "can_redo",
    "can_undo",
    "changes_of",
    "clear_finding",
    "exclude",
    "include",
    "leave_out",
    "merge_classes",
    "order_classes",
    "redo",
    "rename_class",
    "set_finding",
    "set_findings",
    "set_labels",
    "set_many_findings",
    "set_many_labels",
    "set_no_finding",
    "set_positive",
    "undo",
]

_NO_REASON: Final = "no reason given"


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
        Step(project).change("class", "name", [class_id], name)


def merge_classes(project: ClassStore, class_ids: Sequence[int], into_id: int) -> None:
    """Give every image of some classes to one class; the others disappear.

    Of a project with several findings an image, a merged finding is present where one of its parts
    is, and absent where all that were read are absent.

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
        step = Step(project)
        for other in others:
            if project.task == MULTI:
                _merge_findings(project, step, other, into_id)
            else:
                rows = project.db.all("SELECT id FROM records WHERE class_id = ?", (other,))
                step.change("record", "class_id", (row[0] for row in rows), into_id)
        step.change("class", "merged_into", others, into_id)


def _merge_findings(project: ClassStore, step: Step, other: int, into_id: int) -> None:
    rows = project.db.all(
        "SELECT record_id, class_id, value FROM record_findings WHERE class_id IN (?, ?)",
        (other, into_id),
    )
    known: dict[int, set[int | None]] = defaultdict(set)
    of_other = []
    for record, class_id, value in rows:
        known[record].add(value)
        if class_id == other:
            of_other.append(record)
    merged = {
        record: 1 if 1 in known[record] else None if None in known[record] else 0
        for record in of_other
    }
    step.change_each("record", finding_field(into_id), merged)
    step.change("record", finding_field(other), of_other, NO_ROW)


def leave_out(project: ClassStore, class_id: int, flag: bool) -> None:
    """Leave a class out of every use, or take it in again.

    Raises:
        ValueError: If there is no such class.
    """
    with project.transaction():
        _require_classes(project, [class_id])
        Step(project).change("class", "is_left_out", [class_id], int(flag))


def set_positive(project: ClassStore, class_id: int) -> None:
    """Make a class the positive one; it counts while exactly two classes are in use.

    Raises:
        ValueError: If there is no such class.
    """
    with project.transaction():
        _require_classes(project, [class_id])
        others = [summary.id for summary in project.classes() if summary.id != class_id]
        step = Step(project)
        step.change("class", "is_positive", others, 0)
        step.change("class", "is_positive", [class_id], 1)


def order_classes(project: ClassStore, class_ids: Sequence[int]) -> None:
    """Put classes into an order, as grades have one; those not named follow.

    Raises:
        ValueError: If one of the classes doesn't exist.
    """
    with project.transaction():
        _require_classes(project, class_ids)
        Step(project).change_each("class", "position", _places(class_ids))


def _places(class_ids: Sequence[int]) -> dict[int, int]:
    return {class_id: place for place, class_id in enumerate(class_ids)}


def set_labels(project: ClassStore, record_ids: Sequence[int], class_id: int | None) -> None:
    """Give images a class, or none.

    Raises:
        ValueError: If the class or one of the images doesn't exist, or the project has several
            findings an image.
    """
    set_many_labels(project, dict.fromkeys(record_ids, class_id))


def set_many_labels(
    project: ClassStore,
    labels: Mapping[int, int | None],
    *,
    order: Sequence[int] = (),
    who: str | None = None,
) -> int:
    """Give each image its class, or none, in one step, and return how many got another one.

    Args:
        project: The project.
        labels: Classes by record id.
        order: Classes in their new order; empty leaves it.
        who: Who decided; None for the person at the computer.

    Raises:
        ValueError: As :func:`set_labels`.
    """
    _require_task(project, is_multi=False)
    with project.transaction():
        _require_classes(
            project, {class_id for class_id in labels.values() if class_id is not None}
        )
        step = Step(project, who)
        step.change_each("class", "position", _places(order))
        return len(step.change_each("record", "class_id", labels))


def set_finding(
    project: ClassStore, record_ids: Sequence[int], class_id: int, value: int | None
) -> None:
    """Say whether images show a finding.

    Args:
        project: The project.
        record_ids: The images.
        class_id: The finding.
        value: 1 present, 0 absent, None unknown.

    Raises:
        ValueError: If the finding or one of the images doesn't exist, or the project has one class
            an image.
    """
    set_findings(project, record_ids, {class_id: value})


def set_findings(
    project: ClassStore, record_ids: Sequence[int], values: Mapping[int, int | None]
) -> None:
    """Say of several findings at once whether images show them, in one step.

    Raises:
        ValueError: As :func:`set_finding`.
    """
    set_many_findings(project, dict.fromkeys(record_ids, values))


def clear_finding(project: ClassStore, record_ids: Sequence[int], class_id: int) -> None:
    """Take back what was said on a finding of images, as if nobody had looked.

    Raises:
        ValueError: As :func:`set_finding`.
    """
    _require_task(project, is_multi=True)
    with project.transaction():
        _require_classes(project, [class_id])
        Step(project).change("record", finding_field(class_id), record_ids, NO_ROW)


def set_no_finding(project: ClassStore, record_ids: Sequence[int]) -> None:
    """Say that images show none of the findings.

    Raises:
        ValueError: As :func:`set_finding`.
    """
    set_findings(project, record_ids, {summary.id: 0 for summary in project.classes()})


def set_many_findings(
    project: ClassStore,
    findings: Mapping[int, Mapping[int, int | None]],
    *,
    who: str | None = None,
) -> int:
    """Say of each image what it shows, in one step, and return how many images changed.

    Args:
        project: The project.
        findings: By record id: 1 present, 0 absent, None unknown, by finding. What isn't named
            stays.
        who: Who decided; None for the person at the computer.

    Raises:
        ValueError: As :func:`set_finding`.
    """
    _require_task(project, is_multi=True)
    by_class: dict[int, dict[int, Any]] = defaultdict(dict)
    for record, values in findings.items():
        for class_id, value in values.items():
            if value not in (0, 1, None):
                raise ValueError(f"a finding is 0, 1 or None, not {value!r}")
            by_class[class_id][record] = value
    with project.transaction():
        _require_classes(project, by_class)
        step, changed = Step(project, who), set[int]()
        for class_id, values_of in by_class.items():
            changed.update(step.change_each("record", finding_field(class_id), values_of))
    return len(changed)


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
        Step(project).change("record", "exclusion", record_ids, reason.strip() or _NO_REASON)


def include(project: ClassStore, record_ids: Sequence[int]) -> None:
    """Take excluded images in again.

    Raises:
        ValueError: If one of the images doesn't exist.
    """
    with project.transaction():
        Step(project).change("record", "exclusion", record_ids, None)


def _require_classes(project: ClassStore, class_ids: Iterable[int]) -> None:
    known = {summary.id for summary in project.classes()}
    if unknown := set(class_ids) - known:
        raise ValueError(f"there is no class {unknown}")


def _require_task(project: ClassStore, *, is_multi: bool) -> None:
    if (project.task == MULTI) != is_multi:
        raise ValueError(f"not in a project whose task is {project.task}")
