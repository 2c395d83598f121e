"""Projects with several findings an image, and with grades."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from engine.contract.errors import DatasetError
from engine.data.import_plan import ImportPlan
from engine.data.label_writer import enter_labels, prepare_task, update_labels
from engine.data.sheet import Item
from engine.project import labels
from engine.project.history import IMPORT, account
from engine.project.records import NewRecord
from engine.project.store import Project

NAMES = ("Effusion", "Mass", "Nodule")


def add_images(project: Project, n: int, **facts) -> list[int]:
    source = project.add_source(Path("/data"), "table")
    first = project.next_row()
    rows = range(first, first + n)
    records = [NewRecord(source_id=source, path=f"{i}.png", row=i, **facts) for i in rows]
    return project.add_records(records)


def enter(
    project: Project, ids: list[int], *items: Item, task: str = "multi", classes=NAMES
) -> None:
    plan = ImportPlan(
        root=Path("/data"),
        kind="table",
        items=items,
        skipped=(),
        notes=(),
        task=task,
        classes=classes,
    )
    prepare_task(project, plan)
    enter_labels(project, ids, items)


def found(effusion: int | None, mass: int | None, nodule: int | None) -> Item:
    return Item(path="", findings=dict(zip(NAMES, (effusion, mass, nodule), strict=True)))


@pytest.fixture
def project(tmp_path):
    """A project with four images of three findings, the last image unread."""
    with Project.create(tmp_path / "p") as project:
        ids = add_images(project, 4)
        enter(project, ids, found(1, 1, 0), found(0, 0, 0), found(1, None, 0), Item(path=""))
        yield project


def ids_of(project: Project) -> list[int]:
    return [record.id for record in project.records()]


def state(project: Project) -> object:
    return project.classes(), [record.findings for record in project.records()]


def named(project: Project, name: str) -> int:
    class_id = project.class_named(name)
    assert class_id is not None
    return class_id


def test_findings_are_counted_where_they_are_present(project):
    assert project.task == "multi"
    assert [(s.name, s.n_images, s.n_patients, s.index) for s in project.classes()] == [
        ("Effusion", 2, 2, 0),
        ("Mass", 1, 1, 1),
        ("Nodule", 0, 0, None),
    ]
    assert project.counts().n_unlabelled == 1
    labels.exclude(project, ids_of(project)[:1], "x")
    assert [s.n_images for s in project.classes()] == [1, 0, 0]


def test_records_know_their_findings(project):
    effusion, mass, nodule = (named(project, name) for name in NAMES)
    first, _, third, last = project.records()
    assert first.findings == {effusion: 1, mass: 1, nodule: 0}
    assert third.findings == {effusion: 1, mass: None, nodule: 0}
    assert (last.findings, last.class_id) == ({}, None)
    assert project.records([third.id])[0].findings == third.findings


def test_the_table_of_findings_has_a_mask_of_what_is_unknown(project):
    labels.set_finding(project, ids_of(project)[1:2], named(project, "Nodule"), 1)
    table = project.findings_table()
    assert table.class_names == NAMES
    np.testing.assert_array_equal(table.values, [[1, 1, 0], [0, 0, 1], [1, -1, 0]])
    np.testing.assert_array_equal(table.is_known[2], [True, False, True])
    assert (table.values.dtype, table.rows.tolist()) == (np.int8, [0, 1, 2])
    labels.leave_out(project, named(project, "Mass"), True)
    assert project.findings_table().class_names == ("Effusion", "Nodule")


def test_a_finding_that_is_chosen_alone_is_a_task_of_two_classes(project):
    with pytest.raises(DatasetError, match="“Effusion” can't be learned: 2 labelled") as caught:
        project.training_table()
    assert "Mark more images" in caught.value.remedy
    project.choose_finding(named(project, "Mass"))
    table = project.training_table()
    assert table.class_names == ("no Mass", "Mass")
    assert table.positive == 1
    assert table.labels.tolist() == [1, 0]  # unknown in the third
    assert [s.name for s in project.classes() if s.is_positive] == ["Mass"]
    project.choose_finding(None)
    with pytest.raises(DatasetError):
        project.training_table()
    with pytest.raises(ValueError, match="no finding 99"):
        project.choose_finding(99)


def test_the_choice_follows_a_merged_finding(project):
    mass, nodule = named(project, "Mass"), named(project, "Nodule")
    project.choose_finding(nodule)
    labels.merge_classes(project, [nodule], mass)
    assert project.chosen_finding == mass


def test_findings_are_set_cleared_and_undone_across_restarts(project):
    ids = ids_of(project)
    effusion, mass, nodule = (named(project, name) for name in NAMES)
    steps = (
        lambda p: labels.set_finding(p, ids, nodule, 1),
        lambda p: labels.set_finding(p, ids[:2], effusion, None),
        lambda p: labels.clear_finding(p, ids[1:], mass),
        lambda p: labels.set_no_finding(p, ids[2:]),
        lambda p: labels.set_many_findings(p, {ids[0]: {effusion: 0, mass: 1}, ids[3]: {mass: 1}}),
        lambda p: labels.merge_classes(p, [mass, nodule], nodule),
        lambda p: labels.rename_class(p, effusion, "Fluid"),
    )
    states = [state(project)]
    for step in steps:
        step(project)
        states.append(state(project))
    assert len({repr(s) for s in states}) == len(states)
    project.close()
    for expected in reversed(states[:-1]):
        with Project.open(project.folder) as again:
            assert labels.undo(again)
            assert state(again) == expected
    with Project.open(project.folder) as again:
        assert not labels.can_undo(again)
        for expected in states[1:]:
            assert labels.redo(again)
            assert state(again) == expected


def test_a_merged_finding_is_present_where_one_part_is(project):
    ids = ids_of(project)
    effusion, mass, _ = (named(project, name) for name in NAMES)
    labels.clear_finding(project, ids[1:2], effusion)
    labels.merge_classes(project, [mass], effusion)
    assert [r.findings.get(effusion) for r in project.records()] == [1, 0, 1, None]
    assert all(mass not in record.findings for record in project.records())


def test_who_changed_what_and_when_is_kept(project):
    first = ids_of(project)[0]
    mass = named(project, "Mass")
    labels.set_finding(project, [first], mass, 0)
    labels.clear_finding(project, [first], mass)
    labels.undo(project)
    changes = labels.changes_of(project, first)
    assert [(c.who, c.field, c.class_id, c.old, c.new, c.is_undone) for c in changes] == [
        (account(), "finding", mass, 1, 0, False),
        (account(), "finding", mass, 0, "", True),
    ]
    assert all(change.at > 1.7e9 for change in changes)


def test_a_finding_is_one_of_three_values_of_a_project_with_findings(project, tmp_path):
    ids = ids_of(project)
    with pytest.raises(ValueError, match="0, 1 or None"):
        labels.set_finding(project, ids, named(project, "Mass"), 2)
    with pytest.raises(ValueError, match="no class"):
        labels.set_finding(project, ids, 99, 1)
    with pytest.raises(ValueError, match="no record"):
        labels.set_finding(project, [999], named(project, "Mass"), 1)
    with pytest.raises(ValueError, match="task is multi"):
        labels.set_labels(project, ids, named(project, "Mass"))
    with Project.create(tmp_path / "single") as single:
        with pytest.raises(ValueError, match="task is single"):
            labels.set_finding(single, [], 1, 1)
        with pytest.raises(ValueError, match="task is single"):
            single.findings_table()


def test_thousands_of_images_are_one_step(project):
    ids = add_images(project, 3000)
    mass = named(project, "Mass")
    labels.set_finding(project, ids, mass, 1)
    assert project.classes()[1].n_images == 3001
    assert labels.undo(project)
    assert project.classes()[1].n_images == 1


def test_the_digest_changes_with_findings_and_the_choice_and_back(project):
    ids = ids_of(project)
    effusion, mass, nodule = (named(project, name) for name in NAMES)
    seen = [(project.data_digest(), project.usable_digest())]
    steps = (
        lambda: labels.set_finding(project, ids[1:2], nodule, 1),
        lambda: labels.set_finding(project, ids[1:2], mass, None),
        lambda: labels.leave_out(project, mass, True),
    )
    for step in steps:
        step()
        seen.append((project.data_digest(), project.usable_digest()))
    assert len(set(seen)) == len({data for data, _ in seen}) == len({s for _, s in seen}) == 4
    for expected in reversed(seen[:-1]):
        labels.undo(project)
        assert (project.data_digest(), project.usable_digest()) == expected
    project.choose_finding(effusion)
    chosen = project.data_digest()
    assert chosen != seen[0][0]
    assert project.usable_digest() == seen[0][1]  # the split isn't of one finding
    labels.set_finding(project, ids[1:2], nodule, 1)
    assert project.data_digest() == chosen  # not learned, so no run is out of date
    labels.set_finding(project, ids[1:2], effusion, 1)
    assert project.data_digest() != chosen


def test_linked_patients_are_one_group(project):
    project.choose_finding(named(project, "Effusion"))
    before, digest = project.training_table().groups, project.usable_digest()
    a, b, c = before.tolist()
    assert len({a, b, c}) == 3
    with project.transaction():
        project.db.execute_many(
            "INSERT INTO patient_links (patient_id, with_patient) VALUES (?, ?)", [(c, b), (b, a)]
        )
        project.note_data_change()
    assert project.training_table().groups.tolist() == [a, a, a]
    assert project.findings_table().groups.tolist() == [a, a, a]
    assert project.training_table().patients.tolist() == [a, b, c]
    assert project.usable_digest() != digest


# --- importing again -----------------------------------------------------------------------------


def test_a_second_import_takes_over_findings_unless_they_were_set_by_hand(project):
    ids = ids_of(project)
    effusion, mass, nodule = (named(project, name) for name in NAMES)
    labels.set_finding(project, ids[:1], mass, 0)
    notes = update_labels(
        project, [(ids[0], found(1, 1, 1)), (ids[1], found(0, 0, 0)), (ids[3], found(1, None, 0))]
    )
    assert notes == [
        "2 images got the new label that the source gives.",
        "1 image keeps the label that was set in RadTune, though the source gives another.",
    ]
    first, *_, last = project.records()
    assert first.findings == {effusion: 1, mass: 0, nodule: 1}
    assert last.findings == {effusion: 1, mass: None, nodule: 0}
    assert update_labels(project, [(ids[0], found(1, 0, 1))]) == []
    # What an import changed is no decision of the user.
    assert labels.changes_of(project, ids[3])[0].who == IMPORT
    assert update_labels(project, [(ids[3], found(0, None, 0))])[0].startswith("1 image got")


def test_entering_labels_again_changes_nothing(project):
    before = state(project)
    enter_labels(project, ids_of(project)[:1], [found(0, 0, 1)])
    assert state(project) == before


def test_classes_and_findings_do_not_mix(project, tmp_path):
    with pytest.raises(DatasetError, match="several findings each; labels with one class"):
        enter(project, [], Item(path="", label="x"), task="single", classes=("x",))
    with Project.create(tmp_path / "single") as single:
        enter(
            single, add_images(single, 1), Item(path="", label="x"), task="single", classes=("x",)
        )
        with pytest.raises(DatasetError, match="one class each; labels with several findings"):
            enter(single, [], found(1, 1, 1))


# --- grades --------------------------------------------------------------------------------------


def grades(project: Project) -> list[str]:
    return [summary.name for summary in project.classes() if summary.index is not None]


def test_grades_keep_their_order_whatever_comes_first(tmp_path):
    with Project.create(tmp_path / "p") as project:
        order = ("none", "mild", "moderate", "severe")
        given = [Item(path="", label=name) for name in ("severe", "none", "moderate")]
        enter(project, add_images(project, 3), *given, task="ordinal", classes=order)
        assert project.task == "ordinal"
        assert grades(project) == ["none", "moderate", "severe"]
        assert project.training_table().labels.tolist() == [2, 0, 1]
        more = Item(path="", label="mild")
        enter(project, add_images(project, 1), more, task="single", classes=("mild",))
        assert (project.task, grades(project)) == ("ordinal", list(order))
        assert not labels.can_undo(project)


def test_the_order_of_grades_can_be_changed_and_undone(tmp_path):
    with Project.create(tmp_path / "p") as project:
        given = [Item(path="", label=name) for name in ("a", "b", "c")]
        enter(project, add_images(project, 3), *given, task="ordinal", classes=("a", "b", "c"))
        digest = project.data_digest()
        labels.order_classes(project, [named(project, name) for name in ("c", "a", "b")])
        assert grades(project) == ["c", "a", "b"]
        assert project.training_table().labels.tolist() == [1, 2, 0]
        assert project.data_digest() != digest
        labels.undo(project)
        assert (grades(project), project.data_digest()) == (["a", "b", "c"], digest)


def test_a_finding_has_no_other_value_in_the_database(project):
    with pytest.raises((ValueError, sqlite3.IntegrityError)), project.transaction():
        project.db.execute("UPDATE record_findings SET value = 2")
