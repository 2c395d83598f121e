#!/usr/bin/env python3
"""Set up, run and test RadTune from a checkout; needs nothing but Python 3.11 or newer.

usage: python3 packaging/dev.py COMMAND [options]

commands:
  setup                           make .venv and install everything into it
  run [options]                   open the window; where there is no display, do the main job
                                  headless on the sample study
  run --headless [SOURCE] [--out DIR] [options of radtune-engine run]
                                  do the main job without a window on the folder SOURCE
                                  (on the sample study without SOURCE)
  test [pytest options]           the whole test suite: linters, types, layers, tests
  check [ruff|format|mypy|imports]   the same without the tests; all four when none is named
  tour --out DIR [--data FOLDER]  drive the window through the whole job and save its pictures

environment:
  RADTUNE_TORCH_INDEX             package index to take torch from (on Windows the default index
                                  has only builds for the CPU)
  RADTUNE_OUT                     folder for the results of a headless run without --out
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import dev_libraries
from dev_setup import (
    OLDEST_PYTHON,
    Checkout,
    SetupError,
    is_complete,
    read_stamp,
    say,
    set_up,
    write_stamp,
)

LINTERS = {
    "ruff": ("ruff", "check"),
    "format": ("ruff", "format", "--check"),
    "mypy": ("mypy",),
    "imports": ("lint-imports",),
}


def main(arguments: Sequence[str]) -> int:
    """Carry out one command and return the exit status (2: it was not understood)."""
    if sys.version_info < OLDEST_PYTHON:
        say(too_old_message())
        return 1
    commands = {"setup": setup, "run": run, "test": test, "check": check, "tour": tour}
    if {"-h", "--help"} & set(arguments[:2]):
        print(__doc__)
        return 0
    if not arguments or arguments[0] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    checkout = Checkout(Path(__file__).resolve().parent.parent)
    try:
        return commands[arguments[0]](checkout, list(arguments[1:]))
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130


def too_old_message() -> str:
    """Return what to tell someone whose Python is too old, with a newer one if there is one."""
    import shutil

    wanted = ".".join(map(str, OLDEST_PYTHON))
    newer = [name for name in ("python3.11", "python3.12", "python3.13") if shutil.which(name)]
    return f"RadTune needs Python {wanted} or newer; this is {sys.version.split()[0]}. " + (
        f"Start it with {newer[0]} in place of python3." if newer else "Install a newer one."
    )


def setup(checkout: Checkout, arguments: Sequence[str]) -> int:
    """Install everything; libraries that a person has to install are named, not an error."""
    if arguments:
        say("setup takes no options.")
        return 2
    already = is_complete(checkout, os.environ)
    _set_up(checkout)
    if line := _provide_libraries(checkout, screen=True):
        say(f"To open the window on this computer, type this once:\n    {line}")
    elif already:
        say("Everything is set up already.")
    return 0


def run(checkout: Checkout, arguments: Sequence[str]) -> int:
    """Open the window, or do the main job without one."""
    parser = argparse.ArgumentParser(prog="dev.py run", allow_abbrev=False, add_help=False)
    parser.add_argument("--headless", nargs="?", const="", metavar="SOURCE")
    parser.add_argument("--out", type=Path)
    wishes, others = parser.parse_known_args(arguments)
    _set_up(checkout)
    if wishes.headless:
        return _run_headless(checkout, Path(wishes.headless), wishes.out, others)
    if wishes.headless is None and has_display(os.environ, sys.platform):
        return _open_window(checkout, arguments)
    if wishes.headless is None:
        say("There is no display here, so no window: doing the main job on the sample study.")
    return _run_sample(checkout, wishes.out, others)


def test(checkout: Checkout, arguments: Sequence[str]) -> int:
    """Run the linters and the tests; all of them, also when one fails."""
    _set_up(checkout)
    if line := _provide_libraries(checkout, screen=False):
        raise SetupError(f"The tests of the window need system libraries. Type:\n    {line}")
    failed = _failing_linters(checkout, tuple(LINTERS))
    status = _call(checkout, "pytest", *arguments)
    if failed:
        say(f"Failed: {', '.join(failed)} (see above).")
    return status or int(bool(failed))


def check(checkout: Checkout, arguments: Sequence[str]) -> int:
    """Run the linters alone, or those that are named."""
    if unknown := set(arguments) - set(LINTERS):
        say(f"check knows {', '.join(LINTERS)}; not {', '.join(sorted(unknown))}.")
        return 2
    _set_up(checkout)
    failed = _failing_linters(checkout, tuple(arguments) or tuple(LINTERS))
    say(f"Failed: {', '.join(failed)}." if failed else "All checks passed.")
    return int(bool(failed))


def tour(checkout: Checkout, arguments: Sequence[str]) -> int:
    """Drive the window through the whole job; offscreen where there is no display."""
    _set_up(checkout)
    on_screen = has_display(os.environ, sys.platform)
    if line := _provide_libraries(checkout, screen=on_screen):
        raise SetupError(f"The window needs system libraries. Type:\n    {line}")
    env = _program_env()
    if not on_screen:
        env["QT_QPA_PLATFORM"] = "offscreen"
    return _wait_for([str(checkout.python), "-m", "gui.tour", *arguments], env)


def has_display(env: Mapping[str, str], platform: str) -> bool:
    """Return whether a window can be shown: Windows and macOS have their own desktop."""
    if platform in ("win32", "darwin"):
        return True
    return any(env.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def new_folder(wanted: Path) -> Path:
    """Return ``wanted``, or the first of ``wanted-2``, ``wanted-3``… that isn't there yet."""
    folder, n = wanted, 1
    while folder.exists():
        n += 1
        folder = wanted.with_name(f"{wanted.name}-{n}")
    return folder


