"""A run without passes over the images: how well it does, and what it knew before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.contract.config import ExperimentConfig
from engine.contract.config_io import to_plain
from engine.contract.events import Event, Warned
from engine.hardware import Runtime
from engine.jobs.seen_before import seen_sentence
from engine.jobs.source_bundle import Source
from engine.methods.direct_transfer import matched_use_sentence
from engine.methods.method import TrainingData
from engine.metrics.validation import validation_interval
from engine.models.network import Network
from engine.project.store import Project
from engine.trainer.steps import Validation, validate

__all__ = ["WithoutPasses"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WithoutPasses:
    """Measures a network that was fitted at once, or that is another task's classifier.

    Attributes:
        project: Holds the run.
        run: Its id.
        config: Its settings.
        source: The classifier that it applies as it is; None of a run that fits its own.
        emit: Receives warnings.
    """

    project: Project
    run: str
    config: ExperimentConfig
    source: Source | None
    emit: Callable[[Event], None]

    def measured(
        self, network: Network, data: TrainingData, runtime: Runtime
    ) -> tuple[float, dict[str, Any]]:
        """Return the AUROC on validation images, and what is to be known of a source."""
        facts = {} if self.source is None else self._likeness(self.source, network, data, runtime)
        table, val = data.table, data.val
        result = validate(
            network,
            data.pixels,
            table.rows[val],
            table.labels[val],
            runtime,
            class_weights=None,
            positive=table.positive,
        )
        if self.source is not None:
            facts["direct_use"] = self._use(data, result)
        return result.auroc, facts

    def _likeness(
        self, source: Source, network: Network, data: TrainingData, runtime: Runtime
    ) -> dict[str, Any]:
        """Say whom a classifier learned from, and how like its images the project's are."""
        facts = {"classifier": source.facts.name, "matches": to_plain(source.matches)}
        if seen := seen_sentence(self.project, source.facts, data.table):
            facts["seen"] = seen
            self._warn(seen)
        facts["likeness"], suits = source.likeness(network, data, runtime)
        if not suits:
            self._warn(facts["likeness"])
        return facts

    def _use(self, data: TrainingData, result: Validation) -> str:
        """Say whether a classifier that is applied as it is tells the project's classes apart."""
        table, val = data.table, data.val
        found = validation_interval(
            result.probabilities,
            table.labels[val],
            table.groups[val],
            table.positive,
            n_resamples=self.config.evaluation.bootstrap_resamples,
            seed=self.config.seed,
        )
        sentence, is_useful = matched_use_sentence(found, len(val))
        if not is_useful:
            self._warn(sentence)
        return sentence

    def _warn(self, message: str) -> None:
        self.emit(Warned(run=self.run, message=message))
