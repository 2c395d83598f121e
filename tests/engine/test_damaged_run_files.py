"""What a run keeps beside its states gets damaged: only that run is affected, and it is told."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.contract.commands import Combine, Evaluate, Export, Resume, Train
from engine.contract.control import Control, JobCanceled
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    EpochFinished,
    Event,
    JobFinished,
    Recovered,
    RunFinished,
    RunPaused,
)
from engine.contract.recipe import RECIPE_NAME
from engine.contract.records import RunSummary
from engine.evaluate.score import load_run
from engine.files import checked, sha256_file, signed, write_json
from engine.project.run_data import RunData, kept_run_data, read_run_data, write_run_data
from engine.project.store import Project
from engine.run import execute
from tests.engine.test_damaged_states import DAMAGES, Damage
from tests.helpers.tiny_study import run_job, small_config, train

N_TRIES = 150
TwoRuns = tuple[Path, str, str, tuple[str, str]]
UNREADABLE = "What this run began with (images.npz in its folder) can't be read"


def began_with() -> RunData:
    return RunData(
        records=np.arange(1, 301),
        labels=np.arange(300) % 2,
        split=(np.arange(300) % 3).astype(np.int8),
        patients=np.arange(300) // 2,
        marks=np.arange(300) * 7_919_317,
        classes=("a", "b", "b"),
        versions=("radtune=1.0", "torch=2.14.1"),
    )


def is_same(found: RunData, written: RunData) -> bool:
    names = ("records", "labels", "split", "patients", "marks")
    is_alike = all(np.array_equal(getattr(found, n), getattr(written, n)) for n in names)
    return is_alike and (found.classes, found.versions) == (written.classes, written.versions)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("has_checksum", [True, False], ids=["new", "older"])
def test_damaged_images_of_a_run_are_never_taken_for_others(
    tmp_path: Path, damage: Damage, has_checksum: bool
) -> None:
    write_run_data(tmp_path, began_with())
    path = tmp_path / "images.npz"
    if not has_checksum:
        without_checksum(path)
    sound, n_noticed = path.read_bytes(), 0
    found = read_run_data(tmp_path)
    assert found is not None and is_same(found, began_with())
    for seed in range(N_TRIES):
        path.write_bytes(damage(sound, random.Random(seed)))
        found = read_run_data(tmp_path)
        n_noticed += found is None
        assert found is None or is_same(found, began_with())  # a flip in a date harms nobody
    assert n_noticed >= 0.6 * N_TRIES
    assert kept_run_data(tmp_path)


def without_checksum(path: Path) -> None:
    """Make the file one as earlier versions wrote it."""
    with np.load(path) as found:
        arrays = {name: found[name] for name in found.files if name != "sha256"}
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    path.write_bytes(stream.getvalue())


def test_images_that_another_hand_put_together_are_noticed(tmp_path: Path) -> None:
    """A whole archive is no proof: one array may be that of another run."""
    write_run_data(tmp_path, began_with())
    path = tmp_path / "images.npz"
    with np.load(path) as found:
        arrays = {name: found[name] for name in found.files}
    np.savez_compressed(path, **(arrays | {"labels": 1 - arrays["labels"]}))
    assert zipfile.ZipFile(path).testzip() is None
    assert read_run_data(tmp_path) is None


def test_runs_of_the_first_versions_are_known_to_have_kept_no_images(tmp_path: Path) -> None:
    assert not kept_run_data(tmp_path)
    recipe = tmp_path / RECIPE_NAME
    recipe.write_text('{"config": {}, "runtime": {}}', encoding="utf-8")
    assert not kept_run_data(tmp_path)
    recipe.write_text('{"config": {}, "runtime": {}, "run": "r1"}', encoding="utf-8")
    assert kept_run_data(tmp_path)


@pytest.fixture(scope="module")
def _two_runs(_study: Path, tmp_path_factory: pytest.TempPathFactory) -> TwoRuns:
    """Return a project, its finished run, one that was cut off, and what that was to become."""
    folder = tmp_path_factory.mktemp("two") / "study"
    project = Path(shutil.copytree(_study.parent, folder)) / _study.name
    finished, _ = train(project, small_config(max_epochs=1))
    assert finished.outcome == COMPLETED
    control = Control()

    def listen(event: Event) -> None:
        if isinstance(event, EpochFinished):
            control.interrupt()

    config = small_config("full_finetune", max_epochs=2)
    cut_off = execute(Train(project=str(project), config=config), listen, control)
    assert isinstance(cut_off, RunFinished) and cut_off.outcome == CANCELED
    undisturbed = Path(shutil.copytree(project.parent, folder.parent / "undisturbed"))
    assert resume(undisturbed / project.name, cut_off.run)[0].outcome == COMPLETED
    return project, finished.run, cut_off.run, kept(undisturbed / project.name, cut_off.run)


@pytest.fixture
def two_runs(_two_runs: TwoRuns, tmp_path: Path) -> TwoRuns:
    """Return a copy of that project for the test alone."""
    project, finished, cut_off, expected = _two_runs
    folder = Path(shutil.copytree(project.parent, tmp_path / "study"))
    return folder / project.name, finished, cut_off, expected


def resume(project: Path, run: str, *, anyway: bool = False) -> tuple[RunFinished, list[str]]:
    events: list[Event] = []
    finished = execute(
        Resume(project=str(project), run=run, anyway=anyway), events.append, Control()
    )
    assert isinstance(finished, RunFinished)
    return finished, [event.message for event in events if isinstance(event, Recovered)]


def kept(project: Path, run: str) -> tuple[str, str]:
    """Return what tells the best and the last weights apart."""
    folder = project / "runs" / run / "checkpoints"
    best, last = folder / "best" / "weights.safetensors", folder / "last" / "state.safetensors"
    return sha256_file(best), sha256_file(last)


def history(project: Path) -> dict[str, RunSummary]:
    with Project.open(project, read_only=True) as opened:
        return {run.id: run for run in opened.runs(has_worker=False)}


def flip_the_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


HARMS: dict[str, Callable[[Path], None]] = {
    "a flipped bit": flip_the_middle,
    "torn": tear,
    "emptied": empty,
    "gone": Path.unlink,
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_lost_images_of_a_run_are_asked_about_once_and_harm_no_other(
    two_runs: TwoRuns, harm: Callable[[Path], None]
) -> None:
    project, finished, cut_off, expected = two_runs
    harm(project / "runs" / cut_off / "images.npz")
    rows = history(project)
    assert rows.keys() == {finished, cut_off}
    assert rows[finished].changes == ()
    assert rows[cut_off].is_resumable
    assert [text.startswith(UNREADABLE) for text in rows[cut_off].changes] == [True]
    evaluated = execute(Evaluate(project=str(project), run=finished), lambda _: None, Control())
    assert isinstance(evaluated, JobFinished) and evaluated.outcome == COMPLETED
    refused, _ = resume(project, cut_off)
    assert refused.outcome == FAILED
    assert UNREADABLE in (refused.error or "")
    assert "--anyway" in (refused.remedy or "")
    assert resume(project, cut_off, anyway=True)[0].outcome == COMPLETED
    assert kept(project, cut_off) == expected


def test_lost_images_and_a_changed_project_can_not_be_gone_on_with(
    two_runs: TwoRuns,
) -> None:
    from engine.project import labels

    project, _, cut_off, _ = two_runs
    empty(project / "runs" / cut_off / "images.npz")
    with Project.open(project) as opened:
        record = next(r for r in opened.records() if r.split == "train")
        labels.exclude(opened, [record.id], "motion")
    row = history(project)[cut_off]
    assert not row.is_resumable
    assert row.changes[-1] == "The images, labels or split have changed."
    assert resume(project, cut_off, anyway=True)[0].outcome == FAILED


def change_the_threads(path: Path) -> None:
    """Flip bits that leave valid JSON: 1 becomes 3, which gives other bits."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    plain["runtime"]["threads"] += 2
    path.write_text(json.dumps(plain), encoding="utf-8")


