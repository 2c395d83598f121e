from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from engine.contract.config import ImageContract
from engine.contract.records import SkippedFile
from engine.project import labels
from engine.project.classes import is_negative_name, positive_of_two
from engine.project.records import NewRecord
from engine.project.sources import file_key
from engine.project.store import Project


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "p") as project:
        yield project


def _add(project: Project, names: list[str], **facts) -> list[int]:
    """Add files of one source, each its own patient unless said otherwise."""
    source = project.add_source(project.folder.parent / "images", "folder")
    first = project.next_row()
    return project.add_records(
        [
            NewRecord(source_id=source, path=name, row=first + i, sha256=name, **facts)
            for i, name in enumerate(names)
        ]
    )


def test_a_record_comes_back_as_it_was_found(project):
    source = project.add_source(Path("/data/Étude 影像"), "folder")
    normal = project.add_class("normal")
    patient = project.patient("4711")
    (record_id,) = project.add_records(
        [
            NewRecord(
                source_id=source,
                path="影像/a b.dcm",
                row=7,
                frame=2,
                class_id=normal,
                patient_id=patient,
                split="val",
                format="DICOM",
                modality="CR",
                photometric="MONOCHROME1",
                width=2000,
                height=2500,
                bits=12,
                window_center=2047.5,
                window_width=4095.0,
                dicom={"View position": "PA", "Maker": 'A "quoted" 公司'},
            )
        ]
    )
    (record,) = project.records()
    assert (record.id, record.row, record.frame, record.path) == (record_id, 7, 2, "影像/a b.dcm")
    assert (record.class_id, record.patient, record.patient_id) == (normal, "P0001", patient)
    assert (record.split, record.excluded) == ("val", None)
    assert (record.format, record.modality, record.bits) == ("DICOM", "CR", 12)
    assert (record.width, record.height) == (2000, 2500)
    assert (record.window_center, record.window_width) == (2047.5, 4095.0)
    assert record.dicom == {"View position": "PA", "Maker": 'A "quoted" 公司'}


def test_records_come_in_the_order_asked_for(project):
    ids = _add(project, [f"{i:04d}.png" for i in range(1000)])
    wanted = ids[::-1]
    assert [record.id for record in project.records(wanted)] == wanted
    with pytest.raises(ValueError, match="no record 99999"):
        project.records([ids[0], 99999])


def test_patients_get_readable_names_in_order_of_arrival(project):
    ids = [project.patient(raw) for raw in ("DOE^JANE", "4711", "DOE^JANE", " 4711 ")]
    assert ids[0] == ids[2] != ids[1] == ids[3]
    _add(project, ["a.png"], patient_id=ids[1])
    _add(project, ["b.png"], patient_id=ids[0])
    assert [record.patient for record in project.records()] == ["P0002", "P0001"]


def test_no_identifier_is_on_disk_in_clear(project):
    patient = project.patient("DOE^JANE-19700101")
    study = project.study("1.2.840.113619.2.55.3")
    _add(project, ["a.png"], patient_id=patient, study=study)
    _add(project, ["b.png"], study=study)
    project.close()
    content = b"".join(p.read_bytes() for p in project.folder.rglob("*") if p.is_file())
    for identifier in (b"DOE", b"JANE", b"19700101", b"113619.2.55"):
        assert identifier not in content


def test_without_a_patient_a_study_stays_together_and_else_the_file(project):
    study = project.study("1.2.3")
    _add(project, ["a.png", "b.png"], study=study)
    _add(project, ["c.png", "d.png"])
    patients = [record.patient_id for record in project.records()]
    assert patients[0] == patients[1]
    assert len(set(patients)) == 3
    assert project.study(None) is project.study("  ") is None


def test_frames_of_a_file_are_one_patient(project):
    source = project.add_source(Path("/data"), "folder")
    project.add_records(
        [NewRecord(source_id=source, path="a.dcm", frame=i, row=i) for i in range(3)]
    )
    assert len({record.patient_id for record in project.records()}) == 1


def test_importing_again_refreshes_the_file_and_keeps_what_the_user_decided(project):
    normal, opacity = project.add_class("normal"), project.add_class("opacity")
    (record,) = _add(project, ["a.png"], class_id=normal, width=10)
    labels.set_labels(project, [record], opacity)
    labels.exclude(project, [record], "blurred")
    assert _add(project, ["a.png"], class_id=normal, width=20) == [record]
    (after,) = project.records()
    assert (after.width, after.row) == (20, 1)
    assert (after.class_id, after.excluded) == (opacity, "blurred")


def test_a_file_that_was_skipped_leaves_the_list_once_it_is_imported(project):
    source = project.add_source(project.folder.parent / "images", "folder")
    skipped = [
        SkippedFile(path="a.png", reason="empty"),
        SkippedFile(path="b.png", reason="cut off"),
    ]
    project.add_skipped(source, skipped)
    project.add_skipped(source, [SkippedFile(path="b.png", reason="not an image")])
    _add(project, ["a.png"])
    assert project.skipped() == (SkippedFile(path="b.png", reason="not an image"),)


