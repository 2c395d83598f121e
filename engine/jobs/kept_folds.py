"""What a cross-validation keeps of each fold: its result, its predictions, and its network."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.config_io import from_plain, to_plain
from engine.contract.errors import ConfigError, DamagedFileError, RunError
from engine.contract.searching import CrossvalResult, FoldResult
from engine.files import read_signed_json, signed, write_json
from engine.hardware import Runtime
from engine.jobs.folds import Folds
from engine.project.store import Project
from engine.trainer.best_weights import best_facts

_FILE: Final = "fold.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptFold:
    """A fold that was made.

    Attributes:
        found: Its result.
        probabilities: Of its images, ``(N, K)``, by the network that never saw them.
        runtime: Where it was made; None if an earlier version made it.
        weights: What is known of the pre-trained weights that it began from, likewise.
    """

    found: FoldResult
    probabilities: NDArray[np.float64]
    runtime: Runtime | None
    weights: dict[str, Any] | None


def fold_folder(folder: Path, fold: int) -> Path:
    """Return where a fold, counted from 0, is kept in the folder of its cross-validation."""
    return folder / f"fold-{fold + 1}"


def is_kept(folder: Path) -> bool:
    """Return whether the fold of a folder was made."""
    return (folder / _FILE).is_file()


def read_fold(folder: Path, n_images: int) -> KeptFold:
    """Read a fold that was made, and see that its network can be used.

    Raises:
        DamagedFileError: If what was kept of it, its weights among that, is damaged or missing.
        StorageError: If it can't be read just now.
    """
    plain = read_signed_json(folder / _FILE)
    try:
        found: FoldResult = from_plain(FoldResult, plain["fold"])
        probabilities = np.array(plain["probabilities"], dtype=np.float64)
        runtime = plain.get("runtime")
        kept = KeptFold(
            found=found,
            probabilities=probabilities,
            runtime=None if runtime is None else Runtime(**runtime),
            weights=plain.get("weights"),
        )
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        raise _damaged() from error
    if probabilities.ndim != 2 or len(probabilities) != n_images:
        raise _damaged()
    if not best_facts(folder / "checkpoints"):
        raise _damaged()
    return kept


def _damaged() -> DamagedFileError:
    return DamagedFileError(
        "What was kept of a part of this cross-validation is damaged.",
        remedy="Make the cross-validation again.",
    )


def write_fold(folder: Path, kept: KeptFold) -> None:
    """Keep a fold's result beside its best weights, and drop what its training resumed from.

    Raises:
        StorageError: If the disk is full or read-only.
    """
    assert kept.runtime is not None
    plain = {
        "fold": to_plain(kept.found),
        "probabilities": kept.probabilities.tolist(),
        "runtime": asdict(kept.runtime),
        "weights": kept.weights,
    }
    write_json(folder / _FILE, signed(plain))
    for state in ("last", "previous"):
        shutil.rmtree(folder / "checkpoints" / state, ignore_errors=True)


def read_folds(project: Project, result: CrossvalResult, folds: Folds) -> list[KeptFold]:
    """Read the folds of a cross-validation that has finished.

    Raises:
        RunError: If one of them is missing or damaged.
        StorageError: If one can't be read just now.
    """
    kept = []
    for fold in range(result.n_folds):
        folder = fold_folder(project.run_folder(result.id), fold)
        try:
            if not is_kept(folder):
                raise _damaged()
            kept.append(read_fold(folder, len(folds.held_out(fold))))
        except DamagedFileError as error:
            raise RunError(
                f"What was kept of part {fold + 1} of this cross-validation is damaged.",
                remedy="Make the cross-validation again, or choose another.",
            ) from error
    return kept


def put_together(
    folds: Folds, probabilities: Sequence[NDArray[np.float64]]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the images of all folds, each with what the network said that didn't see it.

    Args:
        folds: The division.
        probabilities: Of each fold's images, in its order.

    Returns:
        Indices into the table, increasing, shape ``(N,)``, and probabilities, shape ``(N, K)``.
    """
    together = np.zeros((len(folds.of_image), probabilities[0].shape[1]))
    for fold, of_fold in enumerate(probabilities):
        together[folds.held_out(fold)] = of_fold
    used = np.flatnonzero(folds.of_image >= 0)
    return used, together[used]
