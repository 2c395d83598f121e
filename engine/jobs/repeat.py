"""Repeating a run from its recipe, and what is then not as it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from engine.contract.backbones import backbone_card
from engine.contract.commands import Train
from engine.contract.config import ExperimentConfig, MethodConfig
from engine.contract.config_edit import (
    BATCH_NORM,
    STOCHASTIC_DEPTH,
    is_lacking,
    require_effect,
)
from engine.contract.config_io import from_plain
from engine.contract.errors import (
    ConfigError,
    DamagedFileError,
    EngineError,
    StorageError,
    WeightsError,
)
from engine.contract.events import Event, Warned
from engine.contract.recipe import (
    RECIPE_NAME,
    Recipe,
    RecipeRuntime,
    RepeatedRun,
    recipe_from_json,
)
from engine.contract.results import ClassMatch
from engine.contract.searching import ENSEMBLE
from engine.evaluate.kept_recipe import kept_copy
from engine.files import (
    long_path,
    read_json,
    read_signed_json,
    sha256_file,
    storage_error,
)
from engine.hardware import Runtime
from engine.jobs.findings import choose_finding
from engine.jobs.recipe import hardware, name_of_same_weights, versions
from engine.jobs.run_log import has_completed
from engine.models.weights import weights_info
from engine.project.classes import MULTI
from engine.project.folder import KEPT_FOLDER
from engine.project.run_data import CODE, CODE_CHANGED, RADTUNE
from engine.project.store import Project
from engine.project.table import TrainingTable

_MOST_BYTES: Final = 20_000_000
_COPY: Final = (
    f"{RECIPE_NAME} of the run that is repeated is missing, or damaged, or was edited into "
    "something else than JSON. The copy that the run kept takes its place."
)
_BEST: Final = Path("checkpoints") / "best" / "weights.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A run that is to be repeated.

    Attributes:
        command: What trains it.
        recipe: What it was made with.
        origin: Which run it was.
        is_edited: Whether the recipe isn't as it was written.
        told: What a user must know of how the recipe was found; empty for nothing.
    """

    command: Train
    recipe: Recipe
    origin: RepeatedRun
    is_edited: bool
    told: str = ""


def plan_repeat(command: Train) -> Repeat | None:
    """Read the recipe that a command names; None if it names none.

    Raises:
        ConfigError: If the file is no recipe, or of a run that nothing can be trained for, or was
            given a setting at which method or backbone don't look.
        StorageError: If it can't be read.
    """
    if command.recipe is None:
        return None
    path = Path(command.recipe)
    path = path / RECIPE_NAME if path.is_dir() else path
    recipe, told = _found(path)
    if recipe.config.method.key == ENSEMBLE or recipe.members:
        raise ConfigError(
            "This run combines others, so there is nothing to train.",
            remedy="Repeat those runs, then combine them again.",
        )
    kept = long_path(path.parent / _BEST)
    # One that was stopped or cut off kept the best of fewer epochs.
    is_whole = kept.is_file() and has_completed(path.parent)
    origin = RepeatedRun(
        run=recipe.run or path.parent.name,
        weights_sha256=sha256_file(kept) if is_whole else "",
    )
    train = Train(project=command.project, config=_with_same_weights(recipe))
    if recipe.classifier is not None:
        train = _with_classifier(train, recipe.classifier, path.parent / KEPT_FOLDER)
    is_edited = not told and _is_edited(path)
    if is_edited:
        _require_what_backbones_have(recipe.config)
    return Repeat(command=train, recipe=recipe, origin=origin, is_edited=is_edited, told=told)


def _require_what_backbones_have(config: ExperimentConfig) -> None:
    """Refuse what only some backbones have where it was asked for, and this one hasn't.

    Raises:
        ConfigError: Naming it.
    """
    card, plain = backbone_card(config.backbone.key), MethodConfig()
    asked = {
        STOCHASTIC_DEPTH: config.method.stochastic_depth != plain.stochastic_depth,
        BATCH_NORM: config.method.batch_norm != plain.batch_norm,
    }
    names = [name for name, is_asked in asked.items() if is_asked]
    require_effect(config, [name for name in names if card is not None and is_lacking(card, name)])


