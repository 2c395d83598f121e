"""A hundred windows closed at random moments of a run: no abort, no process left.

``python -m tests.long.window_close [--closes 100] [--seed 0]``: real windows with real workers are
opened and closed within ten seconds, from before the workers have started to the midst of training,
answering the question with either button. Closing must end every worker, and the program must end
by itself without Qt's ``QThread: Destroyed while thread is still running``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tests.helpers.real_window import ROOT
from tests.helpers.tiny_study import make_study
from tests.speed.machine import describe_machine

_PER_PROCESS = 5


def main() -> int:
    """Print the figures and return 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--closes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(describe_machine())
    closes: list[dict[str, Any]] = []
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        project = make_study(Path(name), n_patients=20)
        for n in range(-(-arguments.closes // _PER_PROCESS)):
            more, wrong = close_windows(project, Path(name), _PER_PROCESS, arguments.seed + n)
            closes += more
            problems += wrong
    states = Counter(close["state"] for close in closes)
    print(
        f"{len(closes)} closes, the run was: "
        + ", ".join(f"{state} {n}" for state, n in states.most_common())
        + f"; closing took at most {max(close['took_s'] for close in closes):.1f} s"
    )
    for problem in problems:
        print(f"WRONG: {problem}")
    print(f"{len(problems)} problems")
    return 1 if problems else 0


def close_windows(
    project: Path, folder: Path, n_closes: int, seed: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """Close windows in a process of their own; return what each was like, and what went wrong."""
    arguments = [str(project), str(folder / "settings.ini"), "--closes", str(n_closes)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.real_window", *arguments, "--seed", str(seed)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        timeout=120 + 60 * n_closes,
        check=False,
    )
    closes = [json.loads(line) for line in done.stdout.splitlines()]
    problems = [f"{c['alive']} processes left in state {c['state']}" for c in closes if c["alive"]]
    if done.returncode != 0 or len(closes) != n_closes:
        problems.append(f"exit code {done.returncode} after {len(closes)} closes, seed {seed}")
        problems += [line for line in done.stderr.splitlines() if line.startswith("  File")]
    problems += [line for line in done.stderr.splitlines() if "QThread" in line or "Error" in line]
    return closes, problems


if __name__ == "__main__":
    sys.exit(main())
