"""What the history says of the findings that runs learned."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine.contract.commands import Train
from engine.contract.control import Control
from engine.contract.events import COMPLETED, RunFinished
from engine.contract.recipe import RECIPE_NAME
from engine.project.run_findings import learned_findings
from engine.project.store import Project
from engine.run import execute
from tests.helpers.findings_study import LEARNED, make_findings_study
from tests.helpers.tiny_study import small_config


def test_the_history_tells_one_finding_from_all_at_once(tmp_path: Path) -> None:
    study = make_findings_study(tmp_path)
    runs = []
    for finding in ("right", "all"):
        command = Train(project=str(study), config=small_config("linear_probe"), finding=finding)
        finished = execute(command, lambda event: None, Control())
        assert isinstance(finished, RunFinished)
        assert finished.outcome == COMPLETED, finished.error
        runs.append(finished.run)
    with Project.open(study, read_only=True) as project:
        learned = {run.id: run.findings for run in project.runs()}
    assert learned == {runs[0]: ("right",), runs[1]: LEARNED}


def test_where_images_have_one_class_it_says_nothing(trained: tuple[Path, str]) -> None:
    project, run = trained
    with Project.open(project, read_only=True) as opened:
        assert opened.run_summary(run).findings == ()


def write(folder: Path, text: str, *, at: int) -> tuple[str, ...]:
    path = folder / RECIPE_NAME
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(at, at))
    return learned_findings(folder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"classes": 3}',
        '{"classes": ["no a", "a"], "positive": null}',
        '{"classes": ["a"], "positive": 7}',
    ],
)
def test_a_recipe_that_is_missing_or_damaged_tells_nothing(tmp_path: Path, text: str) -> None:
    assert learned_findings(tmp_path) == ()
    assert write(tmp_path, text, at=1) == ()


def test_a_recipe_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    one = {"classes": ["no 肺炎", "肺炎"], "positive": 1, "activation": "softmax"}
    assert write(tmp_path, json.dumps(one), at=1) == ("肺炎",)
    both = {"classes": ["肺炎", "结节"], "positive": None, "activation": "sigmoid"}
    assert write(tmp_path, json.dumps(both), at=2) == ("肺炎", "结节")
