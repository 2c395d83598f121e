"""The command line's arguments and the commands that they stand for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from engine.command_arguments import command_from
from engine.command_line import make_parser
from engine.contract.commands import (
    Audit,
    Deidentify,
    ExportLabels,
    InspectFile,
    PrepareImages,
    Relabel,
    Scan,
)
from engine.contract.errors import ConfigError
from engine.contract.import_rules import ColumnMapping, FramePolicy, LabelRule, SheetFormat


def parsed(*arguments: str) -> Any:
    return command_from(make_parser().parse_args(arguments, argparse.Namespace(json=False)))


def here(name: str) -> str:
    return str(Path(name).absolute())


def test_a_plain_scan_leaves_everything_to_be_found_out():
    assert parsed("scan", "images", "--project", "p") == Scan(
        source=here("images"), project=here("p")
    )


def test_a_scan_takes_every_role_of_a_column_and_how_the_sheet_is_read():
    command = parsed(
        *"scan images --project p --labels s.csv --separator ; --encoding gb18030".split(),
        *"--header-row 3 --path-column a --patient-column b --date-column c".split(),
        *"--site-column d --scanner-column e --sex-column f --age-column g".split(),
        *"--view-column h --study-column i --join patient_date".split(),
    )
    assert command.sheet == SheetFormat(separator=";", encoding="gb18030", header_row=3)
    assert command.columns == ColumnMapping(
        path="a",
        patient="b",
        date="c",
        site="d",
        scanner="e",
        sex="f",
        age="g",
        view="h",
        study="i",
        join="patient_date",
    )


def test_a_tab_can_be_typed():
    command = parsed(*"scan images --project p --separator tab".split())
    assert command.sheet.separator == "\t"


def test_labels_may_be_columns_of_their_own_several_in_a_cell_or_grades():
    command = parsed(
        *"scan i --project p --label-columns edema,mass --task multi --uncertain positive".split()
    )
    assert command.columns.labels == ("edema", "mass")
    assert command.label_rule == LabelRule(task="multi", uncertain="positive")
    graded = parsed(*"scan i --project p --task ordinal --grades 0,1,2".split())
    assert graded.label_rule == LabelRule(task="ordinal", order=("0", "1", "2"))


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("middle", FramePolicy()),
        ("all", FramePolicy(frames="all")),
        ("every:7", FramePolicy(frames="every", step=7)),
    ],
)
def test_frames_are_one_some_or_all(text: str, policy: FramePolicy):
    assert parsed("scan", "i", "--project", "p", "--frames", text).frames == policy


@pytest.mark.parametrize("text", ["each", "every:x", "every:0", "every:-1"])
def test_frames_that_mean_nothing_are_refused(text: str):
    with pytest.raises(ConfigError):
        parsed("scan", "i", "--project", "p", "--frames", text)


def test_the_jobs_on_labels_and_files():
    assert parsed(*"relabel --project p --labels s.xlsx --worksheet two".split()) == Relabel(
        project=here("p"), labels=here("s.xlsx"), sheet=SheetFormat(worksheet="two")
    )
    assert parsed(*"export-labels --project p --out o.csv".split()) == ExportLabels(
        project=here("p"), out=here("o.csv")
    )
    assert parsed(*"audit --project p".split()) == Audit(project=here("p"))
    assert parsed(*"inspect f.dcm --frame 2 --png o.png".split()) == InspectFile(
        file=here("f.dcm"), frame=2, png=here("o.png")
    )
    assert parsed(*"deidentify --project p --out d --records 3,5".split()) == Deidentify(
        project=here("p"), out=here("d"), records=(3, 5)
    )


def test_records_that_are_no_numbers_are_refused():
    with pytest.raises(ConfigError, match="whole numbers"):
        parsed(*"deidentify --project p --out d --records all".split())


def test_images_are_prepared_at_a_size_within_the_limits():
    command = parsed(*"prepare-images --project p --size-px 112".split())
    assert command == PrepareImages(project=here("p"), size_px=112)
    with pytest.raises(ConfigError):
        parsed(*"prepare-images --project p --size-px 8".split())


def test_a_setting_that_a_method_ignores_is_refused():
    adversarial = "train --project p --method adversarial --set method.frozen_stages=1"
    with pytest.raises(ConfigError, match="no effect") as refused:
        parsed(*adversarial.split())
    assert "full_finetune" in refused.value.remedy
    assert "adversarial" not in refused.value.remedy


@pytest.mark.parametrize("command", ["train", "crossval", "lr-range"])
def test_a_setting_without_effect_is_refused(command: str):
    with pytest.raises(ConfigError, match="no effect"):
        parsed(command, "--project", "p", "--method", "full_finetune", "--set", "lora.rank=3")


def test_classes_are_matched_to_those_of_a_classifier_only():
    with pytest.raises(ConfigError, match="matched"):
        parsed("train", "--project", "p", "--method", "direct_transfer", "--match", "a=b")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("robustness --project p --run r --images 6", "--images must lie between 10 and 2000"),
        ("prepare-images --project p --size-px 8", "--size-px must lie between 32 and 1024"),
        ("ensemble --project p --runs a,b --views 0", "--views must lie between 1 and 16"),
    ],
)
def test_an_option_out_of_range_is_named_as_it_was_written(words: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parsed(*words.split())
