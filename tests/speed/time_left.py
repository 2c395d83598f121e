"""How far the time that a run says is left is from the truth, by the clock.

``python -m tests.speed.time_left [--project P] [--preset standard] [--epochs 8]``: trains on a
project with a split (the simulated study if none is given), to the last epoch, and compares every
estimate from the first twenty seconds on with what was then left. A run that ends before its last
epoch says so: what it tells is "at most".
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from engine.contract.commands import MakeSample, MakeSplit, Scan, Train
from engine.contract.config import preset_config
from engine.contract.control import Control
from engine.contract.events import COMPLETED, BatchFinished, EpochFinished, Event
from engine.run import execute
from tests.speed.machine import describe_machine

_AFTER_S: Final = 20.0
_NEAR_END_S: Final = 5.0  # of less than that a quarter is no news to anybody


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path)
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as name:
        project = arguments.project or _make_project(Path(name))
        _measure(project, arguments.preset, arguments.epochs)


def _make_project(folder: Path) -> Path:
    source, project = folder / "images", folder / "study.radtune"
    for command in (
        MakeSample(out=str(source)),
        Scan(source=str(source), project=str(project)),
        MakeSplit(project=str(project)),
    ):
        done = execute(command, lambda _: None, Control())
        if done.outcome != COMPLETED:
            raise SystemExit(done.error)
    return project


def _measure(project: Path, preset: str, n_epochs: int) -> None:
    config = preset_config(preset, method="full_finetune")
    method = replace(config.method, max_epochs=n_epochs, patience=n_epochs)
    told: list[tuple[float, float]] = []
    ends: list[float] = []
    began = 0.0

    def note(event: Event) -> None:
        nonlocal began
        now = time.perf_counter()
        if isinstance(event, BatchFinished):
            began = began or now
            if event.seconds_left is not None:
                told.append((now, event.seconds_left))
        elif isinstance(event, EpochFinished):
            ends.append(now)

    command = Train(project=str(project), config=replace(config, method=method))
    finished = execute(command, note, Control())
    if finished.outcome != COMPLETED or len(ends) < n_epochs:
        raise SystemExit(f"{len(ends)} of {n_epochs} epochs: {finished}")
    end = ends[-1]
    errors = [
        (left - (end - now)) / (end - now)
        for now, left in told
        if now - began >= _AFTER_S and end - now >= _NEAR_END_S
    ]
    if not errors:
        raise SystemExit(f"only {end - began:.0f} s of training: take more epochs")
    sizes = sorted(abs(error) for error in errors)
    print(
        f"{n_epochs} epochs in {end - began:.0f} s; {len(errors)} estimates after {_AFTER_S:g} s: "
        f"off by median {statistics.median(sizes):.1%}, at most {sizes[-1]:.1%} "
        f"({min(errors):+.1%} to {max(errors):+.1%})"
    )


if __name__ == "__main__":
    main()
