"""A run that applies a classifier as it is keeps a copy of it, so that it can be repeated."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.bundle.familiarity import likeness_unknown, suits, unusual_note, watch_head
from engine.bundle.format import BundleFacts
from engine.bundle.mapped import mapped_network, matched_groups
from engine.bundle.read import Bundle, read_bundle
from engine.contract.bundle_facts import FACTS_NAME
from engine.contract.commands import Train
from engine.contract.config import ExperimentConfig
from engine.contract.config_io import from_plain, to_plain
from engine.contract.errors import ConfigError, StorageError
from engine.contract.results import ClassMatch
from engine.files import long_path, make_folder, read_json, storage_error, write_json
from engine.hardware import Runtime
from engine.methods.direct_transfer import DirectTransfer
from engine.methods.method import TrainingData
from engine.models.network import Network
from engine.project.folder import KEPT_FOLDER
from engine.trainer.steps import predict_batch

_MATCHES: Final = "matches.json"
_MOST_LOOKED_AT: Final = 200


@dataclass(frozen=True, kw_only=True)
class Source:
    """A classifier and what its classes stand for in the project."""

    bundle: Bundle
    matches: tuple[ClassMatch, ...]

    @property
    def facts(self) -> BundleFacts:
        """The bundle's facts."""
        return self.bundle.facts

    def network(self, own: Sequence[str]) -> Network:
        """Return its network, answering for the project's classes.

        Raises:
            BundleError: If its weights don't fit the network that it names.
            ConfigError: If the matches don't fit the classes.
        """
        return mapped_network(self.bundle, own, self.matches)

    def recipe(self) -> dict[str, Any]:
        """Return what the run's recipe says of it."""
        return {
            "classifier": {
                "name": self.facts.name,
                "digest": self.facts.facts_digest,
                "backbone": to_plain(self.facts.backbone),
                "matches": to_plain(self.matches),
            }
        }

    def likeness(self, network: Network, data: TrainingData, runtime: Runtime) -> tuple[str, bool]:
        """Say how like the images that the classifier learned from the project's are.

        Args:
            network: As :meth:`network` gave it, on the runtime's device.
            data: The project's images; training and validation are looked at, test is not.
            runtime: Device and precision.

        Returns:
            A sentence, and whether the images suit the classifier as far as is known.
        """
        familiarity = self.bundle.familiarity(network)
        if familiarity is None:
            return likeness_unknown(self.facts), False
        both = np.concatenate([data.train, data.val])
        chosen = both[np.linspace(0, len(both) - 1, min(_MOST_LOOKED_AT, len(both))).astype(int)]
        with watch_head(network) as seen:
            for rows in np.array_split(data.table.rows[chosen], max(1, len(chosen) // 64)):
                predict_batch(network, data.pixels.read(rows), runtime)
        shares: NDArray[np.float64] = familiarity.unusual(np.concatenate(seen))
        return unusual_note(shares), suits(shares)


def chosen_source(command: Train, own: Sequence[str], *, is_multi: bool) -> Source | None:
    """Return the classifier that a command wants applied as it is, checked.

    Args:
        command: What was asked for.
        own: The project's classes.
        is_multi: Whether they are findings that are learned at once.

    Raises:
        BundleError: If the bundle can't be used.
        ConfigError: If the method isn't direct transfer, several findings are learned at once, or
            the matches make no sense.
    """
    if command.bundle is None:
        return None
    if command.config.method.key != DirectTransfer.key:
        raise ConfigError(
            "Only direct transfer applies another classifier as it is.",
            remedy=f"Choose the method {DirectTransfer.key}, or leave the classifier out.",
        )
    if is_multi:
        raise ConfigError(
            "A classifier whose classes are matched gives each image one class, so it can't answer "
            "for several findings at once.",
            remedy="Choose one finding to learn, or leave the classifier out: then each finding "
            "gets prototypes.",
        )
    bundle = read_bundle(Path(command.bundle))
    matches = command.matches or _same_names(bundle.facts.classes, own)
    matched_groups(bundle.facts.classes, own, matches)
    return Source(bundle=bundle, matches=matches)


def _same_names(theirs: Sequence[str], own: Sequence[str]) -> tuple[ClassMatch, ...]:
    names = {name.casefold(): name for name in own}
    return tuple(
        ClassMatch(theirs=name, own=names[name.casefold()])
        for name in theirs
        if name.casefold() in names
    )


def config_for(source: Source, config: ExperimentConfig) -> ExperimentConfig:
    """Return the settings with what the classifier itself brings: network, images, views."""
    facts = source.facts
    return replace(
        config,
        image=facts.image,
        backbone=replace(config.backbone, key=facts.backbone.key, weights="scratch"),
        evaluation=replace(config.evaluation, test_time_views=facts.test_time_views),
    )


def keep_source(run_folder: Path, source: Source) -> None:
    """Copy a classifier and its matches into a run's folder.

    Raises:
        StorageError: If the disk is full or can't be written.
    """
    folder = run_folder / KEPT_FOLDER
    make_folder(folder)
    for name in (*source.facts.files, FACTS_NAME):
        try:
            shutil.copyfile(long_path(source.bundle.folder / name), long_path(folder / name))
        except OSError as error:
            raise storage_error(error, "the run's copy of the classifier") from error
    write_json(folder / _MATCHES, to_plain(source.matches))


def kept_source(run_folder: Path) -> Source | None:
    """Return the classifier that a run applies as it is, or None if it trains one.

    Raises:
        BundleError: If the copy is damaged.
        StorageError: If it can't be read.
    """
    folder = run_folder / KEPT_FOLDER
    if not (folder / _MATCHES).is_file():
        return None
    plain: Any = read_json(folder / _MATCHES)
    try:
        matches: tuple[ClassMatch, ...] = from_plain(tuple[ClassMatch, ...], plain)
    except ConfigError as error:
        raise StorageError(
            "The run's copy of the classifier is damaged.", remedy="Start a new run."
        ) from error
    return Source(bundle=read_bundle(folder), matches=matches)
