"""Two hundred kills of a training at random moments, half of them inside a write: none costs work.

``python -m tests.long.kills [--kills 200] [--seed 0]``: a small run is killed, gone on with and
killed again until it is finished, over and over. After each kill the project must open, the run
must show as interrupted and go on no earlier than after the last pass that was saved; in the end
its weights, average and optimizer must equal those of a run that nobody touched, bit for bit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from engine.contract.events import COMPLETED
from engine.contract.run_states import INTERRUPTED
from engine.files import restore_folder
from tests.helpers.killable import Attempt, Killer, kept_bytes, leftovers, one_thread
from tests.helpers.tiny_study import make_study
from tests.speed.machine import describe_machine

_MOST_TRIES = 60
"""Of one run; one that is killed more often than that without moving on would never end."""


@dataclass
class Figures:
    """What happened.

    Attributes:
        kills: Trainings that were killed.
        runs: Runs that were finished in spite of it.
        where: How often a run was killed before it existed, before its first save, and later.
        problems: What must not happen, in words.
        seconds: How long it took.
    """

    kills: int = 0
    runs: int = 0
    where: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


def main() -> int:
    """Print the figures and return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as name, one_thread():
        figures = kill_often(Path(name), arguments.kills, arguments.seed)
    print(
        f"{figures.kills} kills, {figures.runs} runs finished in {figures.seconds:.0f} s; "
        + ", ".join(f"{what} {n}" for what, n in figures.where.most_common())
    )
    for problem in figures.problems:
        print(f"LOST: {problem}")
    print(f"{len(figures.problems)} problems")
    return 1 if figures.problems else 0


def kill_often(folder: Path, n_kills: int, seed: int = 0) -> Figures:
    """Kill trainings until there were so many kills; see the module."""
    begin = time.monotonic()
    project = make_study(folder, n_patients=20)
    killer, figures = Killer(project, folder, seed), Figures()
    killer.attempt("nothing", kill=False)  # what children fork from is loaded meanwhile
    whole = killer.attempt("", kill=False)
    assert whole.outcome == COMPLETED, whole
    within_s = 0.4 * whole.seconds
    expected = kept_bytes(project, killer.newest_run()[0])
    while figures.kills < n_kills:
        _one_run(killer, project, expected, figures, n_kills, within_s)
    figures.seconds = time.monotonic() - begin
    return figures


def _one_run(
    killer: Killer,
    project: Path,
    expected: dict[str, bytes],
    figures: Figures,
    n_kills: int,
    within_s: float,
) -> None:
    """Bring one run to its end, killing it on the way as long as kills are left."""
    before, run, n_saved = killer.newest_run()[0], "", 0
    for _ in range(_MOST_TRIES):
        done = killer.attempt(run, kill=figures.kills < n_kills, within_s=within_s)
        if done.was_killed:
            figures.kills += 1
        _check_start(done, n_saved, figures)
        n_saved = max((n_saved, *done.epochs))
        newest, state = killer.newest_run()
        if newest != before:
            run = newest
        _count(done, run, n_saved, figures)
        if run and state == COMPLETED:
            break
        if run and state != INTERRUPTED:
            figures.problems.append(f"a run that was killed shows as {state}")
            return
    else:
        figures.problems.append(f"no end after {_MOST_TRIES} tries")
        return
    figures.runs += 1
    found = kept_bytes(project, run)
    figures.problems += [f"{name} differs" for name in expected if found[name] != expected[name]]
    for name in ("last", "previous", "best"):  # what the next resume would do
        restore_folder(project / "runs" / run / "checkpoints" / name)
    if done.was_killed:
        return  # its last kill may leave something for the next resume to clear away
    figures.problems += [f"left over: {name}" for name in leftovers(project, run)]


def _check_start(done: Attempt, n_saved: int, figures: Figures) -> None:
    if done.first is not None and done.first[0] <= n_saved:
        figures.problems.append(f"pass {done.first[0]} was made again, {n_saved} were saved")
    figures.problems += [f"recovered: {message}" for message in done.recovered]
    if not done.was_killed and done.outcome != COMPLETED:
        figures.problems.append(f"ended as {done.outcome or 'nothing'} by itself")


def _count(done: Attempt, run: str, n_saved: int, figures: Figures) -> None:
    if done.was_killed:
        where = "before the run existed" if not run else "before the first pass was saved"
        figures.where["later" if n_saved else where] += 1


if __name__ == "__main__":
    sys.exit(main())
