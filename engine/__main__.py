"""The command line: the same jobs as the window, without one.

``--json`` prints one event a line on standard output and last the result or an error. Progress
for people goes to standard error. Exit codes: 0 done, 1 an error the user can mend, 2 wrong usage,
130 interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final

from engine.command_line import command_from, make_parser
from engine.contract.commands import Command
from engine.contract.control import Control
from engine.contract.errors import EngineError
from engine.contract.events import (
    CANCELED,
    FAILED,
    Event,
    JobFinished,
    RunFinished,
)
from engine.contract.protocol import encode_error, encode_event, encode_result
from engine.hardware.threads import let_waiting_threads_sleep
from engine.progress_display import ProgressDisplay

DONE: Final = 0
USER_ERROR: Final = 1
INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    let_waiting_threads_sleep()
    # ``json`` may stand before or after the subcommand, so neither parser gives it a default.
    arguments = make_parser().parse_args(argv, argparse.Namespace(json=False))
    if arguments.kind == "worker":
        from engine import worker

        return worker.main(arguments.role)
    if arguments.json:
        from engine.worker import claim_stdout

        stream = claim_stdout()  # a library that prints must not break the stream
    else:
        stream = sys.stdout
    try:
        command = command_from(arguments)
        return _run(command, as_json=arguments.json, stream=stream)
    except EngineError as error:
        return _fail(error, as_json=arguments.json, stream=stream)


def _run(command: Command, *, as_json: bool, stream: Any) -> int:
    from engine.run import execute

    control = Control()
    _interrupt_on_signals(control)
    display = ProgressDisplay(sys.stderr)

    def emit(event: Event) -> None:
        if as_json:
            print(encode_event(event), file=stream, flush=True)
        display.show(event)

    finished = execute(command, emit, control)
    display.close()
    return _report(finished, control, as_json=as_json, stream=stream)


def _report(
    finished: JobFinished | RunFinished, control: Control, *, as_json: bool, stream: Any
) -> int:
    if finished.outcome == FAILED:
        error = EngineError(finished.error or "The job failed.", remedy=finished.remedy or "")
        return _fail(error, as_json=as_json, stream=stream)
    if finished.outcome == CANCELED:
        hint = "Go on with 'resume'." if isinstance(finished, RunFinished) and finished.run else ""
        error = EngineError("Interrupted.", remedy=hint or "Start it again when you like.")
        _fail(error, as_json=as_json, stream=stream)
        return INTERRUPTED
    if as_json:
        print(encode_result(finished.result), file=stream, flush=True)
    else:
        print(_readable(finished.result), file=stream)
    return DONE


def _fail(error: EngineError, *, as_json: bool, stream: Any) -> int:
    if as_json:
        print(encode_error(error), file=stream, flush=True)
    else:
        print(f"{error.message}\n{error.remedy}", file=sys.stderr)
    return USER_ERROR


def _readable(result: dict[str, Any]) -> str:
    """Return the scalar facts of a result, one a line."""
    lines = []
    for name, value in result.items():
        if isinstance(value, float):
            lines.append(f"{name:>20}  {value:.4g}")
        elif isinstance(value, str | int) or value is None:
            lines.append(f"{name:>20}  {value}")
        elif isinstance(value, dict) and all(isinstance(v, int) for v in value.values()):
            lines.append(f"{name:>20}  " + ", ".join(f"{k} {v}" for k, v in value.items()))
    for note in result.get("notes", []):
        lines.append(f"Note: {note}")
    return "\n".join(lines)


def _interrupt_on_signals(control: Control) -> None:
    """Let the first Ctrl-C or TERM end the job at its next safe point, the second one at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        if control.interrupted:
            raise SystemExit(INTERRUPTED)
        control.interrupt()

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)


if __name__ == "__main__":
    sys.exit(main())
