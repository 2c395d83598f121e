"""Pre-trained weights: those that ship with RadTune, and those that were added.

Added weights are kept as ``<id>.safetensors`` under the library's tensor names, beside an
``<id>.json`` that says for which backbone they are, where they came from and which preprocessing
they expect. A backbone can have several: one is its default, every one can be chosen by its id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from torch import Tensor

from engine.contract.backbones import BackboneCard
from engine.contract.errors import EngineError, WeightsError
from engine.files import read_json, storage_error, write_atomic, write_json
from engine.models.adapt import find_card, tensor_plan
from engine.models.embedded_weights import EMBEDDED, embedded_state
from engine.models.weights_facts import AddedWeights, WeightsInfo
from engine.models.weights_file import read_file, read_tensors
from engine.weights_folder import weights_folder

PRETRAINED: Final = "pretrained"
SCRATCH: Final = "scratch"
FILE: Final = "file:"
OFFICIAL: Final = "official"
"""The library's own file, known by its name and hash."""
FOUND: Final = "found"
"""A file of unknown origin."""
MADE: Final = "made"
"""Trained in RadTune: by a pre-training, or for a classifier; never the default of a backbone."""
_RANKS: Final = (OFFICIAL, FOUND)
_SCHEMA_VERSION: Final = 3
_NOTED_FROM: Final = 3
"""Since this version, projects keep which of their images a pre-training learned from."""


def added_weights(key: str | None = None) -> list[AddedWeights]:
    """Return the weights that were added, those of one backbone together, the default first.

    Args:
        key: Of which backbone; None lists all.
    """
    found = [item for item in _sidecars() if key in (None, item.backbone)]
    ranks = {kind: rank for rank, kind in enumerate(_RANKS)}
    return sorted(
        found,
        key=lambda w: (w.backbone, not w.is_whole, ranks.get(w.kind, len(ranks)), w.number),
    )


def weights_info(key: str, weights: str = PRETRAINED) -> WeightsInfo:
    """Return what is known of a backbone's weights, without reading them.

    Without a choice, those that ship with RadTune come first, then the library's own file, then
    the first that was added whole: what is added later doesn't change what an experiment means.
    Weights that leave layers random are the last resort.

    Args:
        key: Backbone key.
        weights: ``pretrained`` for the default ones, or ``file:ID``.

    Raises:
        ConfigError: If there is no such backbone.
    """
    card = find_card(key)
    is_default = weights == PRETRAINED
    if is_default and key in EMBEDDED:
        return WeightsInfo(
            state="embedded",
            source=EMBEDDED[key].package,
            digest=EMBEDDED[key].sha256,
            licence=card.licence,
            pretrained_on=card.pretrained_on,
            mean=card.mean,
            std=card.std,
        )
    for item in added_weights(key):
        if (is_default and item.kind != MADE) or weights == f"{FILE}{item.id}":
            return WeightsInfo(
                state="added",
                id=item.id,
                source=item.name,
                digest=item.digest,
                licence=item.licence,
                pretrained_on=item.pretrained_on,
                mean=item.mean,
                std=item.std,
                is_whole=item.is_whole,
            )
    return WeightsInfo(state="missing", mean=card.mean, std=card.std)


def present_weights(key: str, weights: str = PRETRAINED) -> WeightsInfo:
    """Return what is known of weights that are there.

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If there are no such weights for it.
    """
    info = weights_info(key, weights)
    if info.state == "missing":
        raise _missing(find_card(key), weights)
    return info


def weights_state(key: str, weights: str = PRETRAINED) -> str:
    """Return ``embedded``, ``added`` or ``missing``."""
    return weights_info(key, weights).state


def weights_digest(key: str, weights: str = PRETRAINED) -> str:
    """Return the SHA-256 that names a backbone's pre-trained weights in caches and bundles.

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If there are no weights for it.
    """
    return present_weights(key, weights).digest


def body_name(key: str, weights: str, seed: int) -> str:
    """Return what tells a backbone's untrained body from any other of the same key, in caches.

    Weights that leave layers random leave them to the seed.

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If there are no such weights for it.
    """
    if weights == SCRATCH:
        return f"scratch-{seed}"
    info = present_weights(key, weights)
    return info.digest if info.is_whole else f"{info.digest}-{seed}"


