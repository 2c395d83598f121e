"""Pre-trainings that are not finished: kept in one of their projects until they are.

``runs/<id>/pretrain.json`` says what was asked for, and of which images, labels and splits of all
the projects; the state lies beside it as that of a run does. Nothing of it is left at the end.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.contract.commands import Pretrain
from engine.contract.config_io import from_plain, to_plain
from engine.contract.errors import ConfigError, EngineError
from engine.project.lock import is_in_use
from engine.project.searching import (
    PRETRAIN,
    begin,
    find_unfinished,
    kept_jobs,
    read_job,
    write_job,
)
from engine.project.store import Project


def data_of(project: Project) -> str:
    """Return what names a project's images, labels and split, wherever the project lies."""
    return f"{project.data_digest()} {project.split_digest()}"


def begin_or_go_on(
    projects: Sequence[Project], asked: dict[str, Any], command: Pretrain
) -> tuple[Project, str]:
    """Return the project that keeps a pre-training, and its id there.

    An unfinished one goes on in whichever of the projects keeps it: of the same settings, and of
    projects with the same images, labels and splits, in any order and under any paths. A new one is
    kept in the first project, where those go that can't go on any more.

    Args:
        projects: Opened alone.
        asked: The settings that decide the result.
        command: Kept for the window, to ask for the same again.

    Raises:
        StorageError: If the disk is full or read-only.
    """
    wanted = asked | {"projects": sorted(data_of(project) for project in projects)}
    folders = tuple(str(project.folder) for project in projects)
    plain = to_plain(replace(command, projects=folders))
    for project in projects:
        if (found := find_unfinished(project, PRETRAIN, wanted)) is not None:
            facts = read_job(project.folder, found)
            write_job(project.folder, found, facts | {"command": plain})
            return project, found
    _drop_outdated(projects[0])
    return projects[0], begin(projects[0], PRETRAIN, wanted, command=plain)


def _drop_outdated(project: Project) -> None:
    for name, facts in kept_jobs(project.folder, PRETRAIN):
        if data_of(project) not in facts.get("asked", {}).get("projects", ()):
            shutil.rmtree(project.run_folder(name), ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedPretraining:
    """A pre-training that was cut off and can go on.

    Attributes:
        command: Asks for it again.
        projects: What the user calls its projects.
    """

    command: Pretrain
    projects: tuple[str, ...]


def read_unfinished(folder: Path, *, held: Path | None = None) -> tuple[UnfinishedPretraining, ...]:
    """Return the pre-trainings that a project keeps and that can go on now, newest first.

    Not those that are under way, nor those of projects that are gone or have changed since. It
    opens all of their projects, so it is nothing for the window's thread.

    Args:
        folder: The project's.
        held: A project that the caller has locked himself.
    """
    found = []
    for _, facts in kept_jobs(folder, PRETRAIN):
        with contextlib.suppress(ConfigError, KeyError, TypeError, AttributeError):
            command: Pretrain = from_plain(Pretrain, facts["command"])
            names = _names_of(command, list(facts["asked"]["projects"]), held)
            if names:
                found.append(UnfinishedPretraining(command=command, projects=names))
    return tuple(found)


def _names_of(command: Pretrain, kept: list[str], held: Path | None) -> tuple[str, ...]:
    """Return the names of the projects; none if one is in use, gone, or has changed."""
    names, data = [], []
    for path in map(Path, command.projects):
        is_held = held is not None and path == held.absolute()
        if not is_held and is_in_use(path):
            return ()
        try:
            with Project.open(path, read_only=True) as project:
                names.append(project.name)
                data.append(data_of(project))
        except EngineError:
            return ()
    return tuple(names) if sorted(data) == sorted(kept) else ()
