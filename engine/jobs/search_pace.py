"""How fast the backbones of a search are trained here, measured before it plans its rounds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from engine.contract.config import ExperimentConfig
from engine.contract.errors import DatasetError, EngineError
from engine.contract.training_time import rough_time
from engine.data.transforms import pixels_to_batch
from engine.hardware import Runtime, autocast
from engine.jobs.candidates import Candidate
from engine.jobs.fresh_network import fresh_network
from engine.jobs.halving import N_ROUNDS
from engine.jobs.search_words import title, words
from engine.jobs.trials import TrialBench
from engine.methods.balance import state_counts
from engine.methods.registry import get_method
from engine.models.features import features_kind
from engine.models.registry import build_network
from engine.models.weights import SCRATCH
from engine.project.segment_reader import SegmentReader
from engine.project.table import TrainingTable
from engine.seeding import step_seed
from engine.splits.stratify import divide_groups
from engine.trainer.time_limit import TimedControl, TimeIsUp

_TRAIN_COST: Final = 2.7  # a trained image costs so many that are only looked at
_SPEED_BATCH: Final = 8
_LEAST_OF_A_CLASS: Final = 20  # images in a first trial
_WORTH_MEASURING: Final = 0.5
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast backbones are here.

    Attributes:
        pass_s: Seconds of a pass over the training images, by backbone.
        look_s: Seconds of describing one image, likewise.
        undescribed: Images without a description, by candidate without passes.
        fitting: Candidates that aren't too slow.
        notes: What is too slow, in plain words.
    """

    pass_s: dict[str, float]
    look_s: dict[str, float]
    undescribed: dict[int, int]
    fitting: list[Candidate]
    notes: tuple[str, ...]


def part_of(table: TrainingTable, share: float, *, seed: int) -> NDArray[np.int64]:
    """Return training images: all, or a share with whole patients and the classes balanced."""
    train = np.flatnonzero(table.split == 0)
    if share >= 1:
        return train
    try:
        part = divide_groups(
            table.strata[train],
            table.groups[train],
            np.array([share, 1 - share]),
            seed=step_seed(seed, "search", "part"),
            class_names=table.class_names,
            unit=table.unit,
        )
    except DatasetError:  # a class of a single patient can't be divided
        return train
    chosen: NDArray[np.int64] = train[part == 0]
    return chosen


def smallest_share(table: TrainingTable) -> float:
    """Return the share of the training images below which a trial says nothing."""
    labels = table.labels[table.split == 0]
    if table.is_multi:
        counts = state_counts(labels)
    else:
        counts = np.bincount(labels, minlength=len(table.class_names))
    return min(1.0, _LEAST_OF_A_CLASS / max(1, int(counts.min())))


def shortened(config: ExperimentConfig, epochs: int) -> ExperimentConfig:
    """Return settings that train for fewer passes, their schedule as short."""
    patience = min(config.method.patience, epochs)
    return replace(config, method=replace(config.method, max_epochs=epochs, patience=patience))


def measured_pace(
    candidates: Sequence[Candidate],
    bench: TrialBench,
    control: TimedControl,
    *,
    budget_s: float,
    tell: Tell,
) -> Pace:
    """Return how fast the backbones are.

    A backbone is left out where a single pass, or without passes describing the images, takes more
    than a round, unless that is so of all.

    Args:
        candidates: Those that could be tried.
        bench: Where they are trained.
        control: Of the search.
        budget_s: Time of the search.
        tell: Takes what is going on, in plain words.

    Raises:
        JobCanceled: If the search was asked to cancel.
        TimeIsUp: If it was asked to stop.
    """
    keys = list(dict.fromkeys(c.config.backbone.key for c in candidates))
    limit_s = budget_s / (N_ROUNDS if any(c.has_epochs for c in candidates) else 1)
    look_s: dict[str, float] = {}
    for key in keys:
        if control.stop_requested:
            raise TimeIsUp
        if look_s and control.elapsed_s > budget_s / N_ROUNDS:
            break  # the others would be measured and not tried
        tell(f"Measuring how fast {title(key)} is here")
        look_s[key] = _forward_s(key, bench, bench.runtime)
    pace = {key: value * _looks(bench.table, 1.0) for key, value in look_s.items()}
    measured = [c for c in candidates if c.config.backbone.key in look_s]
    undescribed = {c.number: _n_undescribed(c, bench) for c in measured if not c.has_epochs}
    cost_s = {
        c.number: pace[c.config.backbone.key]
        if c.has_epochs
        else look_s[c.config.backbone.key] * undescribed[c.number]
        for c in measured
    }
    fitting = _fitting(measured, cost_s, limit_s)
    notes = _left_out(candidates, fitting, cost_s)
    kept = [c for c in fitting if c.has_epochs]
    slowness = _slowness(kept[0], pace, bench, control, tell) if kept else 1.0
    pass_s = {key: slowness * value for key, value in pace.items()}
    return Pace(pass_s=pass_s, look_s=look_s, undescribed=undescribed, fitting=fitting, notes=notes)


