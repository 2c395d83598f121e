"""What torch and the NVIDIA driver say when a device can't be used, put into plain words.

The messages are those of ``cudaGetErrorString``, of torch's own start-up code, and of
``nvidia-smi``; they have stayed the same for years, but for a word here and there, so parts of
them are looked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

PROCESSOR: Final = "or compute on the processor until then."


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a device can't be used.

    Attributes:
        kind: A word for programs, such as ``driver_too_old``.
        problem: One sentence on what is wrong.
        remedy: One sentence on what to do.
    """

    kind: str
    problem: str
    remedy: str


# In this order: the first part that is in the message, in lower case, decides.
_TABLE: Final[tuple[tuple[str, tuple[str, ...], str, str], ...]] = (
    (
        "no_cuda_build",
        ("not compiled with cuda", "not linked with support for cuda"),
        "The installed torch is a build without CUDA, so {name} can't be used.",
        f"Install the CUDA build of torch (see the README), {PROCESSOR}",
    ),
    (
        "no_kernels",
        (
            "no kernel image is available",
            "is not compatible with the current pytorch install",
            "device kernel image is invalid",
            "provided ptx was compiled with an unsupported toolchain",
        ),
        "The installed build of torch has no code for {name}.",
        f"Install a build of torch that supports this card, {PROCESSOR}",
    ),
    (
        "mismatch",
        (
            "driver/library version mismatch",
            "unsupported display driver / cuda driver combination",
        ),
        "The driver of {name} was updated while the computer ran, and its parts don't match.",
        "Restart the computer.",
    ),
    (
        "driver_too_old",
        (
            "driver on your system is too old",
            "driver version is insufficient",
            "forward compatibility was attempted",
        ),
        "The driver of {name} is too old for the installed torch{versions}.",
        "Update the NVIDIA driver and restart the computer.",
    ),
    (
        "lost",
        (
            "gpu is lost",
            "fallen off the bus",
            "unable to determine the device handle",
            "gpu requires reset",
            "unknown error]",
        ),
        "{name} no longer answers its driver: it has lost its connection or hangs.",
        "Switch the computer off and on again; if it happens again, check the card's seat, power "
        "and cooling.",
    ),
    (
        "ecc",
        ("uncorrectable ecc error", "uncorrectable nvlink error", "hardware stack error"),
        "The memory of {name} reported an error that it could not correct.",
        "Restart the computer; if it happens again, have the card replaced.",
    ),
    (
        "not_ready",
        ("system not yet initialized",),
        "The driver of {name} is not ready: a service that this kind of card needs is not running.",
        "Ask the administrator to start the NVIDIA Fabric Manager, or restart the computer.",
    ),
    (
        "shared_service",
        ("mps client failed", "mps server", "mps control daemon", "create mps client"),
        "The service that shares {name} among programs (CUDA MPS) can't be reached.",
        "Ask the administrator to restart that service or to end it.",
    ),
    (
        "memory_taken",
        ("out of memory", "alloc_failed", "cublas_status_alloc", "not enough memory"),
        "{name} has no free memory: other programs hold it.",
        f"Close other programs that use the graphics card and check again, {PROCESSOR}",
    ),
    (
        "busy",
        ("busy or unavailable", "devices are busy", "exclusive-process", "exclusive process"),
        "{name} is in use by another program that allows no second one (exclusive mode).",
        f"End the other program, or set the card's compute mode to Default, {PROCESSOR}",
    ),
    (
        "no_permission",
        ("insufficient permissions", "operation not permitted", "permission denied"),
        "The system doesn't let this user reach {name}.",
        "Ask the administrator for access to the graphics card.",
    ),
    (
        "no_driver",
        (
            "found no nvidia driver",
            "couldn't communicate with the nvidia driver",
            "nvidia driver is not loaded",
            "driver not loaded",
            "libcuda.so",
            "nvcuda.dll",
        ),
        "The driver of {name} is not installed, or not running.",
        f"Install the NVIDIA driver and restart the computer, {PROCESSOR}",
    ),
    (
        "timeout",
        ("launch timed out",),
        "The system ended a computation on {name} because it took too long for a card that also "
        "drives the screen.",
        "Raise the system's time limit for graphics cards, or use another card for the screen.",
    ),
    (
        "crashed",
        (
            "illegal memory access",
            "unspecified launch failure",
            "misaligned address",
            "cudnn_status",
            "cublas_status",
            "illegal instruction",
        ),
        "A computation on {name} failed inside the driver or a library of torch.",
        f"Update the NVIDIA driver and restart the computer, {PROCESSOR}",
    ),
    (
        "operation_missing",
        ("implemented for the mps", "supported on the mps", "from the 'mps' backend"),
        "The Apple GPU lacks an operation that RadTune needs.",
        f"Update macOS and torch, {PROCESSOR}",
    ),
    (
        "no_device",
        ("no cuda gpus are available", "no cuda-capable device", "no devices were found"),
        "The driver shows no card that can compute, though {name} is there.",
        f"Restart the computer; if that doesn't help, install the NVIDIA driver again, {PROCESSOR}",
    ),
)
_OF_A_CARD: Final = ("cuda", "cudnn", "cublas", "mps backend", "mps device", "nvml")
_UNKNOWN: Final = Explanation(
    kind="unknown",
    problem="{name} does not work with the installed torch.",
    remedy=f"Update the NVIDIA driver and restart the computer, {PROCESSOR}",
)


