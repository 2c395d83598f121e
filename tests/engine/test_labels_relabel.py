"""Labels out of a project and into it again, as a sheet."""

from __future__ import annotations

import csv
import datetime
from pathlib import Path

import pytest

from engine.contract.commands import ExportLabels, Relabel, Scan
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import DatasetError
from engine.contract.import_rules import ColumnMapping, LabelRule
from engine.contract.records import RelabelResult
from engine.data.import_plan import ImportPlan
from engine.data.label_sheet import export_labels, safe_cell
from engine.data.label_writer import enter_labels, prepare_task
from engine.data.plan import plan_import
from engine.data.relabel import relabel_from_sheet
from engine.data.sheet import Item
from engine.project import labels
from engine.project.records import NewRecord
from engine.project.store import Project
from tests.engine.test_plan import put, sheet

FINDINGS = ("Effusion", "Mass")


def make(root: Path, *items: Item, task: str = "single", dates: dict[str, str] | None = None):
    """Make a project beside ``root`` with one image for each item, imported from ``root``."""
    put(root, *(item.path for item in items))
    names = sorted({item.label for item in items if item.label})
    with Project.open_or_create(root.with_suffix(".radtune")) as project:
        source = project.add_source(root, "table")
        first = project.next_row()
        records = [
            NewRecord(
                source_id=source,
                path=item.path,
                row=first + i,
                frame=item.frame or 0,
                patient_id=project.patient(item.patient) if item.patient else None,
                acquired=project.day(item.acquired),
                split=item.split,
            )
            for i, item in enumerate(items)
        ]
        ids = project.add_records(records)
        plan = ImportPlan(
            root=root,
            kind="table",
            items=items,
            skipped=(),
            notes=(),
            task=task,
            classes=FINDINGS if task == "multi" else tuple(names),
        )
        prepare_task(project, plan)
        enter_labels(project, ids, items)
    return root.with_suffix(".radtune")


def relabel(project: Path, labels: Path, **options) -> RelabelResult:
    command = Relabel(project=str(project), labels=str(labels), **options)
    return relabel_from_sheet(command, lambda _: None, Control())


def export(project: Path, out: Path) -> list[dict[str, str]]:
    command = ExportLabels(project=str(project), out=str(out))
    result = export_labels(command, lambda _: None, Control())
    rows = read(out)
    assert result == {"out": str(out), "n_images": len(rows)}
    return rows


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def labels_of(project: Path) -> dict[str, str | None]:
    with Project.open(project, read_only=True) as opened:
        names = {summary.id: summary.name for summary in opened.classes()}
        return {
            f"{r.path}" + (f"#{r.frame}" if r.frame else ""): names.get(r.class_id or 0)
            for r in opened.records()
        }


@pytest.fixture
def study(tmp_path):
    return make(
        tmp_path / "study",
        Item(path="a.png", label="well", patient="A", split="train"),
        Item(path="b.png", label="ill", patient="A", split="train"),
        Item(path="x/c.png", label="ill", patient="B", split="test"),
        Item(path="d.png"),
    )


# --- new labels from a sheet ---------------------------------------------------------------------


def test_labels_of_a_sheet_replace_those_of_the_project_in_one_step(study, tmp_path):
    with Project.open(study) as project:
        labels.set_labels(project, [1], project.class_named("ill"))  # by hand
    before = labels_of(study)
    new = sheet(
        tmp_path / "new.csv",
        "path,label",
        *("a.png,well", "b.png,ill", "c.png,scar", "d.png,", "gone.png,ill", ",ill"),
    )
    result = relabel(study, new)
    assert (result.n_changed, result.n_same) == (2, 1)
    assert (result.matched, result.rows_without_file, result.files_without_row) == (4, 2, 0)
    assert result.conflicts == 0
    assert "New in the project: “scar”." in result.notes
    assert labels_of(study) == {"a.png": "well", "b.png": "ill", "x/c.png": "scar", "d.png": None}
    with Project.open(study) as project:
        assert labels.undo(project)
    assert labels_of(study) == before


def test_a_sheet_that_contradicts_itself_changes_nothing_there(study, tmp_path):
    new = sheet(tmp_path / "new.csv", "path,label", "a.png,ill", "a.png,well", "b.png,well")
    result = relabel(study, new)
    assert (result.conflicts, result.n_changed, result.files_without_row) == (1, 1, 2)
    assert labels_of(study)["a.png"] == "well"


