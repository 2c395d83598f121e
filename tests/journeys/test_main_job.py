"""From a folder of images to predictions on new ones, with nothing but the buttons."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtWidgets import QFileDialog

from gui import sample_study
from gui.stages import STAGES, Stage
from gui.widgets.stage_rail import StageState
from tests.helpers.tiny_study import write_images

pytestmark = pytest.mark.timeout(300)

CLASSES = ("normal", "opacity")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "Röntgen 胸片", n_patients=24, classes=CLASSES)


@pytest.fixture
def folder_dialog(monkeypatch, images: Path) -> None:
    """Answer the one dialog that the system draws."""
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: str(images))


def test_a_folder_becomes_a_tested_exported_applied_classifier(
    user, images, folder_dialog, tmp_path
):
    session = user.window.session

    user.press("Open a folder of images")
    user.press("Import")
    user.press("Look at the images")
    user.wait_for(lambda: len(session.snapshot.records) == 48, "the images")
    assert {c.name: c.n_images for c in session.snapshot.classes} == dict.fromkeys(CLASSES, 24)

    user.press("Check the data")
    user.press("Look for problems")
    user.wait_for(lambda: session.snapshot.audit is not None, "the audit")
    user.press("Make the split…")
    user.press("Make the split")
    user.wait_for(lambda: session.snapshot.split is not None, "the split")
    assert session.snapshot.split.overlap == 0

    user.press("Choose a model")
    user.press("Go to training")
    user.press("Start")
    user.press("Look at the results")
    user.wait_for(lambda: bool(session.snapshot.finished_runs), "the history")
    run = session.snapshot.finished_runs[0]
    assert (run.preset, run.state, run.looks) == ("quick", "completed", 0)

    user.press("Measure on the test set")
    user.wait_for(lambda: session.evaluation(run.id) is not None, "the results")
    result = session.evaluation(run.id)
    # The class is a quarter of the image that is brighter: nobody could miss it.
    assert result.auroc > 0.9
    assert result.looks == 1
    assert result.n_images == sum(session.snapshot.split.counts["test"].values())

    user.press("Export…")
    bundle = tmp_path / "my classifier"
    user.choose_file(bundle)
    user.press("Apply it")
    assert {path.name for path in bundle.iterdir()} >= {"bundle.json"}

    user.press("Choose a folder…")
    user.choose_file(images)
    user.press("Apply")
    page = user.window.page(Stage.APPLY)
    user.wait_for(page.result.isVisible, "the predictions")
    _check_table(page.out, images)
    assert user.errors() == []
    states = [user.window.rail.state(stage.value) for stage in STAGES]
    data, audit, *others, _apply = states
    assert [data, *others] == [StageState.DONE] * 5
    assert audit is StageState.ALERT  # the bright quarter is a shortcut: the corners tell


def _check_table(path: Path, images: Path) -> None:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 48
    assert list(rows[0]) == ["path", "patient", "class", "p_normal", "p_opacity"]
    for row in rows:
        assert float(row["p_normal"]) + float(row["p_opacity"]) == pytest.approx(1.0, abs=1e-4)
    n_right = sum(Path(row["path"]).parts[-2] == row["class"] for row in rows)
    assert n_right >= 44
    assert {Path(row["path"]).name for row in rows} == {p.name for p in images.rglob("*.png")}


def test_the_sample_study_is_three_clicks_from_a_trained_classifier(user, monkeypatch):
    plan = sample_study.sample_plan

    def small_plan():
        made = plan()
        assert made.sample is not None
        return replace(made, sample=replace(made.sample, n_images=60))

    monkeypatch.setattr(sample_study, "sample_plan", small_plan)
    session = user.window.session

    user.press("Try the sample study")
    user.press("Train…")
    user.press("Start")

    user.wait_for(lambda: bool(session.snapshot.finished_runs), "a trained classifier")
    run = session.snapshot.finished_runs[0]
    assert run.state == "completed"
    assert len(session.snapshot.records) == 60
    assert {c.name for c in session.snapshot.classes} == {"normal", "opacity", "effusion"}
    assert user.errors() == []