def _found(path: Path) -> tuple[Recipe, str]:
    """Return a recipe, or the copy that its run kept, and what to say then.

    Raises:
        ConfigError: If there is no recipe, and no copy.
        StorageError: If it can't be read.
    """
    try:
        text = _text_of(path)
        if _is_json(text) or path.name != RECIPE_NAME:
            return recipe_from_json(text), ""
        problem: EngineError = ConfigError(
            f"{RECIPE_NAME} of this run is damaged, and its folder holds no copy.",
            remedy="Evaluate the run, which writes a recipe anew, or train with the same settings.",
        )
    except StorageError as error:
        if long_path(path).exists():  # it can't be read just now
            raise
        problem = ConfigError(
            "There is no recipe at the path that was given.",
            remedy=f"Give the path of a run's {RECIPE_NAME} or of the run's folder; if it is on a "
            "disk that was taken off, connect that again.",
        )
        problem.__cause__ = error
    recipe = kept_copy(path.parent)
    if recipe is None:
        raise problem
    return recipe, _COPY


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _is_edited(path: Path) -> bool:
    try:
        read_signed_json(path)
    except DamagedFileError:
        return True
    return False


def _text_of(path: Path) -> str:
    try:
        if long_path(path).stat().st_size > _MOST_BYTES:
            raise ConfigError(
                "This file is far too large for a recipe.",
                remedy="Choose the recipe.json in the folder of a run.",
            )
        return long_path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise storage_error(error, "the recipe", reading=True) from error


def _with_same_weights(recipe: Recipe) -> ExperimentConfig:
    """Return the settings with the name that the same pre-trained weights have here."""
    config, digest = recipe.config, recipe.weights.get("digest")
    if config.backbone.weights == "scratch" or not isinstance(digest, str) or not digest:
        return config
    try:
        weights = name_of_same_weights(config.backbone, digest)
    except WeightsError:  # others take their place, which is told, or there are none
        return config
    return replace(config, backbone=replace(config.backbone, weights=weights))


def _with_classifier(train: Train, facts: dict[str, Any], kept: Path) -> Train:
    matches: tuple[ClassMatch, ...] = from_plain(tuple[ClassMatch, ...], facts.get("matches", []))
    if not kept.is_dir():
        raise ConfigError(
            "The classifier that this run applied is not beside its recipe.",
            remedy="Choose the recipe in the run's own folder, or name the classifier anew.",
        )
    return replace(train, bundle=str(kept), matches=matches)


def choose_same_finding(project: Project, recipe: Recipe) -> None:
    """Let the project learn the finding that the run learned.

    Raises:
        DatasetError: If it has no such finding.
    """
    if project.task == MULTI and recipe.finding:
        choose_finding(project, recipe.finding)


def require_same_classes(table: TrainingTable, recipe: Recipe) -> None:
    """Refuse a recipe of another task.

    Raises:
        ConfigError: If the project tells other classes apart than the run did.
    """
    theirs, own = set(recipe.classes), set(table.class_names)
    if recipe.classes and theirs != own:
        raise ConfigError(
            f"The recipe is for other classes: {', '.join(recipe.classes)}. This project has "
            f"{', '.join(table.class_names)}.",
            remedy="Choose a recipe of a run on the same classes, or name the classes alike.",
        )
    if recipe.classes and recipe.activation != table.activation:
        raise ConfigError(
            "The recipe is for another task: one class an image, or several findings.",
            remedy="Choose a recipe of a run with the same task.",
        )


def differences(
    repeat: Repeat,
    *,
    project: Project,
    config: ExperimentConfig,
    table: TrainingTable,
    runtime: Runtime,
) -> tuple[str, ...]:
    """Return what is not as it was when the run was made, in sentences.

    Args:
        repeat: What is repeated.
        project: Where.
        config: The settings as they are now.
        table: The images to learn from.
        runtime: Where the repeat computes.
    """
    edited = ("The recipe was changed after it was written.",) if repeat.is_edited else ()
    return (*edited, *_differences(repeat.recipe, project, config, table, runtime))


