"""What an import will do: which files, with which labels, patients and splits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from engine.contract.commands import Scan
from engine.contract.errors import DatasetError
from engine.contract.import_rules import ColumnMapping
from engine.contract.records import SkippedFile
from engine.data.array_files import ARRAY_SUFFIX, plan_from_arrays
from engine.data.class_folders import class_level, plan_from_folders
from engine.data.dicomdir import is_dicomdir, obey_dicomdirs
from engine.data.import_plan import Draft, ImportPlan, join_counts
from engine.data.joins import PATH, FolderImages
from engine.data.listing import Listing, list_files
from engine.data.mapping import complete_mapping, require_columns
from engine.data.phrases import count_of, verb
from engine.data.sheet import Item, Matched, match_sheet
from engine.data.tables import TABLE_SUFFIXES, Table, read_table

__all__ = ["ImportPlan", "class_level", "draft_of", "open_source", "plan_import"]

Tick = Callable[[], None]
TABLE: Final = "table"
_NO_ROW: Final = "Not in the sheet."


def plan_import(command: Scan, tick: Tick) -> ImportPlan:
    """Look at the source and its labels.

    Args:
        command: What the user asked for.
        tick: Called again and again; may raise to give up.

    Raises:
        DatasetError: If there is no image, or nothing says which class images belong to.
    """
    listing, labels = open_source(Path(command.source), command.labels, tick)
    if labels is not None:
        table = read_table(labels, command.sheet)
        draft = draft_of(listing, tick)
        return _from_named_sheet(draft, labels, table, command, tick)
    draft = draft_of(listing, tick)
    if command.labels_from != "folders":
        found = _find_sheet(draft, command)
        if found is not None:
            plan = _from_found_sheet(draft, *found, command, tick)
            if plan is not None:
                return plan
        if command.labels_from == "sheet":
            raise DatasetError(
                "No label sheet in the folder names its files and their classes.",
                remedy="Name the sheet with --labels, and its columns if need be.",
            )
    return _without_sheet(draft, command)


def open_source(source: Path, labels: str | None, tick: Tick) -> tuple[Listing, Path | None]:
    """Return what lies in a source, and the label sheet that was named.

    A source that is a label sheet or a DICOMDIR stands for its folder; one that is an image, for
    itself alone.

    Raises:
        DatasetError: If the source doesn't exist.
    """
    sheet = None if labels is None else Path(labels).absolute()
    source = source.absolute()
    if not source.is_file():
        return list_files(source, tick), sheet
    if sheet is None and source.suffix.lower() in TABLE_SUFFIXES:
        return list_files(source.parent, tick), source
    if is_dicomdir(source.name):
        return list_files(source.parent, tick), sheet
    return Listing(source.parent, [source.name]), sheet


def draft_of(listing: Listing, tick: Tick) -> Draft:
    """Return a source with the images that it means: where there is a DICOMDIR, those it names."""
    media = obey_dicomdirs(listing, listing.images(tick), tick)
    return Draft(listing, media.names, [*listing.skipped, *media.skipped], media.notes)


# --- sheets --------------------------------------------------------------------------------------


def _from_named_sheet(
    draft: Draft, sheet: Path, table: Table, command: Scan, tick: Tick
) -> ImportPlan:
    """Return the plan for a sheet that the user named: what is wrong with it is an error."""
    is_file = draft.index(sheet).find
    mapping = complete_mapping(table, command.columns, lambda cell: is_file(cell) is not None)
    if command.labels_from == "folders":
        matched = _match(draft, sheet, table, mapping, command, tick, with_labels=False)
        _require_matches(draft, sheet, table, mapping, matched)
        return plan_from_folders(draft, command.label_rule, matched)
    require_columns(table.columns, mapping)
    matched = _match(draft, sheet, table, mapping, command, tick)
    _require_matches(draft, sheet, table, mapping, matched)
    return _from_sheet(draft, matched)


def _from_found_sheet(
    draft: Draft, sheet: Path, table: Table, mapping: ColumnMapping, command: Scan, tick: Tick
) -> ImportPlan | None:
    """Return the plan for a sheet that lies in the folder; None if none of its rows fits."""
    with_labels = mapping.label is not None or bool(mapping.labels)
    matched = _match(draft, sheet, table, mapping, command, tick, with_labels=with_labels)
    if not matched.items:
        draft.notes.append(
            f"The sheet {sheet.name} was not used: none of its files are in the folder."
        )
        return None
    if with_labels:
        return _from_sheet(draft, matched)
    draft.notes.append(f"The classes are those of the folders; {sheet.name} has none.")
    return plan_from_folders(draft, command.label_rule, matched)


def _find_sheet(draft: Draft, command: Scan) -> tuple[Path, Table, ColumnMapping] | None:
    """Return the first sheet of the folder that says where the files and classes are.

    Else, where class folders give the classes, the first that says anything else about files.
    """
    labelled, others = [], []
    for name in draft.listing.tables():
        path = draft.listing.path(name)
        try:
            table = read_table(path, command.sheet)
            mapping = complete_mapping(table, command.columns)
        except DatasetError:
            continue  # nobody asked for this sheet
        if not table.rows or (mapping.path is None and mapping.patient is None):
            continue
        if mapping.label is not None or mapping.labels:
            labelled.append((path, table, mapping))
        elif mapping.path is not None and mapping.patient is not None:
            others.append((path, table, mapping))
    if len(labelled) > 1:
        draft.notes.append(
            f"{len(labelled)} label sheets lie in the folder; {labelled[0][0].name} was used."
        )
    if labelled:
        return labelled[0]
    has_folders = any("/" in name for name in draft.images)
    return others[0] if others and has_folders and command.labels_from == "auto" else None


def _match(
    draft: Draft,
    sheet: Path,
    table: Table,
    mapping: ColumnMapping,
    command: Scan,
    tick: Tick,
    *,
    with_labels: bool = True,
) -> Matched:
    images = FolderImages(draft.listing, draft.images, draft.index(sheet), tick)
    return match_sheet(
        table,
        mapping,
        images,
        command.label_rule,
        on_row=tick,
        insists_on_split=command.columns.split is not None,
        with_labels=with_labels,
    )


def _require_matches(
    draft: Draft, sheet: Path, table: Table, mapping: ColumnMapping, matched: Matched
) -> None:
    if matched.items:
        return
    draft.require_images()
    if not table.rows:
        raise DatasetError(
            f"The label sheet {sheet.name} has a header and no rows.",
            remedy="Choose a sheet with one row per image.",
        )
    rows = count_of(len(table.rows), "row")
    if matched.join.kind == PATH:
        raise DatasetError(
            f"None of the {rows} of the label sheet {sheet.name} names a file of the folder (its "
            f"column “{mapping.path}” was taken for the file).",
            remedy="Choose the folder that the sheet's paths start from, or another path column.",
        )
    key = "UID" if mapping.join == "sop_uid" else "patient and date"
    raise DatasetError(
        f"None of the {rows} of the label sheet {sheet.name} fits the {key} of an image of the "
        "folder.",
        remedy="Choose other columns, or a column that holds the file.",
    )


def _from_sheet(draft: Draft, matched: Matched) -> ImportPlan:
    named = {item.path for item in matched.items}
    others = [name for name in draft.images if name not in named]
    notes = [*draft.notes, *matched.notes]
    if n := len(others):
        notes.append(
            f"{count_of(n, 'image')} of the folder {verb(n, 'is')} not in the sheet: left out."
        )
    return ImportPlan(
        root=draft.listing.root,
        kind=TABLE,
        items=_in_order(matched.items, draft.listing),
        skipped=(
            *draft.skipped,
            *matched.skipped,
            *(SkippedFile(path=name, reason=_NO_ROW, kind="unmatched") for name in others),
        ),
        notes=tuple(notes),
        has_patients=any(item.patient is not None for item in matched.items),
        has_split=any(item.split is not None for item in matched.items),
        task=matched.labels.task,
        classes=matched.labels.classes,
        join=join_counts(matched, len(others)),
    )


def _in_order(items: Iterable[Item], listing: Listing) -> tuple[Item, ...]:
    order = {name: position for position, name in enumerate(listing.files)}
    return tuple(sorted(items, key=lambda item: (order[item.path], item.frame or 0)))


def _without_sheet(draft: Draft, command: Scan) -> ImportPlan:
    draft.require_images()
    if all(name.lower().endswith(ARRAY_SUFFIX) for name in draft.images):
        return plan_from_arrays(draft, command.label_rule)
    return plan_from_folders(draft, command.label_rule)
