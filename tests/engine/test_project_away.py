"""A project whose folder or drive goes away while it is open, and comes back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine.project.database
from engine import files
from engine.contract.errors import StorageError
from engine.project.store import Project

renames_open_projects = pytest.mark.skipif(
    os.name == "nt", reason="Windows renames no folder in which a file is open"
)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project.create(tmp_path / "a.radtune", name="before") as project:
        yield project


def rename_project(project: Project, name: str) -> None:
    with project.transaction():
        project.db.execute("UPDATE meta SET value = ? WHERE key = 'name'", (name,))


def name_at(folder: Path) -> str:
    with Project.open(folder, read_only=True) as found:
        return found.name


def test_a_project_in_its_place_is_there(project: Project) -> None:
    project.require_there()
    rename_project(project, "after")
    project.require_there()


@renames_open_projects
def test_a_renamed_folder_is_away_until_it_has_its_name_again(project: Project) -> None:
    elsewhere = project.folder.rename(project.folder.with_name("b.radtune"))
    with pytest.raises(StorageError, match="isn't there any more") as caught:
        project.require_there()
    assert "former name" in caught.value.remedy
    assert not project.folder.exists()
    elsewhere.rename(project.folder)
    project.require_there()
    rename_project(project, "after")
    assert name_at(project.folder) == "after"


@renames_open_projects
def test_another_project_in_its_place_is_not_it(project: Project) -> None:
    project.folder.rename(project.folder.with_name("b.radtune"))
    with Project.create(project.folder):
        pass
    with pytest.raises(StorageError, match="isn't there any more"):
        project.require_there()


@renames_open_projects
def test_an_empty_folder_in_its_place_is_not_it_and_stays_empty(project: Project) -> None:
    project.folder.rename(project.folder.with_name("b.radtune"))
    project.folder.mkdir()
    with pytest.raises(StorageError, match="isn't there any more"):
        project.require_there()
    assert list(project.folder.iterdir()) == []


@renames_open_projects
def test_database_and_files_go_to_one_place_when_a_copy_lies_there(project: Project) -> None:
    elsewhere = project.folder.rename(project.folder.with_name("b.radtune"))
    shutil.copytree(elsewhere, project.folder)
    project.require_there()
    rename_project(project, "after")
    assert name_at(project.folder) == "after"
    assert name_at(elsewhere) == "before"


def test_a_drive_that_was_pulled_out_and_is_back_is_opened_anew(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on any system: the number of the file may be another one, what was open is dead."""
    with monkeypatch.context() as patch:
        patch.setattr(engine.project.database, "file_identity", lambda path: None)
        with pytest.raises(StorageError, match="isn't there any more"):
            project.require_there()
    project.db._connection.close()
    project.require_there()
    rename_project(project, "after")
    assert name_at(project.folder) == "after"


def test_within_a_change_nothing_is_opened_anew(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with project.transaction():
        project.db.execute("UPDATE meta SET value = 'after' WHERE key = 'name'")
        with monkeypatch.context() as patch:
            patch.setattr(engine.project.database, "file_identity", lambda path: (1, 2))
            with pytest.raises(StorageError):
                project.require_there()
    assert project.name == "after"


def test_where_a_disk_numbers_no_files_their_presence_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.stat

    def without_number(path: Path, **options: bool) -> os.stat_result:
        values = list(real(path, **options))
        values[1] = 0
        return os.stat_result(values)

    for name in ("one", "other"):
        (tmp_path / name).touch()
    one, other = (files.file_identity(tmp_path / name) for name in ("one", "other"))
    assert one != other
    monkeypatch.setattr(Path, "stat", without_number)
    one, other = (files.file_identity(tmp_path / name) for name in ("one", "other"))
    assert one == other
    assert one is not None
    assert files.file_identity(tmp_path / "none") is None