def test_a_skipped_file_may_have_a_name_that_is_no_text(project):
    source = project.add_source(project.folder.parent / "images", "folder")
    project.add_skipped(source, [SkippedFile(path="a\udce9.png", reason="rename it")])
    assert project.skipped() == (SkippedFile(path="a?.png", reason="rename it"),)


def test_rows_are_never_given_twice(project):
    assert project.next_row() == 0
    _add(project, ["a.png", "b.png"])
    assert project.next_row() == 2
    source = project.add_source(project.folder.parent / "images", "folder")
    with pytest.raises(ValueError, match="not allowed"):
        project.add_records([NewRecord(source_id=source, path="c.png", row=1)])


def test_counts_are_those_of_the_records(project):
    normal = project.add_class("normal")
    first = _add(project, ["a.png", "b.png"], class_id=normal, split="train")
    _add(project, ["c.png"], patient_id=project.records()[0].patient_id)
    labels.exclude(project, first[:1], "blurred")
    counts = project.counts()
    assert (counts.n_images, counts.n_excluded, counts.n_unlabelled) == (3, 1, 1)
    assert (counts.n_patients, counts.n_skipped) == (2, 0)
    assert counts.by_split == {"train": 1, None: 1}


def test_a_source_is_added_once(project, tmp_path):
    first = project.add_source(tmp_path / "images", "folder")
    assert project.add_source(tmp_path / "other" / ".." / "images", "folder") == first
    assert project.source_root(first) == tmp_path / "images"
    assert [(source.id, source.kind) for source in project.sources()] == [(first, "folder")]


def test_originals_that_moved_are_found_again(project, tmp_path):
    (tmp_path / "moved" / "sub").mkdir(parents=True)
    (tmp_path / "moved" / "sub" / "a.png").touch()
    ids = _add(project, ["sub/a.png", "sub/b.png"])
    source = project.sources()[0].id
    assert project.missing_originals() == ids
    assert project.relink(source, tmp_path / "nowhere") == (0, 2)
    assert project.source_root(source) == tmp_path / "images"
    assert project.relink(source, tmp_path / "moved") == (1, 1)
    assert project.missing_originals() == ids[1:]
    assert project.original_path(ids[0]) == tmp_path / "moved" / "sub" / "a.png"


def test_an_original_whose_accents_were_rewritten_is_found_again(project, tmp_path):
    composed = unicodedata.normalize("NFC", "Lésion.png")
    decomposed = unicodedata.normalize("NFD", composed)
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / decomposed).touch()
    _add(project, [composed])
    assert project.relink(project.sources()[0].id, tmp_path / "moved") == (1, 0)
    assert project.missing_originals() == []


def test_a_project_that_moved_together_with_its_images_finds_them(tmp_path):
    (tmp_path / "old" / "images").mkdir(parents=True)
    with Project.create(tmp_path / "old" / "p") as project:
        source = project.add_source(tmp_path / "old" / "images", "folder")
    (tmp_path / "old").rename(tmp_path / "new")
    with Project.open(tmp_path / "new" / "p") as project:
        assert project.source_root(source) == tmp_path / "new" / "images"


def test_a_sample_of_originals_is_looked_for(project):
    ids = _add(project, [f"{i}.png" for i in range(100)])
    assert project.missing_originals(sample=5) == ids[::20]


def test_known_files_are_found_whatever_the_spelling(project):
    decomposed = unicodedata.normalize("NFD", "é.png")
    (record,) = _add(project, [decomposed], n_bytes=5, mtime_ns=6)
    source = project.sources()[0].id
    known = project.known_files(source)[file_key(unicodedata.normalize("NFC", decomposed)), 0]
    assert (known.record, known.n_bytes, known.mtime_ns) == (record, 5, 6)


def test_case_makes_no_two_files_on_windows():
    assert file_key("A/Scan.PNG", ignores_case=True) == file_key("a/scan.png", ignores_case=True)
    assert file_key("A.png", ignores_case=False) != file_key("a.png", ignores_case=False)


def test_the_table_holds_the_usable_images(project):
    normal, opacity = project.add_class("normal"), project.add_class("opacity")
    other = project.add_class("other")
    shared = project.patient("x")
    a = _add(project, ["a1", "a2"], class_id=opacity, patient_id=shared, split="test")
    b = _add(project, ["b1", "b2"], class_id=normal, split="train")
    _add(project, ["c1"], class_id=other)
    _add(project, ["d1"])
    labels.exclude(project, b[:1], "blurred")
    labels.leave_out(project, other, True)
    table = project.training_table()
    np.testing.assert_array_equal(table.record_ids, [*a, b[1]])
    np.testing.assert_array_equal(table.rows, [0, 1, 3])
    np.testing.assert_array_equal(table.labels, [1, 1, 0])
    np.testing.assert_array_equal(table.split, [2, 2, 0])
    assert table.groups[0] == table.groups[1] == shared != table.groups[2]
    assert table.class_names == ("normal", "opacity")
    assert table.positive == 1
    assert table.unit == "patient"
    assert [column.dtype for column in (table.rows, table.labels, table.split)] == [
        np.int64,
        np.int64,
        np.int8,
    ]


