"""Labels of an import: entered for new images, taken over for images that were imported before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from engine.data.import_plan import ImportPlan
from engine.data.phrases import count_of
from engine.data.sheet import Item
from engine.project.classes import MULTI, ORDINAL
from engine.project.grades import sorted_grades
from engine.project.history import IMPORT, decided_by_user, finding_field
from engine.project.labels import set_many_findings, set_many_labels
from engine.project.store import Project


def prepare_task(project: Project, plan: ImportPlan) -> None:
    """Make the project's task that of an import, and its classes those that images will have.

    Classes get their numbers in the order of the plan, so that this doesn't depend on which file
    is read first. To be called once, before the first :func:`enter_labels`.

    Raises:
        DatasetError: If the project has labels of another kind.
    """
    with project.transaction():
        task = plan.task
        if ORDINAL in (task, project.task) and MULTI not in (task, project.task):
            task = ORDINAL  # grades take in further images of their classes
        project.set_task(task)
        for name in plan.class_names():
            project.add_class(name)
        if task == ORDINAL:
            project.place_classes(grade_order(project, plan.class_names()))


def grade_order(project: Project, names: Sequence[str]) -> list[int]:
    """Return the classes of a project from the lowest grade to the highest.

    Args:
        project: The project.
        names: Grades from lowest to highest. If the project has others besides, all are sorted.
    """
    ids = {summary.name: summary.id for summary in project.classes()}
    named = dict.fromkeys(project.class_named(name) for name in names)
    if set(ids.values()) <= set(named):
        return [class_id for class_id in named if class_id is not None]
    return [ids[name] for name in sorted_grades(ids)]


def enter_labels(project: Project, ids: Sequence[int], items: Sequence[Item]) -> None:
    """Enter the labels of images that were added just now; a label that is there already stays.

    Args:
        project: The project, after :func:`prepare_task`.
        ids: Record ids.
        items: What the source says of each.
    """
    class_ids = _ClassIds(project)
    with project.transaction():
        if project.task == MULTI:
            project.db.execute_many(
                "INSERT INTO record_findings (record_id, class_id, value) VALUES (?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                (
                    (record, class_ids[name], value)
                    for record, item in zip(ids, items, strict=True)
                    for name, value in item.findings.items()
                ),
            )
        else:
            project.db.execute_many(
                "UPDATE records SET class_id = ? WHERE id = ? AND class_id IS NULL",
                [
                    (class_ids[item.label], record)
                    for record, item in zip(ids, items, strict=True)
                    if item.label is not None
                ],
            )
        project.note_data_change()


def update_labels(project: Project, found: Iterable[tuple[int, Item]]) -> list[str]:
    """Take over labels that changed outside RadTune, and say what was done.

    A label that was changed in RadTune stays. A label that is gone from the source stays too.

    Args:
        project: The project, after :func:`prepare_task`.
        found: Record ids, and what the source now says of them.
    """
    update = _updated_findings if project.task == MULTI else _updated_labels
    with project.transaction():
        n_changed, n_kept = update(project, list(found))
    notes = []
    if n_changed:
        notes.append(f"{count_of(n_changed, 'image')} got the new label that the source gives.")
    if n_kept:
        notes.append(
            f"{count_of(n_kept, 'image', 'keeps')} the label that was set in RadTune, though "
            "the source gives another."
        )
    return notes


def _updated_labels(project: Project, found: Sequence[tuple[int, Item]]) -> tuple[int, int]:
    current = {r.id: r.class_id for r in project.records([record for record, _ in found])}
    decided = decided_by_user(project)
    class_ids = _ClassIds(project)
    changes: dict[int, int | None] = {}
    n_kept = 0
    for record, item in found:
        if item.label is None or class_ids[item.label] == current[record]:
            continue
        if record in decided:
            n_kept += 1
        else:
            changes[record] = class_ids[item.label]
    return (set_many_labels(project, changes, who=IMPORT) if changes else 0), n_kept


def _updated_findings(project: Project, found: Sequence[tuple[int, Item]]) -> tuple[int, int]:
    current = {r.id: r.findings for r in project.records([record for record, _ in found])}
    class_ids = _ClassIds(project)
    decided: dict[int, set[int]] = {}
    changes: dict[int, dict[int, int | None]] = defaultdict(dict)
    kept = set()
    for record, item in found:
        for name, value in item.findings.items():
            class_id = class_ids[name]
            if class_id in current[record] and current[record][class_id] == value:
                continue
            if class_id not in decided:
                decided[class_id] = decided_by_user(project, finding_field(class_id))
            if record in decided[class_id]:
                kept.add(record)
            else:
                changes[record][class_id] = value
    return (set_many_findings(project, changes, who=IMPORT) if changes else 0), len(kept)


class _ClassIds(dict[str, int]):
    """Row ids by name, added to the project when they are first asked for."""

    def __init__(self, project: Project) -> None:
        super().__init__()
        self._project = project

    def __missing__(self, name: str) -> int:
        self[name] = self._project.add_class(name)
        return self[name]


def records_by_item(
    items: Iterable[Item], records: Mapping[str, Mapping[int, int]]
) -> Iterable[tuple[int, Item]]:
    """Yield the records that each item is about: its frame, or all frames of its file.

    Args:
        items: What a sheet says.
        records: Record ids by path and frame.
    """
    for item in items:
        frames = records.get(item.path, {})
        if item.frame is None:
            yield from ((record, item) for record in frames.values())
        elif item.frame in frames:
            yield frames[item.frame], item
