"""The estimate of the time left, on simulated trainings whose true length is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from engine.contract.config import preset_config
from engine.hardware import Runtime
from engine.jobs.trial_times import TrialTimes, n_trials
from engine.methods.anchored import AnchoredMethod
from engine.methods.registry import get_method
from engine.trainer.epoch_costs import costs_of, epoch_costs
from engine.trainer.time_left import TimeLeft
from tests.helpers.tiny_training import TinyTraining, tiny_config

BATCH = 16


@dataclass
class Training:
    """A training that takes as long as it is told to, and what was estimated at each batch.

    Attributes:
        batch_s: Seconds of the batch that begins at a time, from its number and that time.
        end_s: Seconds of the end of an epoch that begins at a time.
        estimates: Time of each batch's end, and the estimate then.
    """

    n_batches: int
    n_epochs: int
    batch_s: Callable[[int, float], float]
    end_s: Callable[[float], float]
    n_looked_at: int = 0
    look_s: float | None = None
    costs: Sequence[float] = ()
    time_s: float = 0.0
    estimates: list[tuple[float, float]] = field(default_factory=list)

    def run(self) -> Training:
        left = TimeLeft(n_images=self.n_batches * BATCH, n_looked_at=self.n_looked_at)
        left.costs = self.costs
        for number, epoch, batch in self._places():
            left.begin_epoch(epoch)
            seconds = self.batch_s(number, self.time_s)
            self.time_s += seconds
            left.batch(seconds, BATCH)
            if left.wants_look and self.look_s is not None:
                left.looked(self.look_s * 32, 32)
            estimate = left.seconds_left(
                images_left=(self.n_batches - batch) * BATCH, epochs_after=self.n_epochs - epoch
            )
            assert estimate is not None
            self.estimates.append((self.time_s, estimate))
            if batch == self.n_batches:
                seconds = self.end_s(self.time_s)
                self.time_s += seconds
                left.epoch_end(seconds)
        return self

    def _places(self) -> Iterator[tuple[int, int, int]]:
        for epoch in range(1, self.n_epochs + 1):
            for batch in range(1, self.n_batches + 1):
                yield (epoch - 1) * self.n_batches + batch, epoch, batch

    def worst_error(self, *, since: float = 20.0, until_left: float = 5.0) -> float:
        """Return the largest share by which an estimate was off from a time on.

        The last few seconds aren't counted: a share of them says nothing.
        """
        errors = [
            abs(estimate / (self.time_s - at) - 1)
            for at, estimate in self.estimates
            if at >= since and self.time_s - at >= until_left
        ]
        assert errors
        return max(errors)


def steady(seconds: float) -> Callable[[int, float], float]:
    return lambda number, at: seconds


def test_a_steady_training_is_estimated_exactly():
    training = Training(
        50, 10, steady(0.5), lambda at: 6.0, n_looked_at=1000, look_s=6.0 / 1000
    ).run()
    assert training.worst_error() < 0.01


def test_epochs_that_open_more_layers_are_expected_to_take_longer():
    """A pass with one stage open takes six tenths of one with all; what is expected is 0.1 off."""
    takes = [0.6, 0.6, 0.75, 0.75, 0.9, 0.9, 1.0, 1.0]
    expected = [0.5, 0.5, 0.65, 0.65, 0.8, 0.8, 1.0, 1.0]

    def batch_s(number: int, at: float) -> float:
        return 0.5 * takes[(number - 1) // 50]

    blind, seeing = (
        Training(50, 8, batch_s, lambda at: 6.0, 1000, 6.0 / 1000, costs=costs).run()
        for costs in ((), expected)
    )
    assert blind.worst_error() > 0.25
    assert seeing.worst_error() < 0.15


def test_what_a_pass_costs_follows_from_the_layers_that_learn():
    """Forward through all five stages, and twice as much back through those that are open."""
    opened = [[stage >= 5 - n for stage in range(5)] for n in (1, 2, 5)]
    assert costs_of([1.0, 1.0, 1.0, 1.0, 1.0], opened) == pytest.approx((7 / 15, 9 / 15, 1.0))
    assert costs_of([4.0, 0.0, 0.0, 0.0, 1.0], opened) == pytest.approx((7 / 15, 7 / 15, 1.0))


def test_only_a_method_that_opens_layers_later_has_passes_of_several_costs(tmp_path):
    runtime = Runtime()
    for method, n_costs in (("full_finetune", 1), ("adversarial", 1), ("gradual_unfreezing", 3)):
        config = tiny_config(method, is_pretrained=method == "gradual_unfreezing", max_epochs=3)
        config = replace(config, gradual=replace(config.gradual, epochs_per_stage=1))
        trainer = TinyTraining(tmp_path, config).begin()
        costs = epoch_costs(trainer.network, trainer.method, config, runtime, micro_batch=8)
        assert len(set(costs)) in (0, n_costs) and (n_costs == 1) == (costs == ())
        assert list(costs) == sorted(costs)


def test_nothing_is_estimated_before_the_first_batch():
    left = TimeLeft(n_images=100, n_looked_at=10)
    assert left.seconds_left(images_left=100, epochs_after=3) is None


def test_the_first_batch_alone_gives_an_estimate():
    left = TimeLeft(n_images=100, n_looked_at=0)
    left.batch(2.0, 10)
    assert left.seconds_left(images_left=90, epochs_after=1) == pytest.approx(38.0)


@pytest.mark.parametrize("batch_s", [0.02, 0.5, 3.0])
def test_a_first_batch_that_takes_half_a_minute_is_forgotten(batch_s):
    training = Training(
        40, 20, lambda number, at: 30.0 if number == 1 else batch_s, lambda at: 4 * batch_s
    ).run()
    assert training.worst_error(since=30.0 + 5 * batch_s) < 0.25


def test_a_slow_start_is_forgotten_within_seconds():
    """The first eight seconds are four times as slow, as while files come from a cold disk."""
    training = Training(
        100, 8, lambda number, at: 1.2 if at < 8 else 0.3, lambda at: 5.0, 500, 5.0 / 500
    ).run()
    assert training.worst_error() < 0.25


@pytest.mark.parametrize("look_s", [0.004, 0.012, 0.03])
def test_a_heavy_validation_is_measured_before_the_first_epoch_ends(look_s):
    """Ten times as many images to look at as to learn from, cheap or dear."""
    training = Training(
        60, 5, steady(0.5), lambda at: 9600 * look_s, n_looked_at=9600, look_s=look_s
    ).run()
    assert training.worst_error() < 0.05


def test_what_an_epochs_end_really_takes_replaces_what_was_expected():
    training = Training(20, 10, steady(0.4), lambda at: 8.0, n_looked_at=10, look_s=0.01).run()
    assert training.worst_error(since=20 * 0.4 + 8.0 + 0.1) < 0.01


def test_a_load_that_doubles_midway_is_followed_within_half_a_minute():
    doubled_at = 100.0
    training = Training(
        50,
        12,
        lambda number, at: 0.4 if at < doubled_at else 0.8,
        lambda at: 4.0 if at < doubled_at else 8.0,
    ).run()
    assert training.worst_error(since=doubled_at + 30) < 0.1
    late = [estimate for at, estimate in training.estimates if 90 < at <= 100]
    then = [estimate for at, estimate in training.estimates if 130 <= at < 135]
    assert then[0] > 1.4 * late[-1]


def test_a_load_that_ends_is_followed_as_well():
    training = Training(
        50, 12, lambda number, at: 0.8 if at < 60 else 0.4, lambda at: 8.0 if at < 60 else 4.0
    ).run()
    assert training.worst_error(since=90) < 0.1


def test_one_stall_of_a_minute_moves_the_estimate_little():
    """As when the computer slept, or a scanner held a file; pauses aren't fed in at all."""
    training = Training(50, 10, lambda number, at: 60.0 if number == 120 else 0.4, lambda at: 4.0)
    training.run()
    assert training.worst_error(since=20 + 60 + 50) < 0.05  # true time left without the stall
    around = [e for i, (_, e) in enumerate(training.estimates, 1) if 118 <= i <= 124]
    assert max(around) / min(around) < 1.05


