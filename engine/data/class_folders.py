"""Classes that are the names of folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

from engine.contract.errors import DatasetError
from engine.contract.import_rules import LabelRule
from engine.contract.records import SkippedFile
from engine.data.column_names import list_columns
from engine.data.import_plan import Draft, ImportPlan, join_counts
from engine.data.label_names import ordered_classes
from engine.data.phrases import count_of, verb
from engine.data.sheet import Item, Matched
from engine.data.tables import read_table
from engine.project.classes import MULTI, ORDINAL, SINGLE

FOLDER: Final = "folder"

_SPLIT_WORDS: Final = frozenset(
    "train training trn val valid validation dev test testing tst holdout".split()
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


def class_level(names: Sequence[str]) -> ClassLevel:
    """Find out whether images lie in class folders, or class folders hold a folder per patient.

    The folder that an image lies in names its class, unless those are many and small while a few
    topmost folders hold them.
    """
    folders = [PurePosixPath(name).parent.parts for name in names]
    inner = Counter(parts[-1] for parts in folders if parts)
    top = Counter(parts[0] for parts in folders if parts)
    nested = any(len(parts) > 1 for parts in folders)
    words = frozenset(name for name in top if nested and name.casefold() in _SPLIT_WORDS)
    is_top = not words and len(top) >= 2 and len(inner) > 2 * len(top) and nested
    return ClassLevel(is_top, words if len(words) > 1 else frozenset())


def plan_from_folders(draft: Draft, rule: LabelRule, matched: Matched | None = None) -> ImportPlan:
    """Return the plan for class folders, with what a sheet says besides.

    Args:
        draft: The source.
        rule: Its task may be to order the classes as grades.
        matched: A sheet without labels that was matched with the images.

    Raises:
        DatasetError: If there is no class folder, or the rule asks for several findings.
    """
    draft.require_images()
    said: dict[str, list[Item]] = {}
    for item in matched.items if matched is not None else ():
        said.setdefault(item.path, []).append(item)
    items = [
        replace(item, label=label)
        for name, label in _folder_labels(draft).items()
        for item in said.get(name, [Item(path=name)])
    ]
    classes = ordered_classes({item.label for item in items if item.label}, rule, rule.task)
    n_without_row = sum(item.path not in said for item in items)
    if rule.task == MULTI:
        raise DatasetError(
            "Class folders give one class an image, not several findings.",
            remedy="Give a label sheet with the findings, or import one class an image.",
        )
    return ImportPlan(
        root=draft.listing.root,
        kind=FOLDER,
        items=tuple(items),
        skipped=(*draft.skipped, *(matched.skipped if matched is not None else ())),
        notes=(*draft.notes, *_supplement_notes(matched, n_without_row)),
        has_patients=any(item.patient is not None for item in items),
        has_split=any(item.split is not None for item in items),
        task=ORDINAL if rule.task == ORDINAL else SINGLE,
        classes=classes,
        join=None if matched is None else join_counts(matched, n_without_row),
    )


def _supplement_notes(matched: Matched | None, n_without_row: int) -> list[str]:
    if matched is None:
        return []
    notes = list(matched.notes)
    if n_without_row:
        notes.append(
            f"{count_of(n_without_row, 'image')} of the folder {verb(n_without_row, 'is')} not in "
            "the sheet and imported without what it says."
        )
    return notes


def _folder_labels(draft: Draft) -> dict[str, str]:
    """Return the class of every image in a class folder; note and skip the others.

    Raises:
        DatasetError: If there is none.
    """
    images = draft.images
    level = class_level(images)
    labels: dict[str, str] = {}
    spelling: dict[str, str] = {}
    for name in images:
        if (label := level.label(name)) is not None:
            labels[name] = spelling.setdefault(label.casefold(), label)
        else:
            draft.skipped.append(
                SkippedFile(
                    path=name,
                    reason="Lies outside the class folders: class unknown.",
                    kind="unmatched",
                )
            )
    if not labels:
        raise _no_labels(draft)
    if n_outside := len(images) - len(labels):
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
    return labels


def _no_labels(draft: Draft) -> DatasetError:
    message = (
        f"Nothing says which classes the {count_of(len(draft.images), 'image')} of the folder "
        "belong to: there are no class folders and no label sheet."
    )
    for name in draft.listing.tables():
        try:
            table = read_table(draft.listing.path(name))
        except DatasetError:
            continue
        if len(table.columns) > 1:
            message = (
                f"Nothing says which classes the images belong to: the sheet {name} has no "
                f"columns named for the file and the class, but {list_columns(table.columns)}."
            )
            break
    return DatasetError(
        message,
        remedy="Put the images of each class into a folder of their own, or give a label sheet "
        "(--labels, with --path-column and --label-column if need be).",
    )
