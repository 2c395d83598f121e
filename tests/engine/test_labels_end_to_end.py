"""A project with several findings an image, from the sheet to the result on one of them."""

from __future__ import annotations

import pytest

from engine.contract.commands import Evaluate, MakeSplit, Scan
from engine.contract.events import COMPLETED
from engine.project.store import Project
from tests.helpers.tiny_study import CONTRACT, run_job, small_config, train, write_images


@pytest.fixture
def study(tmp_path):
    """30 patients; "bright" is to be seen, "odd" isn't and is unknown of the last five."""
    images = write_images(tmp_path / "images")
    lines = ["path,patient,bright,odd,No Finding"]
    for path in sorted(images.rglob("*.png")):
        number = int(path.stem[1:4])
        bright, odd = int(path.parent.name == "b"), number % 3 // 2
        cells = [path.name, f"P{number}", bright, -1 if number > 24 else odd, int(not bright | odd)]
        lines.append(",".join(map(str, cells)))
    (images / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    project = tmp_path / "tiny.radtune"
    with Project.create(project) as opened:
        opened.image_contract = CONTRACT
    result = run_job(Scan(source=str(images), project=str(project)))
    assert (result["matched"], result["conflicts"]) == (60, 0)
    assert result["classes"] == {"bright": 30, "odd": 16}
    return project


def test_one_finding_of_several_is_learned_and_measured(study):
    summary = run_job(MakeSplit(project=str(study)))  # by all findings, whichever is learned
    assert set(summary["counts"]["train"]) == {"bright", "odd"}
    with Project.open(study) as project:
        project.choose_finding(project.class_named("bright"))
    finished, _ = train(study, small_config("linear_probe", max_epochs=8))
    assert finished.outcome == COMPLETED
    result = run_job(Evaluate(project=str(study), run=finished.run))
    assert (result["classes"], result["positive"]) == (["no bright", "bright"], "bright")
    assert result["auroc"] > 0.8
    with Project.open(study) as project:
        assert not project.runs()[0].is_stale
        project.choose_finding(project.class_named("odd"))
        assert project.runs()[0].is_stale
        assert len(project.training_table().labels) == 50
