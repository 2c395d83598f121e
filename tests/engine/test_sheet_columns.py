"""Which column holds what, and which numbers may be kept."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from engine.contract.errors import DatasetError
from engine.contract.import_rules import ColumnMapping, SheetFormat
from engine.data.covariates import OLDEST_AGE, read_age, read_sex, read_view
from engine.data.dicom_header import OLDEST_AGE as OLDEST_AGE_IN_DICOM
from engine.data.mapping import complete_mapping, guess_columns, guess_mapping, require_columns
from engine.data.numeric_columns import is_identifying_name, numeric_columns, read_numbers
from engine.data.tables import Table


@pytest.mark.parametrize(
    ("path", "label", "patient", "split"),
    [
        ("path", "label", "patient_id", "split"),
        ("Image Index", "Finding Labels", "Patient ID", None),
        ("FileName", "Diagnosis", "PatientID", "Set"),
        ("文件名", "诊断", "患者编号", "划分"),
        ("image_id", "target", "subject", None),
        ("SOP Instance UID", "Grade*", "Patient ID (anonymised)", None),
        (None, None, None, None),
    ],
)
def test_columns_are_found_by_name(path, label, patient, split):
    columns = ["width", *filter(None, (split, patient, label, path)), "height"]
    label = None if label == "Grade*" else label
    expected = ColumnMapping(path=path, label=label, patient=patient, split=split)
    assert guess_columns(columns) == expected


def test_covariates_are_found_by_name():
    # The header of the NIH ChestX-ray8 sheet.
    columns = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    ).split(",")
    guess = guess_columns(columns)
    assert (guess.age, guess.sex, guess.view) == ("Patient Age", "Patient Gender", "View Position")
    # Of the CheXpert sheet.
    guess = guess_columns(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding"])
    assert (guess.path, guess.sex, guess.age, guess.view) == ("Path", "Sex", "Age", "AP/PA")
    guess = guess_columns(["Hospital", "Scanner", "StudyInstanceUID", "Study Date", "slice"])
    assert (guess.site, guess.scanner, guess.study, guess.date, guess.frame) == (
        "Hospital",
        "Scanner",
        "StudyInstanceUID",
        "Study Date",
        "slice",
    )


def test_named_columns_come_first_and_must_exist():
    table = Table(("path", "label", "subtype"), [])
    mapping = complete_mapping(table, ColumnMapping(label="Subtype"))
    assert (mapping.path, mapping.label) == ("path", "subtype")
    with pytest.raises(DatasetError, match="no column “grade”; it has: path, label, subtype"):
        complete_mapping(table, ColumnMapping(label="grade"))


def test_a_sheet_without_the_needed_columns_names_those_it_has():
    with pytest.raises(DatasetError, match="a, b, c") as caught:
        require_columns(("a", "b", "c"), ColumnMapping(path="a"))
    assert "--label-column" in caught.value.remedy
    assert "--path-column" not in caught.value.remedy


CHEXPERT = Table(
    ("Path", "Sex", "Age", "AP/PA", "No Finding", "Edema", "Pneumonia", "Support Devices", "ward"),
    [
        ("1.jpg", "Female", "68", "AP", "1.0", "", "", "1.0", "3"),
        ("2.jpg", "Male", "60", "PA", "", "-1.0", "1.0", "", "4"),
        ("3.jpg", "Male", "55", "PA", "", "0.0", "-1.0", "1.0", "5"),
        ("4.jpg", "Male", "54", "PA", "", "1.0", "0.0", "1.0", "6"),
    ],
)


def test_columns_of_zero_and_one_are_guessed_to_be_findings():
    guess = guess_mapping(CHEXPERT)
    assert guess.labels == ("No Finding", "Edema", "Pneumonia", "Support Devices")
    assert (guess.path, guess.label) == ("Path", None)


def test_a_label_column_comes_before_columns_of_zero_and_one():
    rows = [("a", "x", "1", "no"), ("b", "y", "0", "yes")]
    guess = guess_mapping(Table(("path", "label", "urgent", "old"), rows))
    assert (guess.label, guess.labels) == ("label", ())


def test_one_column_of_zero_and_one_or_words_is_no_guess():
    rows = [("a", "1", "mild", ""), ("b", "0", "severe", "")]
    assert guess_mapping(Table(("path", "urgent", "degree", "never"), rows)).labels == ()


def test_flags_that_say_the_same_in_many_rows_are_no_findings():
    rows = [(f"{i}", str(i % 2), str(i % 3 // 2), "1", "0") for i in range(30)]
    names = ("path", "mass", "cyst", "consent", "withdrawn")
    assert guess_mapping(Table(names, rows)).labels == ("mass", "cyst")
    assert guess_mapping(Table(names, rows[:4])).labels == names[1:]


def test_flags_that_describe_the_image_are_no_findings():
    rows = [("a", "1", "0", "1", "0"), ("b", "0", "1", "0", "1")]
    table = Table(("path", "mass", "cyst", "contrast", "is_train"), rows)
    assert guess_mapping(table).labels == ("mass", "cyst")


def test_named_findings_replace_the_label_column():
    table = Table(("path", "label", "a", "b"), [("x", "y", "0", "1")])
    mapping = complete_mapping(table, ColumnMapping(labels=("A", "b")))
    assert (mapping.label, mapping.labels) == (None, ("a", "b"))
    with pytest.raises(DatasetError, match="no column “c”"):
        complete_mapping(table, ColumnMapping(labels=("a", "c")))


def is_file(cell: str) -> bool:
    return cell.endswith(".png")


def test_a_path_column_without_a_telling_name_is_found_by_its_files():
    rows = [(str(i), f"{i}.png", "x" if i % 2 else "y") for i in range(6)]
    table = Table(("number", "scan", "diagnosis"), rows)
    mapping = complete_mapping(table, ColumnMapping(), is_file)
    assert (mapping.path, mapping.label) == ("scan", "diagnosis")
    # Where the labels aren't known either, the user should look.
    table = Table(("number", "scan", "kind"), rows)
    assert complete_mapping(table, ColumnMapping(), is_file).path is None
    assert complete_mapping(table, ColumnMapping(label="kind"), is_file).path == "scan"


def test_a_sheet_of_two_columns_without_names_needs_no_help():
    rows = [(f"{i}.png", "x" if i % 2 else "y") for i in range(6)]
    table = Table(("Column 1", "Column 2"), rows, format=SheetFormat(header_row=0))
    mapping = complete_mapping(table, ColumnMapping(), is_file)
    assert (mapping.path, mapping.label) == ("Column 1", "Column 2")


def test_case_or_control_is_no_patient():
    rows = [(f"{i}.png", str(i % 2), f"p{i}") for i in range(12)]
    assert guess_mapping(Table(("file", "case", "name"), rows)).patient is None
    assert guess_mapping(Table(("file", "case", "pid"), rows)).patient == "pid"


# --- numbers that may be kept --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("id", "Patient ID", "PatientID", "patient_id", "subjectID", "StudyUID", "MRN", "mrn_2"),
        *("Accession", "AccessionNumber", "acc no", "DOB", "birth_year", "BirthDate", "date"),
        *("StudyDate", "exam_date", "acquisition time", "Phone", "telephone", "Fax", "zip code"),
        *("PLZ", "Geburtsdatum", "Fallnummer", "patient_number", "case no.", "image_index"),
        *(
            "住院号",
            "检查号",
            "患者编号",
            "出生日期",
            "电话",
            "身份证",
            "insurance",
            "SSN",
            "patientid",
        ),
    ],
)
def test_names_of_identifiers_dates_and_phones_are_known(name):
    assert is_identifying_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("orig_height", "width", "age", "bmi", "dose", "number_of_lesions", "kVp", "echo time"),
        *("exposure_time", "score", "grid", "candidate", "width_mm", "update", "肿瘤大小", "idh1"),
        *("follow-up", "nodules", "acidity", "year"),
    ],
)
def test_names_of_measurements_are_not_identifiers(name):
    assert not is_identifying_name(name)


def kept(values: list[str]) -> bool:
    rows = [(f"{i}.png", value) for i, value in enumerate(values)]
    return bool(numeric_columns(Table(("path", "x"), rows), ["path"]).kept)


@pytest.mark.parametrize(
    "values",
    [
        ["00123", "00124", "12345"],  # zeros that a number wouldn't have
        ["483920", "571102", "390021"],  # six digits each
        ["4915112345678", "49301234", "7"],  # a phone among them
        ["20240131", "20240201", "19991231"],
        [str(1000 + 7 * i % 20) for i in range(20)],  # counts the rows
        ["123456789.0", "987654321.0"],
    ],
)
def test_values_like_identifiers_are_withheld(values):
    assert not kept(values)


@pytest.mark.parametrize(
    "values",
    [
        ["1422", "1384", "1468", "996"],
        ["1,5", "2,25", "0,75"],
        ["0", "1", "1", "0"],
        ["63", "71", "", "nan"],
        ["-1.5e-3", "2", "17"],
        ["1.234,5", "12,0", "1.000"],
        ["102400", "1638144", "2073600"],  # pixels of an image
    ],
)
def test_measurements_are_kept(values):
    assert kept(values)


def test_words_and_mixtures_are_no_numbers():
    assert not kept(["L", "RGB", "L"])
    assert not kept(["1", "2", "three", "4"])
    assert not kept(["", "nan", ""])


def test_a_copy_of_the_patient_column_is_withheld():
    rows = [(f"{i}.png", str(i * 3), f"{i * 3}.0", str(i * 5)) for i in range(5)]
    table = Table(("path", "patient", "again", "other"), rows)
    found = numeric_columns(table, ["path", "patient"], ["patient"])
    assert (tuple(found.kept), found.withheld) == (("other",), ("again",))


def test_numbers_are_read_as_they_are_meant():
    assert read_numbers(["1,5", "2"]) == [1.5, 2.0]
    assert read_numbers(["1,500", "12,000"]) == [1500.0, 12000.0]
    assert read_numbers(["1.500,25", "2.000"]) == [1500.25, 2000.0]
    numbers = read_numbers(["7", "", "−2"])
    assert numbers is not None
    assert math.isnan(numbers[1])
    assert (numbers[0], numbers[2]) == (7.0, -2.0)
    found = numeric_columns(Table(("n",), [("7",), ("",)]), [])
    assert [found.of_row(0), found.of_row(1)] == [{"n": 7.0}, {}]


def test_covariates_are_read_in_the_words_of_dicom():
    assert [read_sex(text) for text in ("Female", "m", "女", "W", "1", "")] == [
        *("F", "M", "F", "F", None, None)
    ]
    ages = ("63", "063Y", "6M", "52 weeks", "63,5", "97", "old", "63 years")
    expected = [63, 63, 0.5, 1.0, 63.5, OLDEST_AGE, None, 63]
    assert [read_age(text) for text in ages] == [pytest.approx(e, abs=0.01) for e in expected]
    assert OLDEST_AGE == OLDEST_AGE_IN_DICOM
    assert (read_view(" pa "), read_view("x" * 40)) == ("PA", None)


@pytest.mark.parametrize("role", ["path", "label", "patient", "split"])
def test_an_empty_name_says_that_no_column_has_this_role(role):
    columns = ("path", "label", "patient_id", "split", "edema", "mass")
    rows = [(f"{i}.png", "ab"[i % 2], str(i), "train", str(i % 2), "0") for i in range(30)]
    table = Table(columns=columns, rows=rows)
    named: dict[str, Any] = {role: ""}
    wanted = replace(ColumnMapping(), **named)
    mapping = complete_mapping(table, wanted, lambda cell: ".png" in cell)
    found = {"path": "path", "label": "label", "patient": "patient_id", "split": "split"}
    assert {name: getattr(mapping, name) for name in found} == found | {role: None}
    assert mapping.labels == ()
