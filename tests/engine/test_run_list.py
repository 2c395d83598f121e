"""The run history at the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.contract.commands import ListRuns, MakeSplit
from engine.contract.control import Control
from engine.contract.events import FAILED
from engine.contract.run_states import RUNNING
from engine.project.access import open_alone
from engine.project.lock import ProjectLock
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import run_job, small_config, train


def listed(project: Path) -> dict[str, Any]:
    return run_job(ListRuns(project=str(project)))


def row_of(result: dict[str, Any], run: str) -> str:
    row: str
    [row] = [line for line in result["sentences"] if line.startswith(run)]
    return row


def test_a_project_without_runs_says_so(study: Path) -> None:
    assert listed(study) == {
        "runs": [],
        "sentences": ["No run was started in this project yet."],
    }
    nowhere = execute(ListRuns(project=str(study.parent)), lambda _: None, Control())
    assert nowhere.outcome == FAILED


def test_runs_are_listed_with_what_is_known_of_them(trained: tuple[Path, str]) -> None:
    project, first = trained
    second, _ = train(project, small_config(max_epochs=1))
    result = listed(project)
    assert [run["id"] for run in result["runs"]] == [second.run, first]
    heads, *rows = result["sentences"]
    assert heads.split()[:4] == ["ID", "STATE", "BACKBONE", "METHOD"]
    assert [row.split()[0] for row in rows] == [second.run, first]
    with Project.open(project, read_only=True) as opened:
        auroc = opened.run_summary(first).val_auroc
    assert "completed" in row_of(result, first) and "linear_probe" in row_of(result, first)
    assert f"{auroc:.3f}" in row_of(result, first)
    run_job(MakeSplit(project=str(project), seed=5))
    assert "split have changed" in row_of(listed(project), first)


@pytest.mark.parametrize("is_held", [True, False])
def test_a_run_that_nobody_is_at_was_interrupted(trained: tuple[Path, str], is_held: bool) -> None:
    project, run = trained
    with open_alone(project, owner="a test") as opened:
        opened.db.execute("UPDATE runs SET state = ? WHERE id = ?", (RUNNING, run))
    lock = ProjectLock(project, "another session")
    if is_held:
        lock.acquire()
    try:
        row = row_of(listed(project), run)
    finally:
        lock.release()
    assert ("running" in row) == is_held
    assert ("interrupted" in row) != is_held
