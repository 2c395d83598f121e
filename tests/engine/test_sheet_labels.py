"""What label columns say: classes, findings, grades, and what nobody is sure of."""

from __future__ import annotations

import pytest

from engine.contract.errors import DatasetError
from engine.contract.import_rules import ColumnMapping, LabelRule
from engine.data.label_values import read_labels
from engine.data.row_labels import SheetLabels
from engine.data.tables import Table
from engine.project.classes import is_absence_of_all
from engine.project.grades import sorted_grades


def in_column(*cells: str, **rule) -> SheetLabels:
    table = Table(("path", "label"), [(f"{i}", cell) for i, cell in enumerate(cells)])
    return read_labels(table, ColumnMapping(path="path", label="label"), LabelRule(**rule))


def in_flags(columns: str, *rows: str, **rule) -> SheetLabels:
    names = tuple(columns.split(","))
    table = Table(names, [tuple(row.split(",")) for row in rows])
    return read_labels(table, ColumnMapping(labels=names), LabelRule(**rule))


def labels(found: SheetLabels) -> list[str | None]:
    return [row.label for row in found.rows]


def findings(found: SheetLabels) -> list[dict[str, int | None]]:
    return [dict(row.findings) for row in found.rows]


# --- one class -----------------------------------------------------------------------------------


def test_a_class_has_one_spelling_whatever_its_case_and_blanks():
    found = in_column("Normal", "normal ", "NORMAL", "Lung  mass", "", "nan", "lung mass")
    assert labels(found) == ["Normal", "Normal", "Normal", "Lung mass", None, None, "Lung mass"]
    assert (found.task, found.classes) == ("single", ("Lung mass", "Normal"))


def test_whole_numbers_that_became_floats_are_one_class():
    found = in_column("1.0", "0.0", "1", "", "10.0", "2")
    assert found.classes == ("0", "1", "2", "10")
    assert labels(found)[:3] == ["1", "0", "1"]


def test_an_uncertain_label_is_no_class():
    found = in_column("ill", "well", "uncertain", "?", "Unknown")
    assert found.classes == ("ill", "well")
    assert labels(found) == ["ill", "well", None, None, None]
    assert "3 rows say that the reader was not sure and have no label" in found.notes[0]


@pytest.mark.parametrize(("rule", "label"), [("positive", "ill"), ("negative", "normal")])
def test_an_uncertain_label_can_count_as_one_of_two_classes(rule, label):
    found = in_column("normal", "ill", "uncertain", uncertain=rule)
    assert labels(found) == ["normal", "ill", label]


def test_minus_one_and_u_are_uncertain_among_zeros_and_ones_only():
    assert labels(in_column("0", "1", "-1", "u")) == ["0", "1", None, None]
    assert in_column("-2", "-1", "0", "1").classes == ("-2", "-1", "0", "1")
    assert in_column("U", "L").classes == ("L", "U")


def test_free_text_is_refused_as_a_class():
    with pytest.raises(DatasetError, match="150 different values"):
        in_column(*(f"report {i}" for i in range(150)))


# --- grades --------------------------------------------------------------------------------------


def test_grades_are_in_the_order_that_was_given():
    found = in_column("high", "low", "mid", task="ordinal", order=("low", "MID", "high"))
    assert (found.task, found.classes) == ("ordinal", ("low", "mid", "high"))
    with pytest.raises(DatasetError, match="leaves out “mid”"):
        in_column("high", "low", "mid", task="ordinal", order=("low", "high"))


@pytest.mark.parametrize(
    "order",
    [
        ("0", "1", "2", "10"),
        ("BI-RADS 2", "BI-RADS 3", "BI-RADS 4A", "BI-RADS 4B", "BI-RADS 10"),
        ("none", "mild", "moderate", "severe"),
        ("Grade I", "Grade II", "Grade IV", "Grade IX", "Grade X"),
        ("正常", "轻度", "中度", "重度"),
        ("KL0", "KL1", "KL2"),
        ("-1", "0", "1"),
    ],
)
def test_grades_without_an_order_are_sorted_as_people_would(order):
    assert sorted_grades(reversed(order)) == list(order)


# --- several findings in a cell ------------------------------------------------------------------


def test_several_findings_in_a_cell_make_the_sheet_one_of_findings():
    found = in_column("Effusion|Mass", "No Finding", "mass", "")
    assert (found.task, found.classes) == ("multi", ("Effusion", "Mass"))
    assert findings(found) == [
        {"Effusion": 1, "Mass": 1},
        {"Effusion": 0, "Mass": 0},
        {"Effusion": 0, "Mass": 1},
        {},
    ]


def test_other_separators_count_where_they_are_chosen():
    cell = "Effusion; Mass"
    assert in_column(cell, "Mass").task == "single"
    found = in_column(cell, "Mass", separator=";")
    assert (found.task, found.classes) == ("multi", ("Effusion", "Mass"))
    assert in_column("Effusion|Mass", "x", task="single").classes == ("Effusion|Mass", "x")


def test_a_class_name_may_hold_a_separator():
    found = in_column("left|right", "both", "both", "left|right")
    assert (found.task, found.classes) == ("single", ("both", "left|right"))


def test_single_findings_can_be_read_as_several():
    found = in_column("Effusion", "normal", task="multi")
    assert findings(found) == [{"Effusion": 1}, {"Effusion": 0}]


