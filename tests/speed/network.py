"""Images per second of EfficientNet-Lite0 at 224 pixels: plain fp32 beside what runs use.

``python -m tests.speed.network``. Both are timed in turns within one process, so that the ratio
holds on a busy machine too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from engine.contract.config import AugmentationConfig, RuntimeConfig
from engine.data.transforms import Augment, pixels_to_batch
from engine.hardware import Runtime, apply_runtime, autocast, resolve_runtime
from engine.models.registry import build_network
from tests.speed.machine import describe_machine

_TRAIN_BATCH, _INFER_BATCH, _ROUNDS = 16, 32, 8


def main() -> None:
    """Print the best of several rounds of each, and the ratios."""
    print(describe_machine())
    auto = resolve_runtime(RuntimeConfig())
    plain = Runtime(precision="fp32", threads=auto.threads, channels_last=False)
    apply_runtime(auto)
    print(f"runs use {auto.precision}, {auto.threads} threads, channels-last")
    for name, make, batch in (("infer", _infer, _INFER_BATCH), ("train", _train, _TRAIN_BATCH)):
        fast, slow = make(auto), make(plain)
        times = [(_seconds(fast), _seconds(slow)) for _ in range(_ROUNDS)]
        best_fast, best_slow = (min(column) for column in zip(*times, strict=True))
        print(
            f"{name}: {batch / best_fast:.0f} images/s, plain fp32 {batch / best_slow:.0f}, "
            f"ratio {best_slow / best_fast:.2f}"
        )


def _pixels(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (n, 224, 224), dtype=np.uint8)


def _infer(runtime: Runtime) -> Callable[[], None]:
    network = build_network("efficientnet_lite0", 2)
    network.channels_last = runtime.channels_last
    network.to(memory_format=_layout(runtime))
    pixels = _pixels(_INFER_BATCH)

    def step() -> None:
        with torch.inference_mode(), autocast(runtime):
            network(pixels_to_batch(pixels))

    return step


def _train(runtime: Runtime) -> Callable[[], None]:
    network = build_network("efficientnet_lite0", 2).train()
    network.channels_last = runtime.channels_last
    network.to(memory_format=_layout(runtime))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)
    augment, generator = Augment(AugmentationConfig()), torch.Generator().manual_seed(0)
    pixels, labels = _pixels(_TRAIN_BATCH), torch.arange(_TRAIN_BATCH) % 2

    def step() -> None:
        optimizer.zero_grad()
        with autocast(runtime):
            logits = network(augment(pixels_to_batch(pixels), generator))
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return step


def _layout(runtime: Runtime) -> torch.memory_format:
    return torch.channels_last if runtime.channels_last else torch.contiguous_format


def _seconds(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
