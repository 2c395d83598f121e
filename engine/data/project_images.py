"""Images of a project as the rows of a label sheet may name them; no original need be there."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from functools import cached_property
from pathlib import Path

from engine.contract.errors import UnreadableImageError
from engine.data.file_index import AMBIGUOUS, NOT_FOUND, FileIndex
from engine.data.joins import Images, Tick
from engine.project.places import file_days, record_places
from engine.project.store import Project


class ProjectImages(Images):
    """Images of a project; a key is the number of the source and the path.

    Paths and patients are known to the project. UIDs are not, so that for these the headers of the
    originals are read.
    """

    def __init__(self, project: Project, sheet: Path, tick: Tick) -> None:
        """Look at the records.

        Args:
            project: The project.
            sheet: The sheet, which its paths may be relative to.
            tick: Called for every header that is read; may raise to give up.
        """
        self._project, self._tick = project, tick
        self._paths: dict[str, tuple[int, str]] = {}
        self._roots = {source.id: source.root for source in project.sources()}
        self.records: dict[str, dict[int, int]] = defaultdict(dict)
        for record, source, path, frame in record_places(project):
            key = f"{source}:{path}"
            self._paths[key] = source, path
            self.records[key][frame] = record
        files: dict[int, list[str]] = defaultdict(list)
        for source, path in self._paths.values():
            files[source].append(path)
        self._index = _ProjectIndex(
            {s: FileIndex(self._roots[s], sheet.parent, names) for s, names in files.items()}
        )

    def has(self, written: str) -> bool:
        """Return whether a cell names an image of the project by its path or name."""
        return self._index.find(written) is not None

    def index(self) -> _ProjectIndex:
        """Return the images by their paths."""
        return self._index

    def by_sop_uid(self) -> dict[str, list[str]]:
        """Return images by UID, as far as their originals can be read."""
        from engine.data.dicom_header import read_join_keys  # pydicom takes a while to import

        found: dict[str, list[str]] = defaultdict(list)
        for key, (source, path) in self._paths.items():
            self._tick()
            try:
                uid = read_join_keys(self._roots[source] / path).sop_uid
            except UnreadableImageError:
                continue
            if uid:
                found[uid].append(key)
        return found

    def of_patient(self, raw_id: str) -> Sequence[tuple[str, Hashable]]:
        """Return images and days of a patient, found by the hash of the id."""
        return self._by_patient.get(self._project.hashed(raw_id), [])

    def day(self, date: datetime.date) -> Hashable:
        """Return a date as the project keeps it."""
        return self._project.day(date)

    @cached_property
    def _by_patient(self) -> dict[str, list[tuple[str, Hashable]]]:
        found: dict[str, list[tuple[str, Hashable]]] = defaultdict(list)
        for digest, source, path, day in file_days(self._project):
            found[digest].append((f"{source}:{path}", day))
        return found


class _ProjectIndex:
    """The indexes of several sources as one; what two of them find is ambiguous."""

    def __init__(self, indexes: dict[int, FileIndex]) -> None:
        self._indexes = indexes

    def find(self, written: str) -> str | None:
        return self.find_by_path(written) or self.find_by_name(written)

    def find_by_path(self, written: str) -> str | None:
        return _only((s, index.find_by_path(written)) for s, index in self._indexes.items())

    def find_by_name(self, written: str) -> str | None:
        return _only((s, index.find_by_name(written)) for s, index in self._indexes.items())

    def find_folder(self, written: str) -> list[str]:
        return [
            f"{source}:{path}"
            for source, index in self._indexes.items()
            for path in index.find_folder(written)
        ]

    def why_not(self, written: str) -> str:
        reasons = [index.why_not(written) for index in self._indexes.values()]
        n_found = sum(index.find(written) is not None for index in self._indexes.values())
        return AMBIGUOUS if AMBIGUOUS in reasons or n_found > 1 else NOT_FOUND


def _only(found: Iterable[tuple[int, str | None]]) -> str | None:
    keys = [f"{source}:{path}" for source, path in found if path is not None]
    return keys[0] if len(keys) == 1 else None
