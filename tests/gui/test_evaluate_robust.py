"""Robustness on the results page: measured on validation, on test only if asked to."""

from __future__ import annotations

import math
from typing import Any

import pytest
from PySide6.QtWidgets import QLabel, QPushButton

from engine.contract.commands import Robustness
from engine.contract.config import preset_config
from engine.contract.config_io import finite, to_plain
from engine.contract.events import CANCELED, COMPLETED, FAILED, JobFinished, JobStarted
from engine.contract.records import RunSummary
from engine.contract.results import AttackPoint, CorruptionPoint, Estimate, RobustnessResult
from engine.project.robustness import save_robustness
from engine.project.store import Project
from gui.panels.evaluate import EvaluatePanel
from gui.panels.evaluate_robust import EvaluateRobust, expected_seconds
from gui.plots.attack_plot import AttackPlot
from gui.widgets.message_bar import MessageKind


def _estimate(value: float) -> Estimate:
    return Estimate(value=value, low=max(0.0, value - 0.1), high=min(1.0, value + 0.1))


def _attack(epsilon_255: float, accuracy: float) -> AttackPoint:
    same = _estimate(accuracy)
    return AttackPoint(
        epsilon_255=epsilon_255,
        accuracy=same,
        sensitivity=same,
        specificity=same,
        auroc=same,
        one_step=accuracy,
        noise=0.9,
    )


def robust(run: str = "new", **changes: Any) -> RobustnessResult:
    facts: dict[str, Any] = {
        "run": run,
        "split": "val",
        "n_images": 4,
        "n_patients": 2,
        "classes": ("Normal", "Pneumonia"),
        "positive": "Pneumonia",
        "threshold": 0.5,
        "n_steps": 20,
        "attacks": (_attack(0.0, 0.9), _attack(2.0, 0.4)),
        "corruptions": tuple(
            CorruptionPoint(
                kind=kind,
                severity=severity,
                level=f"level {severity}",
                auroc=_estimate(0.9 - 0.05 * severity),
                accuracy=_estimate(0.5),
            )
            for kind in ("noise", "jpeg")
            for severity in range(1, 6)
        ),
        "skill_kept": 0.6,
        "seconds": 60.0,
        "sentences": ("Of 4 unchanged images 90 % are called right.", "Noise hurts most."),
        **changes,
    }
    return RobustnessResult(**facts)


@pytest.fixture
def folder(split_folder):
    with Project.open(split_folder) as project:
        for run in ("old", "new"):
            project.add_run(run, preset_config("standard"))
            project.run_folder(run).mkdir(parents=True)
            project.update_run(run, outcome=COMPLETED, val_auroc=0.9, epochs=8, seconds=64.0)
    return split_folder


@pytest.fixture
def page(qtbot, open_session, folder):
    page = EvaluatePanel(open_session(folder))
    qtbot.addWidget(page)
    page.resize(1182, 656)
    page.show()
    page.on_shown()
    return page


@pytest.fixture
def section(page):
    return page.findChild(EvaluateRobust)


def button(section: EvaluateRobust, text: str) -> QPushButton:
    return next(b for b in section.findChildren(QPushButton) if b.text() == text)


def test_before_it_is_measured_it_says_what_it_is_and_how_long_it_takes(engine, section):
    assert "a little different" in section.text
    texts = [label.text() for label in section.findChildren(QLabel) if label.isVisible()]
    assert any("takes about" in text and "doesn't look at the test set" in text for text in texts)
    assert not engine.asked("robustness")


def test_measuring_uses_validation_images_and_shows_what_was_found(
    qtbot, engine, page, section, folder
):
    engine.completes("robustness", **finite(to_plain(robust())))
    button(section, "Measure on validation images").click()
    qtbot.waitUntil(lambda: section.table is not None)
    assert engine.asked("robustness") == [
        Robustness(project=str(folder), run="new", split="val", n_images=200)
    ]
    assert section.text.startswith("Of 4 unchanged images")
    assert section.findChild(AttackPlot).isVisible()
    assert button(section, "Measure again").isVisible()
    assert page.session.snapshot.finished_runs[0].looks == 0


def test_test_images_are_used_only_when_asked_for_and_the_button_tells_of_looks(
    qtbot, engine, section
):
    engine.completes("robustness", **finite(to_plain(robust(split="test", looks=1))))
    test = button(section, "Measure on test images")
    assert "counts as a look" in test.toolTip()
    test.click()
    qtbot.waitUntil(lambda: section.table is not None)
    assert engine.asked("robustness")[0].split == "test"