def weights_of_digest(key: str, digest: str) -> str:
    """Return how settings name the weights of a backbone that have a SHA-256.

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If they are not on this computer.
    """
    for weights in (PRETRAINED, *(f"{FILE}{item.id}" for item in added_weights(key))):
        if weights_info(key, weights).digest == digest:
            return weights
    raise _missing(find_card(key), PRETRAINED)


def load_state(key: str, weights: str = PRETRAINED) -> dict[str, Tensor]:
    """Return a backbone's pre-trained tensors, float32, under the library's names.

    Raises:
        ConfigError: If there is no such backbone.
        WeightsError: If there are none, or the file was changed since it was added.
    """
    info = present_weights(key, weights)
    if info.state == "embedded":
        return dict(embedded_state(key))
    content = read_file(weights_folder() / f"{info.id}.safetensors")
    if hashlib.sha256(content).hexdigest() != info.digest:
        raise WeightsError(
            f"The weights kept for {find_card(key).title} have changed or are damaged.",
            remedy="Add the weights file again.",
        )
    return read_tensors(content)


def register_backbone(
    key: str,
    tensors: Mapping[str, Tensor],
    *,
    name: str,
    pretrained_on: str,
    licence: str,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
) -> str:
    """Keep weights that a pre-training made, so that they can be chosen for a run.

    Args:
        key: Backbone that they are for.
        tensors: A whole body under the library's names, as ``Network.body.state_dict()`` gives it.
        name: What to call them, for people.
        pretrained_on: What they have seen, for people.
        licence: SPDX id, or ``unknown``; no freer than that of the weights they began from.
        mean: Mean that they expect for values in [0, 1]; None takes the card's.
        std: Standard deviation, likewise.

    Returns:
        The id for ``BackboneConfig.weights``, to write after ``file:``.

    Raises:
        ConfigError: If there is no such backbone.
        ValueError: If tensors are missing, or have other names or shapes than the backbone's.
        StorageError: If the disk is full or read-only.
    """
    card, plan = find_card(key), tensor_plan(key)
    shapes = {n: tuple(t.shape) for n, t in tensors.items() if n not in plan.optional}
    if shapes != plan.body:
        raise ValueError(f"these are not the tensors of a {key}'s body")
    return keep_weights(
        card,
        {name: tensor.detach().cpu() for name, tensor in tensors.items()},
        name=name,
        kind=MADE,
        licence=licence,
        pretrained_on=pretrained_on,
        mean=mean or card.mean,
        std=std or card.std,
    ).id


def keep_weights(
    card: BackboneCard,
    tensors: Mapping[str, Tensor],
    *,
    name: str,
    kind: str,
    licence: str,
    pretrained_on: str,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    is_whole: bool = True,
    warnings: tuple[str, ...] = (),
    source_sha256: str = "",
    is_noted: bool = True,
) -> AddedWeights:
    """Keep checked tensors and what is known of them; the same ones again replace themselves.

    Raises:
        StorageError: If the disk is full or read-only.
    """
    copy = _packed(tensors)
    digest = hashlib.sha256(copy).hexdigest()
    known = added_weights(card.key)
    weights_id = f"{card.key}-{digest[:8]}"
    same = next((item for item in known if item.id == weights_id), None)
    if same is not None and same.digest == digest:
        is_noted_here = same.kind == kind and same.is_noted and not is_noted
        if is_noted_here or _tells_more(same.kind, kind):
            return same
    number = 1 + max((item.number for item in known), default=0)
    plan = tensor_plan(card.key)
    n_set = sum(tensors[n].numel() for n in plan.body if n in tensors)
    facts: dict[str, Any] = {
        "schema_version": _SCHEMA_VERSION,
        "backbone": card.key,
        "name": name,
        "kind": kind,
        "source_sha256": source_sha256,
        "digest": digest,
        "licence": licence,
        "pretrained_on": pretrained_on,
        "mean": list(mean),
        "std": list(std),
        "n_tensors": len(tensors),
        "share": n_set / plan.n_body_parameters,
        "is_whole": is_whole,
        "warnings": list(warnings),
        "number": number if same is None else same.number,
        "is_noted": is_noted,
    }
    folder = weights_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, "the weights folder") from error
    # The tensors first: a crash in between leaves a digest that doesn't fit, never a wrong copy.
    write_atomic(folder / f"{weights_id}.safetensors", copy)
    write_json(folder / f"{weights_id}.json", facts)
    return _added(weights_id, facts)


