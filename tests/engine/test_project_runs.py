from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.contract.config import ImageContract, preset_config
from engine.contract.errors import RunError
from engine.contract.records import SplitSummary
from engine.contract.results import (
    CasePrediction,
    ClassResult,
    Estimate,
    EvaluationResult,
    RocCurve,
)
from engine.project import labels
from engine.project.records import NewRecord
from engine.project.store import Project

SPLIT = SplitSummary(
    origin="made",
    counts={"train": {"a": 2}, "val": {"a": 1}, "test": {"a": 1}},
    n_patients={"train": 2, "val": 1, "test": 1},
    overlap=0,
    unit="patient",
    seed=3,
    fractions=(0.7, 0.15, 0.15),
    digest="abc",
    notes=("Few images.",),
)
RESULT = EvaluationResult(
    run="r1",
    auroc=0.9,
    auroc_low=0.8,
    auroc_high=math.nan,
    accuracy=0.85,
    balanced_accuracy=0.84,
    sensitivity=0.8,
    specificity=0.88,
    f1=0.7,
    threshold=0.41,
    n_images=4,
    n_patients=3,
    classes=("a", "b"),
    positive="b",
    confusion=((2, 0), (1, 1)),
    per_class=(
        ClassResult(
            name="b", n_images=2, auroc=0.9, sensitivity=0.8, specificity=1, precision=1, f1=0.7
        ),
    ),
    looks=1,
    intervals={"f1": Estimate(value=0.7, low=0.6, high=0.8)},
    roc={"b": RocCurve(fpr=(0.0, 1.0), tpr=(0.0, 1.0), thresholds=(math.inf, 0.2))},
    cases=(CasePrediction(record=1, label=1, probabilities=(0.25, 0.75)),),
)


@pytest.fixture
def project(tmp_path):
    """A project with four images of two classes and a split."""
    with Project.create(tmp_path / "p") as project:
        source = project.add_source(Path("/data"), "folder")
        classes = [project.add_class(name) for name in ("a", "b")]
        ids = project.add_records(
            [
                NewRecord(source_id=source, path=f"{i}.png", row=i, class_id=classes[i % 2])
                for i in range(4)
            ]
        )
        names = ("train", "train", "val", "test")
        project.save_split(dict(zip(ids, names, strict=True)), SPLIT)
        yield project


def _checkpoint(project: Project, run: str) -> None:
    (project.run_folder(run) / "checkpoints" / "last").mkdir(parents=True)


def test_a_split_comes_back_as_it_was_saved(project):
    assert project.split_summary() == SPLIT
    assert [record.split for record in project.records()] == ["train", "train", "val", "test"]
    assert not project.split_is_stale()


def test_a_new_split_replaces_the_old_one_as_a_whole(project):
    ids = [record.id for record in project.records()]
    project.save_split({ids[0]: "test", ids[1]: None}, replace(SPLIT, digest="def"))
    assert [record.split for record in project.records()] == ["test", None, None, None]
    assert project.split_summary() == replace(SPLIT, digest="def")
    with pytest.raises(ValueError, match="no such split"):
        project.save_split({ids[0]: "holdout"}, SPLIT)
    assert project.records()[0].split == "test"


def test_a_project_without_a_split_has_none_and_it_is_not_stale(tmp_path):
    with Project.create(tmp_path / "q") as project:
        assert project.split_summary() is None
        assert not project.split_is_stale()


@pytest.mark.parametrize(
    ("change", "is_stale"),
    [
        (lambda p: labels.exclude(p, [1], "x"), True),
        (lambda p: labels.set_labels(p, [1], 2), True),
        (lambda p: labels.leave_out(p, 2, True), True),
        (lambda p: p.add_records([NewRecord(source_id=1, path="n", row=9, class_id=1)]), True),
        (lambda p: p.add_records([NewRecord(source_id=1, path="n", row=9)]), False),
        (lambda p: labels.rename_class(p, 1, "c"), False),
        (lambda p: setattr(p, "image_contract", ImageContract(size_px=320)), False),
    ],
)
def test_a_split_is_stale_once_usable_images_or_labels_change(project, change, is_stale):
    change(project)
    assert project.split_is_stale() is is_stale


def test_a_run_is_in_the_history_with_its_settings(project):
    config = preset_config("quick", seed=5)
    before = time.time()
    project.add_run("20260101-1", config)
    (run,) = project.runs()
    assert (run.id, run.state, run.looks) == ("20260101-1", "running", 0)
    assert (run.preset, run.backbone, run.method) == (
        "quick",
        "efficientnet_lite0",
        "linear_probe",
    )
    assert before <= run.created <= time.time()
    assert (run.val_auroc, run.epochs, run.seconds, run.error) == (None, 0, 0.0, None)
    assert not run.is_stale
    assert project.run_config("20260101-1") == config
    assert project.run_folder("20260101-1") == project.folder / "runs" / "20260101-1"


def test_the_newest_run_comes_first(project):
    for name in ("r1", "r2", "r3"):
        project.add_run(name, preset_config("quick"))
    assert [run.id for run in project.runs()] == ["r3", "r2", "r1"]


