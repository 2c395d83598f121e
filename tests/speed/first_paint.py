"""Seconds from the start of the process to the window's first paint, median of five.

``python -m tests.speed.first_paint``, on whatever screen Qt finds; offscreen without one.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from tests.speed.machine import ROOT, describe_machine

_RUNS = 5


def main() -> None:
    """Print every time and the median."""
    print(describe_machine())
    environment = dict(os.environ)
    if sys.platform.startswith("linux") and not environment.get("DISPLAY"):
        environment["QT_QPA_PLATFORM"] = "offscreen"
    times = []
    for _ in range(_RUNS + 1):  # the first one warms the disk
        done = subprocess.run(
            [sys.executable, "-m", "gui", "--print-first-paint"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        times.append(float(done.stdout.split()[-1]))
    print("first paint after", ", ".join(f"{t:.2f}" for t in times[1:]), "s")
    print(f"median {statistics.median(times[1:]):.2f} s (limit 1.2)")


if __name__ == "__main__":
    main()
