"""Pre-training as a job: projects in, a backbone of the catalog out, or nothing at all."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.command_arguments import command_from
from engine.command_line import make_parser
from engine.contract.commands import MakeSplit, Pretrain, Scan
from engine.contract.config import BackboneConfig, ImageContract, RuntimeConfig, preset_config
from engine.contract.control import Control
from engine.contract.errors import ConfigError
from engine.contract.events import CANCELED, COMPLETED, FAILED, Event, JobFinished, JobProgressed
from engine.contract.import_rules import PatientRule
from engine.contract.shell import train_line
from engine.models.weights import added_weights
from engine.project.store import Project
from engine.run import execute
from tests.helpers.findings_study import LEARNED, make_findings_study
from tests.helpers.tiny_study import CONTRACT, run_job, small_config, train, write_images


@pytest.fixture(autouse=True)
def _own_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(tmp_path / "weights"))


def write_unlike(folder: Path, shift: int, **images: Any) -> Path:
    """Write images whose greys differ from those of other shifts."""
    for path in write_images(folder, **images).rglob("*.png"):
        values = np.asarray(Image.open(path))
        Image.fromarray(values + np.uint8(shift)).save(path)
    return folder


def make_project(
    folder: Path, name: str, source: Path, *, contract: ImageContract = CONTRACT, seed: int = 0
) -> Path:
    project = folder / f"{name}.radtune"
    with Project.create(project) as opened:
        opened.image_contract = contract
    rule = PatientRule(source="pattern", pattern=r"p\d+")
    run_job(Scan(source=str(source), project=str(project), patient_rule=rule))
    run_job(MakeSplit(project=str(project), seed=seed))
    return project


@pytest.fixture(scope="module")
def _two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("two")
    one = write_unlike(folder / "one", 1, n_patients=20)
    other = write_unlike(folder / "other", 2, n_patients=30, classes=("x", "y", "z"))
    return make_project(folder, "One", one), make_project(folder, "Other", other)


@pytest.fixture
def two(_two: tuple[Path, Path], tmp_path: Path) -> list[Path]:
    """Return two projects of the test's own, of two and of three classes."""
    folder = Path(shutil.copytree(_two[0].parent, tmp_path / "two"))
    return [folder / project.name for project in _two]


def command(projects: list[Path], **changes: Any) -> Pretrain:
    fast = RuntimeConfig(device="cpu", precision="fp32", threads=1)
    made = Pretrain(projects=tuple(str(p) for p in projects), name="Both", epochs=1, runtime=fast)
    return replace(made, **changes)


def perform(asked: Pretrain, control: Control | None = None, on_event: Any = None) -> JobFinished:
    finished = execute(asked, on_event or (lambda event: None), control or Control())
    assert isinstance(finished, JobFinished)
    return finished


def test_the_new_backbone_is_in_the_catalog_and_can_be_trained_on(two):
    finished = perform(command(two))
    assert finished.outcome == COMPLETED, finished.error
    result = finished.result
    assert [share["name"] for share in result["projects"]] == ["One", "Other"]
    assert [share["classes"] for share in result["projects"]] == [["a", "b"], ["x", "y", "z"]]
    [added] = added_weights("efficientnet_lite0")
    assert result["weights"] == f"file:{added.id}"
    assert added.name == "Both"
    assert "“One” (" in added.pretrained_on
    assert "ImageNet" in added.pretrained_on
    config = replace(
        small_config("linear_probe"),
        backbone=BackboneConfig(key=result["backbone"], weights=result["weights"]),
    )
    trained, _ = train(two[0], config)
    assert trained.outcome == COMPLETED, trained.error
    line = train_line(str(two[0]), replace(preset_config("standard"), backbone=config.backbone))
    assert result["sentences"][-1] == f"To train on it: {line}"


