"""A graphics card that fails is announced and left by every job that trains or measures."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.contract.commands import (
    Audit,
    Combine,
    Crossval,
    Evaluate,
    Export,
    LrRange,
    Predict,
    Pretrain,
    RefitHead,
    Robustness,
    Search,
    Train,
)
from engine.contract.config import ExperimentConfig, RuntimeConfig
from engine.contract.control import Control
from engine.contract.devices import DeviceInfo
from engine.contract.events import COMPLETED, FAILED, Event, Warned
from engine.evaluate import masking, robustness
from engine.hardware import Fallback
from engine.models.fallback import timed_warning
from engine.run import execute
from tests.helpers.tiny_study import make_study, run_job, small_config, train

CPU = DeviceInfo(key="cpu", name="Processor", memory_mb=16384, is_usable=True)
CARD = DeviceInfo(key="cuda", name="RTX A4000", memory_mb=16376, is_usable=True)
AUTO = RuntimeConfig(precision="fp32", threads=1)
PROBE = ("linear_probe",)
LITE = ("efficientnet_lite0",)


@pytest.fixture(autouse=True)
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the machine a card that fails as soon as it computes; return what was tried."""
    found: list[str] = []

    def fail(device: str, name: str) -> tuple[str, str]:
        found.append(device)
        return f"{name} is broken.", "Mend it."

    monkeypatch.setattr("engine.hardware.find_devices", lambda **_: (CPU, CARD))
    monkeypatch.setattr("engine.hardware.trial_problem", fail)
    monkeypatch.setattr("engine.hardware.auto_precision", lambda *_: "fp32")
    monkeypatch.setattr(robustness, "MIN_STEPS", 2)
    monkeypatch.setattr(masking, "BLIND_TRIES", 2)
    return found


@pytest.fixture(scope="module")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Path]:
    """Return a project, a run that its recipe says a card has made, and its bundle."""
    folder = tmp_path_factory.mktemp("study")
    project = make_study(folder, n_patients=40)
    finished, _ = train(project, auto())
    assert finished.outcome == COMPLETED, finished.error
    run_job(Export(project=str(project), run=finished.run, out=str(folder / "bundle")))
    recipe = project / "runs" / finished.run / "recipe.json"
    plain = json.loads(recipe.read_text(encoding="utf-8"))
    plain["runtime"]["device"] = "cuda"
    del plain["facts_sha256"]  # which would tell
    recipe.write_text(json.dumps(plain), encoding="utf-8")
    return project, finished.run, folder / "bundle"


@pytest.fixture
def study(_trained: tuple[Path, str, Path], tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(_trained[0].parent, tmp_path / "study"))
    return folder / _trained[0].name


def auto(method: str = "linear_probe") -> ExperimentConfig:
    return replace(small_config(method, max_epochs=1), runtime=AUTO)


def perform(command: Any) -> tuple[Any, list[Warned]]:
    events: list[Event] = []
    finished = execute(command, events.append, Control())
    return finished, [event for event in events if isinstance(event, Warned)]


Job = Callable[[Path, str, Path], Any]
JOBS: dict[str, Job] = {
    "train": lambda project, *_: Train(project=str(project), config=auto()),
    "crossval": lambda project, *_: Crossval(project=str(project), config=auto(), folds=2),
    "crossval with epochs": lambda project, *_: Crossval(
        project=str(project), config=auto("full_finetune"), folds=2
    ),
    "search": lambda project, *_: Search(
        project=str(project), config=auto(), minutes=0.5, methods=PROBE, backbones=LITE
    ),
    "learning rate": lambda project, *_: LrRange(
        project=str(project), config=auto("full_finetune"), steps=20
    ),
    "refit of the head": lambda project, *_: RefitHead(project=str(project)),
    "robustness": lambda project, run, _: Robustness(
        project=str(project), run=run, n_images=10, corruptions=False
    ),
    "evaluation": lambda project, run, _: Evaluate(project=str(project), run=run),
    "export": lambda project, run, _: Export(
        project=str(project), run=run, out=str(project.parent / "again")
    ),
    "prediction": lambda project, _, bundle: Predict(
        bundle=str(bundle),
        source=str(project.parent / "images"),
        out=str(project.parent / "out.csv"),
    ),
    "audit": lambda project, *_: Audit(project=str(project)),
}


