"""Where cross-validations and searches are kept: folders among those of the runs.

``runs/<id>/crossval.json`` or ``search.json`` says what was asked for, what it was asked of, and
what was found. One without a result was interrupted and can go on. ``asked.json`` beside it repeats
all but the result, so that the same command finds what was done although the other is damaged. A
pre-training on several projects is kept in the same way while it goes on, see
``engine.project.pretrainings``.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.contract.config_io import finite, from_plain, to_plain
from engine.contract.errors import ConfigError, DamagedFileError, RunError, StorageError
from engine.contract.searching import CrossvalResult, SearchResult
from engine.files import long_path, make_folder, read_signed_json, signed, write_json
from engine.project.folder import RUNS_FOLDER
from engine.project.run_data import changed_versions, present_versions
from engine.project.store import Project

CROSSVAL: Final = "crossval"
SEARCH: Final = "search"
PRETRAIN: Final = "pretrain"
_ASKED_FILE: Final = "asked.json"
_VERSIONS: Final = "versions"
_ID: Final = re.compile(r"(?P<kind>crossval|search|pretrain)-[0-9]{8}-[0-9]{6}(-[0-9]+)?")


def state_of(project: Project, asked: dict[str, Any]) -> dict[str, Any]:
    """Return what decides a result: what was asked, and of which data and division."""
    return {
        "asked": finite(to_plain(asked)),
        "data_digest": project.data_digest(),
        "split_digest": project.split_digest(),
    }


def begin_or_go_on(project: Project, kind: str, asked: dict[str, Any]) -> str:
    """Return the id of an unfinished job of the same settings and images, or of a new one.

    Raises:
        StorageError: If the disk is full or read-only.
    """
    return find_unfinished(project, kind, asked) or begin(project, kind, asked)


def find_unfinished(project: Project, kind: str, asked: dict[str, Any]) -> str | None:
    """Return the id of the newest unfinished job of the same settings and images, if any.

    What an earlier version didn't write down isn't compared.
    """
    wanted = state_of(project, asked)
    for found, facts in kept_jobs(project.folder, kind):
        then = {name: facts.get(name) for name in wanted}
        if isinstance(then["asked"], dict):
            then["asked"] = wanted["asked"] | then["asked"]
        if "result" not in facts and then == wanted:
            return found
    return None


def begin(project: Project, kind: str, asked: dict[str, Any], **more: Any) -> str:
    """Make the folder of a new job and return its id.

    Args:
        project: That keeps it.
        kind: :data:`CROSSVAL`, :data:`SEARCH` or :data:`PRETRAIN`.
        asked: What decides the result, besides images, labels and split.
        more: What else to write down.

    Raises:
        StorageError: If the disk is full or read-only.
    """
    stem = f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}"
    new, n = stem, 1
    while project.run_folder(new).exists():
        n += 1
        new = f"{stem}-{n}"
    make_folder(project.run_folder(new))
    facts = more | state_of(project, asked) | {_VERSIONS: present_versions()}
    write_json(project.run_folder(new) / _ASKED_FILE, signed(facts))
    write_job(project.folder, new, facts)
    return new


def changes_since_begun(project: Project, name: str) -> tuple[str, ...]:
    """Return which versions differ from those that an unfinished job began with, in sentences.

    Jobs of earlier versions kept none, so nothing is said of them.
    """
    then = read_job(project.folder, name).get(_VERSIONS, ())
    return changed_versions(then, what="it")


def save_result(
    project: Project, asked: dict[str, Any], result: CrossvalResult | SearchResult
) -> None:
    """Keep the result of a job.

    Raises:
        StorageError: If the disk is full or read-only.
    """
    facts = state_of(project, asked) | {"result": finite(to_plain(result))}
    write_job(project.folder, result.id, facts)


def is_stale(project: Project, name: str) -> bool:
    """Return whether images, labels or the split have changed since a job began."""
    facts = read_job(project.folder, name)
    now = state_of(project, {})
    return any(facts.get(part) != now[part] for part in ("data_digest", "split_digest"))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptResults:
    """What a project keeps of searches and cross-validations, each newest first.

    Attributes:
        searches: Finished ones of the present images, labels and split.
        crossvals: Likewise.
        n_stale: Finished ones of earlier images, labels or splits.
        interrupted: What unfinished searches of the present images were asked, as plain values.
    """

    searches: tuple[SearchResult, ...] = ()
    crossvals: tuple[CrossvalResult, ...] = ()
    n_stale: int = 0
    interrupted: tuple[dict[str, Any], ...] = ()


def read_kept(folder: Path) -> KeptResults:
    """Read what a project keeps; at 100,000 images it takes a third of a second.

    Raises:
        ProjectError: If there is no project.
    """
    with Project.open(folder, read_only=True) as project:
        now = state_of(project, {})
    of_now = {"data_digest": now["data_digest"], "split_digest": now["split_digest"]}

    def is_current(facts: dict[str, Any]) -> bool:
        return all(facts.get(name) == value for name, value in of_now.items())

    kinds: dict[str, list[Any]] = {SEARCH: [], CROSSVAL: []}
    n_stale, interrupted = 0, []
    for kind, target in ((SEARCH, SearchResult), (CROSSVAL, CrossvalResult)):
        for _, facts in kept_jobs(folder, kind):
            if "result" in facts and not is_current(facts):
                n_stale += 1
            elif "result" in facts:
                with contextlib.suppress(ConfigError):
                    kinds[kind].append(from_plain(target, facts["result"]))
            elif kind == SEARCH and is_current(facts):
                interrupted.append(facts.get("asked", {}))
    return KeptResults(
        searches=tuple(kinds[SEARCH]),
        crossvals=tuple(kinds[CROSSVAL]),
        n_stale=n_stale,
        interrupted=tuple(interrupted),
    )


def read_crossvals(folder: Path) -> list[CrossvalResult]:
    """Return the finished cross-validations of a project, newest first; unreadable ones aside."""
    results = []
    for _, facts in kept_jobs(folder, CROSSVAL):
        try:
            results.append(from_plain(CrossvalResult, facts["result"]))
        except (ConfigError, KeyError):
            continue
    return results


def read_crossval(folder: Path, name: str) -> CrossvalResult:
    """Return a finished cross-validation.

    Raises:
        RunError: If there is none of that id, or it hasn't finished.
    """
    found = next((result for result in read_crossvals(folder) if result.id == name), None)
    if found is None:
        raise RunError(
            f"There is no finished cross-validation {name} in this project.",
            remedy="Let it finish first: the same command goes on where it was interrupted.",
        )
    return found


def kept_jobs(folder: Path, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ids and facts of one kind of job, newest first; unreadable ones aside."""
    try:
        names = [path.name for path in long_path(folder / RUNS_FOLDER).iterdir()]
    except OSError:
        return
    for name in sorted(names, reverse=True):
        match = _ID.fullmatch(name)
        if match is None or match["kind"] != kind:
            continue
        try:
            yield name, read_job(folder, name)
        except StorageError:
            continue


def read_job(folder: Path, name: str) -> dict[str, Any]:
    """Return the facts of a job; where they are damaged, those that it began with.

    Raises:
        StorageError: If they can't be read, or those that it began with are damaged, too.
    """
    try:
        return read_signed_json(_job_file(folder, name))
    except DamagedFileError:
        copy = folder / RUNS_FOLDER / name / _ASKED_FILE
        if not copy.is_file():  # an earlier version kept none
            raise
        return read_signed_json(copy)


def write_job(folder: Path, name: str, facts: dict[str, Any]) -> None:
    """Keep the facts of a job.

    Raises:
        StorageError: If the disk is full or read-only.
    """
    write_json(_job_file(folder, name), signed(facts))


def _job_file(folder: Path, name: str) -> Path:
    return folder / RUNS_FOLDER / name / f"{name.partition('-')[0]}.json"
