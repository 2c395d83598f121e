"""Where a weights file comes from, by what its library says about it.

torchvision's files, and some of timm's, carry the start of their SHA-256 in their name. Where the
library publishes that name, it vouches for the content; anybody can give a file a name that fits
it. timm's newer files are all called alike, with a ``config.json`` beside them that says what they
are. A copy that RadTune keeps has its facts beside it, and they go with it to another computer.
What RadTune trained for a classifier shows that by its tensors, and the bundle's facts beside it
tell the rest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from engine.contract.backbones import (
    BACKBONES,
    TORCHVISION,
    UNKNOWN_LICENCE,
    BackboneCard,
    backbone_card,
)
from engine.contract.bundle_facts import FACTS_NAME
from engine.files import long_path
from engine.models.weights import FOUND, MADE, OFFICIAL

_HASHED_NAME: Final = re.compile(r".+-(?P<hash>[0-9a-f]{8})")
_EARLIER: Final = {
    "resnet18-5c106cde": "resnet18",
    "resnet34-333f7ec4": "resnet34",
    "resnet50-19c8e357": "resnet50",
    "squeezenet1_0-a815701f": "squeezenet1_0",
}
"""Files that earlier versions of torchvision named."""
_HUB_NAMES: Final = ("model.safetensors", "pytorch_model.bin")
_SPDX: Final = {
    name.casefold(): name
    for name in (
        "Apache-2.0",
        "BSD-3-Clause",
        "MIT",
        "CC-BY-4.0",
        "CC-BY-NC-4.0",
        "CC-BY-NC-SA-4.0",
    )
}
_MOST_NOTE_BYTES: Final = 1_000_000
_OF_CLASSIFIER: Final = frozenset(("feature_mean", "feature_scale", "head.weight", "head.bias"))
"""What a network of RadTune calls what its own head consists of (``engine.models.network``)."""
_TRAINED_FOR: Final = "training for {}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is known of a file besides its tensors.

    Attributes:
        name: What to call the weights.
        kind: ``official`` if name and hash are the library's, ``made`` of what RadTune trained,
            else ``found``.
        licence: SPDX id, or ``unknown``.
        backbone: Key of the backbone that it says it is for.
        pretrained_on: What the library says that it has seen; empty if it doesn't.
        mean: Mean that the library says it expects, for values in [0, 1].
        std: Standard deviation, likewise.
        sha256: Of the file that a copy of RadTune's was made from; empty for other files.
        warnings: Of such a copy: what was told when it was made; None for other files.
    """

    name: str
    kind: str = FOUND
    licence: str = UNKNOWN_LICENCE
    backbone: str | None = None
    pretrained_on: str = ""
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    sha256: str = ""
    warnings: tuple[str, ...] | None = None


def origin_of(file: Path, content: bytes, tensors: Iterable[str]) -> Origin:
    """Return what name, hash and a note beside a file say about it.

    Args:
        file: The file; its folder may hold timm's ``config.json``, a bundle's facts or those of a
            copy.
        content: All of it.
        tensors: Their names in the file.
    """
    if _OF_CLASSIFIER.issubset(tensors):
        return _classifier_origin(file, hashlib.sha256(content).hexdigest())
    if (hashed := _HASHED_NAME.fullmatch(file.stem)) is not None:
        sha256 = hashlib.sha256(content).hexdigest()
        if (kept := _kept_origin(file, sha256)) is not None:
            return kept
        card = official_files().get(file.stem)
        if card is not None and sha256.startswith(hashed["hash"]):
            return Origin(
                name=file.name,
                kind=OFFICIAL,
                licence=card.licence,
                backbone=card.key,
                pretrained_on=card.pretrained_on,
            )
    if file.name in _HUB_NAMES:
        return _hub_origin(file)
    return Origin(name=file.name)


