"""What every part of a project shares: its folder, its database, its salt."""

from __future__ import annotations

import hashlib
import hmac
import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from engine.contract.config import ImageContract
from engine.contract.config_io import from_plain, to_plain
from engine.contract.errors import ProjectError, StorageError
from engine.project.database import Database
from engine.project.lock import ProjectLock

CACHE_FOLDER: Final = "cache"
RUNS_FOLDER: Final = "runs"
BUNDLES_FOLDER: Final = "bundles"
PRETRAINED_FOLDER: Final = "pretrained"
KEPT_FOLDER: Final = "source"
"""Of a run's folder: its copy of the classifier that it applies."""
PARTS: Final = (CACHE_FOLDER, RUNS_FOLDER, BUNDLES_FOLDER, PRETRAINED_FOLDER)
_HASH_DIGITS: Final = 32


def readable(name: str) -> str:
    """Return a file's name as text that can be kept and shown; on Linux it may be any bytes."""
    return name.encode("utf-8", errors="replace").decode("utf-8")


class ProjectFolder:
    """An open project folder.

    Attributes:
        folder: Where it is, absolute.
        db: Its database; for the modules of ``engine.project`` alone.
        lock: What keeps others from writing, taken anew after the project was away; None if nobody
            sees to that.
    """

    def __init__(self, folder: Path, db: Database) -> None:
        self.folder = folder
        self.db = db
        self.lock: ProjectLock | None = None
        self._was_away = False
        self._salt = bytes.fromhex(self._meta("salt") or "")

    @property
    def name(self) -> str:
        """What the user calls the project."""
        return self._meta("name") or self.folder.stem

    @property
    def salt(self) -> bytes:
        """Random bytes of this project that go into every hash of an identifier."""
        return self._salt

    @property
    def is_read_only(self) -> bool:
        """Whether this instance may only read."""
        return self.db.is_read_only

    @property
    def cache_folder(self) -> Path:
        """Where segments lie."""
        return self.folder / CACHE_FOLDER

    @property
    def bundles_folder(self) -> Path:
        """Where exported bundles go unless the user names a place."""
        return self.folder / BUNDLES_FOLDER

    @property
    def image_contract(self) -> ImageContract:
        """How the project's files become pixels; new runs start from it."""
        text = self._meta("image_contract")
        if text is None:
            return ImageContract()
        contract: ImageContract = from_plain(ImageContract, json.loads(text))
        return contract

    @image_contract.setter
    def image_contract(self, contract: ImageContract) -> None:
        with self.transaction():
            self._set_meta("image_contract", json.dumps(to_plain(contract)))
            self.note_data_change()

    def require_there(self) -> None:
        """Check that the project still lies where it was opened.

        For whoever is about to write files into its folder. Where a drive is taken off or a folder
        renamed, the open database goes on working while files would go to the old place, and
        nobody would find them. A project that was away and is back is opened anew.

        Raises:
            ProjectError: If it is back, but another session has opened it meanwhile. From then on
                nothing is written to its database.
            StorageError: If it isn't there, or another project is.
        """
        if not self.db.is_there():
            self._was_away = True
            if not self.db.open_again(self._is_ours):
                raise StorageError(
                    "The project's folder or drive isn't there any more.",
                    remedy="Connect the drive again, or give the folder its former name and place: "
                    "what is under way goes on by itself then. Or cancel it.",
                )
        if self._was_away:
            self._take_lock()
            self._was_away = False

    def _take_lock(self) -> None:
        try:
            if self.lock is not None:
                self.lock.retake()
        except ProjectError:
            self.db.is_read_only = True
            raise

    def _is_ours(self, found: Database) -> bool:
        salt = found.value("SELECT value FROM meta WHERE key = 'salt'")
        return bool(salt == self._salt.hex())

    def transaction(self) -> AbstractContextManager[None]:
        """Keep several changes together, and on disk together; keep it short (20 ms).

        Raises:
            ProjectError: If the project is open for reading only, or busy.
            StorageError: If the disk refuses.
        """
        return self.db.transaction()

    def hashed(self, identifier: str) -> str:
        """Return what may be stored instead of an identifier: 32 hexadecimal digits.

        HMAC-SHA-256 with the project's salt (RFC 2104), so that the same person has unrelated
        hashes in two projects. Blanks around the identifier don't count.
        """
        text = identifier.strip().encode("utf-8", errors="surrogatepass")
        return hmac.new(self._salt, text, hashlib.sha256).hexdigest()[:_HASH_DIGITS]

    def note_data_change(self) -> None:
        """Say that something a run depends on changed; inside the transaction that changes it."""
        self._set_meta("data_revision", str(self.data_revision() + 1))

    def data_revision(self) -> int:
        """Return a counter that grows whenever something a run depends on changes."""
        return int(self._meta("data_revision") or 0)

    def _meta(self, key: str) -> str | None:
        value: str | None = self.db.value("SELECT value FROM meta WHERE key = ?", (key,))
        return value

    def _set_meta(self, key: str, value: str) -> None:
        self.db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )
