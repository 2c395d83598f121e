from __future__ import annotations

from pathlib import Path

import pytest

from engine.contract.errors import DatasetError
from engine.project import labels
from engine.project.history import account
from engine.project.records import NewRecord
from engine.project.store import Project


@pytest.fixture
def project(tmp_path):
    """A project with two images of each of three classes."""
    with Project.create(tmp_path / "p") as project:
        source = project.add_source(Path("/data"), "folder")
        for name in ("normal", "opacity", "effusion"):
            class_id = project.add_class(name)
            project.add_records(
                [
                    NewRecord(
                        source_id=source,
                        path=f"{name}/{i}.png",
                        row=project.next_row() + i,
                        class_id=class_id,
                    )
                    for i in range(2)
                ]
            )
        yield project


def _state(project: Project) -> object:
    return project.classes(), project.records()


def _id(project: Project, name: str) -> int:
    return next(summary.id for summary in project.classes() if summary.name == name)


def test_a_class_can_be_renamed_but_not_to_anothers_name(project):
    labels.rename_class(project, _id(project, "opacity"), "  Opacity ")
    assert [s.name for s in project.classes()] == ["normal", "Opacity", "effusion"]
    with pytest.raises(DatasetError, match="'effusion' already"):
        labels.rename_class(project, _id(project, "normal"), "Effusion")
    with pytest.raises(DatasetError, match="needs a name"):
        labels.rename_class(project, _id(project, "normal"), " ")


def test_merged_classes_become_one_and_a_later_import_follows(project):
    opacity, effusion = _id(project, "opacity"), _id(project, "effusion")
    labels.merge_classes(project, [opacity, effusion], opacity)
    assert [(s.name, s.n_images) for s in project.classes()] == [("normal", 2), ("opacity", 4)]
    assert project.add_class("Effusion") == opacity
    labels.rename_class(project, opacity, "effusion")
    assert project.add_class("effusion") == opacity


def test_merging_chains_leads_to_the_last_class(project):
    normal, opacity, effusion = (s.id for s in project.classes())
    labels.merge_classes(project, [effusion], opacity)
    labels.merge_classes(project, [opacity], normal)
    assert project.add_class("effusion") == normal
    assert project.classes()[0].n_images == 6


def test_an_excluded_image_keeps_its_reason(project):
    first, second, *_ = (record.id for record in project.records())
    labels.exclude(project, [first], " tube in the way ")
    labels.exclude(project, [second], "")
    assert [r.excluded for r in project.records()[:3]] == [
        "tube in the way",
        "no reason given",
        None,
    ]
    labels.include(project, [first, second])
    assert all(record.excluded is None for record in project.records())


def test_every_step_can_be_undone_and_done_again(project):
    ids = [record.id for record in project.records()]
    normal, opacity, effusion = (summary.id for summary in project.classes())
    steps = (
        lambda: labels.set_labels(project, ids[:3], effusion),
        lambda: labels.set_labels(project, ids[:1], None),
        lambda: labels.exclude(project, ids, "x"),
        lambda: labels.include(project, ids[2:]),
        lambda: labels.rename_class(project, normal, "healthy"),
        lambda: labels.merge_classes(project, [opacity, effusion], effusion),
        lambda: labels.set_positive(project, normal),
        lambda: labels.leave_out(project, effusion, True),
    )
    states = [_state(project)]
    for step in steps:
        step()
        states.append(_state(project))
    for expected in reversed(states[:-1]):
        assert labels.undo(project)
        assert _state(project) == expected
    assert not labels.can_undo(project)
    assert not labels.undo(project)
    for expected in states[1:]:
        assert labels.redo(project)
        assert _state(project) == expected
    assert not labels.can_redo(project)
    assert not labels.redo(project)


def test_a_new_step_ends_redoing(project):
    first, second, *_ = (record.id for record in project.records())
    labels.exclude(project, [first], "x")
    labels.undo(project)
    labels.exclude(project, [second], "y")
    assert not labels.redo(project)
    assert [r.excluded for r in project.records()[:2]] == [None, "y"]


def test_undo_survives_closing(project):
    labels.exclude(project, [project.records()[0].id], "x")
    project.close()
    with Project.open(project.folder) as again:
        assert labels.undo(again)
        assert again.records()[0].excluded is None


def test_the_history_tells_what_changed_and_when(project):
    record = project.records()[0]
    opacity = _id(project, "opacity")
    labels.set_labels(project, [record.id], opacity)
    rows = project.db.all(
        "SELECT who, subject, subject_id, field, old, new, at > 1.7e9 FROM label_history"
    )
    assert rows == [(account(), "record", record.id, "class_id", record.class_id, opacity, 1)]


def test_a_step_that_changes_nothing_is_no_step(project):
    labels.set_labels(project, [project.records()[0].id], _id(project, "normal"))
    assert not labels.can_undo(project)


def test_unknown_images_and_classes_change_nothing(project):
    before = _state(project)
    ids = [record.id for record in project.records()]
    with pytest.raises(ValueError, match="no record"):
        labels.exclude(project, [*ids, 999], "x")
    with pytest.raises(ValueError, match="no class"):
        labels.set_labels(project, ids, 999)
    with pytest.raises(ValueError, match="no class"):
        labels.merge_classes(project, [ids[0], 999], ids[0])
    assert _state(project) == before


def test_thousands_of_images_are_one_step(project):
    source = project.sources()[0].id
    first = project.next_row()
    ids = project.add_records(
        [NewRecord(source_id=source, path=f"{i}", row=first + i) for i in range(3000)]
    )
    normal = _id(project, "normal")
    labels.set_labels(project, ids, normal)
    assert project.classes()[0].n_images == 3002
    assert labels.undo(project)
    assert project.classes()[0].n_images == 2
