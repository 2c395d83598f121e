"""Make ``.venv`` in the checkout and install the pinned dependencies into it.

Standard library only, because it runs before anything is installed. Everything lands in ``.venv``.
A stamp file there says what was installed from which list; it is removed before work begins and
written last, so set-up that was interrupted is seen and carried on.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OLDEST_PYTHON = (3, 11)
NEEDED_DISK_GB = 8
TORCH_INDEX = "RADTUNE_TORCH_INDEX"

# What pip says, and what a person can do about it; the first that matches is the cause.
_PIP_FAILURES = (
    (
        ("No space left on device", "Errno 28", "not enough space"),
        "The disk is full.",
        f"Set-up needs about {NEEDED_DISK_GB} GB in this folder and 4 GB for temporary files. "
        "Make room, or point TMPDIR (TEMP on Windows) at a larger disk.",
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED", "SSLError"),
        "The package index could not be verified.",
        "A proxy may sign the traffic: set PIP_CERT to your institution's certificate file.",
    ),
    (
        ("ProxyError", "Tunnel connection failed", "407 Proxy"),
        "The proxy refused the connection.",
        "Set HTTPS_PROXY to your institution's proxy, with its user name and password if it "
        "wants them.",
    ),
    (
        ("name resolution", "getaddrinfo", "NewConnectionError", "ConnectTimeout", "Max retries",
         "Connection refused", "Network is unreachable", "Read timed out", "ConnectionReset"),
        "The package index could not be reached.",
        "Check the network. Behind a proxy set HTTPS_PROXY; for a mirror set PIP_INDEX_URL. "
        "Only set-up needs a network, RadTune itself does not.",
    ),
    (
        ("No matching distribution", "Could not find a version", "not a supported wheel"),
        "A pinned package has no build for this computer.",
        "Use a 64-bit Python from 3.11 to 3.13 on Linux, Windows or macOS. If "
        f"{TORCH_INDEX} is set, check that it has the pinned torch.",
    ),
)  # fmt: skip


class SetupError(Exception):
    """Set-up can't go on; the text says what happened and what to do next."""


