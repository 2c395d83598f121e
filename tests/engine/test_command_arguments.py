"""The command line's arguments and the commands that they stand for."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.command_arguments import command_from
from engine.command_line import PATHS, make_parser
from engine.contract.commands import (
    Audit,
    Deidentify,
    ExportLabels,
    InspectFile,
    PrepareImages,
    Relabel,
    Scan,
)
from engine.contract.config import BackboneConfig, LossConfig
from engine.contract.errors import ConfigError
from engine.contract.import_rules import ColumnMapping, FramePolicy, LabelRule, SheetFormat
from engine.jobs.candidates import Start, make_candidates
from engine.methods.linear_probe import head_loss
from engine.project.store import Project


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


@pytest.mark.parametrize("setting", ["method.frozen_stages=1", "method.patience=5"])
def test_a_setting_that_a_method_ignores_is_refused(setting: str):
    adversarial = f"train --project p --method adversarial --set {setting}"
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


@pytest.mark.parametrize("value", ["loss.label_smoothing=0.2", "lora.rank=3"])
@pytest.mark.parametrize("methods", ["linear_probe", "linear_probe,direct_transfer"])
def test_a_search_refuses_what_none_of_its_methods_looks_at(methods: str, value: str) -> None:
    words = f"search --project p --minutes 1 --methods {methods} --set {value}"
    with pytest.raises(ConfigError, match="no effect") as refused:
        parsed(*words.split())
    assert all(name in refused.value.message for name in methods.split(","))
    assert "lora" in refused.value.remedy


def test_a_search_takes_what_one_of_its_methods_looks_at() -> None:
    words = "search --project p --minutes 1 --set lora.rank=3 --set loss.label_smoothing=0.2"
    config = parsed(*words.split()).config
    assert (config.lora.rank, config.loss.label_smoothing) == (3, 0.2)
    with pytest.raises(ConfigError, match=r"adversarial\.steps has no effect"):
        parsed(*"search --project p --minutes 1 --set adversarial.steps=3".split())


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ("method.key=lora", "--methods"),
        ("backbone.key=resnet18", "--backbones"),
        ("backbone.weights=scratch", "--backbones"),
    ],
)
def test_what_a_search_tries_is_said_by_its_own_options(change: str, option: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parsed("search", "--project", "p", "--minutes", "1", "--set", change)
    assert option in refused.value.remedy


def test_a_search_of_a_backbone_without_stochastic_depth_refuses_it() -> None:
    words = "search --project p --minutes 1 --set method.stochastic_depth=0.1 --backbones"
    with pytest.raises(ConfigError, match="no effect on the backbone squeezenet1_0"):
        parsed(*words.split(), "squeezenet1_0")
    assert parsed(*words.split(), "squeezenet1_0,efficientnet_b0").backbones[0] == "squeezenet1_0"


def test_a_search_of_one_method_tries_the_pull_that_was_set() -> None:
    words = "search --project p --minutes 1 --set anchor.strength=0.25"
    with pytest.raises(ConfigError, match="several methods"):
        parsed(*words.split())
    command = parsed(*words.split(), "--methods", "l2_sp")
    tried = make_candidates(command.config, [Start(backbone=BackboneConfig())], command.methods)
    assert {candidate.config.anchor.strength for candidate in tried} == {0.25}


@pytest.mark.parametrize(
    "words",
    ["train", "crossval", "lr-range", "search --minutes 1"],
)
def test_the_weight_of_an_order_is_refused_where_classes_have_none(
    words: str, tmp_path: Path
) -> None:
    with Project.create(tmp_path / "p"):
        pass
    command = [*words.split(), "--project", str(tmp_path / "p"), "--set", "loss.ordinal_weight=2"]
    with pytest.raises(ConfigError, match="no order"):
        parsed(*command)
    with Project.open(tmp_path / "p") as project:
        project.set_task("ordinal")
    assert parsed(*command).config.loss.ordinal_weight == 2


@pytest.mark.parametrize("imbalance", ["none", "weights", "sampling", "focal", "logit_adjustment"])
@pytest.mark.parametrize(
    ("field", "values"),
    [("label_smoothing", (0.0, 0.3)), ("focal_gamma", (1.0, 3.0)), ("ordinal_weight", (1.0, 3.0))],
)
def test_what_a_linear_probe_refuses_of_the_loss_is_what_its_fit_does_not_depend_on(
    imbalance: str, field: str, values: tuple[float, float], tmp_path: Path
) -> None:
    with Project.create(tmp_path / "p") as project:
        project.set_task("ordinal")
    logits, labels = np.array([[0.3, -1.0, 0.2], [1.2, 0.1, -0.4]]), np.array([2, 0])
    counts = np.array([10, 20, 30])
    data: Any = SimpleNamespace(
        class_counts=lambda: counts,
        class_weights=lambda: 20 / counts,
        table=SimpleNamespace(is_ordinal=True),
    )
    losses = {
        head_loss(LossConfig(imbalance=imbalance, **{field: value}), data)(logits, labels)[0]
        for value in values
    }
    words = f"train --method linear_probe --set loss.imbalance={imbalance} --project"
    change = f"loss.{field}={values[1]}"
    if len(losses) == 1:
        with pytest.raises(ConfigError, match="no effect"):
            parsed(*words.split(), str(tmp_path / "p"), "--set", change)
    else:
        parsed(*words.split(), str(tmp_path / "p"), "--set", change)


@pytest.mark.parametrize(
    "words",
    [
        "--backbone resnet18",
        "--preset thorough",
        "--set backbone.weights=scratch",
        "--set evaluation.test_time_views=4",
    ],
)
def test_what_a_classifier_brings_itself_is_refused_beside_it(words: str) -> None:
    direct = "train --project p --method direct_transfer"
    with pytest.raises(ConfigError, match="has no effect") as refused:
        parsed(*direct.split(), "--bundle", "b", *words.split())
    option = words.partition("=")[0].removesuffix(" resnet18").removesuffix(" thorough")
    assert option in refused.value.message
    assert "--bundle" in refused.value.remedy
    parsed(*direct.split(), *words.split())
    parsed(*direct.split(), "--bundle", "b", "--set", "evaluation.bootstrap_resamples=500")


def _actions(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Any:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield from _actions(child, (*words, name))
        elif action.dest in PATHS:
            yield words, action


@pytest.mark.parametrize("words", sorted({words for words, _ in _actions(make_parser())}))
def test_an_empty_path_is_refused_wherever_one_is_taken(words: tuple[str, ...]) -> None:
    """As a shell gives it where a variable isn't set; it would stand for the present folder."""
    found = [action for name, action in _actions(make_parser()) if name == words]
    others = {
        "resume": ["--run", "r"],
        "evaluate": ["--run", "r"],
        "robustness": ["--run", "r"],
        "export": ["--run", "r"],
        "prepare-images": ["--size-px", "64"],
        "pretrain": ["--name", "n"],
        "search": ["--minutes", "1"],
        "ensemble": ["--runs", "a,b"],
    }.get(words[0], [])
    for empty in found:
        if not (empty.required or empty.option_strings):
            continue
        given = []
        for action in found:
            if action is empty or action.required or not action.option_strings:
                value = "" if action is empty else "x"
                given += [*action.option_strings[:1], value]
        with pytest.raises(ConfigError, match="path is empty"):
            parsed(*words, *given, *others)


@pytest.mark.skipif(os.name == "nt", reason="Windows hands over Unicode")
def test_a_text_that_the_locale_does_not_know_is_read_as_utf_8() -> None:
    def given(content: bytes) -> str:
        return content.decode("ascii", "surrogateescape")

    name, folder = given("Zwei Häuser 胸片".encode()), given("Ä".encode())
    command = parsed("pretrain", "--name", name, "--projects", folder)
    assert command.name == "Zwei Häuser 胸片"
    assert command.projects == (here(folder),)
    with pytest.raises(ConfigError, match="not written in Unicode"):
        parsed("pretrain", "--name", given(b"\xff"), "--projects", folder)
