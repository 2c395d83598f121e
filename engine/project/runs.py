"""The run history: what was tried, how it ended, what it showed on the test set."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from engine.contract.config import BackboneConfig, ExperimentConfig
from engine.contract.config_io import config_from_json, config_to_json, from_plain, to_plain
from engine.contract.errors import ConfigError, DatasetError, RunError
from engine.contract.records import RunSummary
from engine.contract.results import EvaluationResult
from engine.contract.run_states import INTERRUPTED, RESUMABLE, RUNNING, UNDER_WAY, may_follow
from engine.files import long_path
from engine.project.classes import MULTI
from engine.project.folder import RUNS_FOLDER
from engine.project.run_data import (
    Change,
    data_changes,
    kept_run_data,
    present_versions,
    read_run_data,
    run_data,
    version_changes,
    write_run_data,
)
from engine.project.run_findings import learned_findings
from engine.project.splits import SplitStore
from engine.project.table import TrainingTable

_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CHECKPOINTS: Final = ("last", "previous")
_UNREADABLE: Final = Change(
    sentence="What this run began with (images.npz in its folder) can't be read, so it can't be "
    "said what has changed.",
    is_fatal=False,
)


class RunStore(SplitStore):
    """Runs and evaluations of a project."""

    def run_folder(self, run: str) -> Path:
        """Return the folder of a run, whether it exists or not.

        Raises:
            ValueError: If ``run`` can't be the name of a folder on every system.
        """
        if not _RUN_ID.fullmatch(run) or run.endswith("."):
            raise ValueError(f"not a run id: {run!r}")
        return self.folder / RUNS_FOLDER / run

    def add_run(self, run: str, config: ExperimentConfig) -> None:
        """Enter a run that starts now, with digests of the data and the split it starts from.

        Raises:
            ValueError: If there is a run of this id.
        """
        self.run_folder(run)
        with self.transaction():
            self.db.execute(
                """
                INSERT INTO runs (id, created, state, config, preset, backbone, method,
                                  data_digest, split_digest)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                (
                    run,
                    time.time(),
                    RUNNING,
                    config_to_json(config),
                    config.preset,
                    config.backbone.key,
                    config.method.key,
                    self.data_digest(),
                    self.split_digest(),
                ),
            )

    def update_run(
        self,
        run: str,
        *,
        state: str | None = None,
        outcome: str | None = None,
        val_auroc: float | None = None,
        epochs: int | None = None,
        seconds: float | None = None,
        error: str | None = None,
    ) -> None:
        """Change what is known of a run; None leaves a field as it is.

        Args:
            run: Its id.
            state: One of ``engine.contract.run_states``; ``running`` clears an earlier error.
            outcome: How it ended; becomes its state.
            val_auroc: Best on validation so far.
            epochs: Finished so far.
            seconds: Computed so far.
            error: What happened, for the history.

        Raises:
            RunError: If there is no such run.
            ValueError: If the state is unknown, or can't follow the present one.
        """
        state = outcome or state
        with self.transaction():
            before = self._state_of(run)
            if state is not None and not may_follow(before, state):
                raise ValueError(f"a run that is {before} can't become {state}")
            self.db.execute(
                """
                UPDATE runs SET state = coalesce(:state, state),
                    val_auroc = coalesce(:val_auroc, val_auroc), epochs = coalesce(:epochs, epochs),
                    seconds = coalesce(:seconds, seconds),
                    error = CASE WHEN :state = 'running' THEN :error
                                 ELSE coalesce(:error, error) END
                WHERE id = :run
                """,
                {
                    "run": run,
                    "state": state,
                    "val_auroc": val_auroc,
                    "epochs": epochs,
                    "seconds": seconds,
                    "error": error,
                },
            )

    def runs(self, *, has_worker: bool = True) -> tuple[RunSummary, ...]:
        """Return the run history, newest first.

        Args:
            has_worker: Whether a worker may be at a run of this project. Without one, a run that is
                still marked as under way was cut off, and a full disk, say, refused to note it.
        """
        with self.db.snapshot():
            rows = self.db.all(
                """
                SELECT id, created, state, preset, backbone, method, val_auroc, epochs, seconds,
                       error, looks, data_digest, split_digest,
                       json_extract(config, '$.backbone.weights')
                FROM runs ORDER BY created DESC, rowid DESC
                """
            )
            now = (self.data_digest(), self.split_digest()) if rows else ("", "")
            is_multi = self.task == MULTI
        return tuple(
            self._summary(
                row,
                state=INTERRUPTED if row[2] in UNDER_WAY and not has_worker else row[2],
                is_stale=(row[11], row[12]) != now,
                is_multi=is_multi,
            )
            for row in rows
        )

    def run_summary(self, run: str, *, has_worker: bool = True) -> RunSummary:
        """Return what the history says of one run; see :meth:`runs`.

        Raises:
            RunError: If there is no such run.
        """
        runs = self.runs(has_worker=has_worker)
        found = next((summary for summary in runs if summary.id == run), None)
        if found is None:
            raise _no_run(run)
        return found

    def _summary(
        self, row: tuple[Any, ...], *, state: str, is_stale: bool, is_multi: bool
    ) -> RunSummary:
        can_go_on = state in RESUMABLE  # without a saved state: from its start
        changes = self._changes(row[0], is_stale=is_stale) if can_go_on else ()
        return RunSummary(
            id=row[0],
            created=row[1],
            state=state,
            preset=row[3],
            backbone=row[4],
            method=row[5],
            val_auroc=row[6],
            epochs=row[7],
            seconds=row[8],
            error=row[9],
            looks=row[10],
            is_stale=is_stale,
            is_resumable=can_go_on and not any(change.is_fatal for change in changes),
            changes=tuple(change.sentence for change in changes),
            findings=learned_findings(self.run_folder(row[0])) if is_multi else (),
            weights=row[13] or BackboneConfig().weights,
            has_saved_state=self.has_saved_state(row[0]),
        )

    def keep_run_data(self, run: str, table: TrainingTable) -> None:
        """Keep what a run learns from, to tell later what has changed.

        Of one that goes on, what it began with stays: what has changed since is still to be told
        when it goes on once more.

        Raises:
            StorageError: If the disk is full or can't be written.
        """
        folder = self.run_folder(run)
        then = read_run_data(folder)
        write_run_data(folder, then or run_data(table, self._file_digests()))

    def keep_versions(self, run: str) -> None:
        """Keep with which versions a run goes on, so that these aren't asked about again.

        Raises:
            StorageError: If the disk is full or can't be written.
        """
        folder = self.run_folder(run)
        if (then := read_run_data(folder)) is not None:
            write_run_data(folder, replace(then, versions=present_versions()))

    def _file_digests(self) -> dict[int, str]:
        return dict(self.db.all("SELECT id, sha256 FROM records"))

    def _changes(self, run: str, *, is_stale: bool) -> tuple[Change, ...]:
        """Return what has changed since a run that can be gone on with was cut off."""
        folder = self.run_folder(run)
        then = read_run_data(folder)
        if then is not None:
            versions = version_changes(then)
        else:
            versions = (_UNREADABLE,) if kept_run_data(folder) else ()
        if not is_stale:
            return versions
        found: tuple[Change, ...] = ()
        try:
            image, known = self.run_config(run).image, self.image_contract
            if image != known:
                size = f"at {known.size_px} px instead of {image.size_px}"
                how = size if known.size_px != image.size_px else "in another way"
                found = (Change(sentence=f"Images are prepared {how} now.", is_fatal=True),)
            elif then is not None:
                found = data_changes(then, run_data(self.training_table(), self._file_digests()))
        except (ConfigError, DatasetError) as error:
            found = (Change(sentence=error.message, is_fatal=True),)
        if not found:
            found = (Change(sentence="The images, labels or split have changed.", is_fatal=True),)
        elif not any(change.is_fatal for change in found):
            told = "To measure the run on its test images afterwards, undo that first."
            found += (Change(sentence=told, is_fatal=False),)
        return versions + found

    def has_saved_state(self, run: str) -> bool:
        """Return whether a run has left something to go on from."""
        folder = long_path(self.run_folder(run) / "checkpoints")
        return any((folder / name).exists() for name in _CHECKPOINTS)

    def run_mark(self, run: str) -> str:
        """Return what tells this project alone which run it was, to be written into bundles."""
        return self.hashed(f"run {run}")

    def run_of_mark(self, mark: str) -> str | None:
        """Return the run of a bundle's mark; None if it is none of this project's."""
        runs = self.db.all("SELECT id FROM runs")
        return next((run for (run,) in runs if self.run_mark(run) == mark), None)

    def run_config(self, run: str) -> ExperimentConfig:
        """Return the settings of a run.

        Raises:
            RunError: If there is no such run.
            ConfigError: If a newer version wrote them.
        """
        text = self.db.value("SELECT config FROM runs WHERE id = ?", (run,))
        if text is None:
            raise _no_run(run)
        return config_from_json(text)

    def method_facts(self, run: str) -> dict[str, Any]:
        """Return what a run's method says of the network it kept; empty where it says nothing.

        Raises:
            ValueError: If ``run`` can't be a run's id.
        """
        path = self.run_folder(run) / "checkpoints" / "best" / "facts.json"
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))["method_facts"]
        except (OSError, ValueError, KeyError, TypeError):  # not there yet, or damaged
            return {}
        return dict(facts) if isinstance(facts, dict) else {}

    def interrupt_leftovers(self) -> list[str]:
        """Mark runs that no worker computes any more as interrupted, and return their ids.

        For whoever has just acquired the project's lock, so that no worker can be alive.
        """
        with self.transaction():
            rows = self.db.all(
                "UPDATE runs SET state = ? WHERE state IN (?, ?) RETURNING id",
                (INTERRUPTED, *UNDER_WAY),
            )
        return [row[0] for row in rows]

    def count_look(self, run: str) -> int:
        """Count a look at the test set before it happens, and return how many there now are.

        Raises:
            RunError: If there is no such run.
        """
        with self.transaction():
            self._require_run(run)
            self.db.execute("UPDATE runs SET looks = looks + 1 WHERE id = ?", (run,))
            return int(self.db.value("SELECT looks FROM runs WHERE id = ?", (run,)))

    def save_evaluation(self, run: str, result: EvaluationResult) -> None:
        """Keep the result of a look; earlier ones stay in the database.

        Raises:
            RunError: If there is no such run.
        """
        with self.transaction():
            self._require_run(run)
            # Python's JSON keeps the infinite threshold at which a ROC curve begins.
            self.db.execute(
                "INSERT INTO evaluations (run, at, result) VALUES (?, ?, ?)",
                (run, time.time(), json.dumps(to_plain(result))),
            )

    def evaluation(self, run: str) -> EvaluationResult | None:
        """Return the newest result of a run, or None if its test set hasn't been looked at."""
        text = self.db.value(
            "SELECT result FROM evaluations WHERE run = ? ORDER BY id DESC LIMIT 1", (run,)
        )
        if text is None:
            return None
        result: EvaluationResult = from_plain(EvaluationResult, json.loads(text))
        return result

    def _require_run(self, run: str) -> None:
        self._state_of(run)

    def _state_of(self, run: str) -> str:
        state: str | None = self.db.value("SELECT state FROM runs WHERE id = ?", (run,))
        if state is None:
            raise _no_run(run)
        return state


def _no_run(run: str) -> RunError:
    return RunError(
        f"There is no run {run} in this project.",
        remedy="Choose one that 'radtune-engine runs' lists: each has a folder of its name in the "
        f"project's folder “{RUNS_FOLDER}”.",
    )
