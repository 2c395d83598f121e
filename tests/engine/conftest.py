"""Studies that several tests look at without changing them."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.tiny_study import make_study, small_config, train


@pytest.fixture(scope="session")
def _study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture
def study(_study: Path, tmp_path: Path) -> Path:
    """Return a project of its own for the test, imported and split."""
    return Path(shutil.copytree(_study.parent, tmp_path / "study")) / _study.name


@pytest.fixture(scope="session")
def _trained(_study: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("trained") / "study"
    project = Path(shutil.copytree(_study.parent, folder)) / _study.name
    finished, _ = train(project, small_config("linear_probe"))
    return project, finished.run


@pytest.fixture
def trained(_trained: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    """Return a project of its own for the test, and the id of a finished run in it."""
    project, run = _trained
    return Path(shutil.copytree(project.parent, tmp_path / "study")) / project.name, run


@pytest.fixture(scope="session")
def untouched(_study: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return what a run of ``fault_config`` keeps that nothing disturbs."""
    from tests.helpers.killable import kept_bytes  # loads what takes seconds
    from tests.long.disk_faults import fault_config

    folder = tmp_path_factory.mktemp("untouched") / "study"
    project = Path(shutil.copytree(_study.parent, folder)) / _study.name
    finished, _ = train(project, fault_config())
    return kept_bytes(project, finished.run)


@pytest.fixture
def tries_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run that waits for its disk look again at once."""
    monkeypatch.setattr("engine.trainer.full_disk._TRY_AGAIN_S", 0.05)


@pytest.fixture
def _own_signals() -> Iterator[None]:
    """Give pytest its Ctrl-C back after the command line has run in this process."""
    numbers = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
