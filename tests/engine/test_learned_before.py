"""A backbone that was pre-trained on a project isn't measured on its patients without a word."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.contract.commands import (
    Combine,
    Crossval,
    Evaluate,
    Export,
    LrRange,
    MakeSplit,
    RefitHead,
    Search,
    Train,
)
from engine.contract.config import BackboneConfig, ExperimentConfig
from engine.contract.control import Control
from engine.contract.events import Event, RunFinished, Warned
from engine.contract.results import ClassMatch
from engine.models.add_weights import add_folder, add_weights
from engine.models.weights import FOUND, MADE, added_weights, load_state, remove_weights
from engine.project.known_patients import seen_by_weights
from engine.project.store import Project
from engine.run import execute
from tests.engine.test_pretraining_job import command as pretraining
from tests.engine.test_pretraining_job import make_project, write_unlike
from tests.helpers.tiny_study import run_job, small_config, train

KEY = "efficientnet_lite0"


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a folder with two projects and weights that were pre-trained on them."""
    folder = tmp_path_factory.mktemp("made")
    one = write_unlike(folder / "images", 1, n_patients=30)
    two = write_unlike(folder / "others", 2, n_patients=30, classes=("x", "y", "z"))
    projects = [make_project(folder, "one", one), make_project(folder, "two", two)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RADTUNE_WEIGHTS", str(folder / "weights"))
        return folder, str(run_job(pretraining(projects))["weights"])


@pytest.fixture
def made(
    _made: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path, str]:
    """Return a project that was learned from, the folder of all, and the weights; all its own."""
    folder = Path(shutil.copytree(_made[0], tmp_path / "made"))
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(folder / "weights"))
    return folder / "one.radtune", folder, _made[1]


def on(weights: str, method: str = "linear_probe") -> ExperimentConfig:
    return replace(small_config(method), backbone=BackboneConfig(key=KEY, weights=weights))