@pytest.mark.parametrize(
    "harm", [*HARMS.values(), change_the_threads], ids=[*HARMS, "another number"]
)
def test_a_lost_recipe_is_restored_from_the_saved_state(
    two_runs: TwoRuns, harm: Callable[[Path], None]
) -> None:
    project, _, run, expected = two_runs
    recipe = project / "runs" / run / RECIPE_NAME
    written = recipe.read_bytes()
    harm(recipe)
    finished, told = resume(project, run)
    assert finished.outcome == COMPLETED, (finished.error, finished.remedy)
    assert recipe.read_bytes() == written
    assert kept(project, run) == expected
    assert told == [
        "recipe.json of this run was damaged or missing. It was restored from the saved state."
    ]
    assert resume(project, run)[0].error == "This run has finished."


def by_a_newer_version(plain: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe as a version may write it that computes in a way of its own."""
    return plain | {"schema_version": 99, "runtime": plain["runtime"] | {"sharded": True}}


@pytest.mark.parametrize("is_damaged", [False, True], ids=["sound", "damaged"])
def test_a_recipe_of_a_newer_version_is_told_as_such_and_left_alone(
    two_runs: TwoRuns, is_damaged: bool
) -> None:
    project, finished, cut_off, _ = two_runs
    for run in (finished, cut_off):
        folder = project / "runs" / run
        recipe = folder / RECIPE_NAME
        plain = checked(json.loads(recipe.read_text(encoding="utf-8")))
        write_json(recipe, signed(by_a_newer_version(plain)))
        for path in (folder / "checkpoints").glob("*/*.json"):
            facts = checked(json.loads(path.read_text(encoding="utf-8")))
            if facts.get("recipe"):
                facts["recipe"] = by_a_newer_version(facts["recipe"])
                write_json(path, signed(facts))
        if is_damaged:
            empty(recipe)
        written = recipe.read_bytes()
        if run == cut_off:
            resumed, told = resume(project, run)
            error, remedy = resumed.error, resumed.remedy
        else:
            evaluated, told = evaluate(project, run)
            error, remedy = evaluated.error, evaluated.remedy
        assert error == "recipe.json of this run was written by a newer version of RadTune."
        assert (remedy or "").startswith("Update RadTune")
        assert told == []
        assert recipe.read_bytes() == written


def forget_recipes(project: Path, run: str) -> None:
    """Make the saved states those of an earlier version."""
    for path in (project / "runs" / run / "checkpoints").glob("*/state.json"):
        plain = checked(json.loads(path.read_text(encoding="utf-8")))
        del plain["recipe"]
        write_json(path, signed(plain))


def test_states_of_an_earlier_version_go_on_with_and_without_a_recipe(
    two_runs: TwoRuns,
) -> None:
    project, _, run, expected = two_runs
    forget_recipes(project, run)
    other = Path(shutil.copytree(project.parent, project.parent.parent / "other")) / project.name
    finished, told = resume(project, run)
    assert (finished.outcome, told) == (COMPLETED, [])
    assert kept(project, run) == expected
    flip_the_middle(other / "runs" / run / RECIPE_NAME)
    finished, [renewed] = resume(other, run)
    assert finished.outcome == COMPLETED
    assert "written anew from the settings" in renewed
    evaluated = execute(Evaluate(project=str(other), run=run), lambda _: None, Control())
    assert isinstance(evaluated, JobFinished) and evaluated.outcome == COMPLETED


@pytest.mark.usefixtures("tries_again_soon")
def test_a_recipe_that_can_not_be_read_just_now_is_not_given_up(
    two_runs: TwoRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, _, run, expected = two_runs
    recipe, real = project / "runs" / run / RECIPE_NAME, Path.read_text

    def read_text(path: Path, *args: Any, **kwargs: Any) -> str:
        if path == recipe:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, *args, **kwargs)

    control, reasons = Control(), []

    def listen(event: Event) -> None:
        if isinstance(event, RunPaused):
            reasons.append(event.reason)
            control.interrupt()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", read_text)
        waited = execute(Resume(project=str(project), run=run), listen, control)
    assert waited.outcome == CANCELED
    assert len(reasons) == 1 and "error" in reasons[0]
    assert resume(project, run)[0].outcome == COMPLETED
    assert kept(project, run) == expected


def exchange_the_classes(path: Path) -> None:
    """With the other class as the positive one, sensitivity and specificity change places."""
    text = path.read_text(encoding="utf-8")
    assert text.count('"positive": 1') == 1
    path.write_text(text.replace('"positive": 1', '"positive": 0'), encoding="utf-8")


def evaluate(project: Path, run: str) -> tuple[JobFinished, list[str]]:
    events: list[Event] = []
    evaluated = execute(Evaluate(project=str(project), run=run), events.append, Control())
    assert isinstance(evaluated, JobFinished)
    return evaluated, [event.message for event in events if isinstance(event, Recovered)]


FIGURES = ("auroc", "sensitivity", "specificity", "threshold")


@pytest.mark.parametrize("harm", [*HARMS.values(), exchange_the_classes], ids=[*HARMS, "exchanged"])
@pytest.mark.parametrize("method", ["full_finetune", "linear_probe"])
def test_a_finished_run_is_measured_and_exported_by_its_own_recipe_or_not_at_all(
    request: pytest.FixtureRequest, harm: Callable[[Path], None], method: str
) -> None:
    fixture = "two_runs" if method == "full_finetune" else "trained"
    project, run = request.getfixturevalue(fixture)[:2]
    recipe = project / "runs" / run / RECIPE_NAME
    written = recipe.read_bytes()
    before, told = evaluate(project, run)
    assert told == []
    harm(recipe)
    evaluated, told = evaluate(project, run)
    assert evaluated.outcome == COMPLETED, evaluated.error
    assert [evaluated.result[name] for name in FIGURES] == [before.result[n] for n in FIGURES]
    assert told == [
        "recipe.json of this run was damaged or missing. It was restored from the saved state."
    ]
    assert recipe.read_bytes() == written
    harm(recipe)
    run_job(Export(project=str(project), run=run, out=str(project.parent / "bundle")))
    assert recipe.read_bytes() == written
    assert evaluate(project, run)[1] == []


@pytest.mark.parametrize("harm", [empty, Path.unlink], ids=["emptied", "gone"])
def test_a_run_is_repeated_from_the_copy_of_its_recipe(
    trained: tuple[Path, str], harm: Callable[[Path], None]
) -> None:
    project, run = trained
    recipe = project / "runs" / run / RECIPE_NAME
    harm(recipe)
    events: list[Event] = []
    command = Train(project=str(project), recipe=str(recipe))
    repeated = execute(command, events.append, Control())
    assert isinstance(repeated, RunFinished)
    assert repeated.outcome == COMPLETED, repeated.error
    assert repeated.result["repeat"]["is_same"]
    [told] = [event.message for event in events if isinstance(event, Recovered)]
    assert "The copy that the run kept takes its place" in told


def test_a_run_of_an_earlier_version_is_measured_by_what_the_project_knows(
    trained: tuple[Path, str],
) -> None:
    project, run = trained
    before, _ = evaluate(project, run)
    facts = project / "runs" / run / "checkpoints" / "best" / "facts.json"
    plain = checked(json.loads(facts.read_text(encoding="utf-8")))
    del plain["recipe"]
    write_json(facts, signed(plain))
    recipe = project / "runs" / run / RECIPE_NAME
    empty(recipe)
    command = Train(project=str(project), recipe=str(recipe))
    refused = execute(command, lambda _: None, Control())
    assert "holds no copy" in (refused.error or "")
    assert "Evaluate the run" in (refused.remedy or "")
    evaluated, [told] = evaluate(project, run)
    assert evaluated.outcome == COMPLETED, evaluated.error
    assert [evaluated.result[name] for name in FIGURES] == [before.result[n] for n in FIGURES]
    assert "versions of the training are not known any more" in told
    assert evaluate(project, run)[1] == []
    assert execute(command, lambda _: None, Control()).outcome == COMPLETED


@pytest.mark.parametrize("harm", [flip_the_middle, empty, Path.unlink])
def test_a_combined_run_without_its_recipe_says_what_to_do(
    two_runs: TwoRuns, harm: Callable[[Path], None]
) -> None:
    project, one, cut_off, _ = two_runs
    assert resume(project, cut_off)[0].outcome == COMPLETED
    run = run_job(Combine(project=str(project), runs=(one, cut_off)))["run"]
    assert evaluate(project, run)[0].outcome == COMPLETED
    harm(project / "runs" / run / RECIPE_NAME)
    refused, _ = evaluate(project, run)
    assert refused.outcome == FAILED
    assert "nothing else tells which networks it combined" in (refused.error or "")
    assert "Combine the same runs again" in (refused.remedy or "")


def test_a_recipe_is_not_written_anew_where_nothing_tells_whom_its_weights_know(
    trained: tuple[Path, str],
) -> None:
    folder, run = trained
    facts = folder / "runs" / run / "checkpoints" / "best" / "facts.json"
    plain = checked(json.loads(facts.read_text(encoding="utf-8")))
    del plain["recipe"]
    write_json(facts, signed(plain))
    empty(folder / "runs" / run / RECIPE_NAME)
    with Project.open(folder) as project:
        project.db.execute(
            "UPDATE runs SET config = json_set(config, '$.backbone.weights', 'file:removed')"
        )
    refused, _ = evaluate(folder, run)
    assert refused.outcome == FAILED
    assert "nothing else tells whom these know" in (refused.error or "")
    assert "Add the file of these weights again" in (refused.remedy or "")


def test_a_recipe_that_is_written_anew_can_be_ended_while_a_driver_is_waited_for(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run = trained
    facts = folder / "runs" / run / "checkpoints" / "best" / "facts.json"
    plain = checked(json.loads(facts.read_text(encoding="utf-8")))
    del plain["recipe"]
    write_json(facts, signed(plain))
    empty(folder / "runs" / run / RECIPE_NAME)

    def placed(*_: Any, safe_point: Callable[[], None], **__: Any) -> Any:
        safe_point()  # as while a driver hangs

    control = Control()
    control.cancel()
    monkeypatch.setattr("engine.evaluate.kept_recipe.place_run", placed)
    with Project.open(folder) as project, pytest.raises(JobCanceled):
        load_run(project, run, safe_point=control.wait_point)
