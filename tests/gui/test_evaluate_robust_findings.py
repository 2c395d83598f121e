"""Robustness of several findings on the results page: their mean first, then each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.contract.config import preset_config
from engine.contract.config_io import finite, to_plain
from engine.contract.events import COMPLETED, JobFinished, JobStarted, Warned
from engine.contract.results import (
    AttackPoint,
    CorruptionPoint,
    Estimate,
    FindingRobustness,
    RobustnessResult,
)
from engine.project.robustness import save_robustness
from engine.project.store import Project
from gui.panels.evaluate import EvaluatePanel
from gui.panels.evaluate_robust import EvaluateRobust
from gui.plots.attack_plot import AttackPlot

NAMES = ("Effusion", "Pneumonia")


def _estimate(value: float) -> Estimate:
    return Estimate(value=value, low=max(0.0, value - 0.1), high=min(1.0, value + 0.1))


def _attacks(*aurocs: float) -> tuple[AttackPoint, ...]:
    return tuple(
        AttackPoint(
            epsilon_255=epsilon,
            accuracy=_estimate(auroc),
            sensitivity=_estimate(auroc),
            specificity=_estimate(auroc),
            auroc=_estimate(auroc),
            one_step=auroc,
            noise=0.9,
        )
        for epsilon, auroc in zip((0.0, 2.0, 8.0), aurocs, strict=True)
    )


def _corruptions(auroc: float) -> tuple[CorruptionPoint, ...]:
    return tuple(
        CorruptionPoint(
            kind="blur",
            severity=severity,
            level=f"level {severity}",
            auroc=_estimate(auroc - 0.1 * (severity - 3)),
            accuracy=_estimate(0.5),
        )
        for severity in range(1, 6)
    )


RESULT = RobustnessResult(
    run="r",
    split="val",
    n_images=60,
    n_patients=40,
    classes=NAMES,
    positive=None,
    threshold=None,
    n_steps=20,
    attacks=_attacks(0.8, 0.5, 0.1),
    corruptions=_corruptions(0.6),
    skill_kept=0.5,
    seconds=9.0,
    sentences=("On average over the findings of 60 unchanged images 80 % are called right.",),
    findings=(
        FindingRobustness(
            name="Effusion",
            threshold=0.4,
            n_present=20,
            n_absent=30,
            attacks=_attacks(0.7, 0.2, 0.0),
            corruptions=_corruptions(0.55),
        ),
        FindingRobustness(
            name="Pneumonia",
            threshold=0.6,
            n_present=25,
            n_absent=35,
            attacks=_attacks(0.9, 0.8, 0.2),
            corruptions=_corruptions(0.65),
        ),
    ),
)


@pytest.fixture
def folder(split_folder):
    with Project.open(split_folder) as project:
        project.add_run("r", preset_config("standard"))
        project.run_folder("r").mkdir(parents=True)
        project.update_run("r", outcome=COMPLETED, val_auroc=0.9, epochs=8, seconds=64.0)
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


@pytest.fixture
def shown(qtbot, engine, section):
    engine.completes("robustness", **finite(to_plain(RESULT)))
    section.measure("val")
    qtbot.waitUntil(lambda: section.findings is not None)
    return section


def test_the_mean_comes_first_and_each_finding_has_its_numbers(shown):
    assert shown.findings.isVisible()
    assert shown.findings.texts() == [
        ["Mean of all findings", "", "", "0.80", "0.50", "0.60"],
        ["Effusion", "20", "30", "0.70", "0.20", "0.55"],
        ["Pneumonia", "25", "35", "0.90", "0.80", "0.65"],
    ]


def test_the_chosen_finding_is_what_the_figures_show(shown):
    plot = shown.findChild(AttackPlot)
    assert plot.read_out(1.0) == "up to 2: worst case 0.50 · noise 0.90"
    assert shown.table.title == "Degraded: mean"
    shown.findings.choose(1)
    assert plot.read_out(1.0) == "up to 2: worst case 0.80 · noise 0.90"
    assert shown.table.title == "Degraded: Pneumonia"
    assert shown.table.texts() == [["Blur", "0.90", "0.85", "0.75", "0.65", "0.55", "0.45"]]
    shown.findings.choose(-1)
    assert shown.table.texts()[0][1] == "0.80"


def test_what_is_kept_is_shown_with_the_run_and_one_class_an_image_has_no_such_table(
    folder, page, section
):
    run = page.session.snapshot.finished_runs[0]
    save_robustness(folder, RESULT)
    section.set_run(None)
    section.set_run(run)
    assert section.findings.isVisible()
    save_robustness(folder, replace(RESULT, findings=()))
    section.set_run(None)
    section.set_run(run)
    assert not section.findings.isVisible()
    assert section.table.title == "Everyday degradations"


def test_that_the_processor_steps_in_is_said_while_it_measures(qtbot, engine, section):
    def measures(command, control):
        yield JobStarted(kind="robustness")
        yield Warned(message="The driver is too old. The processor measures instead.", remedy="Go.")
        while not control.cancel_requested:
            control.wait_for_request(0.02)
        yield JobFinished(kind="robustness", outcome="canceled")

    engine.runs("robustness", measures)
    section.measure("val")
    qtbot.waitUntil(lambda: section.warning != "")
    assert section.warning == "The driver is too old. The processor measures instead. Go."
    section._on_cancel()
    qtbot.waitUntil(lambda: section._job is None)