def test_a_sheet_of_other_images_is_refused(study, tmp_path):
    with pytest.raises(DatasetError, match="None of the 1 row"):
        relabel(study, sheet(tmp_path / "new.csv", "path,label", "q.png,ill"))
    with pytest.raises(DatasetError, match="several findings an image, the project has one class"):
        relabel(study, sheet(tmp_path / "new.csv", "path,label", "a.png,ill|scar", "b.png,scar"))


def test_a_canceled_change_changes_nothing(study, tmp_path):
    control = Control()
    control.cancel()
    new = sheet(tmp_path / "new.csv", "path,label", "a.png,ill")
    command = Relabel(project=str(study), labels=str(new))
    with pytest.raises(JobCanceled):
        relabel_from_sheet(command, lambda _: None, control)
    assert labels_of(study)["a.png"] == "well"


def test_images_are_found_by_patient_and_date_without_their_originals(tmp_path):
    root = tmp_path / "study"
    first, second = datetime.date(2024, 1, 31), datetime.date(2024, 2, 3)
    project = make(
        root,
        Item(path="a.dcm", label="well", patient="00123", acquired=first),
        Item(path="b.dcm", label="well", patient="00123", acquired=second),
        Item(path="c.dcm", label="ill", patient="77", acquired=first),
    )
    root.rename(tmp_path / "gone")
    new = sheet(tmp_path / "new.csv", "pid;date;label", "00123;31.01.2024;ill", "77;31.01.2024;ill")
    result = relabel(project, new)
    assert (result.matched, result.n_changed, result.n_same) == (2, 1, 1)
    assert labels_of(project) == {"a.dcm": "ill", "b.dcm": "well", "c.dcm": "ill"}


def test_a_row_is_about_all_frames_of_a_file_or_the_one_it_names(tmp_path):
    frames = [Item(path="a.dcm", frame=k, label="well") for k in range(3)]
    project = make(tmp_path / "study", *frames, Item(path="b.dcm", label="ill"))
    relabel(project, sheet(tmp_path / "1.csv", "path,frame,label", "a.dcm,1,ill", "b.dcm,,well"))
    assert list(labels_of(project).values()) == ["well", "ill", "well", "well"]
    assert relabel(project, sheet(tmp_path / "2.csv", "path,label", "a.dcm,ill")).n_changed == 2
    assert list(labels_of(project).values()) == ["ill", "ill", "ill", "well"]


def test_of_two_sources_with_the_same_file_none_is_taken_for_the_other(tmp_path):
    make(tmp_path / "p", Item(path="a.png", label="x"), Item(path="only.png", label="y"))
    (tmp_path / "q.radtune").symlink_to(tmp_path / "p.radtune", target_is_directory=True)
    project = make(tmp_path / "q", Item(path="a.png", label="x"))
    rows = ("path,label", "a.png,y", "only.png,x", "q/a.png,y")
    result = relabel(project, sheet(tmp_path / "new.csv", *rows))
    assert (result.matched, result.rows_without_file) == (2, 1)
    with Project.open(project, read_only=True) as opened:
        assert [r.class_id for r in opened.records()] == [1, 1, 2]


def test_findings_are_changed_and_those_not_named_stay(tmp_path):
    project = make(
        tmp_path / "study",
        Item(path="a.png", findings={"Effusion": 1, "Mass": 0}),
        Item(path="b.png", findings={"Effusion": 0, "Mass": 0}),
        task="multi",
    )
    new = sheet(tmp_path / "new.csv", "path,Mass,Cyst", "a.png,1,0", "b.png,0,-1")
    result = relabel(project, new)
    assert (result.n_changed, result.n_same) == (2, 0)
    with Project.open(project) as opened:
        names = {s.id: s.name for s in opened.classes()}
        found = [{names[k]: v for k, v in r.findings.items()} for r in opened.records()]
        assert found == [
            {"Effusion": 1, "Mass": 1, "Cyst": 0},
            {"Effusion": 0, "Mass": 0, "Cyst": None},
        ]
        assert labels.undo(opened)
        assert [len(r.findings) for r in opened.records()] == [2, 2]
    with pytest.raises(DatasetError, match="one class an image, the project has several findings"):
        rule = LabelRule(task="single")
        relabel(project, new, label_rule=rule, columns=ColumnMapping(labels=("Mass", "Cyst")))


