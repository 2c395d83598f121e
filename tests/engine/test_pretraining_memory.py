"""Memory that runs short between the updates of a pre-training: it goes on, with the same bits."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

import engine.trainer.full_disk
from engine.contract.control import JobCanceled
from engine.contract.errors import RunError
from engine.trainer import pretrain_task, pretraining
from engine.trainer.pretrain_state import Pretrained
from engine.trainer.pretrain_task import Task
from engine.trainer.pretrain_update import PretrainUpdater
from engine.trainer.pretraining import Pretrainer
from tests.engine.test_memory_between_steps import Place, let_fail
from tests.engine.test_out_of_memory import _own_cache
from tests.engine.test_pretraining_resume import assert_same
from tests.engine.test_pretraining_trouble import N_BATCHES, Small

__all__ = ["_own_cache"]

N_PASSES = 2
PLACES: dict[str, Place] = {
    "a check of the weights": (pretraining, "is_sound"),
    "drawing of rare images": (pretrain_task, "image_weights"),
    "drawing": (Task, "draw"),
    "counting": (pretraining, "count_update"),
    "progress": (Small, "_take"),
    "validation": (Task, "measured"),
    "keeping": (Pretrainer, "_kept"),
}


def whole_training(folder: Path | None = None) -> Pretrained:
    return Small(folder, max_epochs=N_PASSES).trainer.train()


@pytest.fixture(scope="module")
def whole() -> Pretrained:
    """A pre-training that had memory all the time."""
    return whole_training()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("is_saved", [True, False])
def test_it_goes_on_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Pretrained, place: str, is_saved: bool
) -> None:
    let_fail(monkeypatch, PLACES[place], nth=2, times=3)
    small = Small(tmp_path if is_saved else None, max_epochs=N_PASSES)
    assert_same(small.trainer.train(), whole)
    assert small.recovered and all("emory ran short" in message for message in small.recovered)
    assert small.progress[-1].step == N_PASSES * N_BATCHES


def test_it_goes_on_however_often_memory_is_short_for_a_moment_in_another_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_passes, report, failed = 5, Small._take, set[int]()

    def fail_once_a_pass(small: Small, progress: pretraining.PretrainProgress) -> None:
        report(small, progress)
        if progress.epoch not in failed:
            failed.add(progress.epoch)
            raise MemoryError

    undisturbed = Small(max_epochs=n_passes).trainer.train()
    monkeypatch.setattr(Small, "_take", fail_once_a_pass)
    small = Small(tmp_path, max_epochs=n_passes)
    assert_same(small.trainer.train(), undisturbed)
    assert len(small.recovered) == n_passes


def test_memory_that_stays_short_ends_it_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Pretrained
) -> None:
    with monkeypatch.context() as patched:
        let_fail(patched, PLACES["progress"], nth=2, times=99)
        with pytest.raises(RunError, match="memory ran short") as caught:
            whole_training(tmp_path)
    assert "continue" in caught.value.remedy
    assert_same(whole_training(tmp_path), whole)


@pytest.mark.parametrize(
    "place",
    [(PretrainUpdater, "load"), (pretraining, "unpack_best")],
    ids=["the weights", "the best"],
)
def test_it_waits_for_the_memory_to_take_up_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Pretrained, place: Place
) -> None:
    monkeypatch.setattr(engine.trainer.full_disk, "_TRY_AGAIN_S", 0.01)
    small = Small(tmp_path, max_epochs=N_PASSES, interrupt_at=N_BATCHES + 1)
    with pytest.raises(JobCanceled):
        small.trainer.train()
    let_fail(monkeypatch, place, times=2)
    assert_same(whole_training(tmp_path), whole)


def test_heads_are_fitted_again_where_memory_ran_short(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for is_short in (False, True):
        small = Small()
        network = small.trainer._network
        monkeypatch.setattr(type(network), "is_pretrained", True)
        if is_short:
            let_fail(monkeypatch, (Task, "fit_head"), nth=2)
        found.append(copy.deepcopy(small.trainer.train()))
    assert_same(*found)
    assert any("ran short" in message for message in small.recovered)