@cache
def official_files() -> dict[str, BackboneCard]:
    """Return the backbone of each file that the libraries publish with a hash in its name."""
    from timm.models import get_arch_pretrained_cfgs
    from torchvision import models

    files: dict[str, BackboneCard] = {}
    for card in BACKBONES:
        if card.library == TORCHVISION:
            urls = [weights.url for weights in models.get_model_weights(card.builder)]
        else:
            urls = [cfg.url or "" for cfg in get_arch_pretrained_cfgs(card.builder).values()]
        stems = [Path(url).stem for url in urls]
        files |= {stem: card for stem in stems if _HASHED_NAME.fullmatch(stem)}
    earlier = {stem: backbone_card(key) for stem, key in _EARLIER.items()}
    return files | {stem: card for stem, card in earlier.items() if card is not None}


def _kept_origin(file: Path, sha256: str) -> Origin | None:
    """Return what RadTune wrote beside a copy that it kept, if the file is one."""
    try:
        facts = _read_note(file.with_suffix(".json"))
        kind = facts["kind"]
        is_known = kind in (FOUND, MADE, OFFICIAL) and backbone_card(facts["backbone"]) is not None
        if facts["digest"] != sha256 or not is_known:
            return None
        return Origin(
            name=str(facts["name"]),
            kind=kind,
            licence=str(facts["licence"]),
            backbone=str(facts["backbone"]),
            pretrained_on=str(facts["pretrained_on"]),
            mean=_triple(facts["mean"]),
            std=_triple(facts["std"]),
            sha256=str(facts.get("source_sha256", "")),
            warnings=tuple(str(text) for text in facts["warnings"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _hub_origin(file: Path) -> Origin:
    """Return what timm's note beside a file says, of which only names and numbers are used."""
    plain = Origin(name=file.name)
    try:
        note = _read_note(file.with_name("config.json"))
        facts = note["pretrained_cfg"]
        full_name = ".".join(filter(None, (str(note["architecture"]), str(facts.get("tag", "")))))
        mean, std = _triple(facts["mean"]), _triple(facts["std"])
        licence = str(facts.get("license", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return plain
    card = _named_by_timm(full_name)
    return Origin(
        name=full_name,
        licence=_SPDX.get(licence.casefold(), UNKNOWN_LICENCE),
        backbone=None if card is None else card.key,
        pretrained_on=card.pretrained_on if card and card.official == full_name else "",
        mean=mean,
        std=std,
    )


def _classifier_origin(file: Path, sha256: str) -> Origin:
    """Return what the bundle that a file is part of says, if it is there."""
    plain = Origin(name=file.name, kind=MADE, pretrained_on=_TRAINED_FOR.format("a classifier"))
    try:
        note = _read_note(file.with_name(FACTS_NAME))
        facts = note["backbone"]
        if note["files"][file.name] != sha256:
            return plain
        seen = _TRAINED_FOR.format(f"the classifier “{note['name']}”")
        return Origin(
            name=str(note["name"]),
            kind=MADE,
            licence=str(facts["licence"]),
            pretrained_on=f"{facts['pretrained_on']}, then {seen}",
            mean=_triple(facts["mean"]),
            std=_triple(facts["std"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return plain


def _read_note(path: Path) -> Any:
    """Return the JSON of a small file.

    Raises:
        OSError, ValueError: If it can't be read, is too large or is no JSON.
    """
    path = long_path(path)
    if path.stat().st_size > _MOST_NOTE_BYTES:
        raise ValueError("too large for a note")
    return json.loads(path.read_text(encoding="utf-8"))


def _named_by_timm(full_name: str) -> BackboneCard | None:
    """Return the backbone of a timm name; a name with its tag counts before one without."""
    architecture = full_name.partition(".")[0]
    named = [card for card in BACKBONES if full_name in (card.official, card.builder)]
    alike = [card for card in BACKBONES if card.builder == architecture]
    return next(iter([*named, *alike]), None)


def _triple(values: Any) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