@pytest.mark.parametrize(("rule", "value"), [("ignore", None), ("negative", 0), ("positive", 1)])
def test_a_finding_with_a_question_mark_is_uncertain(rule, value):
    found = in_column("Effusion?|Mass", "possible Mass", uncertain=rule)
    assert found.classes == ("Effusion", "Mass")
    assert findings(found) == [{"Effusion": value, "Mass": 1}, {"Effusion": 0, "Mass": value}]


def test_an_uncertain_cell_leaves_all_findings_unknown():
    assert findings(in_column("A|B", "A", "uncertain"))[2] == {"A": None, "B": None}


def test_a_finding_beside_no_finding_counts_and_is_said():
    found = in_column("A|B", "No Finding|A")
    assert findings(found)[1] == {"A": 1, "B": 0}
    assert "1 row names a finding and “no finding” at once" in found.notes[0]


@pytest.mark.parametrize(
    "name",
    ["No Finding", "no_finding", "normal", "NORMAL", "No significant abnormality", "未见明显异常"],
)
def test_the_absence_of_all_is_known_by_name(name):
    assert is_absence_of_all(name)


@pytest.mark.parametrize("name", ["no effusion", "non-calcified nodule", "Normal variant of rib"])
def test_the_absence_of_one_finding_is_not_that_of_all(name):
    assert not is_absence_of_all(name)


# --- a column for each finding -------------------------------------------------------------------


def test_columns_of_zero_and_one_are_findings_if_two_are_one_in_a_row():
    found = in_flags("A,B,No Finding", "1,1,0", "0,0,1", "1,0,0")
    assert (found.task, found.classes) == ("multi", ("A", "B"))
    assert findings(found) == [{"A": 1, "B": 1}, {"A": 0, "B": 0}, {"A": 1, "B": 0}]


def test_columns_of_zero_and_one_are_classes_if_one_is_one_in_each_row():
    found = in_flags("MEL,NV,BCC", "1.0,0.0,0.0", "0,1,0", "0,0,1", "0,1,0")
    assert (found.task, labels(found)) == ("single", ["MEL", "NV", "BCC", "NV"])


def test_rows_of_zeros_are_the_absence_of_all():
    found = in_flags("A,B", "1,0", "0,0", "0,1", ",")
    assert found.classes == ("No finding", "A", "B")
    assert labels(found) == ["A", "No finding", "B", None]
    named = in_flags("A,B,normal", "1,0,0", "0,0,1", "0,1,0", "0,0,0")
    assert labels(named) == ["A", "normal", "B", "normal"]


def test_one_column_of_zero_and_one_is_present_or_absent():
    found = in_flags("pneumonia", "yes", "no", "x", "否")
    assert (found.task, found.classes) == ("single", ("no pneumonia", "pneumonia"))
    assert labels(found) == ["pneumonia", "no pneumonia", "pneumonia", "no pneumonia"]


def test_two_ones_in_a_row_contradict_each_other_where_one_class_is_wanted():
    found = in_flags("A,B", "1,1", "1,0", "0,1", task="single")
    assert [row.is_contradictory for row in found.rows] == [True, False, False]


@pytest.mark.parametrize(("rule", "value"), [("ignore", None), ("negative", 0), ("positive", 1)])
def test_minus_one_counts_as_the_rule_says(rule, value):
    found = in_flags("A,B", "1,1", "-1,0", "0,unknown", uncertain=rule)
    assert findings(found)[1:] == [{"A": value, "B": 0}, {"A": 0, "B": value}]


def test_blanks_are_absent_where_only_marks_or_few_zeros_are_written():
    # As in CheXpert: a finding that isn't mentioned is blank.
    found = in_flags("A,B,No Finding", "1,,", ",,1", "1,1,", ",0,", ",1,")
    assert findings(found) == [
        {"A": 1, "B": 0},
        {"A": 0, "B": 0},
        {"A": 1, "B": 1},
        {"A": 0, "B": 0},
        {"A": 0, "B": 1},
    ]


def test_blanks_are_unknown_where_zeros_are_written():
    rows = ("1,1", "0,0", "0,0", "0,", "1,0")
    found = in_flags("A,B", *rows)
    assert findings(found)[3] == {"A": 0, "B": None}
    assert "Blank cells of “B” count as unknown." in found.notes
    assert findings(in_flags("A,B", *rows, blank="absent"))[3] == {"A": 0, "B": 0}


def test_no_finding_makes_the_blanks_of_its_row_absent():
    found = in_flags("A,B,No Finding", "1,1,0", "0,0,0", "0,0,0", ",,1", ",0,0")
    assert findings(found)[3:] == [{"A": 0, "B": 0}, {"A": None, "B": 0}]


def test_a_column_of_words_is_refused_and_a_stray_word_is_unknown():
    with pytest.raises(DatasetError, match="“B” doesn't hold 0 and 1"):
        in_flags("A,B", "1,mild", "0,severe")
    found = in_flags("A,B", "1,1", "0,0", "1,left")
    assert findings(found)[2] == {"A": 1, "B": None}
    assert "1 cell of “B” is neither yes nor no, such as “left”: unknown." in found.notes


def test_columns_can_be_grades_in_their_order():
    found = in_flags("mild,severe", "1,0", "0,1", "0,0", task="ordinal")
    assert (found.task, found.classes) == ("ordinal", ("No finding", "mild", "severe"))


def test_rows_that_say_the_same_share_their_findings():
    found = in_column(*(["A|B", "No Finding"] * 50))
    assert len({id(row.findings) for row in found.rows}) == 2
