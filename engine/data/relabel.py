"""Labels of images that are imported again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from engine.data.sheet import count_of
from engine.project.labels import set_labels
from engine.project.store import Project


def relabel(project: Project, found: Sequence[tuple[int, str | None]]) -> list[str]:
    """Take over labels that changed outside RadTune, and say what was done.

    A label that was changed in RadTune stays. A label that is gone from the sheet stays too.

    Args:
        project: The project.
        found: Record ids and the labels that the source now gives.
    """
    current = {r.id: r.class_id for r in project.records([record for record, _ in found])}
    decided = _decided_by_user(project)
    classes: dict[str, int] = {}
    changes: dict[int, list[int]] = defaultdict(list)
    n_kept = 0
    for record, label in found:
        if label is None:
            continue
        if label not in classes:
            classes[label] = project.add_class(label)
        if classes[label] == current[record]:
            continue
        if record in decided:
            n_kept += 1
        else:
            changes[classes[label]].append(record)
    for class_id, records in changes.items():
        set_labels(project, records, class_id)
    notes = []
    if n_changed := sum(map(len, changes.values())):
        notes.append(f"{count_of(n_changed, 'image')} got the new label that the source gives.")
    if n_kept:
        notes.append(
            f"{count_of(n_kept, 'image', 'keeps')} the label that was set in RadTune, though "
            "the source gives another."
        )
    return notes


def _decided_by_user(project: Project) -> set[int]:
    rows = project.db.all(
        "SELECT DISTINCT subject_id FROM label_history "
        "WHERE subject = 'record' AND field = 'class_id' AND state = 'done'"
    )
    return {row[0] for row in rows}
