"""Which backbone a set of tensors belongs to, told by names and shapes, never by the file name."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

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
from engine.models.body import resampled_positions
from engine.models.layouts import LAYOUTS
from engine.models.weights_facts import share_words

LEAST_SHARE: Final = 0.5
"""Less than this share of a backbone's parameters is no weights file for it."""
_LEAST_LIKENESS: Final = 0.1  # less resembles no backbone
_XRAY_VISION_FINDINGS: Final = 18
_XRAY_VISION_MEAN: Final = 0.5
_XRAY_VISION_STD: Final = 1 / 2048  # [0, 1] becomes [-1024, 1024]


@dataclass(slots=True)
class Match:
    """How well a set of tensors fits one backbone.

    Attributes:
        tensors: What fits, under the library's names.
        missing: Names of body tensors that aren't there.
        misfits: Names of body tensors of another shape.
        strangers: Tensors inside the body that the backbone doesn't have: another network.
        notes: What was changed to make them fit, in sentences.
        share: Share of the body's parameters that fit.
        n_outputs: Width of the file's own decision layer, if it has one.
        has_original_head: Whether the file ends as the library's original does.
        is_grey: Whether its first layer takes one channel.
        knows_xray_vision: Whether it holds what only TorchXRayVision's networks have.
    """

    key: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    share: float = 0.0
    n_outputs: int | None = None
    has_original_head: bool = False
    is_grey: bool = False
    knows_xray_vision: bool = False

    @property
    def fits(self) -> bool:
        """Whether every tensor of the body is there and nothing else."""
        return not (self.missing or self.misfits or self.strangers)

    @property
    def problems(self) -> list[str]:
        """What doesn't fit, each kind with a number and an example."""
        kinds = (
            (self.missing, "is missing", "are missing"),
            (self.misfits, "has another shape", "have another shape"),
            (self.strangers, "belongs to another layer", "belong to other layers"),
        )
        return [
            f"1 tensor {one} ({names[0]})"
            if len(names) == 1
            else f"{len(names):,} tensors {several} (such as {names[0]})"
            for names, one, several in kinds
            if names
        ]

    @property
    def is_xray_vision(self) -> bool:
        """Whether these are TorchXRayVision's: grey images in, 18 findings out."""
        outputs = self.n_outputs == _XRAY_VISION_FINDINGS
        return self.is_grey and (outputs or self.knows_xray_vision)

    @property
    def rank(self) -> tuple[bool, float, bool]:
        """Order of matches; the largest is the best."""
        strange = len(self.strangers) / (len(self.strangers) + len(self.tensors) + 1)
        return self.fits, self.share - strange, self.has_original_head


def recognise(
    tensors: dict[str, Tensor],
    backbone: str | None = None,
    *,
    allow_partial: bool = False,
) -> Match:
    """Find the backbone that tensors belong to.

    Prefixes such as ``module.`` and names of older library versions are understood; a first layer
    for one channel is spread over three; a position embedding for another grid is interpolated; a
    head for other than the original classes is left out.

    Args:
        tensors: By the names in the file.
        backbone: Key of the only backbone to consider; None tries all.
        allow_partial: Whether :data:`LEAST_SHARE` of a backbone's parameters are enough.

    Returns:
        The match, its tensors as float32 under the library's names (body, and the original head if
        there).

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If they fit none, or hold values that are no numbers.
    """
    best = _best_match(tensors, backbone)
    is_enough = allow_partial and best.share >= LEAST_SHARE
    if not best.fits and not is_enough:
        raise misfit(best, is_chosen=backbone is not None)
    best.tensors = {name: _as_float(tensor, name, best) for name, tensor in best.tensors.items()}
    _check_values(best.tensors.values())
    return best


def _best_match(tensors: dict[str, Tensor], backbone: str | None) -> Match:
    """Return the backbone that tensors fit best, which may be badly."""
    keys = [backbone] if backbone else _likely(tensors)
    matches = [_match(key, tensors) for key in keys]
    best = max(matches, key=lambda match: match.rank)
    others = [find_card(match.key).title for match in matches if match is not best and match.fits]
    if best.fits and others:
        best.notes.append(
            f"They would fit {', '.join(others)} too, which has the same layers; name the backbone "
            "if they are for that one."
        )
    if best.is_xray_vision:
        surely = "are" if best.knows_xray_vision else "seem to be"
        best.notes.append(
            f"These {surely} TorchXRayVision's weights for chest X-rays: they expect grey values "
            "from -1024 to 1024, and get them."
        )
    return best


def _likely(tensors: dict[str, Tensor]) -> list[str]:
    """Return the backbones whose first layer is there; all if there is none: it may be missing."""
    found = [
        card.key
        for card in BACKBONES
        if any(_ends_in(rename_for(card.key)(name), LAYOUTS[card.key].first) for name in tensors)
    ]
    return found or [card.key for card in BACKBONES]


def _ends_in(name: str, ending: str) -> bool:
    return f".{name}".endswith(f".{ending}")


def _match(key: str, tensors: dict[str, Tensor]) -> Match:
    plan, rename = tensor_plan(key), rename_for(key)
    renamed = {rename(name): tensor for name, tensor in tensors.items()}
    anchor = plan.first_layer
    prefixes = [name.removesuffix(anchor) for name in renamed if _ends_in(name, anchor)]
    candidates = [_match_below(prefix, key, plan, renamed) for prefix in prefixes or [""]]
    return max(candidates, key=lambda match: match.rank)


