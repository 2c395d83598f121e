"""Studies that several tests look at without changing them."""

from __future__ import annotations

import shutil
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