def test_noisy_batches_are_estimated_by_what_they_take_on_average():
    """Times with a long tail: their median lies well below their mean."""
    noise = np.random.default_rng(0).lognormal(-0.5 * 0.8**2, 0.8, 100_000)
    training = Training(
        200, 6, lambda number, at: 0.1 * noise[number], lambda at: 8.0, 800, 0.01
    ).run()
    assert training.worst_error() < 0.25


def test_impossible_durations_are_passed_over():
    left = TimeLeft(n_images=100, n_looked_at=50)
    left.looked(1.0, 10)
    left.epoch_end(1.0)
    left.batch(float("nan"), 10)
    left.batch(-1.0, 10)
    left.batch(1.0, 0)
    assert left.seconds_left(images_left=10, epochs_after=0) is None
    assert not left.wants_look


def test_trials_before_the_training_count_with_all_that_follows():
    """Five trials of two epochs, then eight epochs; an epoch takes ten seconds."""
    times = TrialTimes(5)
    times.begin(100.0)
    left = times.seconds_left(105.0, 15.0, n_epochs=2, epochs_after=8)
    assert left == pytest.approx(15 + 4 * 20 + 80)
    for began in (120.0, 140.0, 160.0, 180.0):
        times.begin(began)
    assert times.seconds_left(190.0, 10.0, n_epochs=2, epochs_after=8) == pytest.approx(10 + 80)
    assert times.seconds_left(190.0, None, n_epochs=2, epochs_after=8) is None


def test_trials_that_were_made_before_an_interruption_take_no_time_any_more():
    times = TrialTimes(5)
    times.skip()
    times.skip()
    times.begin(100.0)
    left = times.seconds_left(105.0, 15.0, n_epochs=2, epochs_after=8)
    assert left == pytest.approx(15 + 2 * 20 + 80)


def test_nothing_is_promised_for_trials_whose_number_is_unknown():
    times = TrialTimes(0)
    times.begin(0.0)
    assert times.seconds_left(1.0, 1.0, n_epochs=2, epochs_after=8) is None


def test_the_number_of_trials_follows_from_method_and_settings():
    config = preset_config("standard", method="soft_threshold")
    method = get_method("soft_threshold")
    assert isinstance(method, AnchoredMethod)
    assert n_trials(method, config) == len(method.strengths) > 1
    chosen = replace(config, anchor=replace(config.anchor, strength=0.1))
    assert n_trials(method, chosen) == 0
    assert n_trials(get_method("full_finetune"), config) == 0
