#!/usr/bin/env python3
"""Build the application that needs no Python: the folder dist/RadTune with its two programs.

Needs nothing but Python 3.11 or newer. It sets up the checkout's .venv as dev.py does, builds from
it with PyInstaller, and prints how long it took and what takes how much room. A build works on the
kind of system that it was made on. PyInstaller's own notes stay in build/.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import dev_libraries
from dev_setup import TORCH_INDEX, Checkout, SetupError, say, set_up
from frozen_contents import ENGINE, WINDOW

NEEDED_DISK_GB = 12  # the programs and their libraries twice, while they are put together
MIB = 2**20
PAPERS = ("LICENSE", "packaging/third_party.md")


def main(arguments: Sequence[str]) -> int:
    """Build, and return the exit status."""
    wishes = _parser().parse_args(arguments)
    checkout = Checkout(Path(__file__).resolve().parent.parent)
    try:
        app = build(checkout, cuda=wishes.cuda)
        if wishes.smoke is None:
            return 0
        smoke = [str(checkout.python), str(checkout.root / "packaging" / "smoke.py"), str(app)]
        return subprocess.call([*smoke, *(["--out", wishes.smoke] if wishes.smoke else [])])
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="build.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cuda",
        action="store_true",
        help=f"take torch from the package index that {TORCH_INDEX} names, and build only if it "
        "computes on NVIDIA cards (without: whatever torch is in .venv)",
    )
    parser.add_argument(
        "--smoke",
        nargs="?",
        const="",
        metavar="DIR",
        help="afterwards run smoke.py on what was built; its pictures go to DIR (build/smoke)",
    )
    return parser


def build(checkout: Checkout, *, cuda: bool) -> Path:
    """Build the application and say how long it took and how large it is.

    Args:
        checkout: Whose sources and environment are used.
        cuda: Whether torch must compute on NVIDIA cards.

    Returns:
        The folder that was built.

    Raises:
        SetupError: If the environment can't be made or is not fit, or PyInstaller fails.
    """
    set_up(checkout, setup_environment(os.environ, cuda=cuda))
    if line := dev_libraries.provide(checkout, os.environ, screen=True):
        raise SetupError(f"The application takes Qt's system libraries along. Type:\n    {line}")
    say(f"Building with {describe_torch(checkout, cuda=cuda)}")
    if (free_gb := shutil.disk_usage(checkout.root).free / 1e9) < NEEDED_DISK_GB:
        say(f"Only {free_gb:.1f} GB are free here; a build can need {NEEDED_DISK_GB} GB.")
    started = time.monotonic()
    log = run_pyinstaller(checkout)
    app = checkout.root / "dist" / "RadTune"
    missing = [path.name for path in programs(app, os.name) if not path.is_file()]
    if missing:
        raise SetupError(f"PyInstaller ended without {', '.join(missing)}; see {log}.")
    for paper in PAPERS:
        shutil.copy(checkout.root / paper, app)
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    say(f"Built {app} in {minutes}:{seconds:02d} minutes")
    _print_sizes(app)
    return app


def setup_environment(env: Mapping[str, str], *, cuda: bool) -> dict[str, str]:
    """Return the environment for set-up: the index of torch's other builds counts if wanted."""
    return {name: value for name, value in env.items() if cuda or name != TORCH_INDEX}


def programs(app: Path, system: str) -> tuple[Path, Path]:
    """Return where the window's and the engine's programs lie in the built folder.

    Args:
        app: The built folder.
        system: ``os.name`` of the system that it was built for.
    """
    suffix = ".exe" if system == "nt" else ""
    return app / f"{WINDOW}{suffix}", app / f"{ENGINE}{suffix}"


def sizes(app: Path) -> Counter[str]:
    """Return the bytes on disk of each part of the built folder; symbolic links count nothing.

    A part is a program, a package's folder, or ``libraries`` for files beside the packages.
    """
    found: Counter[str] = Counter()
    for path in app.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        parts = path.relative_to(app).parts
        if len(parts) == 1:
            part = parts[0]
        elif len(parts) == 2:
            part = "libraries"
        else:
            part = "/".join(parts[1:3]) if parts[1] == "nvidia" else parts[1]
        found[part] += path.stat().st_size
    return found


def _print_sizes(app: Path) -> None:
    found = sizes(app)
    say(f"Size: {found.total() / MIB:,.0f} MiB, of which")
    for part, n_bytes in found.most_common(12):
        say(f"{n_bytes / MIB:>9,.0f}  {part}")


def describe_torch(checkout: Checkout, *, cuda: bool) -> str:
    """Return torch's version in words.

    Raises:
        SetupError: If it does not start, or CUDA is wanted and it has none.
    """
    probe = "import torch; print(torch.__version__, torch.version.cuda or '')"
    asked = subprocess.run(
        [str(checkout.python), "-c", probe], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise SetupError(f"torch does not start:\n{asked.stderr.strip()[-2000:]}")
    version, _, cuda_version = asked.stdout.strip().partition(" ")
    if cuda and not cuda_version:
        raise SetupError(
            f"torch {version} in .venv computes on the CPU only. Set {TORCH_INDEX} to a package "
            "index with CUDA builds of the pinned torch, and build again with --cuda."
        )
    return f"torch {version}, " + (f"CUDA {cuda_version}" if cuda_version else "CPU only")


def run_pyinstaller(checkout: Checkout) -> Path:
    """Run PyInstaller and return its log.

    Raises:
        SetupError: If it fails, with its last words.
    """
    root = checkout.root
    work = root / "build"
    work.mkdir(exist_ok=True)
    log = work / "pyinstaller.log"
    command = [
        str(checkout.python), "-m", "PyInstaller", "--noconfirm",
        "--distpath", str(root / "dist"), "--workpath", str(work),
        str(root / "packaging" / "radtune.spec"),
    ]  # fmt: skip
    say(f"PyInstaller works for minutes; what it says goes to {log}")
    env = {**os.environ, "PYTHONHASHSEED": "1"}  # the same sources give the same archives
    with log.open("w", encoding="utf-8") as stream:
        status = subprocess.call(command, cwd=root, env=env, stdout=stream, stderr=stream)
    if status:
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        raise SetupError("\n".join(["PyInstaller failed. Its last lines:", *last]))
    return log


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
