"""What it takes to repeat a run: the content of ``recipe.json`` in its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from engine.contract.config import SCHEMA_VERSION, ExperimentConfig
from engine.contract.config_io import config_from_json, from_plain, to_plain
from engine.contract.errors import ConfigError
from engine.contract.limits import Between, OneOf, check_limits

RECIPE_NAME: Final = "recipe.json"
_FIRST_SCHEMA: Final = 1
_CHECKSUM: Final = "facts_sha256"  # that ``engine.files.signed`` adds; asked for where it matters
_ANOTHER_FILE: Final = "Choose the recipe.json in the folder of a run."


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeRuntime:
    """Where and how exactly the run computed; as ``engine.hardware.Runtime``."""

    device: Annotated[str, OneOf("cpu", "cuda", "mps")] = "cpu"
    precision: Annotated[str, OneOf("fp32", "bf16", "fp16")] = "fp32"
    threads: Annotated[int, Between(1, 1024)] = 1
    channels_last: bool = True

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigError: If a field is outside.
        """
        check_limits(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedRun:
    """Which run a run repeats.

    Attributes:
        run: Its id.
        differences: What is not as it was then, in sentences; empty if nothing is known.
        weights_sha256: Of the weights that it kept; empty where they aren't beside its recipe.
    """

    run: str
    differences: tuple[str, ...] = ()
    weights_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A run's settings and what else decides its result.

    Recipes of earlier versions lack some of the later fields.

    Attributes:
        run: The run's id.
        data_digest: Of images, labels, patients and image contract, as the project has it.
        split_digest: Of the split.
        classes: Names in index order.
        positive: Index of the positive class of two.
        activation: What turns logits into probabilities.
        finding: In a project with several findings an image, the one that was learned, or
            ``all``; empty elsewhere.
        weights: What is known of the pre-trained weights, ``digest`` among it.
        versions: By library; ``radtune`` is this program.
        hardware: ``cpu`` and ``system``, and of a graphics card ``gpu`` and ``driver``.
        repeats: The run that this one repeats.
        classifier: Of direct transfer with another classifier: which, and what its classes are.
        members: Of a run that combines others.
    """

    config: ExperimentConfig
    runtime: RecipeRuntime
    run: str = ""
    data_digest: str = ""
    split_digest: str = ""
    classes: tuple[str, ...] = ()
    positive: int | None = None
    activation: str = "softmax"
    finding: str = ""
    weights: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, str] = field(default_factory=dict)
    repeats: RepeatedRun | None = None
    classifier: dict[str, Any] | None = None
    members: tuple[dict[str, Any], ...] = ()


def recipe_from_json(text: str) -> Recipe:
    """Read a recipe, every field checked.

    Raises:
        ConfigError: If the text is no recipe, one of its values can't be, or a newer version of
            RadTune wrote it.
    """
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise ConfigError("The recipe is not valid JSON.", remedy=_ANOTHER_FILE) from error
    if not isinstance(plain, dict) or not {"config", "runtime"} <= plain.keys():
        raise ConfigError("This file is not the recipe of a run.", remedy=_ANOTHER_FILE)
    plain.pop(_CHECKSUM, None)
    settings = plain.pop("config")
    if not isinstance(settings, dict):
        raise ConfigError("The recipe holds no settings.", remedy=_ANOTHER_FILE)
    version = plain.pop("schema_version", _FIRST_SCHEMA)
    config = config_from_json(json.dumps({**settings, "schema_version": version}))
    recipe: Recipe = from_plain(Recipe, {**plain, "config": to_plain(config)})
    return recipe


def recipe_to_plain(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as JSON-ready values; what doesn't apply to the run is left out."""
    plain = {"schema_version": SCHEMA_VERSION, **to_plain(recipe)}
    for name in ("repeats", "classifier", "members", "finding"):
        if not plain[name]:
            del plain[name]
    return plain