def explain(message: str, name: str, *, needs_cuda: str = "") -> Explanation:
    """Return what a message means for whoever sits before the computer.

    Args:
        message: What torch, CUDA or ``nvidia-smi`` said.
        name: Of the device.
        needs_cuda: Version of CUDA that torch was built with, such as ``13.0``.
    """
    text = message.lower()
    for kind, marks, problem, remedy in _TABLE:
        if any(mark in text for mark in marks):
            versions = _versions(text, needs_cuda)
            problem = problem.format(name=name, versions=versions)
            return Explanation(kind=kind, problem=_sentence(problem), remedy=remedy)
    problem = _UNKNOWN.problem.format(name=name)
    return Explanation(kind=_UNKNOWN.kind, problem=_sentence(problem), remedy=_UNKNOWN.remedy)


def explain_failure(error: BaseException) -> Explanation | None:
    """Return what a failure of a job says of a graphics card; None if it says nothing of one.

    For what ends a job in its middle: a card that no longer answers, a driver that fails.
    """
    text = str(error).lower()
    if not isinstance(error, RuntimeError) or not any(mark in text for mark in _OF_A_CARD):
        return None
    found = explain(str(error), "the graphics card")
    return None if found.kind == "unknown" and "cuda error" not in text else found


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _versions(text: str, needs_cuda: str) -> str:
    found = re.search(r"found version (\d+)", text)
    if found is None or not needs_cuda:
        return ""
    number = int(found[1])  # 11040 is 11.4
    return (
        f": it goes up to CUDA {number // 1000}.{number % 1000 // 10}, and {needs_cuda} is needed"
    )


def explain_setting(
    name: str, *, compute_mode: str = "", mig_mode: str = "", visible: str | None = None
) -> Explanation | None:
    """Return which setting keeps a card from being used that torch doesn't see; None for none.

    Args:
        name: Of the card.
        compute_mode: As ``nvidia-smi`` has it: ``Default``, ``Exclusive_Process``, ``Prohibited``.
        mig_mode: ``Enabled`` where the card is divided into several (Multi-Instance GPU).
        visible: The environment variable ``CUDA_VISIBLE_DEVICES``, or None where there is none.
    """
    if visible is not None and visible.strip() in ("", "-1", "NoDevFiles"):
        return Explanation(
            kind="hidden",
            problem=f"The environment variable CUDA_VISIBLE_DEVICES hides {name}.",
            remedy="Remove this variable and start RadTune again.",
        )
    if "prohibited" in compute_mode.lower():
        return Explanation(
            kind="prohibited",
            problem=f"The compute mode of {name} forbids all computations (Prohibited).",
            remedy="Ask the administrator to set it to Default: nvidia-smi --compute-mode=0.",
        )
    if "enabled" in mig_mode.lower():
        return Explanation(
            kind="mig",
            problem=f"{_sentence(name)} is divided into parts (MIG), and none of them was given to "
            "this user.",
            remedy="Ask the administrator for a part of the card, or to turn MIG off.",
        )
    if "exclusive" in compute_mode.lower():
        return explain("exclusive process", name)
    return None


def explain_end(code: int | None, name: str, *, is_gpu: bool) -> Explanation:
    """Return what it means that a process which tried out a device ended by itself.

    Args:
        code: Exit code; negative for a signal. None if it did not answer and was ended.
        name: Of the device.
        is_gpu: Whether it is a graphics card.
    """
    if code is None:
        problem = f"{_sentence(name)} did not answer in time: its driver hangs, or the computer "
        problem += "is very busy."
        remedy = "Restart the computer; if that doesn't help, install the driver again."
        if not is_gpu:
            problem = "A small computation did not end in time: the computer is very busy."
            remedy = "Close other programs and check again."
        return Explanation(kind="hangs", problem=problem, remedy=remedy)
    if code in _ILLEGAL_INSTRUCTION:
        return Explanation(
            kind="illegal_instruction",
            problem="The installed torch uses instructions that this processor doesn't have.",
            remedy="Install a build of torch for older processors.",
        )
    if code in _KILLED:
        return Explanation(
            kind="killed",
            problem="The system ended the process that tried this out, most likely for want of "
            "memory.",
            remedy="Close other programs and check again.",
        )
    what = "The driver or torch crashed" if is_gpu else "Torch crashed on the processor"
    remedy = f"Update the NVIDIA driver and restart the computer, {PROCESSOR}"
    if not is_gpu:
        remedy = "Install torch again; if that doesn't help, test the computer's memory."
    return Explanation(kind="crashed", problem=f"{what} while this was tried.", remedy=remedy)


# Signals 4 and 9; on Windows the codes of exceptions, signed or not.
_ILLEGAL_INSTRUCTION: Final = (-4, 0xC000001D, 0xC000001D - 2**32)
_KILLED: Final = (-9, 137)
