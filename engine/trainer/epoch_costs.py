"""What learning from an image costs in each epoch, where layers are opened one after another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from engine.contract.config import ExperimentConfig
from engine.hardware import Runtime, autocast
from engine.hardware.out_of_memory import unless_short
from engine.methods.method import FineTuneMethod
from engine.models.network import Network

_BACKWARD: Final = 2.0
"""A layer's gradients cost so many times its forward pass: those of its weights and its input.

Whole steps with 16 images took within 0.12 of what follows from this, as a share of one with all
layers open (EfficientNet-Lite0, ResNet-18, ViT-Tiny at 128 px on a processor).
"""
_N_TIMED: Final = 8
_FEWEST, _MOST, _ENOUGH_S = 3, 20, 0.5  # passes, and the time for more than the fewest


def epoch_costs(
    network: Network,
    method: FineTuneMethod,
    config: ExperimentConfig,
    runtime: Runtime,
    *,
    micro_batch: int,
) -> tuple[float, ...]:
    """Return each epoch's cost as a share of the last one's.

    To be called before an epoch begins: the network is left as in its last one. Nothing random is
    drawn.

    Args:
        network: What is trained.
        method: Opens its layers.
        config: The settings.
        runtime: Device, precision and memory layout.
        micro_batch: Most images that are computed at once.

    Returns:
        One share an epoch; empty where all are alike, or memory doesn't suffice to measure them.
    """
    if type(method).begin_epoch is FineTuneMethod.begin_epoch:
        return ()
    is_open = []
    for epoch in range(1, config.method.max_epochs + 1):
        method.begin_epoch(network, epoch, config)
        is_open.append(_open_stages(network))
    if all(opened == is_open[0] for opened in is_open):
        return ()
    n, size_px = min(_N_TIMED, micro_batch), config.image.size_px
    seconds = unless_short(lambda: stage_seconds(network, n, size_px, runtime))
    return () if seconds is None else costs_of(seconds, is_open)


def costs_of(seconds: Sequence[float], is_open: Sequence[Sequence[bool]]) -> tuple[float, ...]:
    """Return each epoch's cost as a share of the last one's.

    Args:
        seconds: Of a forward pass, by stage.
        is_open: For each epoch, which stages are trained.
    """
    costs = [
        sum(
            second * (1 + _BACKWARD * is_one)
            for second, is_one in zip(seconds, opened, strict=True)
        )
        for opened in is_open
    ]
    return tuple(cost / costs[-1] for cost in costs)


def _open_stages(network: Network) -> tuple[bool, ...]:
    return tuple(
        any(parameter.requires_grad for module in stage for parameter in module.parameters())
        for stage in network.stages
    )


def stage_seconds(
    network: Network, n_images: int, size_px: int, runtime: Runtime
) -> tuple[float, ...]:
    """Return what a forward pass of some images takes in each stage of a network's body.

    The least of several passes: the first prepares what later ones find, and other programs may
    take the processor in the midst of one.
    """
    images = torch.zeros(n_images, 3, size_px, size_px, device=runtime.device)
    images = images.contiguous(memory_format=torch.channels_last)
    network.eval()  # each epoch sets its own mode when it begins
    began = time.perf_counter()
    with torch.inference_mode(), autocast(runtime):
        passes = [_timed_pass(network, images)]
        while len(passes) < _FEWEST or (
            len(passes) < _MOST and time.perf_counter() - began < _ENOUGH_S
        ):
            passes.append(_timed_pass(network, images))
    return tuple(min(seconds) for seconds in zip(*passes, strict=True))


def _timed_pass(network: Network, x: Tensor) -> list[float]:
    seconds = []
    for names in network.body.layout.stages:
        began = time.perf_counter()
        for name in names:
            x = network.body.step(name, x)
        _wait_for(x.device)
        seconds.append(time.perf_counter() - began)
    return seconds


def _wait_for(device: torch.device) -> None:
    """Wait until a device has computed what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
