"""Which files of an import need to be read, and which are known from before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final

from engine.contract.import_rules import FramePolicy
from engine.contract.records import SkippedFile
from engine.data.decode_messages import Job
from engine.data.frames import choose_frames
from engine.data.sheet import Item
from engine.files import long_path
from engine.project.sources import KnownFile, file_key

_FRAMES_PER_JOB: Final = 64
"""Of a container such as an ``.npz`` file; so that all processes have a share of it."""
_MIDDLE: Final = "middle"
Stamp = tuple[int, int]
KnownFrames = Mapping[tuple[str, int], KnownFile]


@dataclass
class Division:
    """The files of an import.

    Attributes:
        same: Records of images whose file is as it was, with what the source now says.
        n_staged: Items that an earlier part of this import has read.
        skipped: Files that an earlier part of this import could not read.
        wanted: Items to read, in the order of the import.
        stale: Files that have changed since an earlier part of this import read them.
        reread: Files of the project that are to be read again.
    """

    same: list[tuple[Item, int]] = field(default_factory=list)
    n_staged: int = 0
    skipped: list[SkippedFile] = field(default_factory=list)
    wanted: list[Item] = field(default_factory=list)
    stale: set[str] = field(default_factory=set)
    reread: set[str] = field(default_factory=set)


class Divider:
    """Compares the items of an import with what is known."""

    def __init__(
        self,
        root: Path,
        policy: FramePolicy,
        known: KnownFrames,
        staged: KnownFrames,
        skipped: Mapping[str, tuple[SkippedFile, Stamp]],
    ) -> None:
        """Prepare.

        Args:
            root: The source folder.
            policy: Which frames are wanted of files whose items don't say.
            known: Images of the project.
            staged: Images that an earlier part of this import has read.
            skipped: Files that it could not read.
        """
        self._root, self._policy = root, policy
        self._known, self._staged = _by_file(known), _by_file(staged)
        self._skipped = skipped

    def divide(self, items: Iterable[Item], tick: Callable[[], None]) -> Division:
        """Return what is known and what is to be read.

        Args:
            items: What the source holds.
            tick: Called for every file; may raise to give up.
        """
        found = Division()
        for path, group in groupby(items, key=attrgetter("path")):
            tick()
            key = file_key(path)
            if not (key in self._known or key in self._staged or key in self._skipped):
                found.wanted += group
                continue
            stamp = _stamp(self._root / path)
            if key in self._skipped and self._skipped[key][1] == stamp:
                found.skipped.append(self._skipped[key][0])
                continue
            if any(_stamp_of(file) != stamp for file in self._staged.get(key, {}).values()):
                found.stale.add(path)
            for item in group:
                self._place(item, key, stamp, found)
        return found

    def _place(self, item: Item, key: str, stamp: Stamp | None, found: Division) -> None:
        known = self._unchanged(item, self._known.get(key, {}), stamp)
        if known:
            found.same += [(item, file.record) for file in known]
        elif self._unchanged(item, self._staged.get(key, {}), stamp):
            found.n_staged += 1
        else:
            found.wanted.append(item)
            if key in self._known:
                found.reread.add(item.path)

    def _unchanged(
        self, item: Item, frames: Mapping[int, KnownFile], stamp: Stamp | None
    ) -> list[KnownFile]:
        """Return the images of an item, if all that are wanted are there and up to date."""
        same = {
            frame: file
            for frame, file in frames.items()
            if _stamp_of(file) == stamp and item.frame in (None, frame)
        }
        if not same or item.frame is not None:
            return list(same.values())
        n_frames = max(file.n_frames for file in same.values())
        if self._policy.frames == _MIDDLE or n_frames == 1:
            return list(same.values())
        wanted = choose_frames(n_frames, self._policy) if n_frames else ()
        return list(same.values()) if wanted and same.keys() >= set(wanted) else []


def _by_file(frames: KnownFrames) -> dict[str, dict[int, KnownFile]]:
    found: dict[str, dict[int, KnownFile]] = defaultdict(dict)
    for (path, frame), file in frames.items():
        found[path][frame] = file
    return dict(found)


def _stamp_of(file: KnownFile) -> Stamp:
    return file.n_bytes, file.mtime_ns


def _stamp(path: Path) -> Stamp | None:
    try:
        status = long_path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def jobs_for(root: Path, items: Sequence[Item]) -> Iterator[Job]:
    """Yield the jobs that read items: one a file, or several for a file with many."""
    for (path, has_frames), group in groupby(items, key=lambda i: (i.path, i.frame is not None)):
        if not has_frames:
            yield Job(str(root), path)
            continue
        frames = [item.frame for item in group if item.frame is not None]
        for start in range(0, len(frames), _FRAMES_PER_JOB):
            yield Job(str(root), path, tuple(frames[start : start + _FRAMES_PER_JOB]))


def n_items_of(job: Job) -> int:
    """Return how many items a job reads."""
    return 1 if job.frames is None else len(job.frames)