def _n_undescribed(candidate: Candidate, bench: TrialBench) -> int:
    """Return how many images have no description yet; an earlier training may have made them."""
    table, config = bench.table, candidate.config
    rows = table.rows[np.isin(table.split, (0, 1))]
    try:
        network = fresh_network(config, get_method(config.method.key), table, bench.runtime)
        reader = SegmentReader(bench.project, features_kind(network, bench.image, bench.runtime))
        return len(reader.missing(rows))
    except EngineError:  # its trial will say what is wrong
        return len(rows)


def _fitting(
    measured: Sequence[Candidate], cost_s: Mapping[int, float], limit_s: float
) -> list[Candidate]:
    """Return candidates whose pass, or whose description, takes no more than the limit.

    Of either kind at least the fastest.
    """
    least: dict[bool, float] = {}
    for c in measured:
        least[c.has_epochs] = min(cost_s[c.number], least.get(c.has_epochs, math.inf))
    return [c for c in measured if cost_s[c.number] <= max(limit_s, least[c.has_epochs])]


def _left_out(
    candidates: Sequence[Candidate], fitting: Sequence[Candidate], cost_s: Mapping[int, float]
) -> tuple[str, ...]:
    """Return what is too slow, and why, in plain words."""
    stay = {c.number for c in fitting}
    probed = {c.config.backbone.key for c in fitting if not c.has_epochs}
    notes = []
    for c in candidates:
        name = title(c.config.backbone.key)
        if c.number not in cost_s:
            notes.append(f"{name} was left out: there was no time to measure how fast it is here.")
        elif c.number not in stay:
            out, what = f"{name} was left out", "one pass over the images"
            if not c.has_epochs:
                out, what = f"{words(c)} was left out", "describing the images"
            elif c.config.backbone.key in probed:
                out = f"Of {name} only methods without passes were tried"
            notes.append(f"{out}: {what} takes about {rough_time(cost_s[c.number])} here.")
    return tuple(dict.fromkeys(notes))


def n_described(table: TrainingTable, share: float) -> float:
    """Return how many images are described to fit a decision layer to a share of the training."""
    n_train, n_val = (int((table.split == code).sum()) for code in (0, 1))
    return share * n_train + n_val


def _looks(table: TrainingTable, share: float) -> float:
    """Return the work of a pass over a share of the training images, in images looked at."""
    n_train, n_val = (int((table.split == code).sum()) for code in (0, 1))
    # After each pass the head is fitted anew, which looks at every image once.
    return (_TRAIN_COST + 1) * share * n_train + 2 * n_val


def _slowness(
    candidate: Candidate,
    pace: dict[str, float],
    bench: TrialBench,
    control: TimedControl,
    tell: Tell,
) -> float:
    """Train for a pass over few images, to learn what training costs beside its networks.

    Fitting heads, reading, and whatever else the computer does are not in the speed of a network;
    they slow all backbones down about alike.
    """
    key, table = candidate.config.backbone.key, bench.table
    share = smallest_share(table)
    if share > _WORTH_MEASURING:
        return 1.0  # the first trial tells as much
    tell(f"Measuring how fast {title(key)} is trained here")
    config = shortened(candidate.config, 1)
    # Features are kept for all later trials; computing them is not what a pass costs.
    network, _ = bench.fresh(config, get_method(config.method.key))
    used = np.concatenate([np.flatnonzero(table.split == code) for code in (0, 1)])
    control.is_strict = True
    bench.features(network, table.rows[used], control)
    control.is_strict = False
    part = part_of(table, share, seed=config.seed)
    result = bench.train(config, train=part, seconds=control.left_s)
    expected_s = pace[key] * _looks(table, share) / _looks(table, 1.0)
    return max(1.0, result.seconds / expected_s)


def _forward_s(key: str, bench: TrialBench, runtime: Runtime) -> float:
    """Return seconds that a backbone takes to look at one image, after one batch of warm-up."""
    # The weights don't matter, and the default ones needn't be there.
    network = build_network(key, 2, weights=SCRATCH, features="stages").to(runtime.device)
    rows = bench.table.rows[:_SPEED_BATCH]
    images = pixels_to_batch(bench.pixels(bench.control).read(rows), runtime.device)
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        with torch.inference_mode(), autocast(runtime):
            network(images).cpu()
        taken.append(time.perf_counter() - started)
    return min(taken[1:]) / len(rows)
