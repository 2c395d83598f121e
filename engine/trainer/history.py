"""One row per epoch, kept in the state and as ``history.csv`` in the run's folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from engine.files import write_atomic


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRow:
    """What an epoch gave."""

    epoch: int
    train_loss: float
    val_loss: float
    val_auroc: float
    learning_rate: float
    seconds: float


def write_history(path: Path, rows: Sequence[EpochRow]) -> None:
    """Write the rows as CSV, atomically."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [f.name for f in fields(EpochRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_atomic(path, text.getvalue())


def comment_on(rows: Sequence[EpochRow], best_epoch: int) -> str:
    """Say in one plain sentence what the validation results show so far."""
    last = rows[-1]
    if len(rows) == 1:
        return "First pass done. The curves mean more after a few passes."
    if last.epoch == best_epoch:
        return f"Still improving. Epoch {best_epoch} is the best so far and is kept."
    if last.epoch < best_epoch:  # training went back to a state from before the best one
        return f"This pass is made again. Epoch {best_epoch} is the best so far and is kept."
    best, since = rows[best_epoch - 1], rows[best_epoch:]
    # A loss that comes down from where it had jumped to is no learning by heart.
    overfits = last.train_loss < min(best.train_loss, last.val_loss) and all(
        row.val_loss > best.val_loss * 1.05 for row in since
    )
    if overfits and len(since) > 1:  # once alone may be chance
        return (
            f"Learning the training images by heart since epoch {best_epoch}; "
            f"stopping now keeps epoch {best_epoch}."
        )
    n_since = last.epoch - best_epoch
    passes = "pass" if n_since == 1 else "passes"
    return f"No better for {n_since} {passes}. Epoch {best_epoch} is kept whatever happens next."
