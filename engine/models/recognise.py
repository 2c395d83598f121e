"""Which backbone a set of tensors belongs to, told by names and shapes, never by the file name."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.contract.backbones import BACKBONES
from engine.contract.errors import WeightsError
from engine.models.adapt import (
    TensorPlan,
    adapt_input_channels,
    find_card,
    rename_for,
    tensor_plan,
)

_LIKENESS = 0.5


@dataclass(slots=True)
class _Match:
    """How well a set of tensors fits one backbone.

    Attributes:
        tensors: What fits, under the library's names.
        missing: Names of body tensors that aren't there.
        misfits: Names of body tensors of another shape.
        strangers: Tensors inside the body that the backbone doesn't have: another network.
    """

    key: str
    n_wanted: int
    tensors: dict[str, Tensor] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def fits(self) -> bool:
        return not (self.missing or self.misfits or self.strangers)

    @property
    def likeness(self) -> float:
        return 1.0 - (len(self.missing) + len(self.misfits)) / self.n_wanted


def recognise(
    tensors: dict[str, Tensor], backbone: str | None = None
) -> tuple[str, dict[str, Tensor], list[str]]:
    """Find the backbone that tensors belong to.

    Prefixes such as ``module.`` and names of older library versions are understood; a first layer
    for one channel is spread over three; a head for other than 1,000 classes is left out.

    Args:
        tensors: By the names in the file.
        backbone: Key of the only backbone to consider; None tries all.

    Returns:
        The backbone's key, its tensors as float32 under the library's names (body, and the
        1,000-class head if there), and sentences on what was changed.

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If they fit none, or hold values that are no numbers.
    """
    keys = [backbone] if backbone else [card.key for card in BACKBONES]
    matches = [_match(key, tensors) for key in keys]
    best = max(matches, key=lambda match: (match.fits, match.likeness))
    if not best.fits:
        raise _misfit(best, is_chosen=backbone is not None)
    _check_values(best.tensors)
    return best.key, best.tensors, best.notes


def _match(key: str, tensors: dict[str, Tensor]) -> _Match:
    plan, rename = tensor_plan(key), rename_for(key)
    renamed = {rename(name): tensor for name, tensor in tensors.items()}
    anchor = plan.first_layer
    prefixes = [name.removesuffix(anchor) for name in renamed if f".{name}".endswith(f".{anchor}")]
    candidates = [_match_below(prefix, key, plan, renamed) for prefix in prefixes or [""]]
    return max(candidates, key=lambda match: (match.fits, match.likeness))


def _match_below(prefix: str, key: str, plan: TensorPlan, renamed: dict[str, Tensor]) -> _Match:
    below = {n.removeprefix(prefix): t for n, t in renamed.items() if n.startswith(prefix)}
    match = _Match(key, n_wanted=len(plan.body))
    for name, shape in plan.body.items():
        tensor = below.get(name)
        if tensor is None:
            match.missing.append(name)
            continue
        if name == plan.first_layer and tensor.ndim == 4 and tensor.shape[1] == 1 != shape[1]:
            tensor = adapt_input_channels(tensor, shape[1])
            match.notes.append("Its first layer takes one channel; it was spread over three.")
        if tuple(tensor.shape) != shape:
            match.misfits.append(name)
        else:
            match.tensors[name] = _as_float(tensor)
    match.tensors |= {n: below[n] for n in plan.optional if n in below and below[n].ndim == 0}
    _match_head(match, plan, below)
    tops = {name.partition(".")[0] for name in plan.body}
    known = plan.body.keys() | plan.head.keys() | plan.optional
    match.strangers = [n for n in below if n.partition(".")[0] in tops and n not in known]
    return match


def _match_head(match: _Match, plan: TensorPlan, below: dict[str, Tensor]) -> None:
    found = {name: below[name] for name in plan.head if name in below}
    if all(name in found and found[name].shape == plan.head[name] for name in plan.head):
        match.tensors |= {name: _as_float(tensor) for name, tensor in found.items()}
    elif found:
        n_classes = len(list(found.values())[-1])
        match.notes.append(
            f"Its own decision layer ({n_classes} outputs) was left out; each run fits a new one."
        )


def _as_float(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point() or tensor.layout != torch.strided:
        raise WeightsError(
            "The file holds quantised or sparse weights, which can't be trained on.",
            remedy="Choose the file of the same network in ordinary floating point.",
        )
    return tensor.to(torch.float32).contiguous()


def _check_values(tensors: dict[str, Tensor]) -> None:
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise WeightsError(
            "Some weights in the file are not numbers.",
            remedy="Choose another file; the training that wrote it had failed.",
        )


def _misfit(match: _Match, *, is_chosen: bool) -> WeightsError:
    title = find_card(match.key).title
    if match.likeness < _LIKENESS and not is_chosen:
        titles = ", ".join(card.title for card in BACKBONES)
        return WeightsError(
            "The weights belong to none of RadTune's backbones.",
            remedy=f"Choose a file for one of {titles}.",
        )
    problems = [
        f"{len(names)} tensors {what} (such as {names[0]})"
        for names, what in (
            (match.missing, "are missing"),
            (match.misfits, "have another shape"),
            (match.strangers, "belong to other layers"),
        )
        if names
    ]
    return WeightsError(
        f"The weights don't fit {title}: {', '.join(problems)}.",
        remedy=f"Choose a file of exactly {title}; larger or smaller relatives don't fit.",
    )
