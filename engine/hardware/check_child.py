"""The process that tries devices out, so that a driver that hangs or crashes is a finding.

One JSON line on standard input says what to do: ``{"find": true}`` to list the devices, or
``{"device": "cuda:0", "name": …, "checks": […]}``. Each answer is a line on standard output. The
process ends with its standard input.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import TextIO

BEGIN, CHECK, DEVICES, END = "begin", "check", "devices", "end"


def serve(stream: TextIO) -> int:
    """Do what the first line of standard input says, and answer on ``stream``."""
    wanted = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()

    def answer(kind: str, value: object) -> None:
        stream.write(json.dumps({kind: value}) + "\n")
        stream.flush()

    from engine.contract.config_io import to_plain

    if wanted.get("find"):
        from engine.hardware.devices import list_devices

        answer(DEVICES, to_plain(list_devices()))
    else:
        from engine.hardware.trials import perform

        for key in wanted["checks"]:
            answer(BEGIN, key)
            answer(CHECK, to_plain(perform(wanted["device"], key, wanted["name"])))
    answer(END, True)
    return 0


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)
