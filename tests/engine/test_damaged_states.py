"""Saved states with a torn end or a flipped bit are noticed, and the one before is used."""

from __future__ import annotations

import errno
import json
import os
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from engine.contract.errors import RunError, StorageError
from engine.files import replace_folder, restore_folder
from engine.models.registry import build_network
from engine.trainer.best_weights import load_best, save_best
from engine.trainer.checkpoint import (
    NoSoundStateError,
    TrainingState,
    has_state,
    load_state,
    save_state,
)
from engine.trainer.history import EpochRow

N_TRIES = 40
Damage = Callable[[bytes, random.Random], bytes]


def flip_a_bit(data: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(data)
    damaged[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def tear(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def zero_the_end(data: bytes, chance: random.Random) -> bytes:
    """Leave zeros where a power cut left blocks that were allocated and never written."""
    n_left = chance.randrange(len(data))
    return data[:n_left] + bytes(len(data) - n_left)


DAMAGES = [flip_a_bit, tear, zero_the_end]


def state_at(step: int) -> tuple[TrainingState, dict[str, torch.Tensor]]:
    row = EpochRow(
        epoch=1, train_loss=0.5, val_loss=0.4, val_auroc=0.75, learning_rate=1e-3, seconds=2.0
    )
    state = TrainingState(
        epoch=2, step=step, history=[row], config_digest="c" * 16, split_digest="s" * 16
    )
    return state, {"network.weight": torch.full((6,), float(step)), "ema": torch.arange(step)}


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    for step in (10, 20):
        save_state(tmp_path, *state_at(step))
    return tmp_path


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_state_gives_way_to_the_one_before(
    checkpoints: Path, name: str, damage: Damage
) -> None:
    path = checkpoints / "last" / name
    sound = path.read_bytes()
    newest, before = state_at(20), state_at(10)
    n_noticed = 0
    for seed in range(N_TRIES):
        path.write_bytes(damage(sound, random.Random(seed)))
        state, tensors, problem = load_state(checkpoints)
        n_noticed += problem is not None
        expected_state, expected = newest if problem is None else before
        # What passes for sound must be what was written, to the last digit.
        assert asdict(state) == asdict(expected_state)
        assert all(torch.equal(tensors[key], expected[key]) for key in expected)
    assert n_noticed >= 0.9 * N_TRIES  # a blank between two values may well become a tab


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
def test_a_file_that_is_gone_gives_way_too(checkpoints: Path, name: str) -> None:
    (checkpoints / "last" / name).unlink()
    state, _, problem = load_state(checkpoints)
    assert state.step == 10
    assert problem is not None and "damaged" in problem


def test_states_without_facts_are_damaged_and_not_none_at_all(checkpoints: Path) -> None:
    for name in ("last", "previous"):
        (checkpoints / name / "state.json").unlink()
    assert has_state(checkpoints)
    with pytest.raises(NoSoundStateError):
        load_state(checkpoints)


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_a_state_that_can_not_be_read_just_now_is_not_taken_for_a_damaged_one(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    with monkeypatch.context() as patch:
        _refuse(patch, checkpoints / "last" / name, code)
        with pytest.raises(StorageError, match="can't be read just now") as caught:
            load_state(checkpoints)
    assert "Nothing is lost" in caught.value.remedy
    state, _, problem = load_state(checkpoints)
    assert (state.step, problem) == (20, None)


def test_a_state_that_is_in_use_can_be_written_over(checkpoints: Path) -> None:
    """A map of the file would change with it, and keep it from being deleted on Windows."""
    _, tensors, _ = load_state(checkpoints)
    path = checkpoints / "last" / "state.safetensors"
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert all(torch.equal(tensors[key], value) for key, value in state_at(20)[1].items())


def _refuse(patch: pytest.MonkeyPatch, refused: Path, code: int) -> None:
    real = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path == refused:
            raise OSError(code, os.strerror(code))
        return real(path)

    patch.setattr(Path, "read_bytes", read_bytes)


def test_two_damaged_states_are_a_sentence(checkpoints: Path) -> None:
    for name in ("last", "previous"):
        path = checkpoints / name / "state.json"
        path.write_bytes(tear(path.read_bytes(), random.Random(1)))
    with pytest.raises(RunError) as caught:
        load_state(checkpoints)
    assert caught.value.remedy


def test_a_number_changed_to_another_one_is_noticed(checkpoints: Path) -> None:
    path = checkpoints / "last" / "state.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(facts | {"epoch": 7}), encoding="utf-8")
    state, _, problem = load_state(checkpoints)
    assert (state.epoch, state.step) == (2, 10)
    assert problem is not None and "damaged" in problem


@pytest.fixture(scope="module")
def best(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("best")
    network = build_network("squeezenet1_0", 2, weights="scratch", seed=0, features="last")
    save_best(folder, network, {"epoch": 3, "val_auroc": 0.75, "method_facts": {}})
    return folder


@pytest.mark.parametrize("name", ["facts.json", "weights.safetensors"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_best_weights_are_refused(best: Path, name: str, damage: Damage) -> None:
    path = best / "best" / name
    sound = path.read_bytes()
    expected = load_best(best)
    try:
        for seed in range(8):
            path.write_bytes(damage(sound, random.Random(seed)))
            try:
                found = load_best(best)
            except RunError as error:
                assert "damaged" in error.message
                continue
            assert (found.mean, found.std, found.features) == (
                expected.mean,
                expected.std,
                expected.features,
            )
            assert name == "facts.json"  # a blank that became a tab
    finally:
        path.write_bytes(sound)


@pytest.mark.parametrize("name", ["facts.json", "weights.safetensors"])
def test_best_weights_that_can_not_be_read_just_now_are_not_called_damaged(
    best: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _refuse(monkeypatch, best / "best" / name, errno.EACCES)
    with pytest.raises(StorageError, match="can't be read just now"):
        load_best(best)


def test_weights_that_are_gone_are_not_taken_for_none(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="kept are missing") as caught:
        load_best(tmp_path)
    assert "backup" in caught.value.remedy


def test_nothing_is_written_for_a_run_whose_folder_is_gone(tmp_path: Path) -> None:
    network = build_network("squeezenet1_0", 2, weights="scratch", seed=0, features="last")
    checkpoints = tmp_path / "project" / "runs" / "run" / "checkpoints"
    with pytest.raises(StorageError, match="isn't there any more"):
        save_state(checkpoints, *state_at(1))
    with pytest.raises(StorageError, match="isn't there any more"):
        save_best(checkpoints, network, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_replacement_that_was_cut_off_is_mended(tmp_path: Path, is_replaced: bool) -> None:
    source, target = tmp_path / "writing", tmp_path / "best"
    for folder, text in ((source, "new"), (target, "old")):
        folder.mkdir()
        (folder / "what").write_text(text, encoding="utf-8")
    _cut_off(source, target, is_replaced=is_replaced)
    restore_folder(target)
    text = (target / "what").read_text(encoding="utf-8")
    assert text == ("new" if is_replaced else "old")
    assert {p.name for p in tmp_path.iterdir()} <= {"best", "writing"}


def _cut_off(source: Path, target: Path, *, is_replaced: bool) -> None:
    """Die between the two renames, or after them before the old one is removed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.rmtree", _die)
        if not is_replaced:
            patch.setattr("engine.files.replace_file", _Dying())
        with pytest.raises(KeyboardInterrupt):
            replace_folder(source, target)


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


class _Dying:
    """Renames once, then dies."""

    def __init__(self) -> None:
        self._n_left = 1

    def __call__(self, source: Path, target: Path) -> None:
        if not self._n_left:
            raise KeyboardInterrupt
        self._n_left -= 1
        source.replace(target)
