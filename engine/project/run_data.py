"""What a run was begun with, and what of that is different now.

A run that was cut off is gone on with exactly, or not at all. Its folder keeps which images it
learns from, so that a refusal can say what has changed, and so that what doesn't matter can be told
from what does.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.recipe import RECIPE_NAME
from engine.files import long_path, write_atomic
from engine.project.own_code import code_digest
from engine.project.table import TrainingTable
from engine.version import VERSION

_FILE: Final = "images.npz"
_CHECKSUM: Final = "sha256"
RADTUNE: Final = "radtune"
CODE: Final = "code"
"""Name, among versions, of the digest of RadTune's own code."""
CODE_CHANGED: Final = (
    f"RadTune's own code that trains is other code now, though its version is {VERSION} as before."
)
_NAMES: Final = {RADTUNE: "RadTune", "numpy": "NumPy", "scipy": "SciPy"}
_LIBRARIES: Final = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunData:
    """The images of a run as they were when it began.

    Attributes:
        records: Row ids in the project, int64 ``(N,)``, increasing.
        labels: As in ``TrainingTable``.
        split: As in ``TrainingTable``.
        patients: As in ``TrainingTable``.
        marks: Tell the contents of the images' files apart, int64 ``(N,)``.
        classes: Names of the classes in their order, then that of the positive one or nothing.
        versions: Of RadTune, its code and the libraries that compute, as ``name=version``; those
            with which it was last gone on.
    """

    records: NDArray[np.int64]
    labels: NDArray[np.int64]
    split: NDArray[np.int8]
    patients: NDArray[np.int64]
    marks: NDArray[np.int64]
    classes: tuple[str, ...]
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is different now.

    Attributes:
        sentence: What, and of how many images.
        is_fatal: Whether going on would train something else than the run began with.
    """

    sentence: str
    is_fatal: bool


def run_data(table: TrainingTable, sha256: dict[int, str]) -> RunData:
    """Return the present images.

    Args:
        table: The usable images.
        sha256: Hexadecimal digest of each record's file.
    """
    positive = "" if table.positive is None else table.class_names[table.positive]
    return RunData(
        records=table.record_ids,
        labels=table.labels,
        split=table.split,
        patients=table.patients,
        marks=np.array([int(sha256[r][:15], 16) for r in table.record_ids.tolist()], np.int64),
        classes=(*table.class_names, positive),
        versions=present_versions(),
    )


def write_run_data(folder: Path, data: RunData) -> None:
    """Write the images of a run into its folder.

    Raises:
        StorageError: If the disk is full or can't be written.
    """
    arrays: dict[str, Any] = {
        "records": data.records,
        "labels": data.labels,
        "split": data.split,
        "patients": data.patients,
        "marks": data.marks,
        "classes": np.array(data.classes, dtype=np.str_),
        "versions": np.array(data.versions, dtype=np.str_),
    }
    arrays[_CHECKSUM] = np.array(_checksum(arrays))
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    write_atomic(folder / _FILE, stream.getvalue())


def read_run_data(folder: Path) -> RunData | None:
    """Return the images that a run began with; None if they aren't there or are damaged.

    See :func:`kept_run_data`.
    """
    try:
        data = long_path(folder / _FILE).read_bytes()
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        written = arrays.pop(_CHECKSUM, None)
        if written is not None and str(written) != _checksum(arrays):  # older files have none
            return None
        return RunData(
            records=arrays["records"],
            labels=arrays["labels"],
            split=arrays["split"],
            patients=arrays["patients"],
            marks=arrays["marks"],
            classes=tuple(arrays["classes"].tolist()),
            versions=tuple(arrays["versions"].tolist()),
        )
    except Exception:  # noqa: BLE001 - a damaged archive fails in any of a dozen ways
        return None


def kept_run_data(folder: Path) -> bool:
    """Return whether a run of this folder once kept its images, whatever has become of the file.

    The first versions kept none; their recipes don't name the run.
    """
    if (folder / _FILE).exists():
        return True
    try:
        return "run" in json.loads(long_path(folder / RECIPE_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, TypeError):
        return True  # nothing tells any more


def _checksum(arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def data_changes(then: RunData, now: RunData) -> tuple[Change, ...]:
    """Return what of the images is different now."""
    return tuple(_data_changes(then, now))


def _data_changes(then: RunData, now: RunData) -> Iterator[Change]:
    if then.classes != now.classes:
        yield Change(sentence="The classes are others, or in another order.", is_fatal=True)
    is_new = ~np.isin(now.records, then.records)
    is_gone = ~np.isin(then.records, now.records)
    for chosen, split, verb in ((is_new, now.split, "added"), (is_gone, then.split, "removed")):
        is_split = split >= 0
        if n := int((chosen & is_split).sum()):
            yield _change(n, f"{verb} that {{are}} in the split", is_fatal=True)
        if n := int((chosen & ~is_split).sum()):
            yield _change(n, f"{verb} that {{are}} in no part of the split", is_fatal=False)
    ours, theirs = then.records.searchsorted(now.records[~is_new]), np.flatnonzero(~is_new)
    was, is_now = then.split[ours], now.split[theirs]
    if n := int((was != is_now).sum()):
        yield _change(n, "put into another part of the split", is_fatal=True)
    learned = (was >= 0) | (is_now >= 0)
    of_labels = np.zeros(len(ours), dtype=np.bool_)
    if then.labels.shape[1:] == now.labels.shape[1:]:
        differs = then.labels[ours] != now.labels[theirs]
        of_labels = differs if differs.ndim == 1 else differs.any(axis=1)
    for differs, what in (
        (of_labels, "given another label"),
        (then.patients[ours] != now.patients[theirs], "assigned to another patient"),
        (then.marks[ours] != now.marks[theirs], "replaced by other files"),
    ):
        if n := int((differs & learned).sum()):
            yield _change(n, what, is_fatal=True)
        if n := int((differs & ~learned).sum()):
            yield _change(n, f"{what}, but {{are}} in no part of the split", is_fatal=False)


def _change(n: int, what: str, *, is_fatal: bool) -> Change:
    subject = "1 image was" if n == 1 else f"{n:,} images were"
    return Change(
        sentence=f"{subject} {what.format(are='is' if n == 1 else 'are')}.", is_fatal=is_fatal
    )


def version_changes(then: RunData) -> tuple[Change, ...]:
    """Return which versions differ from those that the run was last computed with."""
    found = changed_versions(then.versions, what="the run")
    return tuple(Change(sentence=sentence, is_fatal=False) for sentence in found)


def present_versions() -> tuple[str, ...]:
    """Return the versions of all that computes, as :class:`RunData` has them."""
    return tuple(f"{name}={version}" for name, version in _versions().items())


def changed_versions(then: Iterable[str], *, what: str) -> tuple[str, ...]:
    """Return which versions differ from earlier ones, in sentences.

    Args:
        then: What :func:`present_versions` gave; what isn't among it isn't compared.
        what: Began with these, such as ``the run``.
    """
    before = dict(text.split("=", 1) for text in then)
    changed = {n: now for n, now in _versions().items() if before.get(n, now) != now}
    is_named = RADTUNE in changed
    return tuple(
        _version_change(name, now, f"{what} began with {before[name]}")
        for name, now in changed.items()
        if name != CODE or not is_named
    )


def _version_change(name: str, now: str, before: str) -> str:
    if name == CODE:
        return CODE_CHANGED
    return f"{_NAMES.get(name, name)} is version {now} now; {before}."


def own_versions() -> dict[str, str]:
    """Return RadTune's version, and what tells its code from other code of that version."""
    code = code_digest()
    return {RADTUNE: VERSION} | ({CODE: code} if code else {})


def _versions() -> dict[str, str]:
    """Return the versions that decide what training computes; the pixels are cached already."""
    found = own_versions()
    for name in _LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):  # a trimmed build without metadata
            found[name] = _library_version(name)
    return found


@cache  # they don't change while the program runs
def _library_version(name: str) -> str:
    """Return a version without the kind of build, and without importing the library."""
    return metadata.version(name).partition("+")[0]