def test_updates_leave_the_other_fields_as_they_are(project):
    project.add_run("r1", preset_config("standard"))
    project.update_run("r1", val_auroc=0.8, epochs=2, seconds=9.5)
    project.update_run("r1", outcome="failed", error="The disk is full.")
    (run,) = project.runs()
    assert (run.val_auroc, run.epochs, run.seconds) == (0.8, 2, 9.5)
    assert (run.state, run.error) == ("failed", "The disk is full.")
    project.update_run("r1", state="running")
    assert project.runs()[0].error is None
    with pytest.raises(ValueError, match="no such state"):
        project.update_run("r1", state="happy")


def test_an_unknown_run_is_a_sentence(project):
    for ask in (
        lambda: project.run_config("nine"),
        lambda: project.update_run("nine", epochs=1),
        lambda: project.count_look("nine"),
        lambda: project.save_evaluation("nine", RESULT),
    ):
        with pytest.raises(RunError, match="no run nine"):
            ask()
    assert project.evaluation("nine") is None


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", "a:b", "a.", "x" * 65])
def test_a_run_id_is_a_folder_name_on_every_system(project, name):
    with pytest.raises(ValueError, match="not a run id"):
        project.add_run(name, preset_config("quick"))


@pytest.mark.parametrize(
    "change",
    [
        lambda p: labels.exclude(p, [1], "x"),
        lambda p: labels.rename_class(p, 1, "c"),
        lambda p: p.save_split({1: "train"}, replace(SPLIT, digest="def")),
        lambda p: p.add_records([NewRecord(source_id=1, path="n", row=9, class_id=1)]),
    ],
)
def test_a_run_is_stale_once_data_labels_or_split_change(project, change):
    project.add_run("r1", preset_config("quick"))
    change(project)
    assert project.runs()[0].is_stale
    project.add_run("r2", preset_config("quick"))
    assert [run.is_stale for run in project.runs()] == [False, True]


def test_a_run_is_fresh_again_once_the_change_is_undone(project):
    project.add_run("r1", preset_config("quick"))
    labels.exclude(project, [1], "x")
    assert project.runs()[0].is_stale
    labels.undo(project)
    assert not project.runs()[0].is_stale


def test_runs_that_no_worker_computes_any_more_are_interrupted(project):
    for name, state in (("r1", "running"), ("r2", "paused"), ("r3", "completed")):
        project.add_run(name, preset_config("quick"))
        project.update_run(name, state=state)
    assert sorted(project.interrupt_leftovers()) == ["r1", "r2"]
    assert [run.state for run in project.runs()] == ["completed", "interrupted", "interrupted"]
    assert project.interrupt_leftovers() == []


def test_a_run_whose_end_could_not_be_noted_counts_as_interrupted_without_a_worker(project):
    for name, state in (("r1", "running"), ("r2", "paused"), ("r3", "canceled")):
        project.add_run(name, preset_config("quick"))
        project.update_run(name, state=state)
    found = [(run.state, run.is_resumable) for run in project.runs(has_worker=False)]
    assert found == [("canceled", False), ("interrupted", True), ("interrupted", True)]
    assert project.run_summary("r1", has_worker=False).state == "interrupted"
    assert project.run_summary("r1").state == "running"  # as noted, where a worker may be at it


@pytest.mark.parametrize(
    ("state", "is_resumable"),
    [
        ("interrupted", True),
        ("failed", True),
        ("running", False),
        ("completed", False),
        ("stopped", False),
        ("canceled", False),
    ],
)
def test_a_run_can_be_resumed_if_it_was_cut_short(project, state, is_resumable):
    project.add_run("r1", preset_config("standard"))
    project.update_run("r1", state=state)
    assert project.runs()[0].is_resumable is is_resumable  # from its start
    assert not project.runs()[0].has_saved_state
    _checkpoint(project, "r1")
    assert project.runs()[0].is_resumable is is_resumable
    assert project.runs()[0].has_saved_state


def test_a_stale_run_can_not_be_resumed(project):
    project.add_run("r1", preset_config("standard"))
    project.update_run("r1", state="interrupted")
    _checkpoint(project, "r1")
    labels.exclude(project, [1], "x")
    assert not project.runs()[0].is_resumable


def test_every_look_at_the_test_set_counts(project):
    project.add_run("r1", preset_config("quick"))
    project.add_run("r2", preset_config("quick"))
    assert [project.count_look("r1"), project.count_look("r1"), project.count_look("r2")] == [
        1,
        2,
        1,
    ]
    assert [run.looks for run in project.runs()] == [1, 2]


def test_an_evaluation_comes_back_as_it_was(project):
    project.add_run("r1", preset_config("quick"))
    assert project.evaluation("r1") is None
    project.save_evaluation("r1", replace(RESULT, looks=7))
    project.save_evaluation("r1", RESULT)
    result = project.evaluation("r1")
    assert result is not None
    assert math.isnan(result.auroc_high)
    assert replace(result, auroc_high=1.0) == replace(RESULT, auroc_high=1.0)
    assert result.roc["b"].thresholds[0] == math.inf
