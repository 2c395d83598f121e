"""A run goes on with the pre-trained weights that it began with, or without any, or not at all."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from engine.contract.commands import Resume, Train
from engine.contract.control import Control
from engine.contract.events import (
    CANCELED,
    COMPLETED,
    FAILED,
    EpochFinished,
    Event,
    Recovered,
    RunFinished,
    Warned,
)
from engine.files import sha256_file
from engine.models.adapt import find_card
from engine.models.registry import build_network
from engine.models.weights import FOUND, OFFICIAL, keep_weights, remove_weights, weights_info
from engine.run import execute
from tests.helpers.tiny_study import small_config

KEY = "squeezenet1_0"
ASK_FOR_ORIGIN = {"l2_sp", "soft_threshold"}


@pytest.fixture(autouse=True)
def _own_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(tmp_path / "weights"))


def add(seed: int, kind: str, mean: tuple[float, float, float] | None = None) -> str:
    """Add weights and return their id; official ones become the default."""
    card, network = find_card(KEY), build_network(KEY, 2, weights="scratch", seed=seed)
    return keep_weights(
        card,
        dict(network.body.state_dict()),
        name=f"of seed {seed}",
        kind=kind,
        licence="MIT",
        pretrained_on="noise",
        mean=mean or card.mean,
        std=card.std,
    ).id


def cut_off_run(project: Path, method: str) -> str:
    config = small_config(method, max_epochs=2)
    config = replace(
        config,
        backbone=replace(config.backbone, key=KEY),
        anchor=replace(config.anchor, strength=1.0),
    )
    control = Control()

    def listen(event: Event) -> None:
        if isinstance(event, EpochFinished):
            control.interrupt()

    finished = execute(Train(project=str(project), config=config), listen, control)
    assert isinstance(finished, RunFinished) and finished.outcome == CANCELED, finished.error
    return finished.run


def resume(project: Path, run: str) -> tuple[RunFinished, list[str]]:
    events: list[Event] = []
    finished = execute(Resume(project=str(project), run=run), events.append, Control())
    assert isinstance(finished, RunFinished)
    return finished, [e.message for e in events if isinstance(e, Recovered | Warned)]


def kept(project: Path, run: str) -> tuple[str, str, list[float], float]:
    """Return what tells best and last weights apart, the mean of values, the last loss."""
    folder = project / "runs" / run / "checkpoints"
    best = sha256_file(folder / "best" / "weights.safetensors")
    last = sha256_file(folder / "last" / "state.safetensors")
    facts = json.loads((folder / "best" / "facts.json").read_text(encoding="utf-8"))
    state = json.loads((folder / "last" / "state.json").read_text(encoding="utf-8"))
    return best, last, facts["mean"], state["history"][-1]["val_loss"]


@pytest.fixture
def study(_study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_study.parent, tmp_path / "study")) / _study.name


def twin(project: Path) -> Path:
    folder = project.parent.with_name("twin")
    return Path(shutil.copytree(project.parent, folder)) / project.name


@pytest.mark.parametrize("method", ["full_finetune", "l2_sp", "soft_threshold"])
def test_weights_that_became_the_default_since_are_not_those_of_the_run(
    study: Path, method: str
) -> None:
    first = add(1, FOUND)
    run = cut_off_run(study, method)
    undisturbed = twin(study)
    finished, _ = resume(undisturbed, run)
    assert finished.outcome == COMPLETED, finished.error
    add(2, OFFICIAL, mean=(0.3, 0.3, 0.3))
    assert weights_info(KEY).id != first
    finished, told = resume(study, run)
    assert (finished.outcome, told) == (COMPLETED, [])
    assert kept(study, run) == kept(undisturbed, run)


@pytest.mark.parametrize(
    ("method", "has_others"),
    [("full_finetune", False), ("lora", True), ("l2_sp", True), ("soft_threshold", False)],
)
def test_without_its_weights_a_run_goes_on_as_it_would_have_or_says_what_to_add(
    study: Path, method: str, has_others: bool
) -> None:
    first = add(1, FOUND, mean=(0.2, 0.4, 0.6))
    run = cut_off_run(study, method)
    undisturbed = twin(study)
    assert resume(undisturbed, run)[0].outcome == COMPLETED
    remove_weights(first)
    if has_others:
        add(2, OFFICIAL)
    finished, told = resume(study, run)
    if method in ASK_FOR_ORIGIN:
        assert finished.outcome == FAILED
        assert "(of seed 1)" in (finished.error or "")
        assert "Add their file again" in (finished.remedy or "")
        add(1, FOUND, mean=(0.2, 0.4, 0.6))
        finished, told = resume(study, run)
        assert (finished.outcome, told) == (COMPLETED, [])
    else:
        assert finished.outcome == COMPLETED, finished.error
        assert len(told) == 1
        assert "not on this computer any more" in told[0]
    assert kept(study, run) == kept(undisturbed, run)


def test_a_run_that_had_saved_nothing_needs_its_weights(study: Path) -> None:
    first = add(1, FOUND)
    run = cut_off_run(study, "full_finetune")
    shutil.rmtree(study / "runs" / run / "checkpoints")
    remove_weights(first)
    add(2, OFFICIAL)
    finished, _ = resume(study, run)
    assert finished.outcome == FAILED
    assert "that this run began with are not on this computer" in (finished.error or "")
