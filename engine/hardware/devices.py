"""What can compute here, and what is wrong with what can't."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from engine.contract.records import DeviceInfo

MIB: Final = 2**20


def cpu_name() -> str:
    """Return the processor's name with what tells generations of the same name apart."""
    if sys.platform == "linux":
        try:
            text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
        facts = {name.strip(): value.strip() for name, _, value in lines}
        if name := facts.get("model name"):
            return (
                f"{name} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"
            )
    if sys.platform == "darwin":
        question = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        try:
            return subprocess.run(
                question, capture_output=True, text=True, timeout=5, check=True
            ).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass
    return platform.processor() or platform.machine() or "unknown processor"


def list_devices() -> tuple[DeviceInfo, ...]:
    """Return the processor, then each GPU, usable or not."""
    import psutil
    import torch

    ram = int(psutil.virtual_memory().total) // MIB
    devices = [DeviceInfo(key="cpu", name=cpu_name(), memory_mb=ram, is_usable=True)]
    devices += _cuda_devices()
    if torch.backends.mps.is_available():
        devices.append(DeviceInfo(key="mps", name="Apple GPU", memory_mb=ram, is_usable=True))
    return tuple(devices)


def _cuda_devices() -> list[DeviceInfo]:
    import torch

    if torch.version.cuda is not None and torch.cuda.is_available():
        return [_cuda_device(i) for i in range(torch.cuda.device_count())]
    return [_unusable_card(name, megabytes) for name, megabytes in _cards_of_the_driver()]


def _cuda_device(index: int) -> DeviceInfo:
    import torch

    facts = torch.cuda.get_device_properties(index)
    problem, remedy = "", ""
    if not arch_supported((facts.major, facts.minor), torch.cuda.get_arch_list()):
        problem = (
            f"The graphics card {facts.name} (compute capability {facts.major}.{facts.minor}) is "
            "not supported by the installed build of torch."
        )
        remedy = "Install a build of torch for this card, or compute on the processor."
    return DeviceInfo(
        key="cuda",
        name=facts.name,
        memory_mb=int(facts.total_memory) // MIB,
        is_usable=not problem,
        problem=problem,
        remedy=remedy,
    )


def arch_supported(capability: tuple[int, int], arch_list: list[str]) -> bool:
    """Return whether a build with kernels for ``arch_list`` runs on a card of this capability.

    Binary kernels (``sm_86``) run on cards of the same major version and an equal or higher minor
    one; portable code (``compute_90``) on every later card.

    References:
        NVIDIA, CUDA C++ Programming Guide, "Application Compatibility".
    """
    for arch in arch_list:
        kind, _, digits = arch.partition("_")
        digits = digits.rstrip("abcdefghijklmnopqrstuvwxyz")
        if not digits.isdecimal():
            continue
        major, minor = int(digits[:-1]), int(digits[-1])
        if kind == "compute" and capability >= (major, minor):
            return True
        if kind == "sm" and capability[0] == major and capability[1] >= minor:
            return True
    return False


def _cards_of_the_driver() -> list[tuple[str, int]]:
    """Return name and memory in MiB of the cards that the NVIDIA driver sees, without torch."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(  # a fixed question to the driver's own tool
            query, capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return [("NVIDIA graphics card", 0)]  # the tool is there, the driver doesn't answer
    cards = []
    for line in answer.splitlines():
        name, _, megabytes = line.rpartition(",")
        if name:
            digits = megabytes.strip()
            cards.append((name.strip(), int(digits) if digits.isdecimal() else 0))
    return cards


def _unusable_card(name: str, megabytes: int) -> DeviceInfo:
    import torch

    if torch.version.cuda is None:
        problem = f"The installed torch is a build without CUDA, so {name} can't be used."
        remedy = "Install the CUDA build of torch (see the README), or compute on the processor."
    else:
        problem, remedy = explain_cuda_failure(name, _cuda_start_error())
    return DeviceInfo(
        key="cuda",
        name=name,
        memory_mb=megabytes,
        is_usable=False,
        problem=problem,
        remedy=remedy,
    )


def _cuda_start_error() -> str:
    import torch

    try:
        torch.zeros(1, device="cuda")
    except (RuntimeError, AssertionError) as error:
        return str(error)
    return ""


def explain_cuda_failure(name: str, error: str) -> tuple[str, str]:
    """Return a sentence and a remedy for torch's message on why CUDA didn't start."""
    if "too old" in error:
        return (
            f"The driver of {name} is too old for the installed torch.",
            "Update the NVIDIA driver and restart the computer.",
        )
    if "out of memory" in error:
        return (
            f"{name} has no free memory.",
            "Close other programs that use the graphics card and try again.",
        )
    return (
        f"The driver of {name} does not answer.",
        "Restart the computer; if that doesn't help, install the NVIDIA driver again.",
    )
