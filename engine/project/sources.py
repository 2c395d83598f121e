"""Where the originals are: folders that may move, files that may be missing or unreadable."""

from __future__ import annotations

import json
import os
import time
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.contract.config_io import from_plain, to_plain
from engine.contract.import_rules import FramePolicy
from engine.contract.records import SkippedFile
from engine.files import long_path
from engine.project.folder import ProjectFolder, readable

_IDS_PER_QUERY: Final = 900  # below the 999 parameters that old SQLite builds allow


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A folder that images were imported from.

    Attributes:
        root: Where it is now, as far as known; may hold an identifier, so never log it.
        kind: What it was imported as, in the scanner's words.
        frames: Which frames of its files were taken; its axis is that of all its volumes.
    """

    id: int
    root: Path
    kind: str
    n_images: int
    n_skipped: int
    frames: FramePolicy = field(default_factory=FramePolicy)


@dataclass(frozen=True, slots=True)
class KnownFile:
    """What is known of an imported file, to see whether it changed since.

    Attributes:
        n_frames: Frames of the file; 0 where nobody looked.
    """

    record: int
    n_bytes: int
    mtime_ns: int
    sha256: str
    n_frames: int = 0


@dataclass(frozen=True, slots=True)
class Original:
    """Where a record comes from.

    Attributes:
        root: Folder of its source.
        path: File, relative to ``root``.
        frame: Frame, page or slice of the file.
        axis: Plane of the slices, where the file is a volume.
    """

    root: Path
    path: str
    frame: int
    axis: str

    @property
    def file(self) -> Path:
        """The file."""
        return long_path(self.root / self.path)


def file_key(path: str, *, ignores_case: bool = os.name == "nt") -> str:
    """Return a relative path in the form in which two spellings of one file are equal.

    Accented letters are composed (macOS stores them decomposed), and on Windows case is dropped.
    """
    key = unicodedata.normalize("NFC", path.replace("\\", "/") if os.name == "nt" else path)
    return key.casefold() if ignores_case else key


class SourceStore(ProjectFolder):
    """Sources of a project."""

    def add_source(self, root: Path, kind: str) -> int:
        """Return the id of a source folder, adding it if it is new.

        Args:
            root: The folder.
            kind: What it is imported as, such as ``folder`` or ``table``.
        """
        root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow mapped drives
        known = self.source_at(root)
        if known is not None:
            return known
        with self.transaction():
            cursor = self.db.execute(
                "INSERT INTO sources (root, root_from_project, kind, added) VALUES (?, ?, ?, ?)",
                (*self._stored_root(root), kind, time.time()),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def source_at(self, root: Path) -> int | None:
        """Return the id of the source with this folder, or None."""
        wanted = os.path.normcase(os.path.abspath(root))  # noqa: PTH100 - as add_source
        rows = self.db.all("SELECT id, root, root_from_project FROM sources ORDER BY id")
        for id_, *stored in rows:
            if os.path.normcase(self._present_root(*stored)) == wanted:
                return int(id_)
        return None

    def next_source_id(self) -> int:
        """Return the id that :meth:`add_source` gives the next new folder."""
        return int(self.db.value("SELECT coalesce(max(id), 0) + 1 FROM sources"))

    def set_frame_policy(self, source_id: int, policy: FramePolicy) -> None:
        """Remember which frames of a source's files were taken."""
        with self.transaction():
            self.db.execute(
                "UPDATE sources SET frames = ? WHERE id = ?",
                (json.dumps(to_plain(policy)), source_id),
            )

    def frame_policy(self, source_id: int) -> FramePolicy:
        """Return which frames of a source's files were taken.

        Raises:
            ValueError: If there is no such source.
        """
        text = self.db.value("SELECT frames FROM sources WHERE id = ?", (source_id,))
        if text is None:
            raise ValueError(f"there is no source {source_id}")
        policy: FramePolicy = from_plain(FramePolicy, json.loads(text))
        return policy

    def has_volumes(self, source_id: int) -> bool:
        """Return whether images of a source are slices of volumes."""
        found = "SELECT 1 FROM records WHERE source_id = ? AND format = 'NIfTI' LIMIT 1"
        return self.db.value(found, (source_id,)) is not None

    def sources(self) -> tuple[Source, ...]:
        """Return every source, oldest first."""
        rows = self.db.all(
            """
            SELECT id, root, root_from_project, kind, frames,
                   (SELECT count(*) FROM records WHERE source_id = sources.id),
                   (SELECT count(*) FROM skipped WHERE source_id = sources.id)
            FROM sources ORDER BY id
            """
        )
        return tuple(
            Source(
                id=id_,
                root=self._present_root(root, relative),
                kind=kind,
                frames=from_plain(FramePolicy, json.loads(frames)),
                n_images=n_images,
                n_skipped=n_skipped,
            )
            for id_, root, relative, kind, frames, n_images, n_skipped in rows
        )

    def note_patient_source(self, name: str) -> None:
        """Remember where an import's patient ids came from, in the words of ``PatientRule``."""
        known = self.patient_sources()
        if name not in known:
            with self.transaction():
                self._set_meta("patient_sources", ",".join((*known, name)))

    def patient_sources(self) -> tuple[str, ...]:
        """Return where the patient ids of all imports came from, in the words of ``PatientRule``.

        Empty for a project of an earlier version, which didn't say.
        """
        text = self._meta("patient_sources")
        return tuple(text.split(",")) if text else ()

    def source_root(self, source_id: int) -> Path:
        """Return where a source is now, as far as known.

        Raises:
            ValueError: If there is no such source.
        """
        row = self.db.one("SELECT root, root_from_project FROM sources WHERE id = ?", (source_id,))
        if row is None:
            raise ValueError(f"there is no source {source_id}")
        return self._present_root(*row)

    def _stored_root(self, root: Path) -> tuple[bytes, bytes | None]:
        """Return a folder by itself and as seen from the project (None across Windows drives).

        As bytes, since a folder's name on Linux need not be text.
        """
        try:
            relative = Path(os.path.relpath(root, self.folder)).as_posix()
        except ValueError:
            return os.fsencode(root), None
        return os.fsencode(root), os.fsencode(relative)

    def _present_root(self, root: bytes, relative: bytes | None) -> Path:
        """Prefer the place itself; a project that moved together with its images follows."""
        absolute = Path(os.fsdecode(root))
        if relative is None or long_path(absolute).is_dir():
            return absolute
        moved = Path(os.path.normpath(self.folder / os.fsdecode(relative)))
        return moved if long_path(moved).is_dir() else absolute

    def known_files(self, source_id: int) -> dict[tuple[str, int], KnownFile]:
        """Return what was imported from a source, by :func:`file_key` and frame."""
        rows = self.db.all(
            "SELECT path, frame, id, n_bytes, mtime_ns, sha256, n_frames FROM records "
            "WHERE source_id = ?",
            (source_id,),
        )
        return {(file_key(path), frame): KnownFile(*facts) for path, frame, *facts in rows}

    def original_path(self, record_id: int) -> Path:
        """Return where the original of a record should be.

        Raises:
            ValueError: If there is no such record.
        """
        return self.original_paths([record_id])[0]

    def original_paths(self, record_ids: Sequence[int]) -> list[Path]:
        """Return where the originals of records should be, in the order asked.

        Raises:
            ValueError: If one of the records doesn't exist.
        """
        return [original.file for original in self.originals(record_ids)]

    def originals(self, record_ids: Sequence[int]) -> list[Original]:
        """Return files and frames of records, in the order asked.

        Raises:
            ValueError: If one of the records doesn't exist.
        """
        sources = {source.id: source for source in self.sources()}
        found: dict[int, Original] = {}
        wanted = [int(record) for record in record_ids]
        for start in range(0, len(wanted), _IDS_PER_QUERY):
            part = wanted[start : start + _IDS_PER_QUERY]
            marks = ",".join("?" * len(part))
            rows = self.db.all(
                f"SELECT id, source_id, path, frame FROM records WHERE id IN ({marks})", part
            )
            for record, source_id, path, frame in rows:
                source = sources[source_id]
                found[record] = Original(source.root, path, frame, source.frames.axis)
        if missing := next((record for record in wanted if record not in found), None):
            raise ValueError(f"there is no record {missing}")
        return [found[record] for record in wanted]

    def relink(self, source_id: int, new_root: Path) -> tuple[int, int]:
        """Say that a source's folder is now elsewhere.

        The source moves only if at least one of its images is found there. Names are compared with
        either way of writing accents, and by the disk's own rule on case.

        Args:
            source_id: The source that moved.
            new_root: Where its folder is now.

        Returns:
            Number of images found and number missing at ``new_root``.
        """
        root = Path(os.path.abspath(new_root))  # noqa: PTH100 - as in add_source
        rows = self.db.all("SELECT id, path FROM records WHERE source_id = ?", (source_id,))
        renamed: list[tuple[str, int]] = []
        n_found = 0
        for record, path in rows:
            spelling = _found_as(root, path)
            n_found += spelling is not None
            if spelling is not None and spelling != path:
                renamed.append((spelling, record))
        if n_found:
            with self.transaction():
                self.db.execute(
                    "UPDATE sources SET root = ?, root_from_project = ? WHERE id = ?",
                    (*self._stored_root(root), source_id),
                )
                self.db.execute_many("UPDATE records SET path = ? WHERE id = ?", renamed)
        return n_found, len(rows) - n_found

    def missing_originals(self, *, sample: int | None = None) -> list[int]:
        """Return the records whose original isn't where it should be.

        Args:
            sample: Look at this many, spread over the project; None looks at all, which takes
                about 10 s for 100,000 images on a network disk.
        """
        roots = {source.id: source.root for source in self.sources()}
        rows = self.db.all("SELECT id, source_id, path FROM records ORDER BY id")
        if sample is not None and 0 < sample < len(rows):
            rows = [rows[i * len(rows) // sample] for i in range(sample)]
        return [
            record for record, source, path in rows if not long_path(roots[source] / path).is_file()
        ]

    def add_skipped(self, source_id: int, files: Iterable[SkippedFile]) -> None:
        """Remember files that were left out; a newer reason replaces an older one.

        Letters of a name that aren't valid Unicode are kept as question marks.
        """
        with self.transaction():
            self.db.execute_many(
                """
                INSERT INTO skipped (source_id, path, reason, kind) VALUES (?, ?, ?, ?)
                ON CONFLICT (source_id, path)
                DO UPDATE SET reason = excluded.reason, kind = excluded.kind
                """,
                [(source_id, readable(file.path), file.reason, file.kind) for file in files],
            )

    def skipped(self) -> tuple[SkippedFile, ...]:
        """Return the files that were left out, with the reason."""
        rows = self.db.all("SELECT path, reason, kind FROM skipped ORDER BY source_id, path")
        return tuple(SkippedFile(path=path, reason=why, kind=kind) for path, why, kind in rows)


def _found_as(root: Path, path: str) -> str | None:
    """Return the spelling of ``path`` under which a file exists beneath ``root``, or None."""
    for form in (path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path)):
        if long_path(root / form).is_file():
            return form
    return None
