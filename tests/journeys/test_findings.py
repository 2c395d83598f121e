"""All findings of a project, learned, measured and applied with nothing but the buttons."""

from __future__ import annotations

import csv

import pytest

from gui.stages import Stage
from tests.helpers.findings_study import LEARNED, N_PATIENTS, make_findings_study

pytestmark = pytest.mark.timeout(300)


def test_several_findings_become_one_tested_applied_classifier(user, tmp_path):
    project = make_findings_study(tmp_path / "study")
    session = user.window.session
    user.window.open_project(project)
    user.wait_for(lambda: len(session.snapshot.records) == 2 * N_PATIENTS, "the images")
    assert session.snapshot.trained_names == LEARNED
    user.window.show_stage(Stage.TRAIN)

    user.press("Start")
    user.press("Look at the results")
    user.wait_for(lambda: bool(session.snapshot.finished_runs), "the history")
    run = session.snapshot.finished_runs[0]
    user.press("Measure on the test set")
    user.wait_for(lambda: session.evaluation(run.id) is not None, "the results")
    page = user.window.page(Stage.EVALUATE)
    user.wait_for(page.result.isVisible, "the page")
    assert [row[0] for row in page.result.findings.texts()] == list(LEARNED)
    page.result.findings.choose(1)
    assert page.result.confusion.to_csv().splitlines()[1].startswith("no right,")
    assert session.evaluation(run.id).auroc > 0.9

    user.press("Export…")
    user.choose_file(tmp_path / "my classifier")
    user.press("Apply it")
    user.press("Choose a folder…")
    user.choose_file(project.parent / "images")
    user.press("Apply")
    page = user.window.page(Stage.APPLY)
    user.wait_for(page.result.isVisible, "the predictions")
    with page.out.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * N_PATIENTS
    # p007_1.png is of patient 7: 7 is odd, and so is 7 // 2.
    truth = [(number % 2, number // 2 % 2) for number in (int(r["path"][1:4]) for r in rows)]
    said = [(int(row["present_left"]), int(row["present_right"])) for row in rows]
    assert sum(a == b for a, b in zip(truth, said, strict=True)) > 0.8 * len(rows)
    assert user.errors() == []