def _match_below(prefix: str, key: str, plan: TensorPlan, renamed: dict[str, Tensor]) -> Match:
    below = {n.removeprefix(prefix): t for n, t in renamed.items() if n.startswith(prefix)}
    match = Match(key)
    for name, shape in plan.body.items():
        tensor = below.get(name)
        if tensor is None:
            match.missing.append(name)
            continue
        tensor = _adapted(tensor, name, shape, plan, match)
        if tuple(tensor.shape) != shape:
            match.misfits.append(name)
        else:
            match.tensors[name] = tensor
    match.share = sum(math.prod(plan.body[n]) for n in match.tensors) / plan.n_body_parameters
    match.tensors |= {n: below[n] for n in plan.optional if n in below and below[n].ndim == 0}
    match.knows_xray_vision = any(name.endswith("op_threshs") for name in below)
    _match_head(match, plan, below)
    tops = {name.partition(".")[0] for name in plan.body}
    known = plan.body.keys() | plan.head.keys() | plan.optional
    match.strangers = [n for n in below if n.partition(".")[0] in tops and n not in known]
    return match


def _adapted(
    tensor: Tensor, name: str, shape: tuple[int, ...], plan: TensorPlan, match: Match
) -> Tensor:
    """Return a tensor of the file as the backbone needs it, where that can be done."""
    if not tensor.is_floating_point() or tensor.layout != torch.strided:
        return tensor  # refused in the end, where it belongs to the best match
    if name == plan.first_layer and tensor.ndim == 4 and tensor.shape[1] == 1 != shape[1]:
        match.is_grey = True
        match.notes.append("Its first layer takes one channel; it was spread over three.")
        return adapt_input_channels(tensor.float(), shape[1])
    if name == plan.positions and tensor.ndim == 3 and tensor.shape[1:] != shape[1:]:
        old, new = (math.isqrt(n - 1) for n in (tensor.shape[1], shape[1]))
        if tensor.shape[2] == shape[2] and old * old + 1 == tensor.shape[1] and old > 0:
            match.notes.append(
                f"Its position embedding was interpolated from {old} x {old} to {new} x {new} "
                "patches."
            )
            return resampled_positions(tensor.float(), new)
    return tensor


def _match_head(match: Match, plan: TensorPlan, below: dict[str, Tensor]) -> None:
    if not plan.head:
        match.has_original_head = "head.weight" not in below
        return
    found = {name: below[name] for name in plan.head if name in below}
    last = found.get(list(plan.head)[-1])
    match.n_outputs = None if last is None or last.ndim != 1 else len(last)
    if all(name in found and found[name].shape == plan.head[name] for name in plan.head):
        match.tensors |= found
        match.has_original_head = True
    elif match.n_outputs is not None:
        match.notes.append(
            f"Its own decision layer ({match.n_outputs} outputs) was left out; each run fits a "
            "new one."
        )


def intensities(match: Match) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return the mean and standard deviation that weights expect for values in [0, 1]."""
    if match.is_xray_vision:
        mean, std = _XRAY_VISION_MEAN, _XRAY_VISION_STD
        return (mean, mean, mean), (std, std, std)
    card = find_card(match.key)
    return card.mean, card.std


def _as_float(tensor: Tensor, name: str, match: Match) -> Tensor:
    if name in tensor_plan(match.key).optional:
        return tensor
    if not tensor.is_floating_point() or tensor.layout != torch.strided:
        raise WeightsError(
            "The file holds quantised or sparse weights, which can't be trained on.",
            remedy="Choose the file of the same network in ordinary floating point.",
        )
    return tensor.to(torch.float32).contiguous()


def _check_values(tensors: Iterable[Tensor]) -> None:
    if not all(torch.isfinite(tensor).all() for tensor in tensors):
        raise WeightsError(
            "Some weights in the file are not numbers.",
            remedy="Choose another file; the training that wrote it had failed.",
        )


def misfit(match: Match, *, is_chosen: bool) -> WeightsError:
    """Return what is wrong with tensors that don't fit the backbone nearest to them.

    Args:
        match: The best match.
        is_chosen: Whether the user named the backbone.
    """
    if match.share < _LEAST_LIKENESS and not is_chosen:
        families = sorted({card.family for card in BACKBONES})
        return WeightsError(
            "The weights belong to none of RadTune's backbones.",
            remedy=f"Choose a file for one of these: {', '.join(families)}.",
        )
    title = find_card(match.key).title
    problems = ", ".join(match.problems)
    if match.share < LEAST_SHARE:
        whose = "" if is_chosen else ", the backbone nearest to them"
        return WeightsError(
            f"The weights hold only {share_words(match.share)} of {title}{whose}: {problems}.",
            remedy=f"Choose a file of exactly {title}; larger or smaller relatives don't fit.",
        )
    return WeightsError(
        f"The weights don't fit {title} wholly, but {share_words(match.share)}: {problems}.",
        remedy=f"Choose a file of exactly {title}. Or use what fits: --check shows the rest, and "
        "--partial takes the weights all the same, with random ones for those layers.",
    )