def test_grades_and_their_order_are_changed_in_one_step(study, tmp_path):
    new = sheet(tmp_path / "new.csv", "path,label", "a.png,ill", "b.png,dead", "d.png,well")
    rule = LabelRule(task="ordinal", order=("well", "ill", "dead"))
    relabel(study, new, label_rule=rule)
    with Project.open(study) as project:
        assert project.task == "ordinal"
        assert [s.name for s in project.classes()] == ["well", "ill", "dead"]
        assert labels.undo(project)
        assert [s.name for s in project.classes() if s.n_images] == ["ill", "well"]


# --- the sheet that is written -------------------------------------------------------------------


def test_the_sheet_holds_pseudonyms_and_no_identifier(study, tmp_path):
    with Project.open(study) as project:
        labels.exclude(project, [2], "blurred")
    assert export(study, tmp_path / "out.csv") == [
        row("a.png", "well", "P0001", "train"),
        row("b.png", "ill", "P0001", "train", "blurred"),
        row("x/c.png", "ill", "P0002", "test"),
        row("d.png", "", "P0003", ""),
    ]


def row(path: str, label: str, patient: str, split: str, excluded: str = "") -> dict[str, str]:
    return {
        "path": path,
        "label": label,
        "patient": patient,
        "split": split,
        "excluded": excluded,
    }


def test_the_sheet_can_be_imported_again_and_changes_nothing(study, tmp_path):
    out = tmp_path / "new folder" / "标签.csv"
    export(study, out)
    result = relabel(study, out)
    assert (result.matched, result.n_changed, result.n_same) == (4, 0, 3)
    plan = plan_import(
        Scan(source=str(study.with_suffix("")), project="unused", labels=str(out)), lambda: None
    )
    assert {(i.path, i.label, i.patient, i.split) for i in plan.items} == {
        ("a.png", "well", "P0001", "train"),
        ("b.png", "ill", "P0001", "train"),
        ("x/c.png", "ill", "P0002", "test"),
        ("d.png", None, "P0003", None),
    }


def test_findings_have_a_column_each_and_come_back_unchanged(tmp_path):
    items = (
        Item(path="a.png", findings={"Effusion": 1, "Mass": 1}),
        Item(path="b.png", findings={"Effusion": None, "Mass": 0}),
        Item(path="c.png"),
    )
    project = make(tmp_path / "study", *items, task="multi")
    rows = export(project, tmp_path / "out.csv")
    assert [(r["Effusion"], r["Mass"]) for r in rows] == [("1", "1"), ("-1", "0"), ("", "")]
    result = relabel(project, tmp_path / "out.csv")
    assert (result.n_changed, result.n_same) == (0, 2)
    source = str(tmp_path / "study")
    command = Scan(source=source, project="unused", labels=str(tmp_path / "out.csv"))
    plan = plan_import(command, lambda: None)
    assert [dict(item.findings) for item in plan.items] == [dict(i.findings) for i in items]


def test_frames_are_named_where_a_file_has_several(tmp_path):
    frames = [Item(path="a.dcm", frame=k, label="xy"[k % 2]) for k in range(3)]
    project = make(tmp_path / "study", *frames)
    rows = export(project, tmp_path / "out.csv")
    assert [(r["path"], r["frame"], r["label"]) for r in rows] == [
        ("a.dcm", "0", "x"),
        ("a.dcm", "1", "y"),
        ("a.dcm", "2", "x"),
    ]
    assert relabel(project, tmp_path / "out.csv").n_same == 3


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "＝"])
def test_no_cell_is_a_formula(tmp_path, start):
    bad = f"{start}HYPERLINK(1)"
    assert not safe_cell(bad).startswith(start)
    name = f"{start.strip() or '='}1.png"
    items = Item(path=name, label=bad.strip()), Item(path="b.png", label="well")
    project = make(tmp_path / "study", *items)
    export(project, tmp_path / "out.csv")
    for line in (tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines():
        assert not any(cell.startswith(("=", "+", "-", "@", "＝")) for cell in line.split(","))
    result = relabel(project, tmp_path / "out.csv")
    assert (result.matched, result.n_same, result.n_changed) == (2, 2, 0)


def test_a_sheet_that_cannot_be_written_is_said(study, tmp_path):
    with pytest.raises(DatasetError, match="a folder has this name"):
        export(study, tmp_path)
    with Project.create(tmp_path / "empty"):
        pass
    with pytest.raises(DatasetError, match="no images yet"):
        export(tmp_path / "empty", tmp_path / "out.csv")
