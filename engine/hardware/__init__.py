"""Where a run computes: device, precision, threads.

``auto`` is resolved once, before a run starts, and written into its recipe. Whether bfloat16 pays
on a processor is measured, not looked up: the same instruction set gains threefold on one
generation and loses on another.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from engine.contract.config import RuntimeConfig
from engine.contract.config_io import to_plain
from engine.contract.devices import DeviceInfo
from engine.contract.errors import ConfigError
from engine.hardware.devices import MIB, has_gpu_build
from engine.hardware.precision import auto_precision
from engine.hardware.preflight import SafePoint, find_devices
from engine.hardware.threads import default_threads, keep_freed_memory
from engine.hardware.trials import trial_problem

_LIBRARIES: Final = "torch torchvision timm numpy scipy scikit-learn pydicom pillow".split()


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Where and how exactly a run computes, with nothing left to choose.

    Attributes:
        device: ``cpu``, ``cuda`` or ``mps``.
        precision: ``fp32``, or the type that autocast uses where it is safe: ``bf16``, ``fp16``
            (gradients then need scaling).
        threads: Processor threads; another count gives other bits.
        channels_last: Whether images lie in memory pixel by pixel, which convolutions prefer.
    """

    device: str = "cpu"
    precision: str = "fp32"
    threads: int = 1
    channels_last: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """Why a run computes on the processor though a graphics card is there, or was wanted."""

    problem: str
    remedy: str


_WANTED: Final = Fallback(
    problem="This computer has no graphics card like the one that the run was made on.",
    remedy="Go on on the other computer, or expect slightly different figures here.",
)


def resolve_runtime(
    config: RuntimeConfig,
    *,
    cache: Path | None = None,
    devices: Sequence[DeviceInfo] | None = None,
) -> Runtime:
    """Return what ``config`` means on this machine.

    The first call on a processor may measure for up to 2 s; the answer is kept for later ones.

    Args:
        config: The wish.
        cache: JSON file with earlier measurements instead of the user's own.
        devices: What there is; None looks.

    Raises:
        ConfigError: If the wanted device or precision can't be had here.
    """
    device = "cpu"
    if config.device != "cpu":
        found = find_devices() if devices is None else devices
        device = _resolve_device(config.device, found)
    threads = config.threads or default_threads()
    precision = config.precision
    if precision == "auto":
        precision = auto_precision(device, cache)
    elif precision == "fp16" and device == "cpu":
        raise ConfigError(
            "16-bit floating point (fp16) needs a graphics card.",
            remedy="Choose the precision auto (automatic), or bf16.",
        )
    return Runtime(
        device=device, precision=precision, threads=threads, channels_last=device != "mps"
    )


def place_run(
    config: RuntimeConfig,
    *,
    earlier: Runtime | None = None,
    gives_way: bool = False,
    cache: Path | None = None,
    safe_point: SafePoint = lambda: None,
) -> tuple[Runtime, Fallback | None]:
    """Return where a run computes, after the device has computed something, and why not elsewhere.

    Args:
        config: The wish.
        earlier: Where the run computed before, or the one that it repeats: kept where it can be.
        gives_way: Whether the precision is that of something made elsewhere, and another is taken
            where it can't be had.
        cache: As of :func:`resolve_runtime`.
        safe_point: Called while a driver is waited for; may raise.

    Returns:
        The runtime; and a :class:`Fallback` where that is the processor and a graphics card would
        have been the choice.

    Raises:
        ConfigError: If the settings name a device or precision that can't be had here.
    """
    if config.device == "cpu" or (earlier is not None and earlier.device == "cpu"):
        return earlier or resolve_runtime(config, cache=cache), None
    devices = find_devices(safe_point=safe_point)
    wanted = config.device if earlier is None else earlier.device
    cards = [info for info in devices if info.key != "cpu"]
    if wanted != "auto":
        cards = [info for info in cards if info.key == wanted]
    best = min(cards, key=lambda info: not info.is_usable, default=None)
    tried = trial_problem(best.id, best.name) if best is not None and best.is_usable else None
    safe_point()
    if best is not None and best.is_usable and tried is None:
        return earlier or resolve_runtime(config, cache=cache, devices=devices), None
    if earlier is None and config.device != "auto":
        resolve_runtime(config, cache=cache, devices=devices)  # says so if there is none
    why = _WANTED if best is None else Fallback(problem=best.problem, remedy=best.remedy)
    if tried is not None:
        why = Fallback(problem=tried[0], remedy=tried[1])
        if earlier is None and config.device != "auto":
            raise ConfigError(why.problem, remedy=why.remedy)
    is_told = best is not None or earlier is not None
    is_replaced = config.precision == "fp16" and (is_told or gives_way)
    precision = "auto" if is_replaced else config.precision  # else it is refused
    on_cpu = replace(config, device="cpu", precision=precision)
    return resolve_runtime(on_cpu, cache=cache), why if is_told else None


