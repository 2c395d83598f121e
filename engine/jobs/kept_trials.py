"""What a run's method found out by trying settings, kept until the run has finished.

A run that is interrupted while its method tries settings begins again from its start. What was
tried by then is taken from here, with the bits that it had.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.config import ExperimentConfig
from engine.contract.config_io import config_to_json
from engine.files import long_path, make_folder, write_atomic

_DIGEST_BYTES: Final = 32
"""Of the SHA-256 that stands before the array, in NumPy's own format."""


class KeptTrials:
    """The finished trials of one run.

    Args:
        folder: Of the trials, in the run's folder; made when there is something to keep.
        data_digest: Of the images and labels that trials learn from.
        split_digest: Of their division.
    """

    def __init__(self, folder: Path, *, data_digest: str, split_digest: str) -> None:
        self._folder = folder
        self._digests = [data_digest, split_digest]

    def find(self, config: ExperimentConfig, epochs: int) -> NDArray[np.float64] | None:
        """Return what a trial gave on the validation images, ``(N, K)``.

        Args:
            config: All of its settings.
            epochs: Epoch of their schedule that it ended with.

        Returns:
            None if that trial wasn't finished, or what was kept of it is damaged.
        """
        try:
            found = self._path(config, epochs).read_bytes()
        except OSError:
            return None
        digest, data = found[:_DIGEST_BYTES], found[_DIGEST_BYTES:]
        if hashlib.sha256(data).digest() != digest:
            return None
        kept: NDArray[np.float64] = np.load(io.BytesIO(data), allow_pickle=False)
        return kept

    def keep(
        self, config: ExperimentConfig, epochs: int, probabilities: NDArray[np.float64]
    ) -> None:
        """Keep what a trial gave that came to its end.

        Raises:
            StorageError: If the disk is full or can't be written.
        """
        stream = io.BytesIO()
        np.save(stream, probabilities, allow_pickle=False)
        data = stream.getvalue()
        make_folder(self._folder, parents=False)
        write_atomic(self._path(config, epochs), hashlib.sha256(data).digest() + data)

    def drop(self) -> None:
        """Remove them all, as far as the disk lets us."""
        shutil.rmtree(long_path(self._folder), ignore_errors=True)

    def _path(self, config: ExperimentConfig, epochs: int) -> Path:
        facts = json.dumps([config_to_json(config), epochs, *self._digests])
        return long_path(self._folder / f"{hashlib.sha256(facts.encode()).hexdigest()[:32]}.trial")
