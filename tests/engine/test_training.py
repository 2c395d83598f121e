"""Runs: their events, their state on disk, and going on exactly where they were."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.contract.commands import Resume
from engine.contract.control import Control
from engine.contract.errors import StorageError
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    STOPPED,
    BatchFinished,
    EpochFinished,
    Event,
    Recovered,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    Warned,
)
from engine.contract.protocol import decode_event
from engine.project import labels
from engine.project.store import Project
from engine.run import execute
from engine.trainer.checkpoint import save_state
from tests.helpers.tiny_study import small_config, train


def best_weights(project: Path, run: str) -> dict[str, torch.Tensor]:
    return load_file(project / "runs" / run / "checkpoints" / "best" / "weights.safetensors")


def assert_equal_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def resume(project: Path, run: str) -> tuple[RunFinished, list[Event]]:
    events: list[Event] = []
    finished = execute(Resume(project=str(project), run=run), events.append, Control())
    assert isinstance(finished, RunFinished)
    return finished, events


class RequestAfter:
    """Makes a request when the n-th batch has been reported."""

    def __init__(self, request: str, n: int) -> None:
        self.control = Control()
        self._request, self._left = request, n
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, BatchFinished):
            self._left -= 1
            if self._left == 0:
                getattr(self.control, self._request)()


def train_with(project: Path, watcher: RequestAfter, **settings: Any) -> RunFinished:
    from engine.contract.commands import Train

    command = Train(project=str(project), config=small_config(**settings))
    finished = execute(command, watcher, watcher.control)
    assert isinstance(finished, RunFinished)
    return finished


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory, _study: Path) -> Any:
    import shutil

    folder = tmp_path_factory.mktemp("run") / "study"
    project = Path(shutil.copytree(_study.parent, folder)) / _study.name
    finished, events = train(project)
    return project, finished, events


def test_a_run_tells_its_story_in_the_agreed_grammar(finished_run: Any) -> None:
    _, finished, events = finished_run
    assert isinstance(events[0], RunStarted)
    assert events[-1] is finished
    assert sum(isinstance(event, RunFinished) for event in events) == 1
    assert {event.run for event in events} == {finished.run}
    epochs = [event.epoch for event in events if isinstance(event, EpochFinished)]
    assert epochs == [1, 2]
    assert finished.outcome == COMPLETED


def test_the_result_has_the_promised_fields(finished_run: Any) -> None:
    _, finished, _ = finished_run
    expected = {
        "run",
        "outcome",
        "val_auroc",
        "epochs",
        "train_images_per_s",
        "method_facts",
        "seconds",
    }
    assert set(finished.result) == expected
    assert finished.result["epochs"] == 2


def test_a_run_leaves_what_is_needed_to_repeat_it(finished_run: Any) -> None:
    project, finished, events = finished_run
    folder = project / "runs" / finished.run
    recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["classes"] == ["a", "b"]
    assert recipe["runtime"]["threads"] == 1
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert [decode_event(line) for line in lines] == events
    rows = (folder / "history.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 3
    assert not list(folder.rglob("*.pkl")) and not list(folder.rglob("*.pt"))


def test_the_best_epoch_is_kept_and_named(finished_run: Any) -> None:
    project, finished, events = finished_run
    epochs = [event for event in events if isinstance(event, EpochFinished)]
    best = max(epochs, key=lambda e: (e.val_auroc, -e.val_loss))
    folder = project / "runs" / finished.run / "checkpoints" / "best"
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    assert facts["epoch"] == best.epoch
    assert finished.result["val_auroc"] == best.val_auroc


def test_the_same_seed_gives_the_same_weights(finished_run: Any, study: Path) -> None:
    project, finished, _ = finished_run
    again, _ = train(study)
    assert_equal_weights(best_weights(project, finished.run), best_weights(study, again.run))


def test_another_seed_gives_other_weights(finished_run: Any, study: Path) -> None:
    project, finished, _ = finished_run
    other, _ = train(study, small_config(seed=1))
    one, two = best_weights(project, finished.run), best_weights(study, other.run)
    assert not torch.equal(one["head.weight"], two["head.weight"])


@pytest.mark.parametrize("n_batches", [2, 7])
def test_an_interrupted_run_goes_on_exactly_where_it_was(
    finished_run: Any, study: Path, n_batches: int
) -> None:
    project, uninterrupted, _ = finished_run
    interrupted = train_with(study, RequestAfter("interrupt", n_batches))
    assert interrupted.outcome == CANCELED
    with Project.open(study) as opened:
        assert opened.runs()[0].state == "interrupted"
        assert opened.runs()[0].is_resumable
    finished, events = resume(study, interrupted.run)
    assert finished.outcome == COMPLETED
    assert isinstance(events[0], RunStarted)
    assert events[0].is_resumed
    assert_equal_weights(
        best_weights(project, uninterrupted.run), best_weights(study, finished.run)
    )


def test_a_damaged_newest_state_falls_back_to_the_one_before(study: Path) -> None:
    interrupted = train_with(study, RequestAfter("interrupt", 7))
    newest = study / "runs" / interrupted.run / "checkpoints" / "last" / "state.safetensors"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    finished, events = resume(study, interrupted.run)
    assert finished.outcome == COMPLETED
    assert any(isinstance(event, Recovered) for event in events)


def test_stop_keeps_the_best_so_far(study: Path) -> None:
    finished = train_with(study, RequestAfter("stop", 3))
    assert finished.outcome == STOPPED
    assert finished.result["val_auroc"] is not None
    assert best_weights(study, finished.run)


def test_cancel_ends_within_a_batch(study: Path) -> None:
    watcher = RequestAfter("cancel", 3)
    finished = train_with(study, watcher)
    assert finished.outcome == CANCELED
    assert sum(isinstance(event, BatchFinished) for event in watcher.events) == 3


def test_pause_waits_with_its_state_on_disk(study: Path) -> None:
    watcher = RequestAfter("pause", 3)

    class Proceeding(RequestAfter):
        def __call__(self, event: Event) -> None:
            super().__call__(event)
            if isinstance(event, RunPaused):
                facts = study / "runs" / event.run / "checkpoints" / "last" / "state.json"
                assert json.loads(facts.read_text(encoding="utf-8"))["step"] == 3
                self.control.proceed()

    watcher = Proceeding("pause", 3)
    finished = train_with(study, watcher)
    kinds = [type(event) for event in watcher.events]
    assert kinds.index(RunPaused) + 1 == kinds.index(RunResumed)
    assert finished.outcome == COMPLETED


def test_a_full_disk_pauses_the_run_until_there_is_room(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([True] * 3)

    def fail_at_first(*arguments: Any) -> None:
        if arguments[1].step >= 3 and next(failures, False):
            raise StorageError("The disk is full.", remedy="Free some space.")
        save_state(*arguments)

    monkeypatch.setattr("engine.trainer.saving.save_state", fail_at_first)
    monkeypatch.setattr("engine.trainer.full_disk._TRY_AGAIN_S", 0.01)
    finished, events = train(study)
    paused = [event for event in events if isinstance(event, RunPaused)]
    assert [event.reason for event in paused] == [
        "The disk is full. Free some space. Stop ends it with what was saved last."
    ]
    assert any(isinstance(event, RunResumed) for event in events)
    assert finished.outcome == COMPLETED


def test_changed_labels_are_not_trained_on_by_a_resumed_run(study: Path) -> None:
    interrupted = train_with(study, RequestAfter("interrupt", 3))
    with Project.open(study) as project:
        record = project.records()[0]
        labels.exclude(project, [record.id], "motion")
    finished, _ = resume(study, interrupted.run)
    assert finished.outcome == FAILED
    assert finished.error is not None
    assert "changed" in finished.error


def test_a_run_without_a_split_is_refused_with_the_next_step(study: Path) -> None:
    with Project.open(study) as project:
        summary = project.split_summary()
        assert summary is not None
        ids = [record.id for record in project.records()]
        project.save_split(dict.fromkeys(ids), summary)
    finished, events = train(study)
    assert (finished.outcome, finished.run) == (FAILED, "")
    assert finished.remedy == "Make a split first."
    assert events == [finished]


def test_an_unknown_backbone_is_refused(study: Path) -> None:
    config = small_config()
    config = replace(config, backbone=replace(config.backbone, key="resnet1"))
    finished, _ = train(study, config)
    assert finished.outcome == FAILED
    assert "resnet1" in (finished.error or "")


def test_more_than_two_classes_train_too(tmp_path: Path) -> None:
    from tests.helpers.tiny_study import make_study

    project = make_study(tmp_path, classes=("a", "b", "c"), n_patients=36)
    finished, _ = train(project, small_config(max_epochs=1))
    assert finished.outcome == COMPLETED
    assert best_weights(project, finished.run)["head.weight"].shape[0] == 3


def test_a_backbone_without_weights_starts_from_scratch_and_says_so(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(tmp_path / "none"))
    config = small_config("linear_probe")
    config = replace(config, backbone=replace(config.backbone, key="squeezenet1_0"))
    finished, events = train(study, config)
    assert finished.outcome == COMPLETED
    warnings = [event for event in events if isinstance(event, Warned)]
    [warning] = [event for event in warnings if "from scratch" in event.message]
    assert warning.remedy
    with Project.open(study) as project:
        assert project.run_config(finished.run).backbone.weights == "scratch"


@pytest.mark.parametrize(("method", "is_told"), [("adversarial", True), ("linear_probe", False)])
def test_too_few_images_for_the_method_are_told_once(
    study: Path, method: str, is_told: bool
) -> None:
    finished, events = train(study, small_config(method, max_epochs=1))
    told = [
        e.message for e in events if isinstance(e, Warned) and "the rarest class has" in e.message
    ]
    with Project.open(study) as project:
        table = project.training_table()
    smallest = min(sum(table.labels[table.split == 0] == k) for k in (0, 1))
    assert [f"has {smallest}." in message for message in told] == [True] * is_told
    assert finished.outcome == COMPLETED
