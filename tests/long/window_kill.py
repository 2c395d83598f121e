"""The window is killed during a run: its workers end, and the next start offers to continue.

``python -m tests.long.window_kill [--kills 20] [--seed 0]``: a real window trains and is killed at
a random moment after the first pass; within seconds no worker may be left, and the next window must
offer the run, go on with it at one click, and repeat no pass that was saved.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from engine.contract.events import COMPLETED
from engine.project.store import Project
from tests.helpers.real_window import PATIENCE_S, ROOT
from tests.helpers.tiny_study import make_study
from tests.speed.machine import describe_machine

_WORKER_S = 15.0
"""How long a worker may take to notice, on a busy machine."""


def main() -> int:
    """Print the figures and return 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(describe_machine())
    chance = random.Random(arguments.seed)
    took: list[float] = []
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        project = make_study(Path(name), n_patients=20)
        for _ in range(arguments.kills):
            seconds, wrong = kill_window(project, Path(name), after_s=chance.uniform(0.0, 2.0))
            took.append(seconds)
            problems += wrong
    print(f"{len(took)} kills; the last worker ended after at most {max(took):.2f} s")
    for problem in problems:
        print(f"WRONG: {problem}")
    print(f"{len(problems)} problems")
    return 1 if problems else 0


def kill_window(project: Path, folder: Path, *, after_s: float) -> tuple[float, list[str]]:
    """Kill a window so many seconds after its run's first pass, and go on in the next.

    Returns:
        Seconds until the last of its workers had ended, and what went wrong.
    """
    arguments = [str(project), str(folder / "settings.ini")]
    window = _start(*arguments)
    assert window.stdout is not None
    first = json.loads(window.stdout.readline())
    time.sleep(after_s)
    workers = psutil.Process(window.pid).children(recursive=True)
    window.kill()
    killed = time.monotonic()
    told = [first, *map(json.loads, window.communicate()[0].splitlines())]
    _, alive = psutil.wait_procs(workers, timeout=_WORKER_S)
    seconds = time.monotonic() - killed
    problems = [f"{len(alive)} of {len(workers)} workers live on"] if alive or not workers else []
    with Project.open(project, read_only=True) as opened:
        if opened.runs()[0].state == COMPLETED:
            return seconds, problems  # it was faster than the kill
    n_saved = max(fact["epoch"] for fact in told)
    again = _start(*arguments, "--continue")
    facts = [json.loads(line) for line in again.communicate(timeout=2 * PATIENCE_S)[0].splitlines()]
    return seconds, problems + _check(facts, n_saved, again.returncode)


def _check(facts: list[dict[str, Any]], n_saved: int, code: int) -> list[str]:
    problems = [f"the next window ended with {code}"] if code else []
    if not any("interrupted" in fact.get("offer", "") for fact in facts):
        problems.append("nothing was offered")
    if not any(fact.get("outcome") == COMPLETED for fact in facts):
        problems.append("the run wasn't finished")
    epochs = [fact["epoch"] for fact in facts if "epoch" in fact]
    if epochs and epochs[0] <= n_saved:
        problems.append(f"pass {epochs[0]} was made again, {n_saved} were saved")
    return problems


def _start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.real_window", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
    )


if __name__ == "__main__":
    sys.exit(main())
