"""Events, commands and requests as JSON lines."""

import json
import math

import pytest

from engine.contract import events as e
from engine.contract.commands import COMMAND_KINDS, DATA_KINDS, RUN_KINDS, Scan, Train
from engine.contract.config import preset_config
from engine.contract.errors import ConfigError, EngineError
from engine.contract.import_rules import ColumnMapping, PatientRule
from engine.contract.protocol import (
    REQUESTS,
    Request,
    decode_event,
    decode_message,
    encode_command,
    encode_error,
    encode_event,
    encode_request,
    encode_result,
)

EVENTS: list[e.Event] = [
    e.RunStarted(
        run="r1",
        preset="quick",
        backbone="b",
        method="m",
        max_epochs=0,
        n_train=3,
        n_val=2,
    ),
    e.RunProgressed(run="r1", stage="Describing images", done=1, total=2),
    e.BatchFinished(
        run="r1",
        epoch=1,
        batch=1,
        n_batches=4,
        step=1,
        loss=0.7,
        learning_rate=1e-3,
        images_per_s=20.0,
        memory_mb=900.0,
    ),
    e.EpochFinished(
        run="r1",
        epoch=1,
        train_loss=0.5,
        val_loss=0.4,
        val_auroc=0.9,
        best_epoch=1,
        is_best=True,
        seconds=3.0,
        samples=(e.SamplePrediction(record=5, label=1, probabilities=(0.2, 0.8)),),
    ),
    e.Warned(message="From scratch.", remedy="Add weights.", run="r1", cause="No weights."),
    e.RunPaused(run="r1", reason="The disk is full."),
    e.RunResumed(run="r1"),
    e.Recovered(run="r1", message="An earlier state was used."),
    e.RunFinished(run="r1", outcome=e.COMPLETED, result={"val_auroc": 0.9}),
    e.JobStarted(kind="scan"),
    e.JobProgressed(kind="scan", stage="Reading", done=1, total=9, per_s=3.0, seconds_left=2.0),
    e.JobFinished(kind="scan", outcome=e.FAILED, error="No images.", remedy="Choose another."),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_survives_the_line(event: e.Event) -> None:
    line = encode_event(event)
    assert "\n" not in line
    assert json.loads(line)["type"] == type(event).__name__
    assert decode_event(line) == event


def test_every_event_type_is_tried() -> None:
    assert {type(event) for event in EVENTS} == set(e.EVENT_TYPES)


def test_the_events_of_a_run_carry_its_id_on_the_wire() -> None:
    for event in EVENTS:
        if hasattr(event, "run"):
            assert json.loads(encode_event(event))["run"] == "r1"


def test_a_loss_that_is_no_number_travels_as_valid_json() -> None:
    event = e.BatchFinished(
        run="r",
        epoch=1,
        batch=1,
        n_batches=1,
        step=1,
        loss=math.nan,
        learning_rate=1e-3,
        images_per_s=1.0,
        memory_mb=1.0,
    )
    line = encode_event(event)
    assert json.loads(line, parse_constant=pytest.fail)["loss"] is None
    decoded = decode_event(line)
    assert isinstance(decoded, e.BatchFinished)
    assert math.isnan(decoded.loss)


@pytest.mark.parametrize(
    "command",
    [
        Train(project="/p", config=preset_config("standard")),
        Scan(
            source="/胸片/Ä b",
            project="/p",
            columns=ColumnMapping(path="file"),
            patient_rule=PatientRule(source="pattern", pattern=r"(\d+)_"),
        ),
    ],
)
def test_a_command_survives_the_line(command: Train | Scan) -> None:
    assert decode_message(encode_command(command)) == command


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_survives_the_line(name: str) -> None:
    assert decode_message(encode_request(Request(name))) == Request(name)


@pytest.mark.parametrize("line", ["", "x", "[]", "3", '{"type": "nothing"}', '{"no": "type"}'])
def test_a_line_that_is_no_message_is_refused(line: str) -> None:
    with pytest.raises(ConfigError):
        decode_message(line)
    with pytest.raises(ConfigError):
        decode_event(line)


def test_result_and_error_lines_have_their_types() -> None:
    assert json.loads(encode_result({"n_images": 3})) == {"type": "result", "n_images": 3}
    error = EngineError("It failed.", remedy="Try again.")
    expected = {"type": "error", "message": "It failed.", "remedy": "Try again."}
    assert json.loads(encode_error(error)) == expected


def test_each_kind_belongs_to_one_worker() -> None:
    assert set(COMMAND_KINDS) >= DATA_KINDS | RUN_KINDS
    assert not DATA_KINDS & RUN_KINDS
