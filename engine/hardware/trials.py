"""Small computations that show whether a device works: each compares with float64 on the processor.

They run in a process of their own, see :mod:`engine.hardware.preflight`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from engine.contract.device_checks import (
    BF16,
    BUILD,
    CONVOLUTION,
    FAILED,
    FP16,
    MEMORY,
    OPERATIONS,
    PASSED,
    SKIPPED,
    START,
    WARNED,
    DeviceCheck,
)
from engine.hardware.devices import MIB, arch_supported, built_for
from engine.hardware.explain import explain
from engine.hardware.nvidia import ask_programs

if TYPE_CHECKING:
    import torch
    from torch import Tensor

LEAST_FREE_MB: Final = 1024
"""With less memory a run needs a very small batch."""
_MOST_TRIED_MB: Final = 512
_TOLERANCE: Final = {"float32": 5e-3, "bfloat16": 6e-2, "float16": 3e-2}
"""Largest error as a share of the largest value. TF32, which cards use in convolutions, has 10 bits
after the point as float16 has, bfloat16 has 7; sums of products lose some more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a trial found."""

    state: str = PASSED
    detail: str = ""
    problem: str = ""
    remedy: str = ""


def checks_of(device: str) -> tuple[str, ...]:
    """Return the keys of the checks that make sense on a device, in their order."""
    if device == "cpu":
        return (CONVOLUTION, BF16, MEMORY)
    if device == "mps":
        return (START, CONVOLUTION, OPERATIONS, FP16, MEMORY)
    return (START, BUILD, CONVOLUTION, BF16, FP16, OPERATIONS, MEMORY)


def perform(device: str, key: str, name: str) -> DeviceCheck:
    """Make one check; an error of torch is its finding.

    Args:
        device: As torch calls it.
        key: A key of ``CHECK_NAMES``.
        name: Of the device, for sentences.
    """
    import torch

    began = time.perf_counter()
    try:
        found = _TRIALS[key](device, name)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        why = explain(str(error), name, needs_cuda=torch.version.cuda or "")
        if device == "cpu":
            found = Found(state=FAILED, problem=_CPU_PROBLEM, remedy=_CPU_REMEDY)
        else:
            found = Found(state=FAILED, problem=why.problem, remedy=why.remedy)
    return DeviceCheck(
        device=device,
        key=key,
        state=found.state,
        detail=found.detail,
        problem=found.problem,
        remedy=found.remedy,
        seconds=round(time.perf_counter() - began, 3),
    )


_CPU_PROBLEM: Final = "The installed torch can't compute on this processor."
_CPU_REMEDY: Final = "Install torch again; if that doesn't help, test the computer's memory."


def trial_problem(device: str, name: str) -> tuple[str, str] | None:
    """Return why a device can't train right now, found by trying in this process; None if it can.

    Args:
        device: As torch calls it.
        name: Of the device.
    """
    for key in (START, CONVOLUTION):
        check = perform(device, key, name)
        if check.state == FAILED:
            return check.problem, check.remedy
    return None


def _start(device: str, name: str) -> Found:
    import torch

    total = (torch.ones(3, device=device) + torch.arange(3.0, device=device)).sum()
    if float(total) != 6.0:
        return _wrong(name, "adding")
    return Found(detail="answers")


def _build(device: str, name: str) -> Found:
    import torch

    if torch.version.hip:
        return Found(state=SKIPPED, detail="a build for AMD cards")
    capability, archs = torch.cuda.get_device_capability(device), torch.cuda.get_arch_list()
    detail = f"compute capability {capability[0]}.{capability[1]}; built for {built_for(archs)}"
    if arch_supported(capability, archs):
        return Found(detail=detail)
    why = explain("no kernel image is available", name)
    return Found(state=FAILED, detail=detail, problem=why.problem, remedy=why.remedy)


def _convolution(device: str, name: str) -> Found:
    import torch

    error = max(_errors(device, torch.float32))
    if not error <= _TOLERANCE["float32"]:  # also for NaN
        return _wrong(name, "in a convolution", error)
    return Found(detail=f"largest error {error:.0e}")


def _bf16(device: str, name: str) -> Found:
    import torch

    if device.startswith("cuda") and not torch.cuda.is_bf16_supported(including_emulation=False):
        return Found(state=SKIPPED, detail="this card has no bfloat16; float16 is used")
    return _mixed(device, name, torch.bfloat16)


def _fp16(device: str, name: str) -> Found:
    import torch

    if device.startswith("cuda") and torch.cuda.get_device_capability(device) < (7, 0):
        return Found(state=SKIPPED, detail="this card is no faster in float16")
    return _mixed(device, name, torch.float16)


def _mixed(device: str, name: str, dtype: torch.dtype) -> Found:
    """Make a training step under autocast, with a scaled loss in float16."""
    import torch

    word = str(dtype).removeprefix("torch.")
    error = max(_errors(device, dtype))
    if not error <= _TOLERANCE[word]:
        return _wrong(name, f"in {word}", error)
    layer = torch.nn.Conv2d(3, 8, 3).to(device)
    before = layer.weight.detach().clone()
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)).to(device)
    with torch.autocast(device.partition(":")[0], dtype=dtype):
        loss = layer(images).float().square().mean()
    if dtype is torch.float16:  # small gradients vanish in it unless the loss is scaled
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.01)
        scaler = torch.amp.GradScaler(device.partition(":")[0])
        scaler.scale(loss).backward()
        scaler.step(optimizer)
    else:
        loss.backward()
        with torch.no_grad():
            for parameter in layer.parameters():
                assert parameter.grad is not None
                parameter.sub_(parameter.grad, alpha=0.01)
    after = layer.weight.detach()
    if not bool(torch.isfinite(after).all()) or bool((after == before).all()):
        return _wrong(name, f"in a training step in {word}")
    return Found(detail=f"largest error {error:.0e}")


def _errors(device: str, dtype: torch.dtype) -> list[float]:
    """Return how far outputs and gradients are from float64, as shares of the largest value."""
    import torch

    exact = _outputs("cpu", torch.float64, autocast=None)
    kind = device.partition(":")[0]
    is_mixed = dtype is not torch.float32
    own = _outputs(device, torch.float32, autocast=(kind, dtype) if is_mixed else None)
    return [
        float((ours.cpu().double() - theirs).abs().max() / theirs.abs().max())
        for ours, theirs in zip(own, exact, strict=True)
    ]


def _outputs(
    device: str, dtype: torch.dtype, *, autocast: tuple[str, torch.dtype] | None
) -> list[Tensor]:
    """Return what a small network puts out, and the gradients of its weights."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, depthwise = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, groups=16)
        last = nn.Conv2d(16, 8, 1)
        images = torch.rand(4, 3, 32, 32)
    layers = [layer.to(device=device, dtype=dtype) for layer in (first, depthwise, last)]
    images = images.to(device=device, dtype=dtype)
    context = torch.autocast(*autocast) if autocast else torch.autocast("cpu", enabled=False)
    with context:
        out = F.silu(layers[0](images))
        out = F.silu(layers[1](out))
        out = layers[2](out)
    out.to(dtype).square().mean().backward()
    gradients = [layer.weight.grad for layer in layers]
    return [out.detach(), *(g.detach() for g in gradients if g is not None)]


