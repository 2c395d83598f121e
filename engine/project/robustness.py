"""Where a run's robustness is kept: ``evaluation/robustness.json`` in the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.contract.config_io import finite, from_plain, to_plain
from engine.contract.errors import ConfigError, RunError, StorageError
from engine.contract.results import RobustnessResult
from engine.files import long_path, make_folder, read_json, write_json
from engine.project.folder import RUNS_FOLDER

_FOLDER: Final = "evaluation"
_FILE: Final = "robustness.json"


def save_robustness(project: Path, result: RobustnessResult) -> None:
    """Keep a result in place of the run's earlier one.

    Args:
        project: The project's folder.
        result: Names its run.

    Raises:
        StorageError: If the disk is full or read-only.
    """
    path = _path(project, result.run)
    make_folder(path.parent, parents=False)
    write_json(path, finite(to_plain(result)))


def read_robustness(project: Path, run: str) -> RobustnessResult | None:
    """Return what was measured last, or None if nothing was.

    Args:
        project: The project's folder.
        run: The run's id.

    Raises:
        RunError: If the file is damaged.
    """
    path = _path(project, run)
    if not long_path(path).is_file():
        return None
    try:
        result: RobustnessResult = from_plain(RobustnessResult, read_json(path))
    except (ConfigError, StorageError) as error:
        raise RunError(
            "The robustness of this run was measured, but the file can't be read.",
            remedy="Measure it again.",
        ) from error
    return result


def _path(project: Path, run: str) -> Path:
    return project / RUNS_FOLDER / run / _FOLDER / _FILE
