"""What to say when memory doesn't suffice; for a single image, which size or backbone would do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from engine.contract.backbones import BACKBONES, BackboneCard, backbone_card
from engine.contract.config import ExperimentConfig
from engine.contract.errors import EngineError, RunError
from engine.hardware import Runtime
from engine.hardware.out_of_memory import SingleItemError, is_out_of_memory, release_memory
from engine.models.registry import build_network
from engine.models.weights import weights_state
from engine.trainer.memory_need import bytes_per_image

_SIZES_PX: Final = (768, 512, 448, 384, 320, 256, 224, 192, 160, 128, 112, 96, 64, 32)
_WOULD_DO: Final = 0.6  # of the memory of an image that didn't fit


@contextlib.contextmanager
def explaining_memory(config: ExperimentConfig, runtime: Runtime) -> Iterator[None]:
    """Let memory that doesn't suffice end in what a user can do about it.

    Raises:
        RunError: Naming a smaller image size and a smaller backbone if not even one image fits.
    """
    try:
        yield
        return
    except Exception as error:
        if isinstance(error, EngineError) or not is_out_of_memory(error):
            raise
        is_image = isinstance(error, SingleItemError)
    # Out here the error is gone, and all that was computed with it.
    release_memory()
    raise too_large(config, runtime) if is_image else ran_short(runtime)


def ran_short(runtime: Runtime) -> RunError:
    """Return the error of memory that ran short elsewhere than in computing one image."""
    return RunError(
        f"{_whose(runtime)} memory ran short.",
        remedy="Close other programs that use it, then continue: what was saved is kept.",
    )


def _whose(runtime: Runtime) -> str:
    return "The computer's" if runtime.device == "cpu" else "The graphics card's"


def too_large(config: ExperimentConfig, runtime: Runtime) -> RunError:
    """Return the error of a setup of which not even one image fits into memory."""
    card = backbone_card(config.backbone.key)
    size_px, title = config.image.size_px, config.backbone.key if card is None else card.title
    advice = []
    if (smaller := smaller_size(size_px, 1 if card is None else card.size_step_px)) is not None:
        advice.append(f"images of {smaller} px")
    if (other := _other_backbone(card, config)) is not None:
        advice.append(f"the backbone {other.title}")
    choose = f"choose {' or '.join(advice)}" if advice else "use a computer with more memory"
    whose = _whose(runtime)
    return RunError(
        f"{whose} memory doesn't suffice for a single image of {size_px} px with {title}.",
        remedy=f"Close other programs that use it, or {choose}.",
    )


def _other_backbone(card: BackboneCard | None, config: ExperimentConfig) -> BackboneCard | None:
    """Return a smaller backbone; none if there isn't even memory to look for one."""
    try:
        return None if card is None else smaller_backbone(card, config)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None


def smaller_size(size_px: int, step_px: int) -> int | None:
    """Return the largest usual side whose images need no more than six tenths of the memory."""
    return next(
        (px for px in _SIZES_PX if px**2 <= _WOULD_DO * size_px**2 and px % step_px == 0), None
    )


def smaller_backbone(card: BackboneCard, config: ExperimentConfig) -> BackboneCard | None:
    """Return the backbone with most parameters, of those with fewer, that needs clearly less.

    Only backbones that have weights on this computer and take images of the same size count.
    """
    enough = _WOULD_DO * _need(card.key, config)
    fewer = [c for c in BACKBONES if c.n_parameters < card.n_parameters]
    for other in sorted(fewer, key=lambda c: -c.n_parameters):
        takes_size = config.image.size_px % other.size_step_px == 0
        is_here = weights_state(other.key) != "missing"
        if takes_size and is_here and _need(other.key, config) <= enough:
            return other
    return None


def _need(key: str, config: ExperimentConfig) -> int:
    network = build_network(key, 2, weights="scratch", features="last").train()
    image = config.image
    return bytes_per_image(network, image.size_px, channels=image.channels, precision="fp32")