def _operations(device: str, name: str) -> Found:
    """Do to images what augmentation does, and note what the device leaves to the processor."""
    import torch
    from torch.nn import functional as F

    def work(where: str) -> Tensor:
        images = torch.linspace(0, 1, 2 * 16 * 16).reshape(2, 1, 16, 16).to(where)
        turn = torch.tensor([[[0.9, -0.1, 0.05], [0.1, 0.9, 0.0]]] * 2).to(where)
        grid = F.affine_grid(turn, [2, 1, 16, 16], align_corners=False)
        moved = F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
        resized = F.interpolate(moved, size=(24, 24), mode="bicubic", antialias=False)
        pooled = F.adaptive_avg_pool2d(resized.clamp(0, 1).pow(0.8), 6)
        return torch.softmax(pooled.flatten(1), dim=1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        own = work(device).cpu()
    if not bool(torch.allclose(own, work("cpu"), atol=1e-3)):
        return _wrong(name, "while images were moved")
    if missing := [w for w in caught if "fall back" in str(w.message)]:
        return Found(
            state=WARNED,
            detail=f"{len(missing)} of them on the processor",
            problem="This device leaves some operations on images to the processor.",
            remedy="It works, a little slower; a newer torch may do more of them here.",
        )
    return Found(detail="as on the processor")


def _memory(device: str, name: str) -> Found:
    free_mb, total_mb = free_memory(device)
    detail = f"{free_mb:,} of {total_mb:,} MB free"
    if not _can_take(device, min(_MOST_TRIED_MB, free_mb // 2)):
        why = explain("out of memory", name)
        remedy = why.remedy if device != "cpu" else "Close other programs and check again."
        problem = _holders(why.problem, device)
        if device == "cpu":
            problem = "The computer has too little free memory."
        return Found(state=FAILED, detail=detail, problem=problem, remedy=remedy)
    if free_mb < LEAST_FREE_MB:
        problem = f"Only {free_mb:,} of {total_mb:,} MB are free."
        return Found(
            state=WARNED,
            detail=detail,
            problem=_holders(problem, device),
            remedy="Close other programs, or training will use a very small batch.",
        )
    return Found(detail=detail)


def free_memory(device: str) -> tuple[int, int]:
    """Return how much memory a device has free, and in all, in MiB."""
    import psutil
    import torch

    if device.startswith("cuda"):
        free, total = torch.cuda.mem_get_info(device)
    elif device == "mps":
        total = torch.mps.recommended_max_memory()
        free = min(total - torch.mps.driver_allocated_memory(), psutil.virtual_memory().available)
    else:
        memory = psutil.virtual_memory()
        free, total = memory.available, memory.total
    return int(free) // MIB, int(total) // MIB


def _can_take(device: str, megabytes: int) -> bool:
    """Take some memory, write to it, and give it back."""
    import torch

    try:
        block = torch.empty(megabytes * MIB, dtype=torch.uint8, device=device)
        block.fill_(7)
        is_right = int(block[-1]) == 7 if megabytes else True
    except (RuntimeError, MemoryError):
        return False
    return is_right


def _holders(problem: str, device: str) -> str:
    """Add which programs hold memory of a graphics card, where the driver says so."""
    if not device.startswith("cuda"):
        return problem
    programs = [p for p in ask_programs() if p.used_mb > 0][:3]
    if not programs:
        return problem
    names = ", ".join(f"{program.name} ({program.used_mb:,} MB)" for program in programs)
    return f"{problem.rstrip('.')}: {names}."


def _wrong(name: str, where: str, error: float | None = None) -> Found:
    return Found(
        state=FAILED,
        detail="" if error is None else f"largest error {error:.0e}",
        problem=f"{name} computes wrong results {where}.",
        remedy="Don't train on it: update its driver and torch; if that doesn't help, it is "
        "faulty.",
    )


_TRIALS: Final[dict[str, Callable[[str, str], Found]]] = {
    START: _start,
    BUILD: _build,
    CONVOLUTION: _convolution,
    BF16: _bf16,
    FP16: _fp16,
    OPERATIONS: _operations,
    MEMORY: _memory,
}
