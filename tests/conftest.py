"""What every test shares: no screen, no network, no settings of the person who runs them."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Before any test module imports Qt, NumPy or torch, and inherited by the workers that tests start.
# An explicit setting wins: QT_QPA_PLATFORM=xcb shows the windows.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# Tiny networks and small arrays lose more time handing work to threads than they gain.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, str(min(2, os.cpu_count() or 1)))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads spin while they wait
# As engine.__main__ does: spinning threads starve each other on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Libraries that would look for weights on a hub say so at once instead.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Kept between runs: matplotlib lists the system's fonts once, in seconds.
os.environ.setdefault("MPLCONFIGDIR", str(ROOT / ".pytest_cache" / "matplotlib"))

# A shell that starts the tests in the background lets them, and what they start, ignore Ctrl-C;
# nohup, that the terminal is gone.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

_HOME_VARIABLES = (
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "XDG_STATE_HOME",
    "APPDATA",
    "LOCALAPPDATA",
)


@pytest.fixture(scope="session", autouse=True)
def _settings_of_nobody(tmp_path_factory):
    """Let preferences, logs and recent projects land in a folder that goes away."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        for name in _HOME_VARIABLES:
            patch.setenv(name, str(home / name.lower()))
        yield


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Refuse connections that leave this machine, so that no test depends on one by accident."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: object) -> None:
        internet = self.family in (socket.AF_INET, socket.AF_INET6)
        host = address[0] if isinstance(address, tuple) else None
        if internet and host not in ("127.0.0.1", "::1", "localhost"):
            raise OSError("tests have no network")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real radiographs that lies beside the checkout, or skip, saying so."""
    named = os.environ.get("RADTUNE_TEST_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not (folder / "README.md").is_file():
        pytest.skip(
            f"REAL DATA ABSENT: no {folder}; set RADTUNE_TEST_DATA to the folder to run this test"
        )
    return folder.resolve()
