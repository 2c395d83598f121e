"""What an import is going to do: which files, with which labels, before anything is read or kept.

Labels come from the sheet that was given, else from a sheet at the top of the folder whose columns
fit, else from the names of the folders that the images lie in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from engine.contract.commands import Scan
from engine.contract.errors import DatasetError
from engine.contract.records import ColumnMapping, SkippedFile
from engine.data.listing import Listing, list_files
from engine.data.sheet import FileIndex, Item, count_of, match_sheet, require_columns, verb
from engine.data.tables import (
    TABLE_SUFFIXES,
    Table,
    complete_mapping,
    guess_columns,
    list_columns,
    read_table,
)

SPLIT_WORDS: Final = frozenset(
    [
        "train",
        "training",
        "trn",
        "val",
        "valid",
        "validation",
        "dev",
        "test",
        "testing",
        "tst",
        "holdout",
    ]
)
Tick = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlan:
    """What will be imported.

    Attributes:
        root: Source folder.
        kind: ``table`` or ``folder``: where the labels come from.
        items: Files and their labels, in the order of the folder.
        skipped: What is left out already, with the reason.
        notes: Sentences for the user.
        has_patients: Whether the sheet has a patient column with values.
        has_split: Whether the sheet has a split column with values.
    """

    root: Path
    kind: str
    items: tuple[Item, ...]
    skipped: tuple[SkippedFile, ...]
    notes: tuple[str, ...]
    has_patients: bool = False
    has_split: bool = False

    def class_names(self) -> list[str]:
        """Return the classes, each in its first spelling, in order of first appearance."""
        found: dict[str, str] = {}
        for item in self.items:
            if item.label is not None:
                found.setdefault(item.label.casefold(), item.label)
        return list(found.values())


@dataclass
class _Draft:
    listing: Listing
    images: list[str]
    skipped: list[SkippedFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


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
        table = read_table(labels)
        mapping = complete_mapping(table, command.columns)
        require_columns(table.columns, mapping)
        return _from_sheet(_draft(listing, tick), labels, table, mapping, tick, is_given=True)
    draft = _draft(listing, tick)
    if (found := _find_sheet(listing, command.columns, draft.notes)) is not None:
        plan = _from_sheet(draft, *found, tick, is_given=False)
        if plan.items:
            return plan
        draft.notes.append(
            f"The sheet {found[0].name} was not used: none of its files are in the folder."
        )
    return _from_folders(draft)


def open_source(source: Path, labels: str | None, tick: Tick) -> tuple[Listing, Path | None]:
    """Return what lies in a source, and the label sheet that was named.

    A source that is a label sheet stands for its folder; one that is an image, for itself alone.

    Raises:
        DatasetError: If the source doesn't exist.
    """
    sheet = None if labels is None else Path(labels).absolute()
    source = source.absolute()
    if not source.is_file():
        return list_files(source, tick), sheet
    if sheet is None and source.suffix.lower() in TABLE_SUFFIXES:
        return list_files(source.parent, tick), source
    return Listing(source.parent, [source.name]), sheet


def _draft(listing: Listing, tick: Tick) -> _Draft:
    return _Draft(listing, listing.images(tick), list(listing.skipped))


def _find_sheet(
    listing: Listing, wanted: ColumnMapping, notes: list[str]
) -> tuple[Path, Table, ColumnMapping] | None:
    """Return the first sheet of the folder that says where the files and classes are."""
    fitting = []
    for name in listing.tables():
        try:
            table = read_table(listing.path(name))
            mapping = complete_mapping(table, wanted)
        except DatasetError:
            continue  # nobody asked for this sheet
        if mapping.path is not None and mapping.label is not None and table.rows:
            fitting.append((listing.path(name), table, mapping))
    if len(fitting) > 1:
        notes.append(
            f"{len(fitting)} label sheets lie in the folder; {fitting[0][0].name} was used."
        )
    return fitting[0] if fitting else None


def _from_sheet(
    draft: _Draft,
    sheet: Path,
    table: Table,
    mapping: ColumnMapping,
    tick: Tick,
    *,
    is_given: bool,
) -> ImportPlan:
    listing = draft.listing
    index = FileIndex(listing.root, sheet.parent, listing.files)
    matched = match_sheet(table, mapping, index, on_row=tick)
    if is_given and not matched.items:
        _require_images(draft)
        if not matched.n_rows:
            raise DatasetError(
                f"The label sheet {sheet.name} has a header and no rows.",
                remedy="Choose a sheet with one row per image.",
            )
        raise DatasetError(
            f"None of the {count_of(matched.n_rows, 'row')} of the label sheet {sheet.name} names "
            f"a file of the folder (its column “{mapping.path}” was taken for the file).",
            remedy="Choose the folder that the sheet's paths start from, or another path column.",
        )
    named = {item.path for item in matched.items}
    notes = [*draft.notes, *matched.notes]
    if n_other := sum(name not in named for name in draft.images):
        notes.append(
            f"{count_of(n_other, 'image')} of the folder {verb(n_other, 'is')} not in the sheet: "
            "left out."
        )
    order = {name: position for position, name in enumerate(listing.files)}
    return ImportPlan(
        root=listing.root,
        kind="table",
        items=tuple(sorted(matched.items, key=lambda item: order[item.path])),
        skipped=(*draft.skipped, *matched.skipped),
        notes=tuple(notes),
        has_patients=any(item.patient is not None for item in matched.items),
        has_split=any(item.split is not None for item in matched.items),
    )


def _require_images(draft: _Draft) -> None:
    if draft.images:
        return
    n_files = len(draft.listing.files)
    raise DatasetError(
        "The folder is empty."
        if n_files == 0
        else f"The folder holds no images ({count_of(n_files, 'other file')}).",
        remedy="Choose a folder with DICOM, PNG, JPEG, TIFF or BMP images.",
    )


def _from_folders(draft: _Draft) -> ImportPlan:
    _require_images(draft)
    level = class_level(draft.images)
    items, n_outside = [], 0
    for name in draft.images:
        if (label := level.label(name)) is not None:
            items.append(Item(path=name, label=label))
        else:
            n_outside += 1
            draft.skipped.append(
                SkippedFile(path=name, reason="Lies outside the class folders: class unknown.")
            )
    if not items:
        raise _no_labels(draft)
    if n_outside:
        draft.notes.append(
            f"{count_of(n_outside, 'image', 'lies')} outside the class folders: left out."
        )
    if level.is_top:
        draft.notes.append("The classes are the names of the topmost folders.")
    if words := sorted(level.split_words):
        draft.notes.append(
            f"The folders {', '.join(words)} were not taken as a split; to use them, give a label "
            "sheet with a split column."
        )
    return ImportPlan(
        root=draft.listing.root,
        kind="folder",
        items=tuple(items),
        skipped=tuple(draft.skipped),
        notes=tuple(draft.notes),
    )


def _no_labels(draft: _Draft) -> DatasetError:
    message = (
        f"Nothing says which classes the {count_of(len(draft.images), 'image')} of the folder "
        "belong to: there are no class folders and no label sheet."
    )
    for name in draft.listing.tables():
        try:
            columns = read_table(draft.listing.path(name)).columns
        except DatasetError:
            continue
        if guess_columns(columns).path is not None or len(columns) > 1:
            message = (
                f"Nothing says which classes the images belong to: the sheet {name} has no "
                f"columns named for the file and the class, but {list_columns(columns)}."
            )
            break
    return DatasetError(
        message,
        remedy="Put the images of each class into a folder of their own, or give a label sheet "
        "(--labels, with --path-column and --label-column if need be).",
    )


@dataclass(frozen=True, slots=True)
class ClassLevel:
    """Which part of a path names the class.

    Attributes:
        is_top: The topmost folder, instead of the one that the image lies in.
        split_words: Names of folders above that look like a split.
    """

    is_top: bool
    split_words: frozenset[str] = frozenset()

    def label(self, name: str) -> str | None:
        """Return the class of a file, or None where it lies at the top of the source."""
        folders = PurePosixPath(name).parent.parts
        if not folders:
            return None
        return folders[0 if self.is_top else -1]


def class_level(names: list[str]) -> ClassLevel:
    """Find out whether images lie in class folders, or class folders hold a folder per patient.

    The folder that an image lies in names its class, unless those are many and small while a few
    topmost folders hold them.
    """
    folders = [PurePosixPath(name).parent.parts for name in names]
    inner = Counter(parts[-1] for parts in folders if parts)
    top = Counter(parts[0] for parts in folders if parts)
    nested = any(len(parts) > 1 for parts in folders)
    words = frozenset(name for name in top if nested and name.casefold() in SPLIT_WORDS)
    is_top = not words and len(top) >= 2 and len(inner) > 2 * len(top) and nested
    return ClassLevel(is_top, words if len(words) > 1 else frozenset())