@pytest.mark.parametrize("job", JOBS)
def test_a_card_that_fails_is_announced_with_a_time_and_the_processor_does_the_job(
    job, study, _trained, tried
):
    finished, warned = perform(JOBS[job](study, *_trained[1:]))
    assert finished.outcome == COMPLETED, finished.error
    assert tried == ["cuda:0"]
    said = [warning for warning in warned if "RTX A4000" in warning.message]
    assert len(said) == 1
    assert said[0].message.startswith("RTX A4000 is broken. The processor ")
    assert any(unit in said[0].message for unit in ("seconds", "minutes", "hours"))
    assert said[0].remedy == "Mend it."


def test_a_refit_describes_images_once_and_says_so(tmp_path, tried):
    study = make_study(tmp_path)
    _, first = perform(RefitHead(project=str(study)))
    _, second = perform(RefitHead(project=str(study)))
    assert "The processor describes images instead" in first[0].message
    assert "The processor fits the decision layer instead" in second[0].message


def test_pretraining_announces_it_too(study, tmp_path, monkeypatch, tried):
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(tmp_path / "weights"))
    other = make_study(tmp_path / "other", n_patients=30, classes=("x", "y", "z"))
    asked = Pretrain(
        projects=(str(study), str(other)), name="Both", epochs=1, runtime=AUTO, backbone=LITE[0]
    )
    finished, warned = perform(asked)
    assert finished.outcome == COMPLETED, finished.error
    assert tried == ["cuda:0"]
    [said] = warned
    assert said.message.startswith("RTX A4000 is broken. The processor trains instead, which takes")


def test_networks_that_are_combined_announce_it_once(study, _trained, tried):
    trained, _ = perform(Train(project=str(study), config=auto("direct_transfer")))
    recipe = study / "runs" / trained.run / "recipe.json"
    plain = json.loads(recipe.read_text(encoding="utf-8"))
    assert plain["runtime"]["device"] == "cpu"  # where it was trained after all
    finished, warned = perform(Combine(project=str(study), runs=(_trained[1], trained.run)))
    assert finished.outcome == COMPLETED, finished.error
    assert [warning.message[:20] for warning in warned] == ["RTX A4000 is broken."]


def test_a_combination_of_folds_computes_where_the_folds_were_made(study, tried):
    crossval, _ = perform(Crossval(project=str(study), config=auto(), folds=2))
    finished, _ = perform(Combine(project=str(study), crossval=crossval.result["id"]))
    assert finished.outcome == COMPLETED, finished.error
    recipe = study / "runs" / finished.result["run"] / "recipe.json"
    assert json.loads(recipe.read_text(encoding="utf-8"))["runtime"]["device"] == "cpu"
    assert tried == ["cuda:0"]  # once, by the cross-validation


@pytest.mark.parametrize(
    "command",
    [
        lambda project, config: Crossval(project=project, config=config, folds=2),
        lambda project, config: Search(
            project=project, config=config, minutes=0.5, methods=PROBE, backbones=LITE
        ),
        lambda project, config: LrRange(project=project, config=config, steps=20),
    ],
)
def test_a_device_that_the_settings_name_is_never_replaced(study, command):
    config = replace(auto("full_finetune"), runtime=replace(AUTO, device="cuda"))
    finished, warned = perform(command(str(study), config))
    assert finished.outcome == FAILED
    assert (finished.error, finished.remedy) == ("RTX A4000 is broken.", "Mend it.")
    assert not warned


def test_a_search_says_that_its_time_stays():
    warned = timed_warning(Fallback(problem="It is broken.", remedy="Mend it."), 30.0)
    assert "still ends after 30 minutes" in warned.message
    assert warned.cause == "It is broken."


def test_no_job_chooses_a_device_without_trying_it():
    root = Path(engine.__file__).parent
    assert not [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if path.parent.name != "hardware"
        and re.search(r"\bresolve_runtime", path.read_text(encoding="utf-8"))
    ]
