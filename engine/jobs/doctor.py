"""What this machine can do, and why a graphics card that is there can't be used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from engine.contract.backbones import BACKBONES
from engine.contract.commands import Doctor
from engine.contract.config_io import to_plain
from engine.contract.control import Control
from engine.contract.device_checks import (
    CHECK_NAMES,
    FAILED,
    FINE,
    NO_GPU,
    DeviceCheck,
    first_problem,
    verdict_of,
)
from engine.contract.devices import DeviceInfo
from engine.contract.events import Event, JobProgressed
from engine.hardware import describe
from engine.hardware.preflight import check_devices, find_devices
from engine.hardware.trials import checks_of
from engine.models.weights import added_weights, weights_state

_KIND = "doctor"


def examine(command: Doctor, emit: Callable[[Event], None], control: Control) -> dict[str, Any]:
    """Return what ``engine.hardware.describe`` says, weights, and what the checks found.

    Raises:
        JobCanceled: If canceled.
    """
    devices = find_devices(is_fresh=True, safe_point=control.safe_point)
    result: dict[str, Any] = {}
    if command.check:
        checks = _check(devices, emit, control)
        result = {
            "checks": to_plain(checks),
            "verdict": verdict_of(devices, checks),
            "sentences": readable(devices, checks),
        }
        devices = with_findings(devices, checks)
    weights = {card.key: weights_state(card.key) for card in BACKBONES}
    added = [to_plain(item) for item in added_weights()]
    return {**describe(devices), "weights": weights, "added_weights": added, **result}


def with_findings(
    devices: Sequence[DeviceInfo], checks: Sequence[DeviceCheck]
) -> tuple[DeviceInfo, ...]:
    """Return the devices, graphics cards that failed a check as unusable."""
    failed = {check.device: check for check in checks if check.state == FAILED}
    return tuple(
        replace(
            info, is_usable=False, problem=failed[info.id].problem, remedy=failed[info.id].remedy
        )
        if info.id in failed and info.key != "cpu"
        else info
        for info in devices
    )


def _check(
    devices: Sequence[DeviceInfo], emit: Callable[[Event], None], control: Control
) -> tuple[DeviceCheck, ...]:
    total = sum(len(checks_of(info.id)) for info in devices if info.is_usable)
    done = 0

    def tell(stage: str, **facts: Any) -> None:
        emit(JobProgressed(kind=_KIND, stage=stage, done=done, total=total, facts=facts))

    def on_check(check: DeviceCheck) -> None:
        nonlocal done
        done += 1
        detail = f" ({check.detail})" if check.detail else ""
        tell(f"{check.device}: {check.name}: {check.state}{detail}", check=to_plain(check))

    tell("Checking the devices", devices=to_plain(tuple(devices)))
    return check_devices(devices, on_check, safe_point=control.safe_point)


def readable(devices: Sequence[DeviceInfo], checks: Sequence[DeviceCheck]) -> list[str]:
    """Return devices and checks as lines of text, for a terminal or a mail to whoever helps."""
    lines = []
    for info in devices:
        facts = [f"{info.memory_mb:,} MB"] if info.memory_mb else []
        facts += [f"driver {info.driver}"] if info.driver else []
        known = f" ({', '.join(facts)})" if facts else ""
        lines.append(f"{info.id}  {info.name}{known}")
        if not info.is_usable:
            lines.append(f"    can't be used: {info.problem} {info.remedy}")
        for check in checks:
            if check.device == info.id:
                detail = f" ({check.detail})" if check.detail else ""
                lines.append(f"    {check.state:<8}{CHECK_NAMES[check.key]}{detail}")
                if check.problem:
                    lines.append(f"            {check.problem} {check.remedy}")
    lines.append(_conclusion(devices, checks))
    return lines


def _conclusion(devices: Sequence[DeviceInfo], checks: Sequence[DeviceCheck]) -> str:
    words = {
        FINE: "All is well: training uses the graphics card.",
        NO_GPU: "All is well. There is no graphics card that RadTune can use, so the processor "
        "trains.",
    }
    verdict = verdict_of(devices, checks)
    if verdict in words:
        return words[verdict]
    problem, remedy = first_problem(devices, checks) or ("", "")
    return f"{problem} {remedy}".strip()