def _differences(
    recipe: Recipe,
    project: Project,
    config: ExperimentConfig,
    table: TrainingTable,
    runtime: Runtime,
) -> Iterator[str]:
    if recipe.config.image != config.image:
        sizes = config.image.size_px, recipe.config.image.size_px
        if sizes[0] != sizes[1]:
            yield f"The network sees images of {sizes[0]} px, not of {sizes[1]} px."
        else:
            yield "The images are prepared in another way for the network."
    elif recipe.data_digest != project.data_digest():
        yield "The images, labels or classes are not those of the run."
    if recipe.split_digest != project.split_digest():
        yield "The images are divided differently into training, validation and test."
    if recipe.classes and recipe.classes != table.class_names:
        yield "The classes have another order."
    if recipe.config.backbone != config.backbone or not _has_same_weights(recipe, config):
        yield "The backbone starts from other weights."
    if text := _other_versions(recipe.versions):
        yield text
    yield from _other_hardware(recipe, runtime)


def _has_same_weights(recipe: Recipe, config: ExperimentConfig) -> bool:
    digest = recipe.weights.get("digest", "")
    own = weights_info(config.backbone.key, config.backbone.weights).digest
    return not digest or config.backbone.weights == "scratch" or digest == own


def _other_versions(then: dict[str, str]) -> str:
    now = versions()
    names = {RADTUNE: "RadTune", "python": "Python"}
    changed = {
        library: f"{names.get(library, library)} {now[library]} instead of {then[library]}"
        for library in now
        if library in then and _without_build(then[library]) != _without_build(now[library])
    }
    is_other_code = changed.pop(CODE, None) is not None and RADTUNE not in changed
    told = f"Other versions: {', '.join(changed.values())}." if changed else ""
    return " ".join(filter(None, (told, CODE_CHANGED if is_other_code else "")))


def _without_build(version: str) -> str:
    """Return a version without what follows a plus: older recipes have torch's kind of build."""
    return version.partition("+")[0]


def _other_hardware(recipe: Recipe, runtime: Runtime) -> Iterator[str]:
    then, now = recipe.hardware, hardware(runtime)
    was = RecipeRuntime(**asdict(runtime))
    if recipe.runtime.device != was.device:
        kinds = {"cpu": "the processor", "cuda": "a graphics card", "mps": "an Apple GPU"}
        yield f"It computes on {kinds[was.device]}, not on {kinds[recipe.runtime.device]}."
    elif recipe.runtime != was:
        yield "It computes with another precision or number of threads."
    for name in ("cpu", "gpu"):
        if then.get(name) and now.get(name) and then[name] != now[name]:
            yield f"It computes on {now[name]}, not on {then[name]}."
    if then.get("driver") and now.get("driver") and then["driver"] != now["driver"]:
        yield f"The driver is {now['driver']}, not {then['driver']}."


def repeated_run(folder: Path) -> RepeatedRun | None:
    """Return which run the run of a folder repeats; None if none, or its recipe doesn't say."""
    path = folder / RECIPE_NAME
    try:
        found = read_json(path).get("repeats") if path.is_file() else None
        return None if found is None else from_plain(RepeatedRun, found)
    except (AttributeError, ConfigError, StorageError):
        return None


def tell_differences(run: str, found: tuple[str, ...], emit: Callable[[Event], None]) -> None:
    """Warn of what is not as it was when the run was made that is repeated."""
    if found:
        emit(
            Warned(
                run=run,
                message=f"The repeat is likely to give other figures. {' '.join(found)}",
                remedy="For the same ones, repeat it with the same data, program and computer.",
            )
        )


def repeat_result(folder: Path) -> dict[str, Any]:
    """Return what the result of a run says of the run that it repeats; nothing if it repeats none.

    Returns:
        ``repeat`` with ``run``, ``differences``, ``is_same`` (whether the weights are the very
        same; None if the run's aren't at hand, or it never came to its end) and a ``sentence``,
        which is in ``sentences`` too.
    """
    if (origin := repeated_run(folder)) is None:
        return {}
    kept = long_path(folder / _BEST)
    is_same = None
    if origin.weights_sha256 and kept.is_file():
        is_same = sha256_file(kept) == origin.weights_sha256
    sentences = {
        None: f"Repeated from the recipe of run {origin.run}; no final weights of it are at hand "
        "to compare with.",
        True: f"The weights are the same as those of run {origin.run}, bit for bit.",
        False: f"The weights are not quite those of run {origin.run}.",
    }
    found = {
        "run": origin.run,
        "differences": list(origin.differences),
        "is_same": is_same,
        "sentence": sentences[is_same],
    }
    return {"repeat": found, "sentences": [sentences[is_same]]}
