"""Sources that are ``.npz`` files in the layout of MedMNIST: images, labels and split in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.contract.errors import UnreadableImageError
from engine.contract.import_rules import LabelRule
from engine.contract.records import SkippedFile
from engine.data.import_plan import Draft, ImportPlan
from engine.data.label_names import ordered_classes
from engine.data.sheet import Item
from engine.project.classes import MULTI, ORDINAL, SINGLE

ARRAYS: Final = "npz"
ARRAY_SUFFIX: Final = ".npz"
_BETWEEN: Final = "|"


def plan_from_arrays(draft: Draft, rule: LabelRule) -> ImportPlan:
    """Return the plan for the arrays of a source; each of their images is a frame of its file.

    Args:
        draft: The source; all of its images are such files.
        rule: Its task decides on arrays that leave it open.

    Raises:
        UnreadableImageError: If the only file can't be read.
    """
    from engine.data.npz import NpzItem, read_items

    found: list[tuple[str, NpzItem]] = []
    for name in draft.images:
        try:
            found += [(name, item) for item in read_items(draft.listing.path(name))]
        except UnreadableImageError as error:
            if len(draft.images) == 1:
                raise
            draft.skipped.append(SkippedFile(path=name, reason=error.message))
    texts = {item.label for _, item in found if item.label is not None}
    is_multi = rule.task == MULTI or any(_BETWEEN in text or not text for text in texts)
    task = MULTI if is_multi else ORDINAL if rule.task == ORDINAL else SINGLE
    names = {part for text in texts for part in text.split(_BETWEEN) if part}
    classes = ordered_classes(names, rule, task)
    findings = _findings(texts, classes) if is_multi else {}
    return ImportPlan(
        root=draft.listing.root,
        kind=ARRAYS,
        items=tuple(
            Item(
                path=name,
                frame=item.frame,
                label=None if is_multi else item.label,
                findings=findings.get(item.label or "", {}) if item.label is not None else {},
                split=item.split,
                is_case=True,
            )
            for name, item in found
        ),
        skipped=tuple(draft.skipped),
        notes=tuple(draft.notes),
        has_split=any(item.split for _, item in found),
        task=task,
        classes=classes,
    )


def _findings(texts: set[str], classes: tuple[str, ...]) -> dict[str, Mapping[str, int | None]]:
    """Return the findings that each text stands for, to be shared by its items."""
    return {text: {name: int(name in text.split(_BETWEEN)) for name in classes} for text in texts}
