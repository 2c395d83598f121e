"""Progress for people at a terminal: one line that changes, or a line now and then in a log."""

from __future__ import annotations

import time
from typing import Final, TextIO

from engine.contract.events import (
    BatchFinished,
    EpochFinished,
    Event,
    JobProgressed,
    Recovered,
    RunPaused,
    RunProgressed,
    RunResumed,
    RunStarted,
    Warned,
)

_LOG_EVERY_S: Final = 5.0
_BAR_WIDTH: Final = 24


class ProgressDisplay:
    """Shows events on a text stream; on a terminal the current line is rewritten in place."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._shown_at = 0.0
        self._stage = ""
        self._line_open = False

    def show(self, event: Event) -> None:
        """Show an event, if it is one for people."""
        match event:
            case RunStarted():
                self._say(f"Run {event.run}: {event.method}, {event.backbone}")
            case JobProgressed() if event.facts:
                self._say(event.stage)
            case JobProgressed() | RunProgressed():
                self._progress(event.stage, event.done, event.total, "")
            case BatchFinished():
                detail = f"loss {event.loss:.3f}, {event.images_per_s:.0f} images/s"
                if event.seconds_left is not None:
                    detail += f", at most {length_of_time(event.seconds_left)} left"
                stage = f"Epoch {event.epoch}"
                self._progress(stage, event.batch, event.n_batches, detail)
            case EpochFinished():
                self._say(
                    f"Epoch {event.epoch}: training loss {event.train_loss:.3f}, validation "
                    f"loss {event.val_loss:.3f}, AUROC {event.val_auroc:.3f}. {event.comment}"
                )
            case Warned():
                self._say(f"Note: {event.message} {event.remedy}".rstrip())
            case RunPaused():
                self._say(f"Paused. {event.reason}".rstrip())
            case RunResumed():
                self._say("Going on.")
            case Recovered():
                self._say(event.message)

    def close(self) -> None:
        """End the current line."""
        if self._line_open:
            self._stream.write("\n")
            self._stream.flush()
            self._line_open = False

    def _say(self, text: str) -> None:
        self.close()
        self._stream.write(text + "\n")
        self._stream.flush()

    def _progress(self, stage: str, done: int, total: int, detail: str) -> None:
        now = time.monotonic()
        is_last = total > 0 and done >= total
        wait = 0.1 if self._is_terminal else _LOG_EVERY_S
        if stage == self._stage and not is_last and now - self._shown_at < wait:
            return
        if stage != self._stage:
            self.close()
        self._stage, self._shown_at = stage, now
        text = f"{stage} {done}/{total}" if total else f"{stage} {done}"
        if self._is_terminal and total:
            filled = _BAR_WIDTH * done // total
            text = f"{stage:<20} [{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {done}/{total}"
        text = f"{text}  {detail}".rstrip()
        if self._is_terminal:
            self._stream.write(f"\r\x1b[K{text}")
            self._line_open = True
        else:
            self._stream.write(text + "\n")
        self._stream.flush()


def length_of_time(seconds: float) -> str:
    """Return a length of time for people: "40 s", "1 min", "2 min 5 s", "1 h 35 min"."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    parts = ([f"{minutes} min"] if minutes else []) + ([f"{rest} s"] if rest or not minutes else [])
    return " ".join(parts)