def apply_runtime(runtime: Runtime) -> None:
    """Set the process's thread count, and make GPU kernels give the same bits every time."""
    import torch

    torch.set_num_threads(runtime.threads)
    if runtime.device == "cpu":
        keep_freed_memory()
    elif runtime.device == "cuda":
        cards = (info for info in find_devices() if info.key == "cuda" and info.is_usable)
        torch.cuda.set_device(next((info.index for info in cards), 0))
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True


def autocast(runtime: Runtime) -> AbstractContextManager[Any]:
    """Return a context in which layers compute in the runtime's precision where that is safe."""
    import torch

    dtype = torch.float16 if runtime.precision == "fp16" else torch.bfloat16
    return torch.autocast(runtime.device, dtype=dtype, enabled=runtime.precision != "fp32")


def memory_mb(runtime: Runtime) -> float:
    """Return the memory in use, in MiB: of this process on a CPU, of the device on a GPU."""
    import psutil
    import torch

    if runtime.device == "cuda":
        return float(torch.cuda.memory_reserved()) / MIB
    if runtime.device == "mps":
        return float(torch.mps.driver_allocated_memory()) / MIB
    return float(psutil.Process().memory_info().rss) / MIB


def describe(devices: Sequence[DeviceInfo] | None = None) -> dict[str, Any]:
    """Return what this machine can do, as plain values for people to read.

    Args:
        devices: What there is; None looks.

    Returns:
        ``devices`` (as :class:`DeviceInfo`), ``device``, ``precision`` and ``threads`` that
        automatic settings mean here, ``memory_mb`` and ``memory_free_mb``, ``torch_has_cuda``,
        ``system`` and ``versions`` by library name.
    """
    import psutil

    devices = find_devices() if devices is None else devices
    runtime = resolve_runtime(RuntimeConfig(), devices=devices)
    memory = psutil.virtual_memory()
    return {
        "devices": to_plain(tuple(devices)),
        "device": runtime.device,
        "precision": runtime.precision,
        "threads": runtime.threads,
        "memory_mb": int(memory.total) // MIB,
        "memory_free_mb": int(memory.available) // MIB,
        "torch_has_cuda": has_gpu_build(),
        "system": f"{platform.system()} {platform.release()} ({platform.machine()})",
        "versions": library_versions(),
    }


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that a result can depend on."""
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue  # a trimmed build without its metadata
    return found


def _resolve_device(wanted: str, devices: Sequence[DeviceInfo]) -> str:
    if wanted == "auto":
        usable = {info.key for info in devices if info.is_usable}
        return next((key for key in ("cuda", "mps") if key in usable), "cpu")
    info = next((info for info in devices if info.key == wanted), None)
    if info is None:
        raise ConfigError(
            f"This computer has no device of the kind {wanted}.",
            remedy="Choose the device auto (automatic), or cpu.",
        )
    if not info.is_usable:
        raise ConfigError(info.problem, remedy=info.remedy)
    return wanted
