"""The command line: the same jobs as the window, without one.

``--json`` prints one event a line on standard output and last the result or an error. Progress
for people goes to standard error. Exit codes: 0 done, 1 an error the user can mend, 2 wrong usage,
130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

from engine.command_arguments import command_from
from engine.command_line import UsageError, make_parser
from engine.contract.commands import AddWeights, Command, Resume, Train
from engine.contract.control import Control
from engine.contract.errors import EngineError
from engine.contract.events import CANCELED, FAILED, Event, RunStarted
from engine.contract.protocol import encode_error, encode_event, encode_result
from engine.ending import INTERRUPTED, Ending, Hurried, way_on
from engine.hardware.threads import let_apple_gpu_fall_back, let_waiting_threads_sleep
from engine.progress_display import ProgressDisplay
from engine.result_words import result_text

DONE: Final = 0
USER_ERROR: Final = 1
WRONG_USAGE: Final = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    let_waiting_threads_sleep()
    let_apple_gpu_fall_back()
    for name in ("stdout", "stderr"):  # a program without a console, or one that closed them
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack the letters
            stream.reconfigure(errors="backslashreplace")
    # ``json`` may stand before or after the subcommand, so neither parser gives it a default.
    arguments = argparse.Namespace(json=False)
    try:
        make_parser().parse_args(argv, arguments)
    except UsageError as error:
        return _refuse(error, as_json="--json" in (sys.argv[1:] if argv is None else argv))
    if arguments.kind == "worker":  # it ends with its standard input, or when killed
        return _serve(arguments.role)
    control = Control()
    from engine.worker import claim_stdout, keep_crashes

    keep_crashes("command")
    # A library that prints must not break the stream.
    stream = claim_stdout() if arguments.json else sys.stdout
    output = _Output(stream, control, as_json=arguments.json)
    ending = Ending(control)
    command: Command | None = None
    try:
        ending.heed_signals()  # loading alone takes seconds
        command = command_from(arguments)
        return _run(command, ending, output)
    except EngineError as error:
        return output.fail(error)
    except Hurried:
        output.fail(EngineError("Interrupted.", remedy=way_on(command, output.run)))
        return INTERRUPTED


def _refuse(error: UsageError, *, as_json: bool) -> int:
    with contextlib.suppress(OSError):
        if as_json:
            from engine.worker import claim_stdout

            print(encode_error(error), file=claim_stdout(), flush=True)
        else:
            print(f"{error.usage}{error.message}\n{error.remedy}", file=sys.stderr)
    return WRONG_USAGE


def _serve(role: str) -> int:
    from engine import worker

    if role == "check":
        from engine.hardware import check_child

        return check_child.serve(worker.claim_stdout())
    return worker.main(role)


class _Output:
    """What is printed; nobody listening any more is no reason to lose a job's work.

    Attributes:
        run: Id of the run that has begun; empty before, and where none does.
    """

    def __init__(self, stream: Any, control: Control, *, as_json: bool) -> None:
        self.as_json = as_json
        self.run = ""
        self._stream = stream
        self._control = control
        self._display = ProgressDisplay(sys.stderr)

    def emit(self, event: Event) -> None:
        """Print an event for programs, and its progress for people."""
        if isinstance(event, RunStarted):
            self.run = event.run
        if self.as_json:
            self._print(encode_event(event))
        with contextlib.suppress(OSError):  # a terminal that was closed
            self._display.show(event)

    def result(self, result: dict[str, Any], command: Command) -> int:
        """Print the result of a command and return the exit code."""
        self._close()
        self._print(encode_result(result) if self.as_json else result_text(result, command))
        is_add = isinstance(command, AddWeights) and not command.check_only
        return USER_ERROR if is_add and result.get("added") == [] else DONE

    def fail(self, error: EngineError) -> int:
        """Print an error and return the exit code."""
        self._close()
        if self.as_json:
            self._print(encode_error(error))
        else:
            with contextlib.suppress(OSError):
                print(f"{error.message}\n{error.remedy}", file=sys.stderr)
        return USER_ERROR

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self._display.close()

    def _print(self, line: str) -> None:
        try:
            print(line, file=self._stream, flush=True)
        except BrokenPipeError:  # as after ``| head``: end, and keep what can be resumed
            self._control.interrupt()
            self._stream = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        except OSError:
            return  # the disk that takes the output is full; the job's own may not be


def _run(command: Command, ending: Ending, output: _Output) -> int:
    from engine.run import execute
    from engine.worker import load_training

    if isinstance(command, Train | Resume):
        load_training()
    ending.begins()
    finished = execute(command, output.emit, ending.control)
    if finished.outcome == FAILED:
        message = finished.error or "The job failed."
        return output.fail(EngineError(message, remedy=finished.remedy or ""))
    if finished.outcome == CANCELED:
        output.fail(EngineError("Interrupted.", remedy=way_on(command, output.run)))
        return INTERRUPTED
    return output.result(finished.result, command)


if __name__ == "__main__":
    sys.exit(main())