def test_a_kept_result_is_shown_with_its_run_and_not_with_another(folder, page, section):
    save_robustness(folder, robust("old", skill_kept=math.nan))
    page.show_run("old")
    assert section.text.startswith("Of 4 unchanged images")
    page.show_run("new")
    assert "a little different" in section.text
    assert not section.findChild(AttackPlot).isVisible()


def test_degradations_show_the_auroc_or_the_share_called_right(folder, page, section):
    save_robustness(folder, robust("old"))
    page.show_run("old")
    assert section.table.texts() == [
        ["Noise", "0.90", "0.85", "0.80", "0.75", "0.70", "0.65"],
        ["JPEG compression", "0.90", "0.85", "0.80", "0.75", "0.70", "0.65"],
    ]
    section.table.switch.click()
    assert section.table.texts()[0] == ["Noise", "0.90", *["0.50"] * 5]


def test_the_plot_can_be_read_off_and_saved(qtbot):
    plot = AttackPlot()
    qtbot.addWidget(plot)
    plot.set_points((_attack(0.0, 0.9), _attack(2.0, 0.4)))
    assert plot.read_out(0.0) == "unchanged: 0.90 called right"
    assert plot.read_out(1.0) == "up to 2: worst case 0.40 · noise 0.90"
    assert plot.to_csv().splitlines()[2].startswith("2.0,0.4,")


def test_a_strength_without_an_interval_is_drawn(qtbot):
    point = _attack(2.0, 0.0)
    nowhere = Estimate(value=0.0, low=math.nan, high=math.nan)
    plot = AttackPlot()
    qtbot.addWidget(plot)
    plot.show()
    plot.set_points((_attack(0.0, 0.9), AttackPoint(**{**_facts(point), "accuracy": nowhere})))
    plot.redraw()
    assert not plot.grab().isNull()


def _facts(point: AttackPoint) -> dict[str, Any]:
    return {name: getattr(point, name) for name in point.__slots__ if name != "accuracy"}


def test_canceling_shows_as_pending_and_leaves_what_was_there(qtbot, engine, section):
    def patient(command, control):
        yield JobStarted(kind="robustness")
        while not control.cancel_requested:
            control.wait_for_request(0.02)
        yield JobFinished(kind="robustness", outcome=CANCELED)

    engine.runs("robustness", patient)
    button(section, "Measure on validation images").click()
    qtbot.waitUntil(lambda: bool(engine.asked("robustness")))
    button(section, "Cancel").click()
    assert not button(section, "Canceling…").isEnabled()
    qtbot.waitUntil(button(section, "Measure on validation images").isVisible)
    assert section.table is None


def test_a_failure_says_what_to_do(qtbot, engine, page, section):
    heard: list[tuple[Any, ...]] = []
    page.message_requested.connect(lambda *parts: heard.append(parts))
    failed = JobFinished(kind="robustness", outcome=FAILED, error="Weights gone.", remedy="Train.")
    engine.plays("robustness", JobStarted(kind="robustness"), failed)
    button(section, "Measure on validation images").click()
    qtbot.waitUntil(lambda: bool(heard))
    assert heard == [(MessageKind.ERROR, "Weights gone.", "Train.", [])]


def test_a_damaged_result_is_said_and_can_be_measured_again(folder, page, section):
    heard: list[tuple[Any, ...]] = []
    page.message_requested.connect(lambda *parts: heard.append(parts))
    save_robustness(folder, robust("old"))
    file = folder / "runs" / "old" / "evaluation" / "robustness.json"
    file.write_text("{", encoding="utf-8")
    page.show_run("old")
    assert heard and "can't be read" in heard[0][1]
    assert button(section, "Measure on validation images").isVisible()


def _run(**facts: Any) -> RunSummary:
    return RunSummary(
        id="r",
        created=0.0,
        state=COMPLETED,
        backbone="",
        method="",
        val_auroc=None,
        error=None,
        is_stale=False,
        is_resumable=False,
        looks=0,
        **facts,
    )


def test_the_time_follows_the_speed_of_training_and_the_views():
    """5 epochs of 700 images in 70 s are 50 images a second; an image takes 45 steps."""
    fast = expected_seconds(
        _run(preset="standard", epochs=5, seconds=70.0), n_train=700, n_images=200
    )
    assert fast is not None and math.isclose(fast, 200 * 45 / 50)
    views = expected_seconds(
        _run(preset="thorough", epochs=5, seconds=70.0), n_train=700, n_images=200
    )
    assert views is not None and math.isclose(views, 4 * fast)
    without_epochs = _run(preset="quick", epochs=0, seconds=9.0)
    assert expected_seconds(without_epochs, n_train=700, n_images=200) is None
