"""Every device made to compute before it is trusted, each in a process with a time limit."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from engine.contract.config_io import from_plain
from engine.contract.device_checks import FAILED, SKIPPED, DeviceCheck
from engine.contract.devices import DeviceInfo
from engine.contract.errors import ConfigError
from engine.hardware.check_child import BEGIN, CHECK, DEVICES, END
from engine.hardware.devices import cards_that, list_devices, unusable
from engine.hardware.explain import explain_end
from engine.hardware.nvidia import DriverAnswer, ask_driver
from engine.hardware.trials import checks_of

START_LIMIT_S: Final = 120.0
"""To load torch, for the first time and beside a virus scanner."""
CHECK_LIMIT_S: Final = 60.0
_POLL_S: Final = 0.2
_GRACE_S: Final = 3.0
_usable: tuple[DeviceInfo, ...] | None = None

OnCheck = Callable[[DeviceCheck], None]
SafePoint = Callable[[], None]


def check_command() -> list[str]:
    """Return the command line of a process that tries devices out."""
    start = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "engine"]
    return [*start, "worker", "--role", "check"]


class Unanswered(Exception):  # noqa: N818 - a finding, not an error of this program
    """A child ended by itself, or was ended because it took too long.

    Attributes:
        code: Its exit code; None if it took too long.
    """

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class CheckProcess:
    """A child that is asked one thing and answers in lines.

    Args:
        command: Its command line.
        wanted: What it is asked.
        safe_point: Called while it is waited for; may raise to end it.
    """

    def __init__(
        self, command: Sequence[str], wanted: dict[str, Any], safe_point: SafePoint
    ) -> None:
        self._safe_point = safe_point
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # drivers print there what they like
            env={**os.environ, **_import_path()},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            start_new_session=os.name != "nt",  # Ctrl-C is for this process, which ends that one
        )
        threading.Thread(target=self._read, daemon=True).start()
        with contextlib.suppress(OSError):  # that it has ended already shows when it is read
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
            self._process.stdin.flush()

    def answer(self, limit_s: float) -> dict[str, Any]:
        """Return the next answer.

        Args:
            limit_s: Longest wait, without what safe points take: a pause may be long.

        Raises:
            Unanswered: If there is none within so many seconds, or the process has ended.
        """
        left_s = limit_s
        while left_s > 0:
            self._safe_point()
            since = time.monotonic()
            try:
                line = self._lines.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            finally:
                left_s -= time.monotonic() - since
            if line is None:
                raise Unanswered(self._process.wait())
            with contextlib.suppress(ValueError):  # something that a library printed
                plain = json.loads(line)
                if isinstance(plain, dict):
                    return plain
        raise Unanswered(None)

    def close(self) -> None:
        """End it; one that is stuck inside a driver isn't waited for."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and self._process.returncode is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put(None)


@contextlib.contextmanager
def _asked(
    command: Sequence[str], wanted: dict[str, Any], safe_point: SafePoint
) -> Iterator[CheckProcess]:
    process = CheckProcess(command, wanted, safe_point)
    try:
        yield process
    finally:
        process.close()


def find_devices(
    *,
    is_fresh: bool = False,
    command: Sequence[str] | None = None,
    safe_point: SafePoint = lambda: None,
    limit_s: float = START_LIMIT_S + CHECK_LIMIT_S,
) -> tuple[DeviceInfo, ...]:
    """Return the processor, then each GPU, usable or not.

    Where there is a sign of an NVIDIA driver, it is asked in a process of its own, since it can
    hang or crash. What it said of cards that can be used is remembered in this process.

    Args:
        is_fresh: Whether what is remembered doesn't count.
        command: Of that process; None for the real one.
        safe_point: Called while it is waited for; may raise.
        limit_s: Longest wait.
    """
    global _usable  # noqa: PLW0603 - one driver a process
    if _usable is not None and not is_fresh:
        return _usable
    driver = ask_driver(safe_point)
    if not driver.is_there:
        return list_devices(driver)
    why = None
    if driver.error != "timed out":  # else torch would hang as well
        try:
            with _asked(command or check_command(), {"find": True}, safe_point) as process:
                plain = process.answer(limit_s)[DEVICES]
            found: tuple[DeviceInfo, ...] = from_plain(tuple[DeviceInfo, ...], plain)
        except Unanswered as end:
            why = end
        except (OSError, ConfigError, KeyError):  # no process could be started
            return list_devices(driver)
        else:
            _usable = found if any(d.is_usable for d in found if d.key != "cpu") else None
            return found
    _usable = None
    processor = list_devices(DriverAnswer())
    cards = cards_that(driver)
    code = why.code if why is not None else None
    broken = [unusable(card, explain_end(code, card.name, is_gpu=True)) for card in cards]
    return (*(info for info in processor if info.key != "cuda"), *broken)


def check_devices(
    devices: Sequence[DeviceInfo],
    on_check: OnCheck,
    *,
    command: Sequence[str] | None = None,
    safe_point: SafePoint = lambda: None,
    start_limit_s: float = START_LIMIT_S,
    check_limit_s: float = CHECK_LIMIT_S,
) -> tuple[DeviceCheck, ...]:
    """Make every usable device compute, and return what was found.

    Args:
        devices: As :func:`find_devices` gives them.
        on_check: Called with each finding as it is there.
        command: Of the process that does it; None for the real one.
        safe_point: Called while it is waited for; may raise.
        start_limit_s: Longest time until the first check begins.
        check_limit_s: Longest time of one check; after it the device's others are left out.
    """
    found: list[DeviceCheck] = []

    def note(check: DeviceCheck) -> None:
        found.append(check)
        on_check(check)

    for info in devices:
        if info.is_usable:
            limits = start_limit_s, check_limit_s
            _check_device(info, note, command or check_command(), safe_point, limits)
    return tuple(found)


def _check_device(
    info: DeviceInfo,
    note: OnCheck,
    command: Sequence[str],
    safe_point: SafePoint,
    limits: tuple[float, float],
) -> None:
    """Make a device's checks; one that crashes ends its process, and a new one does the others."""
    left = list(checks_of(info.id))
    while left:
        wanted = {"device": info.id, "name": info.name, "checks": left}
        begun = False
        try:
            with _asked(command, wanted, safe_point) as process:
                while END not in (answer := process.answer(limits[begun])):
                    begun = begun or BEGIN in answer
                    if CHECK in answer:
                        note(check := from_plain(DeviceCheck, answer[CHECK]))
                        left.remove(check.key)
                        if check.state == FAILED:
                            _leave_out(info, left, note)
                            return
            return
        except Unanswered as end:
            note(_unanswered(info, left.pop(0), end))
            if end.code is None or not begun:  # it would hang, or not even start, again
                _leave_out(info, left, note)
                return


def _leave_out(info: DeviceInfo, keys: Sequence[str], note: OnCheck) -> None:
    for key in keys:
        detail = "left out after the failure"
        note(DeviceCheck(device=info.id, key=key, state=SKIPPED, detail=detail))


def _unanswered(info: DeviceInfo, key: str, end: Unanswered) -> DeviceCheck:
    why = explain_end(end.code, info.name, is_gpu=info.key != "cpu")
    detail = "no answer in time" if end.code is None else "the process ended by itself"
    return DeviceCheck(
        device=info.id,
        key=key,
        state=FAILED,
        detail=detail,
        problem=why.problem,
        remedy=why.remedy,
    )


def _import_path() -> dict[str, str]:
    """Let the child find ``engine`` where this process did, also without an install."""
    if getattr(sys, "frozen", False):
        return {}
    root = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": root if not known else os.pathsep.join([root, known])}
