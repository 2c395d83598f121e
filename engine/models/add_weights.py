"""Weights from a file or a folder: recognised, checked, shown, and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.contract.backbones import UNKNOWN_LICENCE, WEIGHTS_ENDINGS, is_noncommercial
from engine.contract.errors import EngineError, WeightsError
from engine.files import long_path
from engine.models.adapt import find_card, tensor_plan
from engine.models.recognise import Match, intensities, misfit, recognise
from engine.models.weights import MADE, keep_weights
from engine.models.weights_facts import share_words
from engine.models.weights_file import read_file, read_tensors
from engine.models.weights_origin import Origin, origin_of

_MOST_NAMES: Final = 12  # of tensors that don't fit, in a report
_IMAGENET_CLASSES: Final = 1000
_UNTOLD: Final = "the file does not say"


@dataclass(frozen=True, slots=True)
class _Found:
    """A weights file that fits a backbone, at least in part.

    Attributes:
        sha256: Of the whole file.
    """

    sha256: str
    origin: Origin
    match: Match


def add_weights(
    file: Path, backbone: str | None = None, *, allow_partial: bool = False
) -> dict[str, Any]:
    """Recognise a weights file, check it and keep a copy for its backbone.

    Args:
        file: A safetensors, ``.pth``, ``.pt``, ``.ckpt`` or ``.npz`` file; it is not changed.
        backbone: Key of the backbone that it must fit; None finds out.
        allow_partial: Whether tensors may be missing or have other shapes; those layers then start
            from random weights.

    Returns:
        The report of :func:`check_weights`, with the ``id`` for ``BackboneConfig.weights`` and the
        ``digest`` of the copy.

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If the file isn't there, is damaged, holds code, or fits no backbone.
        StorageError: If the disk is full or read-only.
    """
    found = _examine(file, backbone)
    if not (found.match.fits or allow_partial):
        raise misfit(found.match, is_chosen=backbone is not None)
    return _keep(found)


def check_weights(file: Path, backbone: str | None = None) -> dict[str, Any]:
    """Say how a weights file would fit, and keep nothing.

    Returns:
        ``backbone``, ``name`` of the file, ``fits`` (wholly, or only with ``allow_partial``),
        ``share`` of the body's parameters that fit, ``n_tensors``, ``n_wanted``, ``missing``,
        ``misfits`` and ``strangers`` (numbers of tensors), ``examples`` (some of their names, with
        the shape wanted), ``warnings``, ``licence``, ``pretrained_on``, ``mean``, ``std``,
        ``kind``.

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If :func:`add_weights` would refuse the file with ``allow_partial`` too.
        StorageError: If it can't be read.
    """
    return _report(_examine(file, backbone))


def add_folder(
    folder: Path,
    *,
    allow_partial: bool = False,
    check_only: bool = False,
    safe_point: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Add every weights file in a folder and the folders below it that fits a backbone.

    Args:
        folder: Where to look; nothing in it is changed.
        allow_partial: As for :func:`add_weights`.
        check_only: Keep nothing, as :func:`check_weights`.
        safe_point: Called before each file; may raise to end the job.

    Returns:
        Lists with an entry a file, each with its ``file`` (below the folder, with slashes):
        ``added``, reports as :func:`add_weights` gives them; ``partial``, reports of
        :func:`check_weights` on those that fit in part and were not kept; ``refused``, with
        ``message`` and ``remedy``. With ``check_only``, ``added`` holds what would be kept.

    Raises:
        WeightsError: If there is no weights file.
    """
    files = sorted(p for p in long_path(folder).rglob("*") if p.suffix.lower() in WEIGHTS_ENDINGS)
    if not files:
        raise WeightsError(
            "There is no weights file in this folder.",
            remedy=f"Choose a folder that holds files ending in {', '.join(WEIGHTS_ENDINGS)}.",
        )
    result: dict[str, Any] = {"added": [], "partial": [], "refused": []}
    for file in files:
        safe_point()
        place = {"file": file.relative_to(long_path(folder)).as_posix()}
        try:
            found = _examine(file, None)
            is_taken = found.match.fits or allow_partial
            report = _keep(found) if is_taken and not check_only else _report(found)
        except EngineError as error:
            result["refused"].append({**place, "message": error.message, "remedy": error.remedy})
        else:
            result["added" if is_taken else "partial"].append({**place, **report})
    return result


