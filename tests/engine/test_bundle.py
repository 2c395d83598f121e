"""Evaluation, export and prediction of a finished run."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from engine.bundle.read import read_bundle
from engine.contract.bundle_facts import facts_digest
from engine.contract.commands import Evaluate, Export, Predict
from engine.contract.control import Control
from engine.contract.errors import BundleError
from engine.contract.events import FAILED, JobFinished
from engine.project import labels
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import run_job, small_config, train


def evaluate(project: Path, run: str) -> dict[str, Any]:
    return run_job(Evaluate(project=str(project), run=run))


def export(project: Path, run: str, out: Path) -> dict[str, Any]:
    return run_job(Export(project=str(project), run=run, out=str(out)))


def failure(command: Any) -> JobFinished:
    finished = execute(command, lambda event: None, Control())
    assert isinstance(finished, JobFinished)
    assert finished.outcome == FAILED
    assert finished.remedy
    return finished


@pytest.fixture(scope="module")
def exported(
    _trained: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, str]:
    """Return a bundle, and the project and run it comes from."""
    folder = tmp_path_factory.mktemp("exported") / "study"
    project = Path(shutil.copytree(_trained[0].parent, folder)) / _trained[0].name
    evaluate(project, _trained[1])
    bundle = folder / "bundle"
    export(project, _trained[1], bundle)
    return bundle, project, _trained[1]


def test_the_numbers_agree_with_scikit_learn(trained: tuple[Path, str]) -> None:
    result = evaluate(*trained)
    positive = result["classes"].index(result["positive"])
    labels_ = np.array([case["label"] for case in result["cases"]])
    scores = np.array([case["probabilities"][positive] for case in result["cases"]])
    assert result["auroc"] == pytest.approx(roc_auc_score(labels_ == positive, scores))
    called = np.where(scores >= result["threshold"], positive, 1 - positive)
    assert result["confusion"] == confusion_matrix(labels_, called).tolist()
    assert result["auroc_low"] <= result["auroc"] <= result["auroc_high"]
    assert result["n_images"] == len(labels_) == sum(map(sum, result["confusion"]))


def test_every_look_at_the_test_set_is_counted(trained: tuple[Path, str]) -> None:
    assert evaluate(*trained)["looks"] == 1
    assert evaluate(*trained)["looks"] == 2
    with Project.open(trained[0]) as project:
        assert project.runs()[0].looks == 2


def test_training_and_exporting_never_look_at_the_test_set(
    trained: tuple[Path, str], tmp_path: Path
) -> None:
    export(*trained, tmp_path / "bundle")
    with Project.open(trained[0]) as project:
        assert project.runs()[0].looks == 0
    facts = json.loads((tmp_path / "bundle" / "bundle.json").read_text(encoding="utf-8"))
    assert facts["metrics"]["test"] is None


def test_a_run_on_data_that_have_changed_is_not_evaluated(trained: tuple[Path, str]) -> None:
    with Project.open(trained[0]) as project:
        labels.exclude(project, [project.records()[0].id], "motion")
    error = failure(Evaluate(project=str(trained[0]), run=trained[1])).error
    assert error is not None
    assert "changed" in error


def test_three_classes_have_no_threshold_and_a_row_each(tmp_path: Path) -> None:
    from tests.helpers.tiny_study import make_study

    project = make_study(tmp_path, classes=("a", "b", "c"), n_patients=36)
    finished, _ = train(project, small_config("linear_probe"))
    result = evaluate(project, finished.run)
    assert result["threshold"] is None
    assert result["positive"] is None
    assert [row["name"] for row in result["per_class"]] == ["a", "b", "c"]
    case_labels = [case["label"] for case in result["cases"]]
    probabilities = [case["probabilities"] for case in result["cases"]]
    expected = roc_auc_score(case_labels, probabilities, multi_class="ovr", average="macro")
    assert result["auroc"] == pytest.approx(expected)


def test_a_bundle_gives_what_its_run_gave(exported: tuple[Path, Path, str], tmp_path: Path) -> None:
    _, project, run = exported
    result = run_job(Export(project=str(project), run=run, out=str(tmp_path / "again")))
    assert result["max_difference"] < 1e-6
    assert result["from_originals"]
    assert result["n_verified"] > 0


def test_the_same_weights_give_the_same_bytes(
    exported: tuple[Path, Path, str], tmp_path: Path
) -> None:
    bundle, project, run = exported
    export(project, run, tmp_path / "again")
    name = "weights.safetensors"
    assert (bundle / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_bundle_holds_nothing_that_names_a_patient_or_a_path(
    exported: tuple[Path, Path, str],
) -> None:
    bundle, project, _ = exported
    for file in bundle.iterdir():
        content = file.read_bytes()
        assert b"p000" not in content.lower()
        assert str(project.parent).encode() not in content


def test_the_card_says_what_the_bundle_is_not_for(exported: tuple[Path, Path, str]) -> None:
    card = (exported[0] / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Not for clinical use" in card
    assert "95 %" in card


def _without_weights(bundle: Path) -> None:
    (bundle / "weights.safetensors").unlink()


def _with_another_byte(bundle: Path) -> None:
    path = bundle / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _with_a_shorter_card(bundle: Path) -> None:
    (bundle / "MODEL_CARD.md").write_text("", encoding="utf-8")


def _without_facts(bundle: Path) -> None:
    (bundle / "bundle.json").unlink()


def _edited(bundle: Path, **changes: Any) -> None:
    path = bundle / "bundle.json"
    facts = json.loads(path.read_text(encoding="utf-8")) | changes
    facts["facts_digest"] = facts_digest(facts)  # as a program would that wrote such a bundle
    path.write_text(json.dumps(facts), encoding="utf-8")


def _with_another_threshold(bundle: Path) -> None:
    path = bundle / "bundle.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(facts | {"threshold": 0.01}), encoding="utf-8")


def _of_the_future(bundle: Path) -> None:
    _edited(bundle, bundle_version=99)


def _reaching_outside(bundle: Path) -> None:
    _edited(bundle, files={"../weights.safetensors": "0", "weights.safetensors": "0"})


def _of_another_network(bundle: Path) -> None:
    facts = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    _edited(bundle, backbone=facts["backbone"] | {"key": "resnet18"})


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_without_weights, "missing"),
        (_with_another_byte, "changed"),
        (_with_a_shorter_card, "changed"),
        (_without_facts, "not a RadTune bundle"),
        (_with_another_threshold, "changed"),
        (_of_the_future, "newer version"),
        (_reaching_outside, "not a RadTune bundle"),
    ],
)
def test_a_spoilt_bundle_is_refused_with_the_reason(
    exported: tuple[Path, Path, str], tmp_path: Path, spoil: Any, says: str
) -> None:
    bundle = Path(shutil.copytree(exported[0], tmp_path / "bundle"))
    spoil(bundle)
    with pytest.raises(BundleError, match=says) as caught:
        read_bundle(bundle)
    assert caught.value.remedy


def test_weights_that_do_not_fit_the_named_network_are_refused(
    exported: tuple[Path, Path, str], tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(exported[0], tmp_path / "bundle"))
    _of_another_network(bundle)
    with pytest.raises(BundleError, match="don't fit"):
        read_bundle(bundle).network()


def test_a_folder_with_other_files_is_never_overwritten(
    trained: tuple[Path, str], tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    failure(Export(project=str(trained[0]), run=trained[1], out=str(tmp_path)))
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_predictions_come_as_a_table(exported: tuple[Path, Path, str], tmp_path: Path) -> None:
    bundle, project, _ = exported
    source = tmp_path / "new images"
    shutil.copytree(project.parent / "images" / "a", source / "Aufnahmen ä 胸片")
    (source / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    (source / "notes.txt").write_text("no image", encoding="utf-8")
    out = tmp_path / "table.csv"
    result = run_job(Predict(bundle=str(bundle), source=str(source), out=str(out)))
    with out.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["path", "patient", "class", "p_a", "p_b"]
    assert len(rows) == result["n_images"] == 30
    assert [skipped["path"] for skipped in result["skipped"]] == ["broken.png"]
    facts = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    assert result["threshold"] == facts["threshold"] is not None
    assert all((source / row["path"]).is_file() for row in rows)
    for row in rows:
        assert float(row["p_a"]) + float(row["p_b"]) == pytest.approx(1, abs=2e-6)
    assert rows[0]["patient"] == "P0001"
    assert sum(row["class"] == "a" for row in rows) > 20


def test_prediction_of_nothing_is_an_error(
    exported: tuple[Path, Path, str], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", tmp_path / "missing"):
        failure(Predict(bundle=str(exported[0]), source=str(source), out=str(tmp_path / "t.csv")))
    assert not (tmp_path / "t.csv").exists()


def test_averaged_views_travel_with_the_bundle(study: Path, tmp_path: Path) -> None:
    config = small_config("linear_probe")
    config = replace(config, evaluation=replace(config.evaluation, test_time_views=4))
    finished, _ = train(study, config)
    result = export(study, finished.run, tmp_path / "bundle")
    assert result["max_difference"] < 1e-6
    facts = json.loads((tmp_path / "bundle" / "bundle.json").read_text(encoding="utf-8"))
    assert facts["test_time_views"] == 4
