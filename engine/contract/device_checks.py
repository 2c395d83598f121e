"""What was checked of each device, and what the whole says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.contract.devices import DeviceInfo

PASSED: Final = "passed"
WARNED: Final = "warned"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"
CHECK_STATES: Final = (PASSED, WARNED, FAILED, SKIPPED)

START: Final = "start"
BUILD: Final = "build"
CONVOLUTION: Final = "convolution"
BF16: Final = "bf16"
FP16: Final = "fp16"
OPERATIONS: Final = "operations"
MEMORY: Final = "memory"
CHECK_NAMES: Final = {
    START: "Start",
    BUILD: "Build of torch",
    CONVOLUTION: "Convolution, forward and backward",
    BF16: "Mixed precision, bfloat16",
    FP16: "Mixed precision, float16",
    OPERATIONS: "Image operations",
    MEMORY: "Memory",
}
"""What the checks are called, in the order in which they are made."""

FINE: Final = "fine"
NO_GPU: Final = "no_gpu"
GPU_UNUSABLE: Final = "gpu_unusable"
FAULTY: Final = "faulty"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCheck:
    """One thing that was tried on one device.

    Attributes:
        device: As ``DeviceInfo.id``.
        key: A key of :data:`CHECK_NAMES`.
        state: One of :data:`CHECK_STATES`.
        detail: What was found, in a few words or figures.
        problem: What is wrong, as a sentence; empty unless warned or failed.
        remedy: What to do about it.
        seconds: How long it took.
    """

    device: str
    key: str
    state: str
    detail: str = ""
    problem: str = ""
    remedy: str = ""
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """What the check is called."""
        return CHECK_NAMES.get(self.key, self.key)


def verdict_of(devices: Sequence[DeviceInfo], checks: Sequence[DeviceCheck]) -> str:
    """Return what the checks say as a whole.

    Returns:
        ``faulty`` if the processor computes wrongly; ``fine`` if a graphics card can be used;
        ``gpu_unusable`` if there is one and none can be; ``no_gpu`` if there is none.
    """
    failed = {check.device for check in checks if check.state == FAILED}
    if "cpu" in failed:
        return FAULTY
    cards = [info for info in devices if info.key != "cpu"]
    if not cards:
        return NO_GPU
    works = any(info.is_usable and info.id not in failed for info in cards)
    return FINE if works else GPU_UNUSABLE


def first_problem(
    devices: Sequence[DeviceInfo], checks: Sequence[DeviceCheck]
) -> tuple[str, str] | None:
    """Return why the first graphics card that can't be used can't, and what to do; None if all can.

    The processor's own failure comes first.
    """
    failed = [check for check in checks if check.state == FAILED]
    for check in sorted(failed, key=lambda check: check.device != "cpu"):
        return check.problem, check.remedy
    for info in devices:
        if not info.is_usable:
            return info.problem, info.remedy
    return None
