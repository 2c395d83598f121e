"""Weights from a file or a folder: recognised, checked, shown, and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from engine.contract.errors import EngineError, WeightsError
from engine.files import long_path
from engine.models.adapt import find_card, tensor_plan
from engine.models.recognise import LEAST_SHARE, Match, best_match, intensities, misfit, recognise
from engine.models.weights import keep_weights
from engine.models.weights_file import ENDINGS, read_file, read_tensors
from engine.models.weights_origin import Origin, origin_of

_MOST_NAMES: Final = 12  # of tensors that don't fit, in a report


def add_weights(
    file: Path, backbone: str | None = None, *, allow_partial: bool = False
) -> dict[str, Any]:
    """Recognise a weights file, check it and keep a copy for its backbone.

    Args:
        file: A safetensors, ``.pth``, ``.pt`` or ``.npz`` file; it is not changed.
        backbone: Key of the backbone that it must fit; None finds out.
        allow_partial: Whether tensors may be missing or have other shapes; those layers then start
            from random weights.

    Returns:
        The report of :func:`check_weights`, with the ``id`` for ``BackboneConfig.weights``.

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If the file isn't there, is damaged, holds code, or fits no backbone.
        StorageError: If the disk is full or read-only.
    """
    content, origin, backbone = _read(file, backbone)
    match = recognise(read_tensors(content), backbone, allow_partial=allow_partial)
    card = find_card(match.key)
    warnings = list(match.notes)
    if not match.fits:
        warnings.append(
            f"Only {match.share:.0%} of {card.title}'s weights are in the file; the rest starts "
            "from random ones."
        )
    mean, std = _intensities(match, origin)
    added = keep_weights(
        card,
        match.tensors,
        name=origin.name,
        kind=origin.kind,
        licence=origin.licence,
        pretrained_on=_pretrained_on(match, origin),
        mean=mean,
        std=std,
        warnings=tuple(warnings),
        source_sha256=hashlib.sha256(content).hexdigest(),
    )
    return {**_report(match, origin, warnings), "id": added.id, "digest": added.digest}


def check_weights(file: Path, backbone: str | None = None) -> dict[str, Any]:
    """Say how a weights file would fit, and keep nothing.

    Returns:
        ``backbone``, ``name`` of the file, ``fits`` (wholly), ``is_usable`` (with
        ``allow_partial``), ``share`` of the body's parameters that fit, ``n_tensors``,
        ``n_wanted``, ``missing``, ``misfits`` and ``strangers`` (numbers of tensors),
        ``examples`` (some of their names, with shapes), ``warnings``, ``licence``,
        ``pretrained_on``, ``mean``, ``std``, ``kind``.

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If the file isn't there, is damaged, holds code, or resembles no backbone.
        StorageError: If it can't be read.
    """
    content, origin, backbone = _read(file, backbone)
    tensors = read_tensors(content)
    match = best_match(tensors, backbone)
    if not match.fits and match.share < LEAST_SHARE:
        raise misfit(match, is_chosen=backbone is not None)
    return _report(match, origin, match.notes)


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
        ``added``, reports as :func:`add_weights` gives them, and ``refused``: ``name`` (below the
        folder), ``message`` and ``remedy`` of each file that does not fit.

    Raises:
        WeightsError: If there is no weights file.
    """
    files = sorted(p for p in long_path(folder).rglob("*") if p.suffix.lower() in ENDINGS)
    if not files:
        raise WeightsError(
            "There is no weights file in this folder.",
            remedy=f"Choose a folder that holds files ending in {', '.join(ENDINGS)}.",
        )
    added: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for file in files:
        safe_point()
        try:
            report = (
                check_weights(file)
                if check_only
                else add_weights(file, allow_partial=allow_partial)
            )
        except EngineError as error:
            name = file.relative_to(long_path(folder)).as_posix()
            refused.append({"name": name, "message": error.message, "remedy": error.remedy})
        else:
            added.append(report)
    return {"added": added, "refused": refused}


def _read(file: Path, backbone: str | None) -> tuple[bytes, Origin, str | None]:
    if backbone is not None:
        find_card(backbone)
    content = read_file(file)
    origin = origin_of(file, content)
    return content, origin, backbone or origin.backbone


def _report(match: Match, origin: Origin, warnings: list[str]) -> dict[str, Any]:
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
        "is_usable": match.fits or match.share >= LEAST_SHARE,
        "share": round(match.share, 4),
        "n_tensors": len(match.tensors),
        "n_wanted": len(plan.body),
        "missing": len(match.missing),
        "misfits": len(match.misfits),
        "strangers": len(match.strangers),
        "examples": examples,
        "warnings": warnings,
        "licence": origin.licence,
        "pretrained_on": _pretrained_on(match, origin),
        "mean": list(mean),
        "std": list(std),
    }


def _intensities(
    match: Match, origin: Origin
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    mean, std = intensities(match)
    return origin.mean or mean, origin.std or std


def _pretrained_on(match: Match, origin: Origin) -> str:
    if origin.pretrained_on:
        return origin.pretrained_on
    if match.is_xray_vision:
        return "chest X-rays (TorchXRayVision), 18 findings"
    if match.has_original_head:
        return find_card(match.key).pretrained_on
    if match.n_outputs is not None:
        return f"something with {match.n_outputs} outputs; the file does not say what"
    return "the file does not say what"
