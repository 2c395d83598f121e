"""The learning-rate range test."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.contract.commands import LrRange
from engine.contract.control import Control
from engine.hardware import resolve_runtime
from engine.jobs.learning_rate import _sentence
from engine.jobs.trials import TrialBench
from engine.methods.registry import get_method
from engine.project.access import open_alone
from engine.run import execute
from engine.trainer.lr_range import LrCurve, _smooth, lr_range, summed_up
from tests.helpers.tiny_study import run_job, small_config


def _bench(project) -> TrialBench:
    return TrialBench(
        project=project,
        table=project.training_table(),
        image=project.image_contract,
        runtime=resolve_runtime(small_config().runtime),
        control=Control(),
    )


def _state_of_numpy() -> list[int]:
    state: Any = np.random.get_state()
    return list(state[1].tolist())


@pytest.mark.parametrize("method", ["full_finetune", "soft_threshold"])
def test_the_test_leaves_network_and_random_state_as_they_were(study: Path, method: str) -> None:
    with open_alone(study, owner="a test") as project:
        chosen = get_method(method)
        network, context = _bench(project).fresh(small_config(method), chosen)
        weights = {name: t.clone() for name, t in network.state_dict().items()}
        states = torch.get_rng_state(), random.getstate(), _state_of_numpy()
        curve = lr_range(network, chosen, context, n_steps=20)
        assert len(curve.rates) >= 10
        assert torch.equal(torch.get_rng_state(), states[0])
        assert random.getstate() == states[1]
        assert _state_of_numpy() == states[2]
        assert all(torch.equal(t, weights[name]) for name, t in network.state_dict().items())


def test_a_training_after_the_test_is_bit_identical(study: Path) -> None:
    config = small_config()
    with open_alone(study, owner="a test") as project:
        bench = _bench(project)
        torch.manual_seed(5)
        before = bench.train(config).probabilities
        torch.manual_seed(5)
        method = get_method(config.method.key)
        network, context = bench.fresh(config, method)
        lr_range(network, method, context, n_steps=20)
        after = bench.train(config).probabilities
    assert after.tolist() == before.tolist()


def test_the_command_gives_the_same_curve_every_time(study: Path) -> None:
    result = run_job(LrRange(project=str(study), config=small_config(), steps=24))
    assert result["rates"] == sorted(result["rates"])
    assert len(result["rates"]) == len(result["losses"]) == len(result["smoothed"])
    assert 1e-6 <= result["suggested"] <= 0.1
    again = run_job(LrRange(project=str(study), config=small_config(), steps=24))
    assert again["losses"] == result["losses"]


def test_a_probe_has_no_rate_to_find(study: Path) -> None:
    command = LrRange(project=str(study), config=small_config("linear_probe"))
    finished = execute(command, lambda event: None, Control())
    assert "no learning rate" in (finished.error or "")


def test_smoothing_does_not_shift_a_line() -> None:
    line = np.linspace(1.0, 0.0, 30)
    assert _smooth(line) == pytest.approx(line)


def _curve(smoothed: list[float]) -> LrCurve:
    """Return the curve of losses at 1e-6, 1e-5, … as the test sums them up."""
    rates = np.logspace(-6, -7 + len(smoothed), len(smoothed))
    return summed_up(rates, np.array(smoothed), np.array(smoothed))


def test_the_suggestion_is_where_the_loss_stops_falling_and_well_below_where_it_breaks() -> None:
    curve = _curve([1.0, 1.0, 0.9, 0.6, 0.4, 0.6, 1.0, 3.0])
    assert curve.lowest == pytest.approx(1e-2)
    assert curve.breaking == pytest.approx(1.0)
    assert curve.suggested(current=1.0) == pytest.approx(1e-2)
    abrupt = _curve([1.0, 1.0, 0.9, 0.4, 3.0])
    # Rates are decades apart here; between two of them the loss may rise at any.
    assert abrupt.suggested(current=1.0) == abrupt.lowest == pytest.approx(1e-3)
    flat_end = _curve([1.0, 0.9, 0.5, 0.5, 0.5])
    assert flat_end.suggested(current=1.0) == pytest.approx(1e-4)  # the first of the lowest


def test_a_network_that_says_the_same_of_every_image_again_is_broken() -> None:
    """Such a one has the loss of the start, where the head knew nothing: the logarithm of K."""
    curve = _curve([0.69, 0.68, 0.66, 0.63, 0.66, 0.69, 0.70, 0.69])
    assert curve.breaking == pytest.approx(1e-2)
    assert curve.suggested(current=1.0) == pytest.approx(1e-3)
    assert "the present 0.1 is too close to that" in _sentence(curve, 0.1)


def test_a_loss_that_is_no_number_any_more_is_broken() -> None:
    falling = np.linspace(1.0, 0.2, 12)
    rates = np.logspace(-5, -2, 12)
    curve = summed_up(rates, falling, falling, lost_at=0.012)
    assert curve.breaking == 0.012
    assert curve.suggested(current=1.0) == pytest.approx(0.006)


@pytest.mark.parametrize("lost_at", [math.inf, 0.5])
def test_nothing_breaks_at_a_rate_at_which_nothing_broke(lost_at: float) -> None:
    flat = np.ones(20)
    said = _sentence(summed_up(np.geomspace(1e-5, 1, 20), flat, flat, lost_at=lost_at), 0.01)
    assert ("Training breaks from about 0.5 on" in said) == (lost_at == 0.5)
    assert ("None broke it" in said) == (lost_at == math.inf)


def test_where_no_rate_helps_the_present_one_is_kept_if_it_is_safe() -> None:
    curve = _curve([0.5, 0.5, 0.51, 0.5, 0.9, 2.0])
    assert curve.breaking == pytest.approx(1e-2)
    assert curve.suggested(current=5e-4) == 5e-4
    assert curve.suggested(current=0.1) == pytest.approx(1e-3)
