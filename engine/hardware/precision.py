"""Whether bfloat16 pays on this processor, found by a short measurement that is remembered."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.contract.errors import StorageError
from engine.files import write_json
from engine.hardware.devices import cpu_name
from engine.hardware.threads import keep_freed_memory

if TYPE_CHECKING:
    import torch

REQUIRED_GAIN: Final = 1.15
"""bfloat16 is chosen on a processor from this speed-up on; below it, exact arithmetic wins."""
_BUDGET_S: Final = 1.0
# A thread's own time doesn't run while others hold the core; Windows counts it in 16 ms steps.
_clock: Final = time.perf_counter if sys.platform == "win32" else time.thread_time


def auto_precision(device: str, cache: Path | None = None) -> str:
    """Return the precision that is fastest without harm on a device.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
        cache: JSON file of earlier measurements; None takes the user's own.
    """
    import torch

    if device == "mps":
        return "fp32"
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16"
        return "fp16" if torch.cuda.get_device_capability() >= (7, 0) else "fp32"
    return "bf16" if _remembered_gain(cache or _cache_file()) >= REQUIRED_GAIN else "fp32"


def _remembered_gain(cache: Path) -> float:
    import torch

    key = f"{cpu_name()} | {torch.backends.cpu.get_cpu_capability()}"
    key += f" | torch {torch.__version__}"
    known = _read_cache(cache)
    gain = known.get(key)
    if not isinstance(gain, int | float) or isinstance(gain, bool) or not gain > 0:
        gain = measure_bf16().gain
        known[key] = round(gain, 3)
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            write_json(cache, known)
        except (OSError, StorageError):  # a read-only home: measure again next time
            pass
    return float(gain)


def _cache_file() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("RadTune", appauthor=False)) / "precision.json"


def _read_cache(cache: Path) -> dict[str, Any]:
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent or damaged
        return {}
    return known if isinstance(known, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionMeasurement:
    """Fastest training step of a small network in each precision, in seconds."""

    fp32_s: float
    bf16_s: float
    repeats: int

    @property
    def gain(self) -> float:
        """How many times faster bfloat16 is."""
        return self.fp32_s / self.bf16_s


def measure_bf16() -> PrecisionMeasurement:
    """Time a training step of inverted residual blocks in fp32 and in bfloat16, in under 2 s.

    Both precisions take turns on one thread, its own time is counted, and the fastest step of each
    is compared, so a busy machine changes the result little. (Several threads would wait for each
    other whenever another program holds a core.)
    """
    import torch

    keep_freed_memory()  # as in a run; fetching memory anew would cost fp32 twice as much
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            return _measure_alternately()
    finally:
        torch.set_num_threads(before)


def _measure_alternately() -> PrecisionMeasurement:
    start = time.perf_counter()
    step = _probe_step()
    fp32_s = bf16_s = float("inf")
    repeats = 0
    while repeats < 2 or time.perf_counter() - start < _BUDGET_S:
        fp32_s, bf16_s = min(fp32_s, step(False)), min(bf16_s, step(True))
        repeats += 1
    return PrecisionMeasurement(fp32_s=fp32_s, bf16_s=bf16_s, repeats=repeats)


def _probe_step() -> Callable[[bool], float]:
    import torch

    network = _probe_network()
    images = torch.rand(4, 24, 48, 48).contiguous(memory_format=torch.channels_last)

    def step(in_bf16: bool) -> float:
        began = _clock()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=in_bf16):
            loss = network(images).float().square().mean()
        loss.backward()
        return _clock() - began

    return step


def _probe_network() -> torch.nn.Module:
    import torch
    from torch import nn

    def block(width: int) -> list[nn.Module]:
        return [
            nn.Conv2d(24, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU6(),
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU6(),
            nn.Conv2d(width, 24, 1, bias=False),
            nn.BatchNorm2d(24),
        ]

    return nn.Sequential(*block(96), *block(96)).to(memory_format=torch.channels_last)
