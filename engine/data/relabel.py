"""New labels for the images of a project from a sheet, as one step that can be undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from engine.contract.commands import Relabel
from engine.contract.control import Control
from engine.contract.errors import DatasetError
from engine.contract.import_rules import LabelRule
from engine.contract.records import RelabelResult
from engine.data.label_sheet import export_labels
from engine.data.label_writer import grade_order, records_by_item
from engine.data.mapping import complete_mapping, require_columns
from engine.data.phrases import count_of, quoted, verb
from engine.data.progress import Emit, Progress
from engine.data.project_images import ProjectImages
from engine.data.row_labels import SheetLabels
from engine.data.sheet import Item, Matched, match_sheet
from engine.data.tables import Table, read_table
from engine.project.access import open_alone
from engine.project.classes import MULTI, ORDINAL
from engine.project.labels import set_many_findings, set_many_labels
from engine.project.store import Project

__all__ = ["export_labels", "relabel_from_sheet"]

KIND: Final = "relabel"
_OWNER: Final = "a change of labels"


def relabel_from_sheet(command: Relabel, emit: Emit, control: Control) -> RelabelResult:
    """Change the labels of images to those of a sheet; nothing else about the project changes.

    Rows without a label leave theirs as they are. All changes are one step of the history.

    Args:
        command: The project and the sheet.
        emit: Takes ``JobProgressed`` events.
        control: Its safe points lie between rows.

    Raises:
        DatasetError: If the sheet can't be read, fits none of the images, or holds labels of
            another kind than the project.
        ProjectError: If the project can't be opened.
        JobCanceled: If the user canceled; nothing was changed.
    """
    progress = Progress(emit, KIND, "Matching the sheet")

    def tick() -> None:
        control.safe_point()
        progress.step()

    with open_alone(Path(command.project), _OWNER) as project:
        sheet = Path(command.labels)
        table = read_table(sheet, command.sheet)
        images = ProjectImages(project, sheet, tick)
        mapping = complete_mapping(table, command.columns, images.has)
        require_columns(table.columns, mapping)
        rule = _rule(project, command.label_rule)
        matched = match_sheet(table, mapping, images, rule, on_row=tick)
        _require_fit(project, table, matched)
        with project.transaction():
            return _change(project, images, matched)


def _rule(project: Project, rule: LabelRule) -> LabelRule:
    """Return the user's rule, where it is silent with the project's task."""
    if rule.task == "auto" and project.task in (MULTI, ORDINAL):
        return replace(rule, task=project.task)
    return rule


def _require_fit(project: Project, table: Table, matched: Matched) -> None:
    if not matched.items:
        raise DatasetError(
            f"None of the {count_of(len(table.rows), 'row')} of the sheet fits an image of the "
            "project.",
            remedy="Choose the column that names the files as they were imported.",
        )
    if (matched.labels.task == MULTI) != (project.task == MULTI):
        sheet_has, project_has = "several findings", "one class"
        if project.task == MULTI:
            sheet_has, project_has = project_has, sheet_has
        raise DatasetError(
            f"The sheet gives {sheet_has} an image, the project has {project_has}.",
            remedy="Choose other label columns, or import the images into a new project.",
        )


def _change(project: Project, images: ProjectImages, matched: Matched) -> RelabelResult:
    before = {summary.id for summary in project.classes()}
    given = list(records_by_item(matched.items, images.records))
    n_given, n_changed = _enter(project, given, matched.labels)
    new = [s.name for s in project.classes() if s.id not in before and s.n_images]
    notes = list(matched.notes)
    if new:
        notes.append(f"New in the project: {quoted(new)}.")
    paths = {item.path for item in matched.items}
    others = sum(len(frames) for path, frames in images.records.items() if path not in paths)
    if others:
        notes.append(
            f"{count_of(others, 'image')} of the project {verb(others, 'is')} not in the sheet and "
            f"{verb(others, 'keeps')} {'its' if others == 1 else 'their'} label."
        )
    n_matched = matched.join.n_matched
    return RelabelResult(
        n_changed=n_changed,
        n_same=n_given - n_changed,
        matched=n_matched,
        rows_without_file=len(matched.join.keys) - n_matched,
        files_without_row=others,
        conflicts=matched.n_conflicts,
        notes=tuple(notes),
    )


def _enter(
    project: Project, given: Sequence[tuple[int, Item]], labels: SheetLabels
) -> tuple[int, int]:
    """Change the labels; return how many images the sheet has one for, and how many changed."""
    ids = {name: project.add_class(name) for name in labels.classes}
    if project.task == MULTI:
        findings = {
            record: {ids[name]: value for name, value in item.findings.items()}
            for record, item in given
            if item.findings
        }
        return len(findings), set_many_findings(project, findings)
    if labels.task == ORDINAL:
        project.set_task(ORDINAL)
    order = grade_order(project, labels.classes) if project.task == ORDINAL else ()
    changes: dict[int, int | None] = {
        record: ids[item.label] for record, item in given if item.label is not None
    }
    return len(changes), set_many_labels(project, changes, order=order)