def say(text: str) -> None:
    """Print one line of progress on standard error; standard output belongs to the commands."""
    print(f"[radtune] {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Checkout:
    """Where things lie in a checkout, on POSIX and on Windows.

    Attributes:
        root: The folder that holds ``pyproject.toml``.
        windows: Whether programs lie where Windows puts them.
    """

    root: Path
    windows: bool = os.name == "nt"

    @property
    def venv(self) -> Path:
        """The virtual environment."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.program("python")

    @property
    def stamp(self) -> Path:
        """The file that says what set-up has finished."""
        return self.venv / "radtune-setup.json"

    @property
    def log(self) -> Path:
        """Everything that pip said."""
        return self.venv / "radtune-setup.log"

    @property
    def constraints(self) -> Path:
        """The pinned versions."""
        return self.root / "packaging" / "constraints.txt"

    def program(self, name: str) -> Path:
        """Return where the environment's program ``name`` lies."""
        if self.windows:
            return self.venv / "Scripts" / f"{name}.exe"
        return self.venv / "bin" / name

    def site_packages(self) -> list[Path]:
        """Return the folders that hold installed packages (none before the environment is made)."""
        if self.windows:
            return [self.venv / "Lib" / "site-packages"]
        return sorted(self.venv.glob("lib/python*/site-packages"))


def project_table(checkout: Checkout) -> dict[str, Any]:
    """Return ``[project]`` of ``pyproject.toml``."""
    import tomllib  # not in the Pythons that are told they are too old

    text = (checkout.root / "pyproject.toml").read_text(encoding="utf-8")
    project: dict[str, Any] = tomllib.loads(text)["project"]
    return project


def requirements(checkout: Checkout) -> list[str]:
    """Return the names of what the program and its developers need."""
    project = project_table(checkout)
    return [*project["dependencies"], *project["optional-dependencies"]["dev"]]


def fingerprint(checkout: Checkout) -> str:
    """Return a hash of everything that decides what set-up installs."""
    project = project_table(checkout)
    parts = {
        "needs": requirements(checkout),
        "programs": project["scripts"],
        "version": (checkout.root / "engine" / "version.py").read_text(encoding="utf-8").split(),
        "pins": checkout.constraints.read_text(encoding="utf-8").split(),
        # Programs in .venv name its path: an environment that was moved or copied is made anew.
        "root": str(checkout.root),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_stamp(checkout: Checkout) -> dict[str, Any]:
    """Return what the stamp says; nothing if it is absent or unreadable."""
    try:
        stamp = json.loads(checkout.stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(checkout: Checkout, **values: Any) -> None:
    """Add to the stamp in one step, so that it is never half-written."""
    text = json.dumps({**read_stamp(checkout), **values}, indent=1)
    draft = checkout.stamp.with_suffix(".tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(checkout.stamp)


def is_complete(checkout: Checkout, env: Mapping[str, str]) -> bool:
    """Return whether set-up finished for the present lists and the present index for torch."""
    stamp = read_stamp(checkout)
    return (
        stamp.get("installed") == fingerprint(checkout)
        and not _wants_other_torch(stamp, env)
        and checkout.python.exists()
    )


def set_up(checkout: Checkout, env: Mapping[str, str]) -> None:
    """Make the environment and install what is missing; return at once when nothing is.

    Raises:
        SetupError: If the environment can't be made or pip fails.
    """
    if is_complete(checkout, env):
        return
    with _only_one_set_up(checkout) as lock:
        if is_complete(checkout, env):  # the one we waited for did it
            return
        before = read_stamp(checkout)
        try:
            _make_environment(checkout, before)
            checkout.stamp.unlink(missing_ok=True)
            _drop_unfinished_packages(checkout)
            _install(checkout, env, other_torch=_wants_other_torch(before, env), lock=lock)
        except KeyboardInterrupt:
            say("Set-up is not complete; the same command carries on where this one stopped.")
            raise
        index = env.get(TORCH_INDEX)
        write_stamp(
            checkout,
            installed=fingerprint(checkout),
            root=str(checkout.root),
            torch_index=_hash(index) if index else before.get("torch_index"),
        )
    say("Set-up is complete.")


def _hash(text: str) -> str:
    # An index's address may hold a password: the stamp keeps only enough to see that it changed.
    return hashlib.sha256(text.encode()).hexdigest()


def _wants_other_torch(stamp: Mapping[str, Any], env: Mapping[str, str]) -> bool:
    index = env.get(TORCH_INDEX)
    return bool(index) and stamp.get("torch_index") != _hash(str(index))


@contextlib.contextmanager
def _only_one_set_up(checkout: Checkout) -> Iterator[int]:
    """Wait until no other set-up works in this checkout, and give the lock's file descriptor.

    pip inherits the descriptor on POSIX: when this process is killed, the pip that it left behind
    keeps the lock until it ends, and the next set-up does not write into the same folder.
    """
    name = _hash(f"{checkout.root}\n{Path.home()}")[:16]
    path = Path(tempfile.gettempdir()) / f"radtune-setup-{name}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _try_lock(descriptor):
            say("Another set-up works in this folder; waiting for it to end.")
            while not _try_lock(descriptor):
                time.sleep(0.5)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _make_environment(checkout: Checkout, stamp: Mapping[str, Any]) -> None:
    """Make ``.venv`` unless a working one is there that was made in this place."""
    moved = stamp.get("root", str(checkout.root)) != str(checkout.root)
    if not moved and environment_works(checkout):
        return
    if importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SetupError(
            f"This Python {version} can't make environments: its venv package is missing. "
            f"On Debian and Ubuntu type: sudo apt-get install python{version}-venv"
        )
    say("Making .venv")
    command = [sys.executable, "-m", "venv", "--clear", str(checkout.venv)]
    made = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if made.returncode:
        detail = (made.stdout + made.stderr).strip()
        raise SetupError(
            f"The environment could not be made in {checkout.venv}:\n{detail}\n"
            "Check that the folder can be written to and that the disk has room, then repeat."
        )


def environment_works(checkout: Checkout) -> bool:
    """Return whether ``.venv`` has a Python that is new enough and a pip that starts."""
    probe = f"import sys, pip; sys.exit(sys.version_info < {OLDEST_PYTHON})"
    try:
        return (
            subprocess.run(
                [str(checkout.python), "-c", probe], capture_output=True, check=False
            ).returncode
            == 0
        )
    except OSError:
        return False


def _drop_unfinished_packages(checkout: Checkout) -> None:
    """Make pip forget what it was killed in the middle of installing.

    pip unpacks a package first and writes its INSTALLER note after it. A package without the note
    looks installed to the next pip, but files or programs of it are missing.
    """
    for folder in checkout.site_packages():
        for info in folder.glob("*.dist-info"):
            if not (info / "INSTALLER").is_file():
                shutil.rmtree(info)
        for leftover in folder.glob("~*"):  # what pip had set aside to be replaced
            if leftover.is_dir():
                shutil.rmtree(leftover)


def _install(checkout: Checkout, env: Mapping[str, str], *, other_torch: bool, lock: int) -> None:
    free_gb = shutil.disk_usage(checkout.root).free / 1e9
    say("Installing what RadTune needs (about 6 GB on disk; the first time takes minutes).")
    if free_gb < NEEDED_DISK_GB:
        say(f"Only {free_gb:.1f} GB are free here; a first set-up needs {NEEDED_DISK_GB} GB.")
    pip = _Pip(checkout, lock)
    if other_torch:  # pip takes any build of the pinned version for the right one
        pip("uninstall", "--yes", "torch", "torchvision")
    # An index's builds carry a local version (2.14.1+cu130), which pip prefers to the plain one.
    index = ["--extra-index-url", env[TORCH_INDEX]] if env.get(TORCH_INDEX) else []
    pip("install", "-c", str(checkout.constraints), *index, *requirements(checkout))
    # No build isolation: the pinned setuptools builds it, and nothing more is fetched.
    pip("install", "--no-deps", "--no-build-isolation", "-e", str(checkout.root))
    shutil.rmtree(checkout.root / "radtune.egg-info", ignore_errors=True)


class _Pip:
    """The environment's pip: progress a line at a time, everything in the log."""

    def __init__(self, checkout: Checkout, lock: int) -> None:
        self._checkout = checkout
        self._inherited = () if checkout.windows else (lock,)

    def __call__(self, action: str, *arguments: str) -> None:
        """Run pip once.

        Raises:
            SetupError: If pip fails, with the cause as far as its output tells.
        """
        command = [
            str(self._checkout.python), "-m", "pip", action, *arguments,
            "--no-input", "--disable-pip-version-check",
        ]  # fmt: skip
        lines: list[str] = []
        with self._start(command) as process, self._checkout.log.open("a", encoding="utf-8") as log:
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                lines.append(line)
                if (progress := progress_line(line)) is not None:
                    say(f"  {progress}")
        if process.returncode:
            raise SetupError(explain_pip_failure(lines, self._checkout.log))

    def _start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            pass_fds=self._inherited,
        )


def progress_line(line: str) -> str | None:
    """Return what a person wants to see of a line of pip's output, or None."""
    words = line.split()
    if words[:1] == ["Downloading"] and words[-1] in ("MB)", "GB)"):
        return f"downloading {'-'.join(words[1].split('-')[:2])} {' '.join(words[2:])}"
    if words[:3] == ["Installing", "collected", "packages:"] and len(words) > 10:
        return f"unpacking {len(words) - 3} packages; this takes a minute or more"
    return None


def explain_pip_failure(lines: Sequence[str], log: Path) -> str:
    """Return the cause of pip's failure, what to do about it, and pip's last words."""
    text = "".join(lines)
    cause, remedy = "pip failed.", "Read its last lines below, mend the cause and repeat."
    for signs, known_cause, known_remedy in _PIP_FAILURES:
        if any(sign in text for sign in signs):
            cause, remedy = known_cause, known_remedy
            break
    errors = [line.rstrip() for line in lines if not line.startswith("WARNING")]
    return "\n".join(
        [
            f"Set-up stopped: {cause}",
            remedy,
            "The same command carries on where this one stopped. "
            f"pip's last lines (everything is in {log}):",
            *(f"    {line}" for line in errors[-8:]),
        ]
    )
