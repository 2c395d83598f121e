"""What trainings of the open project measured of a backbone on this computer."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QCoreApplication, QLocale

from engine.contract.recommendation import PastTraining
from gui.session import Session

__all__ = ["measured_here", "memory_text", "speed_text"]

_MIB_PER_GB: Final = 1e9 / 2**20


def measured_here(session: Session, backbone: str) -> PastTraining | None:
    """Return the newest training with a backbone on what trains now; None without any.

    One with the chosen method goes before others, which may take several times as long an image.
    A project may have come from another computer: what that measured says nothing here.
    """
    facts, device = session.advice.facts, session.device
    if facts is None:
        return None
    here = {
        str(each.get("name"))
        for each in device.get("devices") or ()
        if each.get("key") == device.get("device")
    }
    found = [
        past
        for past in facts.past
        if past.backbone == backbone and past.images_per_s > 0 and past.machine in here
    ]
    method = session.config.method.key
    return next((past for past in found if past.method == method), found[0] if found else None)


def speed_text(images_per_s: float) -> str:
    """Return "23 images/s"."""
    digits = 0 if images_per_s >= 10 else 1
    return _tr("%s images/s") % QLocale().toString(images_per_s, "f", digits)


def memory_text(memory_mb: float) -> str:
    """Return "1.1 GB", of MiB."""
    return _tr("%s GB") % QLocale().toString(memory_mb / _MIB_PER_GB, "f", 1)


def _tr(text: str) -> str:
    return QCoreApplication.translate("MeasuredHere", text)
