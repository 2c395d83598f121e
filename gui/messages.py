"""Sentences that several parts of the window say alike."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QCoreApplication, QLocale

from engine.contract.events import (
    FAILED,
    BatchFinished,
    EpochFinished,
    JobProgressed,
    RunProgressed,
)
from engine.contract.records import RunSummary

__all__ = [
    "cut_off_text",
    "device_text",
    "device_tool_tip",
    "goes_on_text",
    "job_text",
    "left_text",
    "most_left_text",
    "run_text",
    "split_name",
    "time_text",
]


def device_text(device: dict[str, Any]) -> str:
    """Return what computes, in a few words: "CPU · 2 cores", "NVIDIA RTX A2000 · 12 GB"."""
    key = device.get("device")
    if not key:
        return ""
    found: dict[str, Any] = next((d for d in device.get("devices", ()) if d.get("key") == key), {})
    if key == "cpu":
        n = int(device.get("threads") or 1)
        return _tr("CPU · 1 core") if n == 1 else _tr("CPU · %d cores") % n
    gigabytes = round(int(found.get("memory_mb") or 0) / 1024)
    name = str(found.get("name") or key)
    return f"{name} · {gigabytes} GB" if gigabytes else name


def device_tool_tip(device: dict[str, Any]) -> str:
    """Return what else is known: the processor's name, and why a graphics card isn't used."""
    lines = []
    for found in device.get("devices", ()):
        if found.get("key") == device.get("device"):
            lines.append(str(found.get("name", "")))
        elif not found.get("is_usable", True):
            lines.append(f"{found.get('problem', '')} {found.get('remedy', '')}".strip())
    return "\n".join(line for line in lines if line)


def cut_off_text(state: str) -> str:
    """Return what is said of the run of an open project that can be continued."""
    if state == FAILED:
        return _tr("The last training run failed.")
    return _tr("The last training run was interrupted.")


def goes_on_text(run: RunSummary) -> str:
    """Return where a run that can be continued goes on from."""
    if run.has_saved_state:
        return _tr("It can go on from its last saved state.")
    return _tr("It had not saved its state yet and begins again.")


def time_text(seconds: float) -> str:
    """Return a length of time as people say it: "40 s", "4 min 10 s", "1 h 5 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return _tr("%d s") % whole
    if whole < 600:
        # Steps of ten: a number that changes every second draws the eye for nothing.
        minutes, tens = whole // 60, whole % 60 // 10 * 10
        return _tr("%d min %d s") % (minutes, tens) if tens else _tr("%d min") % minutes
    if whole < 3600:
        return _tr("%d min") % (whole // 60)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return _tr("%d h %d min") % (hours, minutes) if minutes else _tr("%d h") % hours


def left_text(seconds_left: float | None) -> str:
    """Return "4 min 10 s left", or nothing while it is unknown."""
    if seconds_left is None or seconds_left != seconds_left:
        return ""
    return _tr("%s left") % time_text(seconds_left)


def most_left_text(seconds_left: float | None) -> str:
    """Return "at most 4 min 10 s left": a run may stop early."""
    left = left_text(seconds_left)
    return _tr("at most %s") % left if left else ""


def job_text(event: JobProgressed) -> str:
    """Return what a job does: "Reading images: 120 of 360 · 85 files/s · 3 s left"."""
    locale = QLocale()
    parts = []
    if event.total:
        done = locale.toString(event.done)
        parts.append(_tr("%s of %s") % (done, locale.toString(event.total)))
    elif event.done:
        parts.append(locale.toString(event.done))
    if event.per_s:
        digits = 0 if event.per_s >= 10 else 1
        parts.append(_tr("%s files/s") % locale.toString(float(event.per_s), "f", digits))
    if left := left_text(event.seconds_left):
        parts.append(left)
    return f"{event.stage}: {' · '.join(parts)}" if parts else event.stage


def run_text(event: BatchFinished | EpochFinished | RunProgressed, max_epochs: int) -> str:
    """Return where a run stands: "Training: epoch 7 of 12 · at most 4 min left"."""
    if isinstance(event, RunProgressed):
        text = event.stage
        if event.total:
            locale = QLocale()
            counts = (locale.toString(event.done), locale.toString(event.total))
            text = f"{text}: {_tr('%s of %s') % counts}"
    elif max_epochs:
        text = _tr("Training: epoch %d of %d") % (event.epoch, max_epochs)
    else:
        text = _tr("Training")
    left = most_left_text(getattr(event, "seconds_left", None))
    return f"{text} · {left}" if left else text


def split_name(split: str | None) -> str:
    """Return the name of a part of the split as people read it."""
    names = {"train": _tr("Training"), "val": _tr("Validation"), "test": _tr("Test")}
    return names.get(split or "", _tr("In no part"))


def _tr(text: str) -> str:
    return QCoreApplication.translate("Messages", text)
