"""What a project tells, without the engine, of whom the networks of its runs knew before."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from engine.contract.bundle_facts import facts_digest
from engine.contract.seen_before import UNTOLD, SeenBefore, SeenPart
from engine.evaluate.score import FinishedRun
from engine.files import write_json
from engine.jobs.seen_before import known_groups, measuring_caution
from engine.project.known_patients import (
    Origin,
    of_classifier,
    put_together,
    seen_by_weights,
    with_origins,
)
from engine.project.labels import exclude
from engine.project.learned_before import is_known, note_pretraining
from engine.project.store import Project
from tests.helpers.known_patients import (
    BUILT_IN,
    DIGEST,
    FROM_MADE,
    NAME,
    add_run,
    make_known_project,
)

TRAIN = SeenPart(n_images=16, n_known=6, n_patients=8, n_known_patients=3)
HALF = SeenPart(n_images=4, n_known=2, n_patients=2, n_known_patients=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_known_project(tmp_path / "study.radtune")


def runs_of(folder: Path) -> dict[str, tuple[str, SeenBefore]]:
    """Return the names of weights and what is known, by run."""
    with Project.open(folder, read_only=True) as project:
        found = with_origins(project, project.runs())
    return {run.id: (run.weights_name, run.seen or SeenBefore()) for run in found}


def test_patients_that_weights_know_are_counted_in_every_part_of_the_split(folder):
    with Project.open(folder, read_only=True) as project:
        [(digest, seen)] = seen_by_weights(project).items()
    assert digest == DIGEST
    assert (seen.train, seen.val, seen.test) == (TRAIN, HALF, HALF)
    assert seen.n_known_test == 1


def test_a_run_is_told_by_the_weights_that_its_recipe_names(folder):
    add_run(folder, "made", FROM_MADE)
    add_run(folder, "plain", BUILT_IN)
    found = runs_of(folder)
    assert found["made"][0] == NAME
    assert found["made"][1].test == HALF
    assert found["plain"][0] == ""
    assert not found["plain"][1].is_doubtful
    assert found["plain"][1].n_known_test == 0


def test_a_combined_run_knows_whom_each_of_its_networks_knows(folder):
    add_run(folder, "both", BUILT_IN, members=(("made", FROM_MADE), ("plain", BUILT_IN)))
    name, seen = runs_of(folder)["both"]
    assert name == NAME
    assert seen.test == HALF


def test_a_network_that_nobody_can_tell_of_counts_beside_one_that_knows_training_patients(folder):
    lost = "d" * 64
    with Project.open(folder) as project:
        train = [record.id for record in project.records() if record.split == "train"]
        for digest in (DIGEST, lost):
            note_pretraining(project, digest, np.array(train, dtype=np.int64))
        (folder / "pretrained" / f"{lost}.npz").unlink()
    members = (("made", FROM_MADE), ("older", {**FROM_MADE, "digest": lost}))
    add_run(folder, "both", FROM_MADE, members=members)
    assert runs_of(folder)["both"][1].n_known_test is None
    networks = [SimpleNamespace(name=name, weights=weights) for name, weights in members]
    both = SimpleNamespace(id="both", recipe={"weights": FROM_MADE}, members=networks)
    with Project.open(folder, read_only=True) as project:
        table = project.training_table()
        tested = np.flatnonzero(table.split == 2)
        assert known_groups(project, table, cast(FinishedRun, both), tested) is None
        said = measuring_caution(project, table, [cast(FinishedRun, both)], tested, "test images")
    assert "is not known" in said


@pytest.mark.parametrize("digest", ["", "../../elsewhere", "a" * 5000, "a\0b"])
def test_what_a_bundle_calls_its_weights_is_no_path(folder, digest):
    with Project.open(folder, read_only=True) as project:
        [learned] = of_classifier(project, Origin(digests=(digest,)))
    assert not len(learned.records)
    assert learned.unknown == ""


def test_a_lost_list_is_not_taken_for_none(folder):
    add_run(folder, "made", FROM_MADE)
    (folder / "pretrained" / f"{DIGEST}.npz").unlink()
    seen = runs_of(folder)["made"][1]
    assert seen.n_known_test is None
    assert "damaged or missing" in seen.unknown


def test_a_damaged_recipe_is_not_taken_for_one_of_built_in_weights(folder):
    add_run(folder, "made", FROM_MADE)
    (folder / "runs" / "made" / "recipe.json").write_text("{", encoding="utf-8")
    assert runs_of(folder)["made"][1].n_known_test is None


def test_of_weights_that_an_earlier_version_made_nobody_knows(folder):
    other = "c" * 64
    add_run(folder, "older", {**FROM_MADE, "digest": other})
    seen = runs_of(folder)["older"][1]
    assert seen.n_known_test == 0
    assert seen.with_untold({DIGEST}) == seen
    assert seen.with_untold({other}).unknown == UNTOLD
    assert seen.with_untold({other}).n_known_test is None


def test_a_run_that_applies_a_classifier_knows_whom_that_learned_from(folder):
    backbone = {"weights_digest": DIGEST}
    facts = {"backbone": backbone, "members": [], "data": {}}
    source = folder / "runs" / "applied" / "source"
    add_run(folder, "applied", {"state": "missing", "digest": ""}, method="direct_transfer")
    source.mkdir()
    write_json(source / "bundle.json", facts | {"facts_digest": facts_digest(facts)})
    assert runs_of(folder)["applied"][1].test == HALF
    write_json(source / "bundle.json", facts | {"facts_digest": "another"})
    assert runs_of(folder)["applied"][1].n_known_test is None


def test_a_bundle_of_combined_runs_knows_whom_a_classifier_among_them_learned_from(folder):
    facts = {"backbone": {"weights_digest": DIGEST}, "members": [], "data": {}}
    none = {"state": "missing", "digest": ""}
    add_run(folder, "applied", none, method="direct_transfer")
    source = folder / "runs" / "applied" / "source"
    source.mkdir()
    write_json(source / "bundle.json", facts | {"facts_digest": facts_digest(facts)})
    add_run(folder, "both", none, members=(("applied", none), ("plain", BUILT_IN)))
    with Project.open(folder) as project:
        with project.transaction():
            project.db.execute("UPDATE records SET sha256 = printf('%064x', id)")
        table = project.training_table()
        project.keep_run_data("both", table)
        origin = Origin(mark=project.run_mark("both"))
        known = is_known(project, table, put_together(of_classifier(project, origin)))
    assert (known & (table.split == 2)).sum() == HALF.n_known


def test_of_a_run_that_has_gone_stale_the_images_of_then_are_counted(folder):
    add_run(folder, "made", FROM_MADE)
    with Project.open(folder) as project:
        with project.transaction():
            project.db.execute("UPDATE records SET sha256 = printf('%064x', id)")
        project.keep_run_data("made", project.training_table())
        last = [record.id for record in project.records() if record.split == "test"][-1]
        exclude(project, [last], "blurred")
        assert project.run_summary("made").is_stale
    seen = runs_of(folder)["made"][1]
    assert seen.val == HALF
    assert seen.test == HALF