def _tells_more(known: str, new: str) -> bool:
    """Return whether more is known of kept weights than a new file with the same ones tells."""
    order = (FOUND, MADE, OFFICIAL)
    return known in order and new in order and order.index(known) > order.index(new)


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256, hexadecimal, that tensors will have as weights that are kept."""
    return hashlib.sha256(_packed(tensors)).hexdigest()


def _packed(tensors: Mapping[str, Tensor]) -> bytes:
    import safetensors.torch

    return safetensors.torch.save({n: tensors[n].contiguous() for n in sorted(tensors)})


def remove_weights(weights_id: str) -> None:
    """Delete added weights; runs and bundles made with them keep their own.

    Raises:
        WeightsError: If there are none of that id.
        StorageError: If the disk refuses.
    """
    if weights_id not in {item.id for item in added_weights()}:
        raise WeightsError(
            f"There are no added weights called {weights_id!r}.",
            remedy="See 'radtune-engine weights list'.",
        )
    try:
        for ending in (".json", ".safetensors"):
            (weights_folder() / f"{weights_id}{ending}").unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, "the weights folder") from error


def _sidecars() -> Iterator[AddedWeights]:
    folder = weights_folder()
    if not folder.is_dir():
        return
    for path in sorted(folder.glob("*.json")):
        if not path.with_suffix(".safetensors").is_file():
            continue
        try:
            yield _added(path.stem, read_json(path))
        except (EngineError, OSError, ValueError, TypeError, KeyError, AttributeError):
            continue  # as good as not added; adding again mends it


def _added(weights_id: str, facts: dict[str, Any]) -> AddedWeights:
    """Return facts as they were read, checked.

    Raises:
        KeyError, TypeError, ValueError: If something is missing or of the wrong type.
    """
    card = find_card(str(facts["backbone"]))
    share = float(facts.get("share", 1.0))
    texts = {n: facts[n] for n in ("name", "digest", "licence")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise TypeError("a name or licence is no text")
    mean, std = (_triple(facts.get(n, getattr(card, n))) for n in ("mean", "std"))
    return AddedWeights(
        id=weights_id,
        backbone=card.key,
        kind=str(facts.get("kind", FOUND)),
        pretrained_on=str(facts.get("pretrained_on", card.pretrained_on)),
        mean=mean,
        std=std,
        n_tensors=int(facts.get("n_tensors", 0)),
        share=share,
        is_whole=bool(facts.get("is_whole", share >= 1.0)),
        warnings=tuple(str(text) for text in facts.get("warnings", ())),
        number=int(facts.get("number", 0)),
        is_noted=int(facts.get("schema_version", 0)) >= _NOTED_FROM
        and bool(facts.get("is_noted", True)),
        **texts,
    )


def _triple(values: Any) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third


def _missing(card: BackboneCard, weights: str) -> WeightsError:
    if weights.startswith(FILE):
        chosen = weights.removeprefix(FILE)
        if other := next((item for item in added_weights() if item.id == chosen), None):
            return WeightsError(
                f"The weights {chosen!r} are for {find_card(other.backbone).title}, not for "
                f"{card.title}.",
                remedy=f"Choose the backbone {other.backbone}, or other weights.",
            )
        return WeightsError(
            f"The weights {chosen!r} for {card.title} are not here.",
            remedy="Add their file again, or choose other weights.",
        )
    return WeightsError(
        f"There are no pre-trained weights for {card.title} yet.",
        remedy="Add a weights file for it, choose EfficientNet-Lite0, or start from scratch.",
    )
