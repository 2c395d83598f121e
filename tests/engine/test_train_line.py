"""The command that trains with given settings, read back by the command line itself."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace

import pytest

from engine.command_arguments import command_from
from engine.command_line import make_parser
from engine.contract.commands import Train
from engine.contract.config import ExperimentConfig, preset_config
from engine.contract.config_edit import with_settings
from engine.contract.shell import train_line

pytestmark = pytest.mark.skipif(os.name == "nt", reason="read back as a POSIX shell does")


def _read(line: str) -> Train:
    program, *words = shlex.split(line)
    assert program == "radtune-engine"
    command = command_from(make_parser().parse_args(words))
    assert isinstance(command, Train)
    return command


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("linear_probe", ["backbone.weights=file:abc"]),
        ("full_finetune", ["optimizer.learning_rate=0.00017", "method.frozen_stages=0"]),
        ("soft_threshold", ["anchor.strength=0.1", "loss.label_smoothing=0"]),
        ("lora", ["lora.rank=4", "optimizer.layer_decay=0.7", "runtime.threads=1"]),
        ("gradual_unfreezing", ["loss.imbalance=focal", "evaluation.test_time_views=4"]),
    ],
)
@pytest.mark.parametrize("preset", ["quick", "standard", "thorough"])
def test_a_pasted_command_trains_with_the_same_settings(
    preset: str, method: str, changes: list[str]
) -> None:
    config = with_settings(preset_config(preset, method=method, seed=7), changes)
    command = _read(train_line("/data/my lungs' study", config))
    assert command.config == config
    assert command.project == "/data/my lungs' study"


def test_what_the_method_does_not_look_at_is_left_out() -> None:
    """A probe that a search of other methods tried has their rates; the command refuses those."""
    plain = preset_config("standard", method="linear_probe")
    config = with_settings(plain, ["optimizer.learning_rate=0.01", "anchor.strength=2"])
    assert _read(train_line("p", config)).config == plain


def test_the_image_size_is_the_projects() -> None:
    config = ExperimentConfig()
    small = replace(config, image=replace(config.image, size_px=64))
    assert train_line("p", small) == train_line("p", config)