def patients_of(project: Path, *parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the patient of each image of some parts, and of all their training images."""
    with Project.open(project, read_only=True) as opened:
        table = opened.training_table()
    return table.patients[np.isin(table.split, parts)], table.patients[table.split == 0]


def warnings_of(command: Any) -> list[str]:
    events: list[Event] = []
    finished = execute(command, events.append, Control())
    assert not finished.error, finished.error
    return [e.message for e in events if isinstance(e, Warned) and "pre-trained on" in e.message]


def test_after_a_new_division_training_and_evaluation_say_whom_the_backbone_knows(made, tmp_path):
    project, _, weights = made
    _, learned = patients_of(project, 0)
    run_job(MakeSplit(project=str(project), seed=7))
    val, _ = patients_of(project, 1)
    tested, _ = patients_of(project, 2)
    n_val, n_test = (int(np.isin(part, learned).sum()) for part in (val, tested))
    n_patients = len(set(tested.tolist()))
    n_known = len(set(tested.tolist()) & set(learned.tolist()))
    assert n_val and n_known > 0
    finished, events = train(project, on(weights))
    [told] = [e for e in events if isinstance(e, Warned) and "pre-trained on" in e.message]
    assert f"{n_val} of the {len(val)} validation images" in told.message
    assert f"{n_test} of the {len(tested)} test images" in told.message
    assert told.remedy
    result = run_job(Evaluate(project=str(project), run=finished.run))
    assert "never used for training" not in result["sentence"]
    assert f"{n_patients} patients, {n_known} of whom the network had learned" in result["sentence"]
    assert result["n_known"] == n_known
    run_job(Export(project=str(project), run=finished.run, out=str(tmp_path / "bundle")))
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"{n_known} of whom the network had learned" in card


def test_with_the_division_of_the_pretraining_nothing_is_said(made):
    project, _, weights = made
    finished, events = train(project, on(weights))
    assert not [e for e in events if isinstance(e, Warned) and "pre-trained on" in e.message]
    result = run_job(Evaluate(project=str(project), run=finished.run))
    assert "that were never used for training" in result["sentence"]
    assert result["n_known"] == 0


def test_a_cross_validation_does_not_claim_that_its_networks_never_saw_them(made):
    project, _, weights = made
    inside, learned = patients_of(project, 0, 1)
    n_known = len(set(inside.tolist()) & set(learned.tolist()))
    command = Crossval(project=str(project), config=on(weights), folds=2)
    events: list[Event] = []
    finished = execute(command, events.append, Control())
    sentence = finished.result["sentence"]
    assert "never saw" not in sentence
    assert f"pre-trained on {n_known} of these patients" in sentence
    assert sum("pre-trained on" in e.message for e in events if isinstance(e, Warned)) == 1
    plain = run_job(Crossval(project=str(project), config=on("pretrained"), folds=2))
    assert "never saw them" in plain["sentence"]
    assert "pre-trained on" not in plain["sentence"]


def test_a_run_that_combines_networks_is_told_by_the_weights_of_each(made):
    project, _, weights = made
    _, learned = patients_of(project, 0)
    run_job(MakeSplit(project=str(project), seed=7))
    tested, _ = patients_of(project, 2)
    runs = tuple(train(project, on(chosen))[0].run for chosen in ("pretrained", weights))
    combined = run_job(Combine(project=str(project), runs=runs))["run"]
    result = run_job(Evaluate(project=str(project), run=combined))
    assert result["n_known"] == len(set(tested.tolist()) & set(learned.tolist()))
    plain = run_job(Evaluate(project=str(project), run=runs[0]))
    assert "never used for training" in plain["sentence"]


def test_a_learning_rate_test_a_refitted_head_and_a_search_say_it_too(made):
    project, _, weights = made
    run_job(MakeSplit(project=str(project), seed=7))
    [told] = warnings_of(RefitHead(project=str(project), backbone=KEY, weights=weights))
    assert "validation images" in told
    config = on(weights, "full_finetune")
    [told] = warnings_of(LrRange(project=str(project), config=config, steps=20))
    assert "validation images" in told
    search = Search(
        project=str(project),
        minutes=0.3,
        config=on(weights),
        backbones=(weights,),
        methods=("linear_probe",),
    )
    [told] = warnings_of(search)
    assert "validation images" in told


def test_the_file_added_again_is_still_what_it_was_made_from(made, tmp_path):
    project, folder, weights = made
    run_job(MakeSplit(project=str(project), seed=7))
    weights_id = weights.removeprefix("file:")
    copy = tmp_path / "carried.safetensors"
    shutil.copyfile(folder / "weights" / f"{weights_id}.safetensors", copy)
    assert add_weights(copy, KEY)["id"] == weights_id
    assert [item.kind for item in added_weights(KEY)] == [MADE], "more is known than the file says"
    remove_weights(weights_id)
    add_weights(copy, KEY)
    assert [item.kind for item in added_weights(KEY)] == [FOUND]
    assert load_state(KEY, weights)
    finished, events = train(project, on(weights))
    assert [e for e in events if isinstance(e, Warned) and "pre-trained on" in e.message]
    assert finished.outcome == "completed"


def test_a_bundle_with_such_a_backbone_is_known_in_every_project_of_the_pretraining(made, tmp_path):
    project, folder, weights = made
    other = folder / "two.radtune"
    finished, _ = train(other, on(weights))
    bundle = tmp_path / "bundle"
    run_job(Export(project=str(other), run=finished.run, out=str(bundle)))
    _, learned = patients_of(project, 0)
    run_job(MakeSplit(project=str(project), seed=7))
    tested, _ = patients_of(project, 2)
    n_test = int(np.isin(tested, learned).sum())
    assert n_test
    matches = tuple(ClassMatch(theirs=t, own=o) for t, o in (("x", "a"), ("y", "b"), ("z", "b")))
    command = Train(
        project=str(project),
        config=small_config("direct_transfer"),
        bundle=str(bundle),
        matches=matches,
    )
    events: list[Event] = []
    applied = execute(command, events.append, Control())
    assert isinstance(applied, RunFinished)
    assert not applied.error, applied.error
    [told] = [
        e.message for e in events if isinstance(e, Warned) and "learned from the" in e.message
    ]
    assert f"{n_test} of the {len(tested)} test images" in told
    result = run_job(Evaluate(project=str(project), run=applied.run))
    n_known = len(set(tested.tolist()) & set(learned.tolist()))
    assert f"{n_known} of whom the network had learned" in result["sentence"]


def test_another_project_of_the_same_images_knows_whom_the_backbone_learned_from(made):
    project, folder, weights = made
    with Project.open(project, read_only=True) as opened:
        table = opened.training_table()
        learned = {path_of(opened, record) for record in table.record_ids[table.split == 0]}
    again = make_project(folder, "again", folder / "images", seed=7)
    with Project.open(again, read_only=True) as opened:
        table = opened.training_table()
        known = {
            patient
            for record, patient in zip(table.record_ids, table.patients, strict=True)
            if path_of(opened, record) in learned
        }
        tested = table.patients[table.split == 2]
        [seen] = seen_by_weights(opened).values()
    n_test = int(np.isin(tested, sorted(known)).sum())
    assert n_test
    assert seen.test.n_known == n_test
    [told] = warnings_of(train_command(again, weights))
    assert f"{n_test} of the {len(tested)} test images" in told
    shutil.rmtree(folder / "weights" / "learned")  # as on another computer
    assert not warnings_of(train_command(again, weights))


def test_where_the_list_beside_the_weights_is_damaged_nobody_claims_anything(made):
    _, folder, weights = made
    again = make_project(folder, "again", folder / "images", seed=7)
    [listed] = (folder / "weights" / "learned").iterdir()
    listed.write_bytes(listed.read_bytes()[:40])
    [told] = [e for e in warnings_of(train_command(again, weights)) if "is damaged" in e]
    assert "too good" in told
    with Project.open(again, read_only=True) as opened:
        [seen] = seen_by_weights(opened).values()
    assert seen.n_known_test is None


def test_the_list_beside_the_weights_is_not_taken_for_weights(made):
    _, folder, _ = made
    assert not add_folder(folder / "weights")["refused"]


def test_a_project_of_other_images_is_told_nothing(made):
    _, folder, weights = made
    source = write_unlike(folder / "strangers", 3, n_patients=30)
    strangers = make_project(folder, "strangers", source)
    assert not warnings_of(train_command(strangers, weights))
    with Project.open(strangers, read_only=True) as opened:
        assert not seen_by_weights(opened)


def train_command(project: Path, weights: str) -> Train:
    return Train(project=str(project), config=on(weights))


def path_of(project: Project, record: int) -> str:
    return str(project.db.value("SELECT path FROM records WHERE id = ?", (int(record),)))


def test_of_weights_that_an_earlier_version_made_it_is_said_that_nobody_knows(made):
    project, folder, weights = made
    shutil.rmtree(project / "pretrained")
    shutil.rmtree(folder / "weights" / "learned")
    with Project.open(project) as opened, opened.transaction():
        opened.db.execute("DELETE FROM meta WHERE key LIKE 'pretrained %'")
    sidecar = folder / "weights" / f"{weights.removeprefix('file:')}.json"
    facts = json.loads(sidecar.read_text(encoding="utf-8"))
    sidecar.write_text(json.dumps(facts | {"schema_version": 2}), encoding="utf-8")
    finished, events = train(project, on(weights))
    [told] = [e for e in events if isinstance(e, Warned) and "earlier version" in e.message]
    assert told.remedy
    result = run_job(Evaluate(project=str(project), run=finished.run))
    assert "never used for training" not in result["sentence"]
    assert "is not known" in result["sentence"]
    assert result["n_known"] is None
    crossval = run_job(Crossval(project=str(project), config=on(weights), folds=2))
    assert "never saw" not in crossval["sentence"]


def test_nothing_of_a_project_travels_with_the_weights(made):
    project, folder, weights = made
    with Project.open(project, read_only=True) as opened:
        salt = opened.salt.hex()
        hashes = [row[0] for row in opened.db.all("SELECT hash FROM patients")]
    text = (folder / "weights" / f"{weights.removeprefix('file:')}.json").read_text("utf-8")
    assert not [word for word in (salt, *hashes) if word in text]
    [kept] = (project / "pretrained").iterdir()
    with np.load(kept, allow_pickle=False) as found:
        assert found.files == ["records"]


@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_a_lost_list_of_a_pretraining_is_not_taken_for_none(made, harm):
    project, _, weights = made
    [kept] = (project / "pretrained").iterdir()
    if harm == "missing":
        kept.unlink()
    else:
        kept.write_bytes(kept.read_bytes()[:60])
    finished, events = train(project, on(weights))
    [told] = [e for e in events if isinstance(e, Warned) and "pre-trained on" in e.message]
    assert "damaged or missing" in told.message
    assert "may be too good" in told.message
    result = run_job(Evaluate(project=str(project), run=finished.run))
    assert "never used for training" not in result["sentence"]
    assert result["n_known"] is None
    crossval = run_job(Crossval(project=str(project), config=on(weights), folds=2))
    assert "never saw" not in crossval["sentence"]