def test_the_table_of_an_empty_project_is_empty(project):
    table = project.training_table()
    assert table.rows.shape == table.split.shape == (0,)
    assert (table.class_names, table.positive) == ((), None)


def test_the_digest_changes_with_everything_a_run_depends_on_and_back(project):
    normal, opacity = project.add_class("normal"), project.add_class("opacity")
    ids = _add(project, ["a", "b", "c"], class_id=normal) + _add(project, ["d"], class_id=opacity)
    seen = [project.data_digest()]
    steps = (
        lambda: labels.set_labels(project, ids[:1], opacity),
        lambda: labels.exclude(project, ids[1:2], "x"),
        lambda: labels.rename_class(project, opacity, "shadow"),
        lambda: labels.set_positive(project, normal),
        lambda: labels.leave_out(project, opacity, True),
    )
    for step in steps:
        step()
        seen.append(project.data_digest())
    assert len(set(seen)) == len(steps) + 1
    for expected in reversed(seen[:-1]):
        assert labels.undo(project)
        assert project.data_digest() == expected
    project.image_contract = ImageContract(size_px=320)
    assert project.data_digest() not in seen


def test_the_digest_ignores_what_no_run_sees(project):
    normal = project.add_class("normal")
    _add(project, ["a"], class_id=normal)
    before = project.data_digest()
    project.add_class("unused")
    _add(project, ["unlabelled"])
    with Project.open(project.folder) as other:
        assert other.data_digest() == project.data_digest() == before


def test_the_digest_follows_changes_of_another_process(project):
    normal = project.add_class("normal")
    before = project.data_digest()
    with Project.open(project.folder) as other:
        _add(other, ["a"], class_id=normal)
    assert project.data_digest() != before


@pytest.mark.parametrize(
    ("names", "positive"),
    [
        (("normal", "opacity"), "opacity"),
        (("pneumonia", "NORMAL"), "pneumonia"),
        (("effusion", "No finding"), "effusion"),
        (("no_finding", "finding"), "finding"),
        (("covid", "non-COVID"), "covid"),
        (("NSCLC", "healthy"), "NSCLC"),
        (("non-small-cell carcinoma", "control"), "non-small-cell carcinoma"),
        (("0", "1"), "1"),
        (("1", "0"), "1"),
        (("malignant", "benign"), "malignant"),
        (("肺炎", "正常"), "肺炎"),
        (("未见异常", "异常"), "异常"),
        (("left", "right"), "right"),
        (("normal", "healthy"), "healthy"),
    ],
)
def test_the_positive_class_is_the_one_not_named_normal_else_the_last(project, names, positive):
    for name in names:
        _add(project, [name], class_id=project.add_class(name))
    assert [s.name for s in project.classes() if s.is_positive] == [positive]
    assert names[positive_of_two(names)] == positive


@pytest.mark.parametrize("name", ["nodule", "normalised", "negatively", "noise", "controlled"])
def test_words_that_merely_begin_alike_are_not_negative(name):
    assert not is_negative_name(name)


def test_there_is_no_positive_class_unless_two_are_in_use(project):
    for name in ("normal", "opacity", "effusion"):
        _add(project, [name], class_id=project.add_class(name))
    project.add_class("empty")
    assert not any(summary.is_positive for summary in project.classes())
    assert [summary.index for summary in project.classes()] == [0, 1, 2, None]
    labels.leave_out(project, project.class_named("opacity"), True)
    assert [s.name for s in project.classes() if s.is_positive] == ["effusion"]
    assert [summary.index for summary in project.classes()] == [0, None, 1, None]


def test_classes_count_images_and_patients_that_are_not_excluded(project):
    normal = project.add_class("normal")
    patient = project.patient("x")
    ids = _add(project, ["a", "b", "c"], class_id=normal, patient_id=patient)
    _add(project, ["d"], class_id=normal)
    labels.exclude(project, ids[:1], "blurred")
    (summary,) = project.classes()
    assert (summary.n_images, summary.n_patients) == (3, 2)


def test_class_names_differ_by_more_than_case_and_blanks(project):
    assert project.add_class("No  finding ") == project.add_class("no finding")
    assert project.classes()[0].name == "No finding"


@pytest.mark.skipif(os.name != "nt", reason="drives exist on Windows only")
def test_a_source_on_another_drive_is_kept_by_its_own_path(project):
    source = project.add_source(Path("Z:\\images"), "folder")
    assert project.source_root(source) == Path("Z:\\images")


def test_where_patient_ids_came_from_is_remembered_once_each(project):
    assert project.patient_sources() == ()
    for name in ("dicom", "column", "dicom"):
        project.note_patient_source(name)

    with Project.open(project.folder, read_only=True) as again:
        assert again.patient_sources() == ("dicom", "column")
