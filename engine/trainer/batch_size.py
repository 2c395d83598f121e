"""How many images are computed at once: found by trial before a run, and remembered.

The batch of the settings is that of an update and stays. Where memory doesn't hold it, it is
computed in parts (``engine.trainer.batch_parts``); this is about the size of the parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import platformdirs
import psutil
import torch

from engine.contract.errors import StorageError
from engine.files import write_json
from engine.hardware import Runtime
from engine.hardware.devices import cpu_name
from engine.hardware.out_of_memory import SingleItemError, is_out_of_memory, release_memory
from engine.models.network import Network
from engine.trainer.memory_need import bytes_per_image, step_bytes
from engine.trainer.update import BatchUpdater, HalfUpdatedError, Setup

_SHARE_OF_FREE: Final = 0.8  # the rest is for validation, other programs and fragments
_SAME_FREE: Final = (0.8, 1.25)  # what was found holds while about as much memory is free
# No backbone of the catalog needs more for an image of 224 px; with as much free nothing is tried.
_MOST_OF_AN_IMAGE: Final = 400 * 2**20
_MOST_BESIDE: Final = 2**30


def largest_that_fits(fits: Callable[[int], bool], most: int) -> int:
    """Return the largest number up to ``most`` that fits; 0 if not even one does.

    Args:
        fits: Whether a number fits; whatever is smaller than one that fits does, too. Asked as
            seldom as can be: once if ``most`` fits.
        most: At least 1.
    """
    too_many, found = most + 1, most
    while found and not fits(found):
        too_many, found = found, found // 2
    while found and too_many - found > 1:
        middle = (found + too_many) // 2
        if fits(middle):
            found = middle
        else:
            too_many = middle
    return found


def find_micro_batch(
    updater: BatchUpdater[Any], network: Network, context: Setup, cache: Path | None = None
) -> int:
    """Return how many images of a batch can be computed at once.

    A graphics card tries whole updates on a copy; a processor, where memory is virtual and trying
    would slow the computer down, compares what a step needs with what is free. What was found on a
    device is taken again while about as much memory is free as then.

    Args:
        updater: Not used for an update yet.
        network: That of the updater, in training mode.
        context: Settings and runtime.
        cache: JSON file of what was found; None takes the user's own.

    Raises:
        SingleItemError: If not even one image fits.
    """
    most = updater.n_images
    free = free_memory(context.runtime)
    if context.runtime.device == "cpu" and free >= _generous(context, most):
        return most
    cache = cache or _cache_file()
    known = _remembered(cache, setup_key(context), most, free)
    if known is not None:
        return known
    if context.runtime.device == "cpu":
        fits = _fits_free(network, context, free)
    else:
        fits = _fits_device(updater)
    found = largest_that_fits(fits, most)
    if found == 0:
        raise SingleItemError("not even one image fits")
    remember_micro_batch(context, fits=found, tried=most, cache=cache)
    return found


def _generous(context: Setup, n_images: int) -> float:
    """Return the free memory with which no backbone can run out of it."""
    pixels = (context.config.image.size_px / 224) ** 2
    return _MOST_BESIDE + n_images * _MOST_OF_AN_IMAGE * pixels


def _fits_free(network: Network, context: Setup, free: int) -> Callable[[int], bool]:
    image = context.config.image
    per_image = bytes_per_image(
        network,
        image.size_px,
        channels=image.channels,
        precision=context.runtime.precision,
    )
    return lambda n: step_bytes(network, per_image, n) <= _SHARE_OF_FREE * free


def _fits_device(updater: BatchUpdater[Any]) -> Callable[[int], bool]:
    def fits(n: int) -> bool:
        survived = _survives(updater, n)
        release_memory()
        return survived

    return fits


def _survives(updater: BatchUpdater[Any], n: int) -> bool:
    """Return whether a copy makes two updates with so many images that are computed at once.

    The optimizer takes its memory in the first.
    """
    try:
        copied = updater.copied()
        for _ in range(2):
            copied.gradients(updater.example(n), seed=0, lr_share=1.0, micro_batch=n)
            copied.apply()
    except HalfUpdatedError:
        return False
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def free_memory(runtime: Runtime) -> int:
    """Return how many bytes a runtime's device could still give to this process."""
    if runtime.device == "cuda":
        unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(torch.cuda.mem_get_info()[0] + unused)
    if runtime.device == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return int(psutil.virtual_memory().available)


def setup_key(context: Setup) -> str:
    """Return what the memory of an image depends on, in one line."""
    config, device = context.config, context.runtime.device
    name = torch.cuda.get_device_name() if device == "cuda" else f"{device} {cpu_name()}"
    return " | ".join(
        (
            name,
            config.backbone.key,
            f"{config.image.size_px} px x {config.image.channels}",
            context.runtime.precision,
            f"{config.method.key}, {config.method.frozen_stages} frozen",
        )
    )


def remember_micro_batch(
    context: Setup, *, fits: int, tried: int, cache: Path | None = None
) -> None:
    """Remember a number of images that fits while as much memory is free as now.

    Args:
        context: Which setup it is.
        fits: What fits.
        tried: What was hoped for; more than ``fits`` if that didn't fit.
        cache: JSON file; None takes the user's own.
    """
    cache = cache or _cache_file()
    known = _read(cache)
    free = free_memory(context.runtime)
    known[setup_key(context)] = {"fits": fits, "tried": tried, "free_bytes": free}
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_json(cache, known)
    except (OSError, StorageError):  # a read-only home: find it again next time
        pass


def _remembered(cache: Path, key: str, most: int, free: int) -> int | None:
    try:
        found = _read(cache)[key]
        fits, tried, then = (int(found[name]) for name in ("fits", "tried", "free_bytes"))
    except (KeyError, TypeError, ValueError):
        return None
    low, high = _SAME_FREE
    if fits < 1 or not low * then <= free <= high * then or fits == tried < most:
        return None
    return min(fits, most)


def _cache_file() -> Path:
    return Path(platformdirs.user_cache_dir("RadTune", appauthor=False)) / "batch_sizes.json"


def _read(cache: Path) -> dict[str, Any]:
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent or damaged
        return {}
    return known if isinstance(known, dict) else {}
