"""A run that was cut off, and a project that is no longer what it was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.contract.commands import Resume, Scan, Train
from engine.contract.control import Control
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    BatchFinished,
    Event,
    RunFinished,
    RunStarted,
)
from engine.contract.import_rules import PatientRule
from engine.project import labels
from engine.project.own_code import CODE_NAME, kept_digest, source_digest
from engine.project.run_data import (
    RunData,
    _library_version,
    data_changes,
    read_run_data,
    version_changes,
    write_run_data,
)
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import run_job, small_config, write_images


def data(**changed: Any) -> RunData:
    plain = RunData(
        records=np.arange(1, 7),
        labels=np.array([0, 1, 0, 1, 0, 1]),
        split=np.array([0, 0, 1, 1, 2, -1], dtype=np.int8),
        patients=np.arange(6),
        marks=np.arange(100, 106),
        classes=("a", "b", "b"),
        versions=("radtune=1.0", "torch=2.14.1"),
    )
    return replace(plain, **changed)


def test_nothing_is_said_of_what_is_the_same() -> None:
    assert data_changes(data(), data()) == ()


@pytest.mark.parametrize(
    ("changed", "sentence", "is_fatal"),
    [
        ({"labels": np.array([0, 1, 1, 1, 0, 1])}, "1 image was given another label.", True),
        ({"split": np.array([0, 1, 0, 1, 2, -1], np.int8)}, "2 images were put into another", True),
        ({"patients": np.array([9, 1, 2, 3, 4, 5])}, "1 image was assigned to another pat", True),
        ({"marks": np.array([7, 7, 102, 103, 104, 105])}, "2 images were replaced by oth", True),
        ({"classes": ("b", "a", "b")}, "The classes are others, or in another order.", True),
        (
            {"labels": np.array([0, 1, 0, 1, 0, 0])},
            "1 image was given another label, but is in no part of the split.",
            False,
        ),
    ],
)
def test_what_changed_is_named_and_counted(
    changed: dict[str, Any], sentence: str, is_fatal: bool
) -> None:
    [change] = data_changes(data(), data(**changed))
    assert change.sentence.startswith(sentence)
    assert change.is_fatal is is_fatal


def chosen(which: list[int]) -> RunData:
    """Return some of the images."""
    whole = data()
    rows = np.array(which)
    parts = {
        n: getattr(whole, n)[rows] for n in ("records", "labels", "split", "patients", "marks")
    }
    return replace(whole, **parts)


def test_added_and_removed_images_matter_if_they_are_in_the_split() -> None:
    [outside] = data_changes(chosen([0, 1, 2, 3, 4]), data())
    assert outside.sentence == "1 image was added that is in no part of the split."
    assert not outside.is_fatal
    [inside] = data_changes(chosen([0, 1, 4, 5]), data())
    assert inside.sentence == "2 images were added that are in the split."
    assert inside.is_fatal
    [gone] = data_changes(data(), chosen([1, 2, 3, 4, 5]))
    assert gone.sentence == "1 image was removed that is in the split."
    assert gone.is_fatal


def test_unknown_findings_are_compared_as_labels() -> None:
    many = np.array([[0, 1], [1, -1], [0, 0], [1, 1], [0, -1], [1, 0]])
    other = many.copy()
    other[1, 1] = 1
    [change] = data_changes(data(labels=many), data(labels=other))
    assert change.sentence == "1 image was given another label."


@pytest.fixture
def _fresh_versions() -> Iterator[None]:
    _library_version.cache_clear()
    yield
    _library_version.cache_clear()


@pytest.mark.usefixtures("_fresh_versions")
def test_other_versions_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.project.run_data.VERSION", "1.1")
    present = {"torch": "2.15.0+cu130", "numpy": "2.4.0", "timm": "1.0.20"}
    monkeypatch.setattr("importlib.metadata.version", lambda name: present.get(name, "1.0"))
    then = ("radtune=1.0", "torch=2.14.1", "numpy=2.3.5", "timm=1.0.20", "scipy=1.0")
    found = version_changes(data(versions=then))
    assert [change.sentence for change in found] == [
        "RadTune is version 1.1 now; the run began with 1.0.",
        "torch is version 2.15.0 now; the run began with 2.14.1.",
        "NumPy is version 2.4.0 now; the run began with 2.3.5.",
    ]
    assert not any(change.is_fatal for change in found)


def test_a_run_keeps_the_versions_of_all_that_computes(interrupted: tuple[Path, str]) -> None:
    project, run = interrupted
    kept = read_run_data(project / "runs" / run)
    assert kept is not None
    names = {version.partition("=")[0] for version in kept.versions}
    libraries = {"torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn"}
    assert names == {"radtune", "code", *libraries}
    assert f"numpy={np.__version__}" in kept.versions


def test_other_code_of_the_same_version_is_asked_about_once(
    interrupted: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, run = interrupted
    monkeypatch.setattr("engine.project.run_data.code_digest", lambda: "0123456789ab")
    refused = resume(project, run)
    assert "RadTune's own code that trains is other code now" in (refused.error or "")
    assert "--anyway" in (refused.remedy or "")
    assert resume(project, run, anyway=True).outcome == COMPLETED
    with Project.open(project) as opened:
        assert opened.run_summary(run).changes == ()


@pytest.mark.parametrize(
    ("then", "sentences"),
    [
        (("radtune=0.0.1", "code=0123456789ab"), ["RadTune is version"]),
        (("code=0123456789ab",), ["RadTune's own code"]),
        ((), []),  # an earlier version kept none
    ],
)
def test_other_code_is_told_where_the_version_does_not_tell(
    then: tuple[str, ...], sentences: list[str]
) -> None:
    found = [change.sentence for change in version_changes(data(versions=then))]
    assert [any(f.startswith(s) for s in sentences) for f in found] == [True] * len(sentences)


def test_the_code_is_told_apart_by_its_sources_or_by_what_the_build_kept(tmp_path: Path) -> None:
    for name in ("trainer/loop.py", "methods/lora.py", "jobs/data.py", "seeding.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"a = 1\nb = 2\n")
    digest = source_digest(tmp_path)
    assert len(digest) == 12
    (tmp_path / "jobs/data.py").write_bytes(b"trains = False\n")
    (tmp_path / "trainer/loop.py").write_bytes(b"a = 1\r\nb = 2\r\n")
    assert source_digest(tmp_path) == digest
    (tmp_path / "trainer/loop.py").rename(tmp_path / "methods/loop.py")
    moved = source_digest(tmp_path)
    (tmp_path / "methods/loop.py").write_bytes(b"a = 1\nb = 3\n")
    assert len({digest, moved, source_digest(tmp_path)}) == 3
    empty = tmp_path / "frozen"
    empty.mkdir()
    assert (source_digest(empty), kept_digest(empty)) == ("", "")
    (empty / CODE_NAME).write_text(digest, encoding="ascii")
    assert kept_digest(empty) == digest


def test_what_a_run_began_with_survives_the_disk(tmp_path: Path) -> None:
    write_run_data(tmp_path, data())
    found = read_run_data(tmp_path)
    assert found is not None
    assert data_changes(data(), found) == ()
    assert (found.classes, found.versions) == (data().classes, data().versions)
    (tmp_path / "images.npz").write_bytes(b"torn")
    assert read_run_data(tmp_path) is None


@pytest.fixture(scope="module")
def _interrupted(_study: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("interrupted") / "study"
    project = Path(shutil.copytree(_study.parent, folder)) / _study.name
    control = Control()

    def listen(event: Event) -> None:
        if isinstance(event, BatchFinished):
            control.interrupt()

    config = small_config(max_epochs=1)
    finished = execute(Train(project=str(project), config=config), listen, control)
    assert isinstance(finished, RunFinished) and finished.outcome == CANCELED
    return project, finished.run


@pytest.fixture
def interrupted(_interrupted: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    """Return a project of its own for the test, and the id of the run that was cut off in it."""
    project, run = _interrupted
    return Path(shutil.copytree(project.parent, tmp_path / "study")) / project.name, run


def resume(project: Path, run: str, *, anyway: bool = False) -> RunFinished:
    command = Resume(project=str(project), run=run, anyway=anyway)
    finished = execute(command, lambda event: None, Control())
    assert isinstance(finished, RunFinished)
    return finished


ADDED = "4 images were added that are in no part of the split."
UNDO = "To measure the run on its test images afterwards, undo that first."


def test_added_images_outside_the_split_are_asked_about(
    interrupted: tuple[Path, str], tmp_path: Path
) -> None:
    project, run = interrupted
    more = write_images(tmp_path / "more" / "images", n_patients=2)
    rule = PatientRule(source="pattern", pattern=r"p\d+")
    run_job(Scan(source=str(more), project=str(project), patient_rule=rule))
    with Project.open(project) as opened:
        summary = opened.run_summary(run)
    assert summary.is_resumable
    assert summary.changes == (ADDED, UNDO)
    refused = resume(project, run)
    assert refused.outcome == FAILED
    assert "4 images were added" in (refused.error or "")
    assert "--anyway" in (refused.remedy or "")
    assert resume(project, run, anyway=True).outcome == COMPLETED


def test_changed_labels_are_named_and_never_gone_on_with(interrupted: tuple[Path, str]) -> None:
    project, run = interrupted
    with Project.open(project) as opened:
        record = next(r for r in opened.records() if r.split == "train")
        labels.exclude(opened, [record.id], "motion")
        summary = opened.run_summary(run)
    assert not summary.is_resumable
    for anyway in (False, True):
        refused = resume(project, run, anyway=anyway)
        assert refused.outcome == FAILED
        assert "1 image was removed that is in the split." in (refused.error or "")
        assert "Start a new run" in (refused.remedy or "")


def test_another_version_is_asked_about_once(
    interrupted: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, run = interrupted
    monkeypatch.setattr("engine.project.run_data.VERSION", "99.0")
    refused = resume(project, run)
    assert "RadTune is version 99.0 now" in (refused.error or "")
    assert resume(project, run, anyway=True).outcome == COMPLETED
    with Project.open(project) as opened:
        assert opened.run_summary(run).changes == ()


def cut_off_again(project: Path, run: str) -> RunFinished:
    control = Control()

    def listen(event: Event) -> None:
        if isinstance(event, BatchFinished):
            control.interrupt()

    finished = execute(Resume(project=str(project), run=run, anyway=True), listen, control)
    assert isinstance(finished, RunFinished) and finished.outcome == CANCELED
    return finished


def test_added_images_are_asked_about_once_more_where_the_run_is_cut_off_again(
    interrupted: tuple[Path, str], tmp_path: Path
) -> None:
    project, run = interrupted
    more = write_images(tmp_path / "more" / "images", n_patients=2)
    rule = PatientRule(source="pattern", pattern=r"p\d+")
    run_job(Scan(source=str(more), project=str(project), patient_rule=rule))
    cut_off_again(project, run)
    with Project.open(project) as opened:
        summary = opened.run_summary(run)
    assert summary.is_resumable
    assert summary.changes == (ADDED, UNDO)
    assert resume(project, run, anyway=True).outcome == COMPLETED


class KilledError(BaseException):
    """Nothing of the program gets to do anything after it."""


@pytest.mark.parametrize("at", [RunStarted, BatchFinished])
def test_a_kill_soon_after_it_went_on_with_another_program_loses_nothing(
    interrupted: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, at: type[Event]
) -> None:
    """A program that knows more settings gives those of the run another digest."""
    project, run = interrupted
    monkeypatch.setattr("engine.project.run_data.code_digest", lambda: "0123456789ab")
    monkeypatch.setattr("engine.jobs.training._digest", lambda config: "of another program")

    def kill(event: Event) -> None:
        if isinstance(event, at):
            raise KilledError

    with pytest.raises(KilledError):
        execute(Resume(project=str(project), run=run, anyway=True), kill, Control())
    with Project.open(project) as opened:
        is_asked = bool(opened.run_summary(run, has_worker=False).changes)
    assert is_asked == (at is RunStarted)
    again = resume(project, run, anyway=is_asked)
    assert again.outcome == COMPLETED, again.error


def test_a_newest_state_that_is_torn_soon_after_another_program_went_on_loses_nothing(
    interrupted: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state before is one of that program as well, since it isn't asked about again."""
    project, run = interrupted
    monkeypatch.setattr("engine.project.run_data.code_digest", lambda: "0123456789ab")
    monkeypatch.setattr("engine.jobs.training._digest", lambda config: "of another program")

    def kill(event: Event) -> None:
        if isinstance(event, BatchFinished):
            raise KilledError

    with pytest.raises(KilledError):
        execute(Resume(project=str(project), run=run, anyway=True), kill, Control())
    newest = project / "runs" / run / "checkpoints" / "last" / "state.json"
    newest.write_text("{}", encoding="utf-8")
    with Project.open(project) as opened:
        assert opened.run_summary(run, has_worker=False).changes == ()
    again = resume(project, run)
    assert again.outcome == COMPLETED, again.error
