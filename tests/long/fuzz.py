"""Ten thousand damaged files: none may end the program, hang, or eat the memory.

``python -m tests.long.fuzz [--files 10000] [--seed 0] [--keep DIR]``: sound DICOM, PNG, JPEG, TIFF,
BMP, NIfTI and NPZ files are damaged by seeded mutations and read as the import reads them, in two
child processes. A child that dies is a crash in a codec (in the program it costs that one file).
Linux only: the peak memory of each file is read from ``/proc``.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.long.mutations import found_files, made_files, mutate
from tests.speed.machine import ROOT, data_folder, describe_machine

LIMIT_S: Final = 5.0
LIMIT_MB: Final = 1024
_N_CHILDREN: Final = 2
_KINDS: Final = ("image", "reason", "fault", "crash", "hang", "memory")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one file ended.

    Attributes:
        kind: ``image``, ``reason`` (refused with a sentence), ``fault`` (an error that isn't for
            users), ``crash``, ``hang`` or ``memory``.
    """

    number: int
    origin: str
    kind: str
    text: str
    seconds: float
    peak_mb: float


def main() -> int:
    """Print the figures and return 1 if a file misbehaved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that misbehaved")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return _child()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        outcomes = _run(arguments.files, arguments.seed, Path(folder), arguments.keep)
    return _report(outcomes)


def _corpus() -> list[tuple[str, bytes]]:
    data = data_folder()
    return [
        *made_files(),
        *found_files(data / "dicom_flavours" / "files"),
        *found_files(data / "nifti_samples"),
    ]


def _run(n_files: int, seed: int, folder: Path, keep: Path | None) -> list[Outcome]:
    corpus = _corpus()
    numbers: queue.Queue[int] = queue.Queue()
    for number in range(n_files):
        numbers.put(number)
    outcomes: list[Outcome] = []
    begin = time.monotonic()

    def serve(which: int) -> None:
        child = _Child()
        while True:
            try:
                number = numbers.get_nowait()
            except queue.Empty:
                return child.close()
            rng = random.Random(f"{seed} {number}")
            origin, sound = rng.choice(corpus)
            damaged = mutate(sound, rng)
            path = folder / f"{which}{''.join(Path(origin).suffixes[-2:])}"
            path.write_bytes(damaged)
            kind, text, seconds, peak_mb = child.read(path)
            outcomes.append(Outcome(number, origin, kind, text, seconds, peak_mb))
            if keep is not None and kind not in ("image", "reason"):
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{seed}-{number}-{kind}-{origin}").write_bytes(damaged)
            if len(outcomes) % 1000 == 0:
                rate = len(outcomes) / (time.monotonic() - begin)
                print(f"{len(outcomes):,} files, {rate:.0f}/s", flush=True)

    threads = [threading.Thread(target=serve, args=(which,)) for which in range(_N_CHILDREN)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


class _Child:
    """A process that reads files one after the other, and is replaced when it dies or hangs."""

    def __init__(self) -> None:
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.long.fuzz", "--child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert process.stdout is not None
        process.stdout.readline()  # loading is no file's fault
        return process

    def read(self, path: Path) -> tuple[str, str, float, float]:
        """Return kind, text, seconds and peak memory in MB."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        begin = time.monotonic()
        timer = threading.Timer(LIMIT_S * 2, self._process.kill)
        timer.start()
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        timer.cancel()
        seconds = time.monotonic() - begin
        if not line:
            code = self._process.wait()
            self._process = self._start()
            return "hang" if seconds > LIMIT_S else "crash", f"exit {code}", seconds, 0.0
        answer = json.loads(line)
        kind = answer["kind"]
        if answer["seconds"] > LIMIT_S:
            kind = "hang"
        elif answer["peak_mb"] > LIMIT_MB:
            kind = "memory"
        return kind, answer["text"], answer["seconds"], answer["peak_mb"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _child() -> int:
    """Read the files named on standard input as the import reads them."""
    from engine.contract.config import ImageContract
    from engine.contract.errors import EngineError
    from engine.data.images import open_image, read_bytes
    from engine.data.rendering import to_pixels_and_thumbnail

    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    contract = ImageContract()
    print("ready", file=stream, flush=True)
    for line in sys.stdin:
        path = Path(line.rstrip("\n"))
        begin, before = time.process_time(), _reset_peak()
        try:
            file = open_image(read_bytes(path), suffix=path.suffix)
            to_pixels_and_thumbnail(file.read(), contract)
            kind, text = "image", file.format
        except EngineError as error:
            kind, text = "reason", error.message
        except BaseException as error:  # noqa: BLE001 - a codec in Rust panics past Exception
            kind, text = "fault", f"{type(error).__name__}: {error}"[:200]
        answer = {
            "kind": kind,
            "text": text,
            "seconds": time.process_time() - begin,
            "peak_mb": _peak_mb() - before,
        }
        print(json.dumps(answer), file=stream, flush=True)
    return 0


def _reset_peak() -> float:
    """Begin a new peak of this process's memory and return what it has now, in MB."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak_mb()


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return float(line.split()[1]) / 1024


def _report(outcomes: Sequence[Outcome]) -> int:
    counts = Counter(outcome.kind for outcome in outcomes)
    print(", ".join(f"{kind} {counts[kind]:,}" for kind in _KINDS))
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    largest = max(outcomes, key=lambda outcome: outcome.peak_mb)
    print(f"slowest {slowest.seconds:.2f} s ({slowest.origin}, file {slowest.number})")
    print(f"largest {largest.peak_mb:.0f} MB ({largest.origin}, file {largest.number})")
    bad = [outcome for outcome in outcomes if outcome.kind not in ("image", "reason")]
    for outcome in sorted(bad, key=lambda outcome: outcome.number):
        print(f"  {outcome.number} {outcome.origin}: {outcome.kind}, {outcome.text}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
