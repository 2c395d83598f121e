"""What a search keeps while it goes on: its trials, its plan, and a log of where it was.

A search that is ended from outside, by a crash or for its memory, goes on with the next trial when
it is asked for again. The log then says what it was doing, and a trial that the process didn't
survive twice is left out.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from numpy.typing import NDArray

from engine.contract.config_io import finite, from_plain, to_plain
from engine.contract.errors import ConfigError, DamagedFileError, StorageError
from engine.contract.searching import TriedSettings
from engine.files import read_signed_json, signed, write_json

_PLAN_FILE: Final = "plan.json"
_BEGUN_FILE: Final = "begun.json"
_LOG_FILE: Final = "search.log"
_MOST_BEGUN: Final = 2
_MIB: Final = 2**20


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptTrial:
    """A trial that was made.

    Attributes:
        round: From 0.
        passes: Over all training images, in cost.
        probabilities: Of the validation images, ``(N, K)``.
        spent_s: Time that the search had taken in all when it was kept.
    """

    row: TriedSettings
    round: int
    passes: float
    probabilities: NDArray[np.float64]
    spent_s: float

    @property
    def score(self) -> tuple[float, float]:
        """AUROC and loss, by which trials are ranked."""
        return self.row.auroc, self.row.loss


class SearchFolder:
    """The folder of one search.

    Attributes:
        trials: By round from 0 and candidate.
        spent_s: Time that the search has taken in all, as far as trials tell.
        pass_s: Seconds of a pass by backbone, as the last trial left them; earlier versions kept
            none.
        plan: What was kept of the plan; None while there is none.
        damage: What of an earlier process is damaged and will be made again, in plain words.
    """

    def __init__(self, folder: Path) -> None:
        """Take up what an earlier process has left.

        Args:
            folder: Of the search, among those of the runs.
        """
        self._folder = folder
        self.trials: dict[tuple[int, int], KeptTrial] = {}
        self.spent_s, self.pass_s = 0.0, dict[str, float]()
        self.damage = ""
        self.plan = self._read_plan()
        for path in sorted(folder.glob("trial-*.json")):
            self._read(path)
        self._begun = self._read_begun()

    def keep_plan(self, facts: dict[str, Any]) -> None:
        """Keep a plan: rounds that go on later must train alike.

        Raises:
            StorageError: If the disk is full or read-only.
        """
        write_json(self._folder / _PLAN_FILE, signed(facts))

    def keep(self, trial: KeptTrial, pass_s: Mapping[str, float]) -> None:
        """Keep a trial, and how fast backbones are as far as it is known by then.

        Raises:
            StorageError: If the disk is full or read-only.
        """
        number = trial.row.number
        facts = {
            "row": finite(to_plain(trial.row)),
            "passes": trial.passes,
            "spent_s": trial.spent_s,
            "pass_s": dict(pass_s),
            "probabilities": trial.probabilities.tolist(),
        }
        write_json(self._folder / f"trial-{trial.round + 1}-{number}.json", signed(facts))
        self.trials[trial.round, number] = trial
        self.spent_s = trial.spent_s

    def is_carried(self, round_: int, number: int) -> bool:
        """Return whether a trial is that of the round before, since nothing would change."""
        trial, earlier = self.trials[round_, number], self.trials.get((round_ - 1, number))
        return trial.row.epochs == 0 and earlier is not None and trial.passes == earlier.passes

    def is_deadly(self, round_: int, number: int) -> bool:
        """Return whether the process has ended twice in the middle of a trial."""
        return self._begun.get(_name(round_, number), 0) >= _MOST_BEGUN

    @contextmanager
    def trying(self, round_: int, number: int, words: str) -> Iterator[None]:
        """Note that a trial has begun, until it ends in whatever way the process survives."""
        name = _name(round_, number)
        n_before = self._begun.get(name, 0)
        self._begun[name] = n_before + 1
        self._write_begun()
        self.log(f"begins {name}: {words}")
        try:
            yield
        except BaseException as error:
            self.log(f"{name} ended by {type(error).__name__}")
            raise
        finally:
            self._begun.pop(name)
            self._write_begun()
        self.log(f"{name} done")

    def log(self, words: str) -> None:
        """Add a line with the time and the memory of the process; never raises."""
        memory = psutil.Process().memory_info().rss // _MIB
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} [{os.getpid()}, {memory} MiB] {words}\n"
        with (
            contextlib.suppress(OSError),
            (self._folder / _LOG_FILE).open("a", encoding="utf-8") as stream,
        ):
            stream.write(line)

    def _read_plan(self) -> dict[str, Any] | None:
        path, trials = self._folder / _PLAN_FILE, list(self._folder.glob("trial-*.json"))
        if not path.is_file() and not trials:  # it was ended before it had one
            return None
        try:
            if path.is_file():
                return read_signed_json(path)
            what = "gone"
        except DamagedFileError:
            what = "damaged"
        self.damage = f"What this search had planned is {what}, so it begins anew."
        for trial in trials:  # those of another plan can't be compared with those to come
            trial.unlink()
        return None

    def _read(self, path: Path) -> None:
        try:
            plain = read_signed_json(path)
            row: TriedSettings = from_plain(TriedSettings, plain["row"])
            trial = KeptTrial(
                row=row,
                round=row.round - 1,
                passes=float(plain["passes"]),
                probabilities=np.array(plain["probabilities"], dtype=np.float64),
                spent_s=float(plain["spent_s"]),
            )
            pass_s = {str(key): float(value) for key, value in plain.get("pass_s", {}).items()}
        except (DamagedFileError, ConfigError, KeyError, TypeError, ValueError):
            self.damage = "What this search kept of a trial is damaged, so that is made again."
            return
        self.trials[trial.round, row.number] = trial
        if trial.spent_s >= self.spent_s:
            self.spent_s, self.pass_s = trial.spent_s, pass_s

    def _read_begun(self) -> dict[str, int]:
        try:
            plain = read_signed_json(self._folder / _BEGUN_FILE)
            return {str(name): int(n) for name, n in plain.items()}
        except (StorageError, TypeError, ValueError):  # then none counts as begun
            return {}

    def _write_begun(self) -> None:
        with contextlib.suppress(
            StorageError
        ):  # on a full disk the search waits where it keeps trials
            write_json(self._folder / _BEGUN_FILE, signed(self._begun))


def _name(round_: int, number: int) -> str:
    return f"trial {round_ + 1}-{number}"
