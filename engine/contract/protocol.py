"""JSON lines between a worker and whoever listens.

One JSON object a line, UTF-8, each with a ``type``. Events carry their class name, commands and
requests a lower-case word, and three lines are neither: ``heartbeat`` comes from a worker that has
a job, ``result`` and ``error`` end a command line program's stream.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from engine.contract.commands import COMMAND_KINDS, KIND_OF, Command
from engine.contract.config_io import finite, from_plain, to_plain
from engine.contract.errors import ConfigError, EngineError
from engine.contract.events import EVENT_TYPES, Event
from engine.contract.heartbeat import Heartbeat

REQUESTS: Final = ("pause", "proceed", "stop", "cancel", "interrupt")
DUMP_STACKS: Final = "dump_stacks"
"""Asks the worker itself, not its job, to write to the log where each of its threads is."""
_HEARTBEAT: Final = "heartbeat"
_EVENT_BY_NAME: Final = {event.__name__: event for event in EVENT_TYPES}


@dataclass(frozen=True, slots=True)
class Request:
    """A wish about the job that runs, named after a method of ``Control``, or ``DUMP_STACKS``."""

    name: str


def encode_event(event: Event) -> str:
    """Return an event as one JSON line without the line end."""
    return _line({"type": type(event).__name__, **to_plain(event)})


def encode_command(command: Command) -> str:
    """Return a command as one JSON line without the line end."""
    return _line({"type": KIND_OF[type(command)], **to_plain(command)})


def encode_request(request: Request) -> str:
    """Return a request as one JSON line without the line end."""
    return _line({"type": request.name})


def encode_result(result: dict[str, Any]) -> str:
    """Return the result object that ends a command line program's stream."""
    return _line({"type": "result", **to_plain(result)})


def encode_error(error: EngineError) -> str:
    """Return the error object that ends a command line program's stream."""
    return _line({"type": "error", "message": error.message, "remedy": error.remedy})


def encode_heartbeat(beat: Heartbeat) -> str:
    """Return a heartbeat as one JSON line without the line end."""
    return _line({"type": _HEARTBEAT, **to_plain(beat)})


def decode_from_worker(line: str) -> Event | Heartbeat:
    """Read what a worker writes: an event or a heartbeat.

    Raises:
        ConfigError: If the line is neither.
    """
    plain = _parse(line)
    if plain.get("type") != _HEARTBEAT:
        return _event(plain)
    del plain["type"]
    beat: Heartbeat = from_plain(Heartbeat, plain)
    return beat


def decode_event(line: str) -> Event:
    """Read an event.

    Raises:
        ConfigError: If the line is not an event of this version.
    """
    return _event(_parse(line))


def _event(plain: dict[str, Any]) -> Event:
    event_type = _EVENT_BY_NAME.get(plain.pop("type", None))
    if event_type is None:
        raise _unknown("event")
    event: Event = from_plain(event_type, plain)
    return event


def decode_message(line: str) -> Command | Request:
    """Read what a worker is sent: a command or a request.

    Raises:
        ConfigError: If the line is neither.
    """
    plain = _parse(line)
    kind = plain.pop("type", None)
    if kind in (*REQUESTS, DUMP_STACKS):
        return Request(kind)
    if kind not in COMMAND_KINDS:
        raise _unknown("command")
    command: Command = from_plain(COMMAND_KINDS[kind], plain)
    return command


def _parse(line: str) -> dict[str, Any]:
    try:
        plain = json.loads(line)
    except json.JSONDecodeError as error:
        raise _unknown("line") from error
    if not isinstance(plain, dict):
        raise _unknown("line")
    return plain


def _unknown(what: str) -> ConfigError:
    return ConfigError(
        f"A {what} of the worker's stream is not understood.",
        remedy="Close RadTune and start it again; if it happens again, reinstall it.",
    )


def _line(plain: dict[str, Any]) -> str:
    return json.dumps(finite(plain), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
