"""Seconds to fit a decision layer once features are there: 5,000 images, classes or findings.

``python -m tests.speed.head``. The fit alone, then what a user waits for who has changed a label,
on a project whose cache holds the features: how good the labels are now, for which the job reads
the features, fits and measures; and its end, when it has fitted the halves that say which labels
are doubted. Only what is fitted and what is told first have to come within two seconds.

The features are as wide as EfficientNet-Lite0's of all stages and move together as those do: a
spectrum that falls like a power of the rank. The time of the process counts, beside the clock,
since a busy machine slows the latter alone.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from engine.contract.commands import RefitHead
from engine.contract.config import ExperimentConfig, preset_config
from engine.contract.control import Control
from engine.contract.events import COMPLETED, Event, JobProgressed
from engine.contract.records import SplitSummary
from engine.hardware import Runtime, apply_runtime, place_run
from engine.jobs.fresh_network import fresh_network
from engine.methods.findings_head import FindingsHeadLoss, fit_findings_head
from engine.methods.linear_head import fit_linear_head
from engine.methods.registry import get_method
from engine.metrics.ranking import auroc, macro_ovr_auroc
from engine.models.features import features_kind
from engine.models.registry import build_network
from engine.project.classes import MULTI
from engine.project.labels import set_many_findings
from engine.project.records import NewRecord
from engine.project.segments import SegmentWriter
from engine.project.store import Project
from engine.run import execute
from tests.speed.machine import describe_machine

_N_IMAGES, _N_VALIDATION, _ROUNDS = 5000, 700, 3
_MOST_SECONDS: Final = 2.0
_PROBLEMS: Final = (("2 classes", 2, False), ("6 classes", 6, False), ("3 findings", 3, True))

Cases = tuple[NDArray[np.float32], NDArray[np.int64]]


def main() -> None:
    """Print the best of several rounds for each number of classes."""
    print(describe_machine())
    config = preset_config("quick", method="linear_probe")
    runtime, _ = place_run(config.runtime)
    apply_runtime(runtime)
    widths = build_network(config.backbone.key, 2, weights="scratch").feature_blocks
    for name, n_classes, is_multi in _PROBLEMS:
        train = _cases(_N_IMAGES, n_classes, widths, 0, is_multi=is_multi)
        val = _cases(_N_VALIDATION, n_classes, widths, 1, is_multi=is_multi)
        fit = _fit_findings if is_multi else _fit_classes
        _tell(f"{name}, fit alone", _best_of(partial(fit, train, val, widths)))
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            project = Path(folder) / "speed.radtune"
            _make_project(project, config, runtime, (train, val))
            rounds = [_refit(project) for _ in range(_ROUNDS)]
            told, ended = (min(column) for column in zip(*rounds, strict=True))
            _tell(f"{name}, the result told", told)
            print(f"{name}, labels in doubt told: {ended}", flush=True)


@dataclass(frozen=True, order=True)
class _Taken:
    """Time since it was begun, by the clock and of the processor, in seconds."""

    wall: float
    busy: float

    @classmethod
    def now(cls) -> _Taken:
        return cls(time.perf_counter(), time.process_time())

    def since(self, start: _Taken) -> _Taken:
        return _Taken(self.wall - start.wall, self.busy - start.busy)

    def __str__(self) -> str:
        return f"{self.wall:.2f} s by the clock, {self.busy:.2f} s of processor time"


def _best_of(deed: Callable[[], object]) -> _Taken:
    rounds = []
    for _ in range(_ROUNDS):
        started = _Taken.now()
        deed()
        rounds.append(_Taken.now().since(started))
    return min(rounds)


def _tell(what: str, taken: _Taken) -> None:
    verdict = "within" if taken.wall <= _MOST_SECONDS else "OVER"
    threads = torch.get_num_threads()
    print(f"{what}: {taken}, {threads} threads; {verdict} {_MOST_SECONDS:g} s", flush=True)


def _cases(n: int, n_classes: int, widths: tuple[int, ...], seed: int, *, is_multi: bool) -> Cases:
    common, own = np.random.default_rng(7), np.random.default_rng(seed)
    width = sum(widths)
    factors = own.normal(size=(n, 400)) * np.arange(1, 401) ** -0.7
    features = factors @ common.normal(size=(400, width)) + 0.3 * own.normal(size=(n, width))
    scores = factors[:, : 3 * n_classes] @ common.normal(size=(3 * n_classes, n_classes))
    scores += 0.5 * own.normal(size=scores.shape)
    labels = scores > 0.5 if is_multi else scores.argmax(axis=1)
    return features.astype(np.float32), labels.astype(np.int64)


def _fit_classes(train: Cases, val: Cases, widths: tuple[int, ...]) -> object:
    return fit_linear_head(train, val, widths=widths, class_weights=None, score=_score)


def _fit_findings(train: Cases, val: Cases, widths: tuple[int, ...]) -> object:
    return fit_findings_head(train, val, widths=widths, loss=FindingsHeadLoss())


def _score(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    if probabilities.shape[1] == 2:
        return auroc(probabilities[:, 1], labels == 1)
    return macro_ovr_auroc(probabilities, labels)


def _make_project(
    folder: Path, config: ExperimentConfig, runtime: Runtime, parts: tuple[Cases, Cases]
) -> None:
    """Write a project with labels, a split and cached features, but without an image."""
    features = np.concatenate([part[0] for part in parts])
    labels = np.concatenate([part[1] for part in parts])
    names = ["train"] * len(parts[0][0]) + ["val"] * len(parts[1][0])
    is_multi = labels.ndim == 2
    with Project.create(folder) as project:
        if is_multi:
            project.set_task(MULTI)
        source = project.add_source(folder.with_suffix(".images"), "folder")
        n_classes = labels.shape[1] if is_multi else int(labels.max()) + 1
        classes = [project.add_class(f"class {k}") for k in range(n_classes)]
        ids = project.add_records(
            [
                NewRecord(
                    source_id=source,
                    path=f"{row}.png",
                    row=row,
                    class_id=None if is_multi else classes[int(labels[row])],
                    patient_id=project.patient(f"patient {row}"),
                )
                for row in range(len(labels))
            ]
        )
        if is_multi:
            found: dict[int, dict[int, int | None]] = {
                record: {classes[k]: int(value) for k, value in enumerate(values)}
                for record, values in zip(ids, labels, strict=True)
            }
            set_many_findings(project, found, who="import")
        summary = SplitSummary(
            origin="made",
            counts={},
            n_patients={},
            overlap=0,
            unit="patient",
            seed=0,
            fractions=None,
            digest="",
        )
        project.save_split(dict(zip(ids, names, strict=True)), summary)
        table = project.training_table()
        network = fresh_network(config, get_method(config.method.key), table, runtime)
        image = replace(config, image=project.image_contract).image
        kind = features_kind(network, image, runtime)
        with SegmentWriter(project, kind, features.shape[1:], np.float32) as writer:
            writer.append(features, np.arange(len(features)))


def _refit(project: Path) -> tuple[_Taken, _Taken]:
    """Return when the job told how good the labels are, and when it ended."""
    started, told = _Taken.now(), []

    def hear(event: Event) -> None:
        if isinstance(event, JobProgressed) and event.facts:
            told.append(_Taken.now().since(started))

    command = RefitHead(project=str(project), described_only=True)
    finished = execute(command, hear, Control())
    assert finished.outcome == COMPLETED, (finished.error, finished.remedy)
    return told[0], _Taken.now().since(started)


if __name__ == "__main__":
    main()
