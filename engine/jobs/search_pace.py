"""How fast the backbones of a search are trained here, measured before it plans its rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from engine.contract.config import ExperimentConfig
from engine.contract.errors import DatasetError
from engine.contract.training_time import rough_time
from engine.data.transforms import pixels_to_batch
from engine.hardware import Runtime, autocast
from engine.jobs.candidates import Candidate
from engine.jobs.halving import N_ROUNDS
from engine.jobs.search_words import title
from engine.jobs.trials import TrialBench
from engine.methods.balance import state_counts
from engine.methods.registry import get_method
from engine.models.registry import build_network
from engine.models.weights import SCRATCH
from engine.project.table import TrainingTable
from engine.seeding import step_seed
from engine.splits.stratify import divide_groups
from engine.trainer.time_limit import TimedControl

_TRAIN_COST: Final = 2.7  # a trained image costs so many that are only looked at
_SPEED_BATCH: Final = 8
_LEAST_OF_A_CLASS: Final = 20  # images in a first trial
_WORTH_MEASURING: Final = 0.5
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast backbones are here.

    Attributes:
        pass_s: Seconds of a pass over the training images, by backbone; none of what is too slow.
        look_s: Seconds of describing one image, likewise.
        notes: What is too slow, in plain words.
    """

    pass_s: dict[str, float]
    look_s: dict[str, float]
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

    A backbone of which a single pass takes more than a round is left out, unless all are so.

    Args:
        candidates: Those that could be tried.
        bench: Where they are trained.
        control: Of the search.
        budget_s: Time of the search.
        tell: Takes what is going on, in plain words.

    Raises:
        JobCanceled: If the search was asked to cancel.
        TimeIsUp: If the time is up.
    """
    keys = list(dict.fromkeys(c.config.backbone.key for c in candidates))
    look_s = {}
    for key in keys:
        tell(f"Measuring how fast {title(key)} is here")
        look_s[key] = _forward_s(key, bench, bench.runtime)
    pace = {key: value * _looks(bench.table, 1.0) for key, value in look_s.items()}
    limit_s = budget_s / N_ROUNDS
    fitting = {key for key in keys if pace[key] <= limit_s} or {min(keys, key=pace.__getitem__)}
    notes = tuple(
        f"{title(key)} was left out: one pass over the images takes about "
        f"{rough_time(pace[key])} here."
        for key in keys
        if key not in fitting
    )
    kept = [c for c in candidates if c.config.backbone.key in fitting and c.has_epochs]
    slowness = _slowness(kept[0], pace, bench, control, tell) if kept else 1.0
    pass_s = {key: slowness * pace[key] for key in keys if key in fitting}
    return Pace(pass_s=pass_s, look_s=look_s, notes=notes)


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
