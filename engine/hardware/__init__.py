"""Where a run computes: device, precision, threads.

``auto`` is resolved once, before a run starts, and written into its recipe. Whether bfloat16 pays
on a processor is measured, not looked up: the same instruction set gains threefold on one
generation and loses on another.
"""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from engine.contract.config import RuntimeConfig
from engine.contract.config_io import to_plain
from engine.contract.errors import ConfigError
from engine.hardware.devices import MIB, list_devices
from engine.hardware.precision import auto_precision
from engine.hardware.threads import default_threads, keep_freed_memory

_LIBRARIES: Final = ("torch", "torchvision", "timm", "numpy", "scikit-learn", "pydicom")


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


def resolve_runtime(config: RuntimeConfig, *, cache: Path | None = None) -> Runtime:
    """Return what ``config`` means on this machine.

    The first call on a processor may measure for up to 2 s; the answer is kept for later ones.

    Args:
        config: The wish.
        cache: JSON file with earlier measurements instead of the user's own.

    Raises:
        ConfigError: If the wanted device or precision can't be had here.
    """
    device = _resolve_device(config.device)
    threads = config.threads or default_threads()
    precision = config.precision
    if precision == "auto":
        precision = auto_precision(device, cache)
    elif precision == "fp16" and device == "cpu":
        raise ConfigError(
            "16-bit floating point (fp16) needs a graphics card.",
            remedy="Choose automatic precision, or bf16.",
        )
    return Runtime(
        device=device, precision=precision, threads=threads, channels_last=device != "mps"
    )


def apply_runtime(runtime: Runtime) -> None:
    """Set the process's thread count, and make GPU kernels give the same bits every time."""
    import torch

    torch.set_num_threads(runtime.threads)
    if runtime.device == "cpu":
        keep_freed_memory()
    elif runtime.device == "cuda":
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


def describe() -> dict[str, Any]:
    """Return what this machine can do, as plain values for people to read.

    Returns:
        ``devices`` (as :class:`DeviceInfo`), ``device``, ``precision`` and ``threads`` that
        automatic settings mean here, ``memory_mb`` and ``memory_free_mb``, ``torch_has_cuda``,
        ``system`` and ``versions`` by library name.
    """
    import psutil
    import torch

    runtime = resolve_runtime(RuntimeConfig())
    memory = psutil.virtual_memory()
    return {
        "devices": to_plain(list_devices()),
        "device": runtime.device,
        "precision": runtime.precision,
        "threads": runtime.threads,
        "memory_mb": int(memory.total) // MIB,
        "memory_free_mb": int(memory.available) // MIB,
        "torch_has_cuda": torch.version.cuda is not None,
        "system": f"{platform.system()} {platform.release()} ({platform.machine()})",
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _versions() -> dict[str, str]:
    found = {}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue  # a trimmed build without its metadata
    return found


def _resolve_device(wanted: str) -> str:
    devices = list_devices()
    if wanted == "auto":
        usable = {info.key for info in devices if info.is_usable}
        return next((key for key in ("cuda", "mps") if key in usable), "cpu")
    info = next((info for info in devices if info.key == wanted), None)
    if info is None:
        raise ConfigError(
            f"This computer has no device of the kind {wanted}.", remedy="Choose automatic or cpu."
        )
    if not info.is_usable:
        raise ConfigError(info.problem, remedy=info.remedy)
    return wanted
