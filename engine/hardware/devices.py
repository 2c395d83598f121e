"""What can compute here, and what is wrong with what can't."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Final

from engine.contract.devices import DeviceInfo
from engine.hardware.explain import Explanation, explain, explain_end, explain_setting
from engine.hardware.nvidia import Card, DriverAnswer, ask_driver

MIB: Final = 2**20
_UNNAMED: Final = "the NVIDIA graphics card"


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


def list_devices(driver: DriverAnswer | None = None) -> tuple[DeviceInfo, ...]:
    """Return the processor, then each GPU, usable or not.

    A driver that hangs or crashes takes this process with it: see
    :func:`engine.hardware.preflight.find_devices`.

    Args:
        driver: What the driver's tool says; None asks it.
    """
    import psutil
    import torch

    ram = int(psutil.virtual_memory().total) // MIB
    devices = [DeviceInfo(key="cpu", name=cpu_name(), memory_mb=ram, is_usable=True)]
    devices += _cuda_devices(ask_driver() if driver is None else driver)
    if torch.backends.mps.is_available():
        devices.append(DeviceInfo(key="mps", name="Apple GPU", memory_mb=ram, is_usable=True))
    return tuple(devices)


def cards_that(driver: DriverAnswer) -> tuple[Card, ...]:
    """Return the cards of a driver; one without a name where there are only signs of one."""
    if driver.cards or not driver.is_there:
        return driver.cards
    return (Card(index=0, name=_UNNAMED),)


def unusable(card: Card, why: Explanation) -> DeviceInfo:
    """Return a card that can't be used, and why."""
    return DeviceInfo(
        key="cuda",
        name=card.name,
        memory_mb=card.memory_mb,
        is_usable=False,
        problem=why.problem,
        remedy=why.remedy,
        index=card.index,
        driver=card.driver,
    )


def _cuda_devices(driver: DriverAnswer) -> list[DeviceInfo]:
    import torch

    with warnings.catch_warnings():  # what they say is found out below
        warnings.simplefilter("ignore")
        if has_gpu_build() and torch.cuda.is_available():
            return [_cuda_device(i, driver) for i in range(torch.cuda.device_count())]
        return [unusable(card, _why_unusable(card, driver)) for card in cards_that(driver)]


def has_gpu_build() -> bool:
    """Return whether the installed torch was built for graphics cards of NVIDIA (or AMD)."""
    import torch

    return torch.version.cuda is not None or torch.version.hip is not None


def _cuda_device(index: int, driver: DriverAnswer) -> DeviceInfo:
    import torch

    facts = torch.cuda.get_device_properties(index)
    capability = "" if torch.version.hip else f"{facts.major}.{facts.minor}"
    problem, remedy = "", ""
    archs = torch.cuda.get_arch_list()
    if capability and not arch_supported((facts.major, facts.minor), archs):
        why = explain("no kernel image is available", facts.name)
        problem = (
            f"{why.problem.rstrip('.')}, whose compute capability is {capability}: it was made for "
            f"{built_for(archs)}."
        )
        remedy = why.remedy
    return DeviceInfo(
        key="cuda",
        name=facts.name,
        memory_mb=int(facts.total_memory) // MIB,
        is_usable=not problem,
        problem=problem,
        remedy=remedy,
        index=index,
        capability=capability,
        driver=driver.cards[0].driver if driver.cards else "",
    )


def built_for(arch_list: list[str]) -> str:
    """Return the compute capabilities that a build has code for: ``7.5, 8.0 and 9.0``."""
    found = []
    for arch in arch_list:
        digits = arch.partition("_")[2].rstrip("abcdefghijklmnopqrstuvwxyz")
        if digits.isdecimal() and len(digits) > 1:
            found.append((int(digits[:-1]), int(digits[-1])))
    texts = [f"{major}.{minor}" for major, minor in sorted(set(found))]
    if len(texts) < 2:
        return "".join(texts) or "no card"
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


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


def _why_unusable(card: Card, driver: DriverAnswer) -> Explanation:
    """Return why torch doesn't see a card: its build, the driver, a setting, or as it says."""
    import torch

    if not has_gpu_build():
        return explain("torch not compiled with CUDA enabled", card.name)
    if driver.error == "timed out":
        return explain_end(None, card.name, is_gpu=True)
    if driver.error and (why := explain(driver.error, card.name)).kind != "unknown":
        return why
    why = explain(_cuda_start_error(), card.name, needs_cuda=torch.version.cuda or "")
    if why.kind not in ("unknown", "no_device", "busy", "no_driver"):
        return why
    setting = explain_setting(
        card.name,
        compute_mode=card.compute_mode,
        mig_mode=card.mig_mode,
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )
    return setting or why


def _cuda_start_error() -> str:
    import torch

    try:
        torch.zeros(1, device="cuda")
    except (RuntimeError, AssertionError) as error:
        return str(error)
    return ""