def _set_up(checkout: Checkout) -> None:
    if not is_complete(checkout, os.environ):
        dev_libraries.provide_venv(os.environ)
        set_up(checkout, os.environ)


def _program_env() -> dict[str, str]:
    # A folder named gui or engine where the user stands must not be taken for RadTune's.
    return {**os.environ, "PYTHONSAFEPATH": "1"}


def _open_window(checkout: Checkout, arguments: Sequence[str]) -> int:
    if line := _provide_libraries(checkout, screen=True):
        raise SetupError(f"The window needs system libraries. Type this once:\n    {line}")
    command = [str(checkout.python), "-m", "gui", *arguments]
    if checkout.windows:  # exec there would return to the prompt at once
        return _wait_for(command, _program_env())
    os.execve(command[0], command, _program_env())


def _run_headless(
    checkout: Checkout, source: Path, out: Path | None, options: Sequence[str]
) -> int:
    """Do the main job on ``source`` and name the folder with the results."""
    out = out or _default_out("radtune-run")
    engine = [str(checkout.python), "-m", "engine"]
    status = _wait_for([*engine, "run", str(source), "--out", str(out), *options], _program_env())
    if status == 0:
        say(f"Metrics, plots and the classifier's bundle are in {out.resolve()}")
    return status


def _run_sample(checkout: Checkout, out: Path | None, options: Sequence[str]) -> int:
    """Make the sample study, do the main job on it and name the folder with the results."""
    out = out or _default_out("radtune-sample-run")
    study = out / "sample-study"
    out.mkdir(parents=True, exist_ok=True)
    say(f"Making the sample study (simulated radiographs) in {study}")
    engine = [str(checkout.python), "-m", "engine"]
    # Standard output is the run's alone: with --json each of its lines is an event.
    status = _wait_for([*engine, "sample", str(study)], _program_env(), output=sys.stderr)
    if status:
        return status
    if "--preset" not in options:
        options = ["--preset", "quick", *options]
    return _run_headless(checkout, study, out / "result", options)


def _default_out(name: str) -> Path:
    named = os.environ.get("RADTUNE_OUT")
    return Path(named) if named else new_folder(Path.cwd() / name)


def _provide_libraries(checkout: Checkout, *, screen: bool) -> str | None:
    """Return the line to type for Qt's missing libraries; looked for until once all were there."""
    found = "screen libraries" if screen else "window libraries"
    if read_stamp(checkout).get(found):
        return None
    line = dev_libraries.provide(checkout, os.environ, screen=screen)
    if line is None:
        write_stamp(checkout, **{found: True})
    return line


def _failing_linters(checkout: Checkout, names: Sequence[str]) -> list[str]:
    return [name for name in names if _call(checkout, *LINTERS[name])]


def _call(checkout: Checkout, program: str, *arguments: str) -> int:
    """Run one of the environment's programs at the root of the checkout."""
    say(" ".join([program, *arguments]))
    command = [str(checkout.program(program)), *arguments]
    return _wait_for(command, dict(os.environ), folder=checkout.root)


def _wait_for(
    command: Sequence[str],
    env: Mapping[str, str],
    *,
    folder: Path | None = None,
    output: TextIO | None = None,
) -> int:
    """Run a program and return its exit status.

    Ctrl-C reaches the program as well: it is left to end in its own way, and only then does this
    raise KeyboardInterrupt.
    """
    interrupted = False
    with subprocess.Popen(command, env=env, cwd=folder, stdout=output) as process:
        while process.returncode is None:
            try:
                process.wait()
            except KeyboardInterrupt:
                interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
