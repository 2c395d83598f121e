"""Which bundles there are and what they say of themselves; reads facts only, never weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.contract.bundle_facts import FACTS_NAME

__all__ = ["BundleSummary", "find_bundles", "free_path", "read_summary", "source_of"]

_MAX_BYTES: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class BundleSummary:
    """A bundle as the page shows it.

    Attributes:
        positive: Name of the positive class of two.
        threshold: Probability of it from which an image counts as positive.
        thresholds: Of several findings, from which each counts as present; else empty.
        is_combined: Whether it averages several networks.
    """

    folder: Path
    name: str
    classes: tuple[str, ...]
    positive: str | None
    threshold: float | None
    backbone: str
    auroc: float | None
    thresholds: tuple[float, ...] = ()
    is_combined: bool = False


def find_bundles(project: Path | None) -> list[BundleSummary]:
    """Return the bundles of a project, newest first."""
    if project is None:
        return []
    try:
        folders = [path for path in (project / "bundles").iterdir() if path.is_dir()]
    except OSError:
        return []
    found = [summary for folder in folders if (summary := read_summary(folder)) is not None]
    return sorted(found, key=lambda summary: _written_at(summary.folder), reverse=True)


def read_summary(folder: Path) -> BundleSummary | None:
    """Return what a bundle says of itself; None if the folder doesn't look like one.

    The engine checks the bundle in full when it is applied.
    """
    path = folder / FACTS_NAME
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(facts, dict) or not isinstance(facts.get("classes"), list):
        return None
    return _summary(folder, facts)


def source_of(paths: list[Path]) -> tuple[Path, bool]:
    """Return the one file or folder that stands for what was dropped.

    Returns:
        The place, and whether it is more than what was dropped: several files stand for the
        folder that holds them.
    """
    if len(paths) == 1:
        return paths[0], False
    folders = {path if path.is_dir() else path.parent for path in paths}
    common = next(iter(folders))
    while not all(common == folder or common in folder.parents for folder in folders):
        common = common.parent
    return common, True


def free_path(folder: Path, stem: str, suffix: str) -> Path:
    """Return a path in a folder where there is no file yet."""
    path, number = folder / f"{stem}{suffix}", 2
    while path.exists():
        path, number = folder / f"{stem} {number}{suffix}", number + 1
    return path


def _summary(folder: Path, facts: dict[str, Any]) -> BundleSummary:
    classes = tuple(str(name) for name in facts["classes"])
    index = facts.get("positive")
    positive = None
    if isinstance(index, int) and 0 <= index < len(classes):
        positive = classes[index]
    test = _part(_part(facts, "metrics"), "test")
    threshold, auroc = facts.get("threshold"), test.get("auroc")
    thresholds = facts.get("thresholds")
    return BundleSummary(
        folder=folder,
        name=str(facts.get("name") or folder.name),
        classes=classes,
        positive=positive,
        threshold=float(threshold) if isinstance(threshold, int | float) else None,
        backbone=str(_part(facts, "backbone").get("key") or ""),
        auroc=float(auroc) if isinstance(auroc, int | float) else None,
        thresholds=_numbers(thresholds, len(classes)),
        is_combined=bool(facts.get("members")),
    )


def _numbers(values: Any, n_wanted: int) -> tuple[float, ...]:
    if not isinstance(values, list) or len(values) != n_wanted:
        return ()
    return tuple(float(value) for value in values if isinstance(value, int | float))


def _part(facts: dict[str, Any], name: str) -> dict[str, Any]:
    part = facts.get(name)
    return part if isinstance(part, dict) else {}


def _written_at(folder: Path) -> float:
    try:
        return (folder / FACTS_NAME).stat().st_mtime
    except OSError:
        return 0.0
