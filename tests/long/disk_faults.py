"""Every step at which a run writes is refused once, by a full and by a read-only disk.

``python -m tests.long.disk_faults [--every 1]``: a small run whose folder refuses from its n-th
step of writing on, until it says that it waits; then there is room again. For each n it must end
with the weights, average and optimizer of a run that nobody touched, bit for bit. A folder that
refuses before anything was learned may end the run with a sentence.
"""

from __future__ import annotations

import argparse
import errno
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import engine.trainer.full_disk
from engine.contract.commands import Train
from engine.contract.config import ExperimentConfig
from engine.contract.control import Control
from engine.contract.events import COMPLETED, Event, RunFinished, RunPaused, RunStarted
from engine.run import execute
from tests.helpers.failing_disk import BrokenFolder
from tests.helpers.killable import kept_bytes
from tests.helpers.tiny_study import make_study, small_config, train
from tests.speed.machine import describe_machine

ERRORS = (errno.ENOSPC, errno.EACCES)


def fault_config() -> ExperimentConfig:
    """Return settings of two short passes with the smallest backbone."""
    small = small_config(max_epochs=2)
    return replace(small, backbone=replace(small.backbone, key="squeezenet1_0"))


@dataclass(frozen=True, slots=True)
class Done:
    """How a run on a broken folder ended."""

    finished: RunFinished
    pauses: list[RunPaused]
    broken: BrokenFolder


def train_on_broken(project: Path, error: int, at: int) -> Done:
    """Train while the run's folder refuses from a step on, and mend it when the run waits."""
    pauses: list[RunPaused] = []
    broken = BrokenFolder(project, error, at)  # until the run's folder is known: nothing is below
    broken.mend()
    with pytest.MonkeyPatch.context() as patch:

        def listen(event: Event) -> None:
            nonlocal broken
            if isinstance(event, RunStarted):
                broken = BrokenFolder(project / "runs" / event.run, error, at)
                broken.install(patch)
            if isinstance(event, RunPaused):
                pauses.append(event)
                broken.mend()

        finished = execute(Train(project=str(project), config=fault_config()), listen, Control())
    assert isinstance(finished, RunFinished)
    return Done(finished, pauses, broken)


def main() -> int:
    """Print the figures and return 1 if a run was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="try only every n-th step")
    every = parser.parse_args().every
    print(describe_machine())
    engine.trainer.full_disk._TRY_AGAIN_S = 0.01  # type: ignore[misc]
    begin, problems, ends = time.monotonic(), [], Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        project = make_study(Path(name), n_patients=12)
        expected = kept_bytes(project, train(project, fault_config())[0].run)
        for error in ERRORS:
            at = 1
            while (done := train_on_broken(project, error, at)).broken.n_refused:
                run = done.finished.run
                ends["paused and went on" if done.pauses else done.finished.outcome] += 1
                if done.finished.outcome != COMPLETED and done.pauses:
                    problems.append(f"step {at}: {done.finished.error}")
                elif done.finished.outcome == COMPLETED and kept_bytes(project, run) != expected:
                    problems.append(f"step {at}: other weights")
                shutil.rmtree(project / "runs" / run / "checkpoints", ignore_errors=True)
                at += every
    print(f"{ends.total()} faults in {time.monotonic() - begin:.0f} s: {dict(ends)}")
    for problem in problems:
        print(f"LOST: {problem}")
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
