"""What the window says of the machine's devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QCoreApplication, QLocale

from engine.contract.device_checks import CHECK_NAMES, FAILED, PASSED, SKIPPED, WARNED
from engine.contract.devices import DeviceInfo

__all__ = [
    "check_name",
    "device_facts",
    "processor_sentence",
    "report_text",
    "state_word",
    "unused_card",
]

_MIB_PER_GB = 1024


def unused_card(device: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return why a graphics card that is there isn't used, and what to do; None if none is idle.

    Args:
        device: What the engine says of this machine.
    """
    if device.get("device") != "cpu":
        return None
    for found in device.get("devices", ()):
        if found.get("key") != "cpu" and not found.get("is_usable", True):
            return str(found.get("problem", "")), str(found.get("remedy", ""))
    return None


def processor_sentence(device: Mapping[str, Any]) -> str:
    """Return how the processor trains: with how many threads, and in which precision."""
    threads = int(device.get("threads") or 1)
    words = {"bf16": _tr("bfloat16"), "fp32": _tr("32-bit")}
    precision = words.get(str(device.get("precision")), str(device.get("precision", "")))
    if threads == 1:
        return _tr("The processor trains, with 1 thread in {0} arithmetic.").format(precision)
    text = _tr("The processor trains, with {0} threads in {1} arithmetic.")
    return text.format(QLocale().toString(threads), precision)


def device_facts(info: DeviceInfo) -> str:
    """Return what is known of a device: "16 GB · compute capability 8.6 · driver 580.65"."""
    facts = []
    if info.memory_mb:
        gigabytes = max(1, round(info.memory_mb / _MIB_PER_GB))
        facts.append(_tr("{0} GB").format(QLocale().toString(gigabytes)))
    if info.capability:
        facts.append(_tr("compute capability {0}").format(info.capability))
    if info.driver:
        facts.append(_tr("driver {0}").format(info.driver))
    return " · ".join(facts)


def check_name(key: str) -> str:
    """Return what a check is called."""
    return _tr(CHECK_NAMES.get(key, key))


def state_word(state: str) -> str:
    """Return what came out of a check."""
    words = {
        PASSED: _tr("passed"),
        WARNED: _tr("works, with a reservation"),
        FAILED: _tr("failed"),
        SKIPPED: _tr("not made"),
    }
    return words.get(state, state)


def report_text(result: Mapping[str, Any]) -> str:
    """Return everything as text, for whoever is asked for help; nothing in it names a person."""
    lines: list[str] = [_tr("RadTune: this computer")]
    lines += [str(line) for line in result.get("sentences") or ()]
    lines.append(f"{_tr('System')}: {result.get('system', '')}")
    versions: Mapping[str, str] = result.get("versions") or {}
    lines += [f"{library} {version}" for library, version in versions.items()]
    facts: Sequence[str] = ("device", "precision", "threads", "torch_has_cuda")
    lines += [f"{name}: {result[name]}" for name in facts if name in result]
    return "\n".join(lines)


def _tr(text: str) -> str:
    return QCoreApplication.translate("DeviceWords", text)