def test_images_equal_to_a_test_image_of_any_project_are_left_out(two, tmp_path):
    with Project.open(two[0], read_only=True) as project:
        table = project.training_table()
        root = project.sources()[0].root
        tested = {int(r) for r in table.record_ids[table.split == 2]}
        paths = [r.path for r in project.records() if r.id in tested]
    source = write_unlike(tmp_path / "third", 3, n_patients=24)
    for i, path in enumerate(paths):  # copies of test images, under other names and labels
        shutil.copyfile(root / path, source / "ab"[i % 2] / f"p9{i:02d}_0.png")
    third = make_project(tmp_path, "Third", source)
    with Project.open(third, read_only=True) as project:
        split = project.training_table().split
        copied = {r.id for r in project.records() if "p9" in r.path}
        n_copied = sum(
            int(record) in copied and part in (0, 1)
            for record, part in zip(project.training_table().record_ids, split, strict=True)
        )
    finished = perform(command([two[0], third]))
    assert finished.outcome == COMPLETED, finished.error
    shares = {share["name"]: share for share in finished.result["projects"]}
    assert shares["Third"]["n_left_out"] == n_copied > 0
    assert shares["Third"]["n_train"] + shares["Third"]["n_val"] == (split < 2).sum() - n_copied
    assert shares["One"]["n_left_out"] == 0


def test_several_findings_at_once_are_a_task_beside_classes(two, tmp_path):
    findings = make_findings_study(tmp_path / "findings")
    finished = perform(command([two[0], findings]))
    assert finished.outcome == COMPLETED, finished.error
    one, several = finished.result["projects"]
    assert (one["classes"], several["classes"]) == (["a", "b"], list(LEARNED))
    with Project.open(findings, read_only=True) as project:
        split = project.training_table().split
    assert (several["n_train"], several["n_val"]) == ((split == 0).sum(), (split == 1).sum())
    assert several["val_auroc"] > 0.6  # after one pass over few images
    config = small_config("linear_probe")
    own = BackboneConfig(key=finished.result["backbone"], weights=finished.result["weights"])
    trained, _ = train(findings, replace(config, backbone=own))
    assert trained.outcome == COMPLETED, trained.error


def refusal(asked: Pretrain) -> str:
    finished = perform(asked)
    assert finished.outcome == FAILED
    assert finished.remedy
    assert not added_weights()
    return finished.error or ""


def test_projects_that_prepare_images_of_other_sizes_are_refused(two, tmp_path):
    source = write_images(tmp_path / "large", n_patients=20)
    large = make_project(tmp_path, "Large", source, contract=ImageContract(size_px=64))
    error = refusal(command([two[0], large]))
    assert "“One”" in error
    assert "32 px" in error
    assert "“Large”" in error
    assert "64 px" in error


def test_a_project_that_is_not_divided_is_refused_by_name(two, tmp_path):
    source = write_images(tmp_path / "new", n_patients=20)
    project = tmp_path / "New.radtune"
    with Project.create(project) as opened:
        opened.image_contract = CONTRACT
    run_job(Scan(source=str(source), project=str(project)))
    assert "“New” are not divided" in refusal(command([two[0], project]))


def test_one_project_alone_is_not_several(two):
    assert "two different projects" in refusal(command(two[:1]))
    assert "two different projects" in refusal(command([two[0], two[0]]))


def test_a_nameless_backbone_is_refused(two):
    assert "no name" in refusal(command(two, name="  "))


def test_a_cancel_keeps_nothing_and_lets_the_projects_go(two):
    control = Control()

    def cancel_in_training(event: Event) -> None:
        if isinstance(event, JobProgressed) and event.stage.startswith("Training"):
            control.cancel()

    finished = perform(command(two, epochs=50), control, cancel_in_training)
    assert finished.outcome == CANCELED
    assert not added_weights()
    assert perform(command(two)).outcome == COMPLETED


def test_progress_is_told_in_stages_that_reach_their_end(two):
    events: list[Event] = []
    perform(command(two), on_event=events.append)
    progressed = [event for event in events if isinstance(event, JobProgressed)]
    described = [event for event in progressed if event.stage == "Describing images"]
    trained = [event for event in progressed if event.stage.startswith("Training")]
    assert described[-1].done == described[-1].total > 0
    assert trained[-1].done == trained[-1].total > 0


def test_the_command_line_asks_for_the_same():
    words = "pretrain --projects a b --name Both --epochs 3 --seed 5".split()
    asked = command_from(make_parser().parse_args(words))
    assert isinstance(asked, Pretrain)
    assert [Path(project).name for project in asked.projects] == ["a", "b"]
    assert (asked.name, asked.epochs, asked.seed) == ("Both", 3, 5)
    with pytest.raises(ConfigError):
        Pretrain(projects=("a", "b"), name="n", epochs=0)
