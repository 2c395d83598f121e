"""What the NVIDIA driver's own tool says, without torch: it also speaks when CUDA doesn't."""

from __future__ import annotations

import contextlib
import csv
import io
import ntpath
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TIMEOUT_S: Final = 15.0
_POLL_S: Final = 0.2
_FIELDS: Final = (
    "index",
    "name",
    "driver_version",
    "memory.total",
    "memory.used",
    "compute_mode",
    "mig.mode.current",
)
_VENDOR: Final = "0x10de"
_DISPLAY_CLASSES: Final = ("0x0300", "0x0302")  # VGA and 3D controllers


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card that the driver sees.

    Attributes:
        memory_mb: In MiB; 0 if unknown.
        used_mb: How much of it is taken, likewise.
    """

    index: int
    name: str
    driver: str = ""
    memory_mb: int = 0
    used_mb: int = 0
    compute_mode: str = ""
    mig_mode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program that holds memory of a card."""

    name: str
    used_mb: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverAnswer:
    """What the tool said.

    Attributes:
        cards: The cards that it sees.
        error: What it said instead; ``timed out`` if it didn't answer. Empty if all went well.
        is_there: Whether there is a sign of an NVIDIA card or driver at all.
    """

    cards: tuple[Card, ...] = ()
    error: str = ""
    is_there: bool = False


def ask_driver(safe_point: Callable[[], None] = lambda: None) -> DriverAnswer:
    """Ask the driver for its cards; takes a moment, at most some seconds.

    Args:
        safe_point: Called while it is waited for; may raise.
    """
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return DriverAnswer(is_there=has_card())
    for fields in (_FIELDS, _FIELDS[:-1]):  # drivers before 2020 don't know the last
        query = [tool, f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
        text, error = _run(query, safe_point)
        if "not a valid field" not in text + error:
            break
    cards = parse_cards(text)
    return DriverAnswer(cards=cards, error="" if cards and not error else error, is_there=True)


def ask_programs() -> tuple[Program, ...]:
    """Return the programs that hold memory of cards, the largest first; few on Windows."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = "--query-compute-apps=process_name,used_memory"
    return parse_programs(_run([tool, query, "--format=csv,noheader"])[0])


def has_card(root: Path = Path("/sys/bus/pci/devices")) -> bool:
    """Return whether the computer has an NVIDIA card, with or without a driver; only on Linux."""
    if sys.platform != "linux":
        return False
    for device in root.glob("*"):
        try:
            vendor = (device / "vendor").read_text(encoding="ascii").strip()
            kind = (device / "class").read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if vendor == _VENDOR and kind.startswith(_DISPLAY_CLASSES):
            return True
    return False


def parse_cards(text: str) -> tuple[Card, ...]:
    """Read the tool's lines of cards; what isn't one, such as a message, is passed over."""
    cards = []
    for row in csv.reader(io.StringIO(text), skipinitialspace=True):
        if len(row) < len(_FIELDS) - 1 or not row[0].strip().isdecimal():
            continue
        values = [value.strip() for value in row] + [""]
        cards.append(
            Card(
                index=int(values[0]),
                name=values[1],
                driver=_known(values[2]),
                memory_mb=_mib(values[3]),
                used_mb=_mib(values[4]),
                compute_mode=_known(values[5]),
                mig_mode=_known(values[6]),
            )
        )
    return tuple(cards)


def parse_programs(text: str) -> tuple[Program, ...]:
    """Read the tool's lines of programs; folders are left out, they can hold names of people."""
    programs = []
    for line in text.splitlines():
        path, _, used = line.rpartition(",")
        name = ntpath.basename(path.strip())  # takes both kinds of slashes
        if name and not name.startswith("["):
            programs.append(Program(name=name, used_mb=_mib(used)))
    return tuple(sorted(programs, key=lambda program: -program.used_mb))


def _run(command: Sequence[str], safe_point: Callable[[], None] = lambda: None) -> tuple[str, str]:
    """Return what a tool printed, and what went wrong."""
    try:
        process = subprocess.Popen(  # fixed questions to the driver's own tool
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        return "", str(error)
    answer = None
    try:
        answer = _answer(process, safe_point)
    finally:
        if answer is None:
            _end(process)
    if answer is None:
        return "", "timed out"
    if process.returncode == 0 and not answer[1].strip():
        return answer[0], ""
    return answer[0], f"{answer[0]}\n{answer[1]}".strip()


def _end(process: subprocess.Popen[str]) -> None:
    """End a process; one that is stuck inside a driver isn't waited for."""
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_POLL_S)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None and process.returncode is not None:
            pipe.close()


def _answer(
    process: subprocess.Popen[str], safe_point: Callable[[], None]
) -> tuple[str, str] | None:
    """Return what a process printed on both streams; None if it takes too long."""
    left_s = _TIMEOUT_S
    while left_s > 0:
        safe_point()
        since = time.monotonic()
        try:
            return process.communicate(timeout=_POLL_S)
        except subprocess.TimeoutExpired:
            left_s -= time.monotonic() - since
    return None


def _known(text: str) -> str:
    """Return a value, or nothing for the words that stand for none."""
    return "" if text.startswith("[") or text == "N/A" else text


def _mib(text: str) -> int:
    digits = text.strip().split(" ")[0]
    return int(digits) if digits.isdecimal() else 0