def _examine(file: Path, backbone: str | None) -> _Found:
    """Read a file and find its backbone; raises as :func:`check_weights`."""
    if backbone is not None:
        find_card(backbone)
    content = read_file(file)
    tensors = read_tensors(content)
    origin = origin_of(file, content, tensors)
    match = recognise(tensors, backbone or origin.backbone, allow_partial=True)
    return _Found(hashlib.sha256(content).hexdigest(), origin, match)


def _keep(found: _Found) -> dict[str, Any]:
    match, origin = found.match, found.origin
    mean, std = _intensities(match, origin)
    added = keep_weights(
        find_card(match.key),
        match.tensors,
        name=origin.name,
        kind=origin.kind,
        licence=origin.licence,
        pretrained_on=_pretrained_on(match, origin),
        mean=mean,
        std=std,
        is_whole=match.fits,
        warnings=_warnings(match, origin),
        source_sha256=origin.sha256 or found.sha256,
        is_noted=origin.kind != MADE,
    )
    return {**_report(found), "id": added.id, "digest": added.digest}


def _report(found: _Found) -> dict[str, Any]:
    match, origin = found.match, found.origin
    plan = tensor_plan(match.key)
    mean, std = _intensities(match, origin)
    examples = [
        {"name": name, "problem": problem, "wanted": list(plan.body.get(name, ()))}
        for names, problem in (
            (match.missing, "missing"),
            (match.misfits, "another shape"),
            (match.strangers, "another layer"),
        )
        for name in names[:_MOST_NAMES]
    ]
    return {
        "backbone": match.key,
        "name": origin.name,
        "kind": origin.kind,
        "fits": match.fits,
        "share": round(match.share, 4),
        "n_tensors": len(match.tensors),
        "n_wanted": len(plan.body),
        "missing": len(match.missing),
        "misfits": len(match.misfits),
        "strangers": len(match.strangers),
        "examples": examples,
        "warnings": list(_warnings(match, origin)),
        "licence": origin.licence,
        "pretrained_on": _pretrained_on(match, origin),
        "mean": list(mean),
        "std": list(std),
    }


def _warnings(match: Match, origin: Origin) -> tuple[str, ...]:
    """Return what was changed to make tensors fit, and what is left random, in sentences."""
    if origin.warnings is not None:  # nothing is left to change in a copy that was kept
        return origin.warnings
    card = find_card(match.key)
    title, found = card.title, list(match.notes)
    if origin.licence == UNKNOWN_LICENCE and is_noncommercial(card.licence):
        found.append(
            f"The file doesn't tell its licence. If it is the library's own, {title} is for "
            "non-commercial use only."
        )
    if match.missing or match.misfits:
        found.append(
            f"Only {share_words(match.share)} of {title}'s weights are in the file; the rest "
            "starts from random ones."
        )
    if match.strangers:
        found.append(
            f"The file holds layers that {title} doesn't have, such as {match.strangers[0]}: it "
            "is another network's."
        )
    return tuple(found)


def _intensities(
    match: Match, origin: Origin
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    mean, std = intensities(match)
    return origin.mean or mean, origin.std or std


def _pretrained_on(match: Match, origin: Origin) -> str:
    """Return what weights have seen; a guess from the shape of a file is called one."""
    seen = _seen(match, origin)
    if origin.warnings is None and (match.missing or match.misfits):
        return f"{seen} ({share_words(match.share)} of its weights, the rest random)"
    return seen


def _seen(match: Match, origin: Origin) -> str:
    if origin.pretrained_on:
        return origin.pretrained_on
    if match.is_xray_vision:
        seen = "chest X-rays (TorchXRayVision)"
        return seen if match.knows_xray_vision else f"probably {seen}; {_UNTOLD}"
    if match.n_outputs == _IMAGENET_CLASSES:
        return f"probably ImageNet-1k; {_UNTOLD}"
    if match.n_outputs is not None:
        return f"something with {match.n_outputs:,} outputs; {_UNTOLD} what"
    return f"{_UNTOLD} what"
