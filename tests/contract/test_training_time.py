"""The one estimate of how long a training takes, and how it is written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.contract.config import preset_config
from engine.contract.recommendation import PastTraining, SetupFacts, estimated_seconds
from engine.contract.training_time import (
    Pace,
    expected_pace,
    lr_range_seconds,
    rough_seconds,
    rough_time,
    slowness_of,
    training_seconds,
)

PACE = Pace(look_s=0.01, learn_s=0.03)


def test_a_head_alone_describes_every_image_once() -> None:
    # 150 images of a hundredth of a second, and five seconds until the engine is there.
    assert training_seconds(preset_config("quick"), 100, 50, PACE) == pytest.approx(6.5)


def test_a_network_is_trained_for_every_pass_that_it_may_take() -> None:
    standard = preset_config("standard")
    # Eight passes: 100 images learned from, and all 150 described for the decision layer.
    assert standard.method.max_epochs == 8
    expected = 5 + 1.5 + 8 * (3 + 1.5) + standard.evaluation.test_time_views * 0.5
    assert training_seconds(standard, 100, 50, PACE) == pytest.approx(expected)


def test_four_cores_and_half_the_side_are_each_four_times_as_fast() -> None:
    usual = expected_pace("cpu", 1, 224)
    for faster in (expected_pace("cpu", 4, 224), expected_pace("cpu", 1, 112)):
        assert faster.learn_s == pytest.approx(usual.learn_s / 4)
        assert faster.look_s == pytest.approx(usual.look_s / 4)
    assert expected_pace("cuda", 4, 224).learn_s < usual.learn_s / 4


def test_slowness_of_a_training_that_stopped_early_counts_its_passes() -> None:
    config = preset_config("standard")
    stopped = replace(config, method=replace(config.method, max_epochs=3))
    expected = training_seconds(stopped, 100, 50, PACE)
    assert slowness_of(config, 100, 50, 3, 2 * expected, PACE) == pytest.approx(2.0)


def test_finding_out_a_strength_and_worst_cases_take_their_time() -> None:
    # Beside the eight passes six of trials; each image is learned from in four times the time.
    plain = 5 + 1.5 + 8 * (3 + 1.5) + 0.5
    for method, more in (("soft_threshold", 6 * 4.5), ("l2_sp", 6 * 4.5), ("adversarial", 8 * 9)):
        config = preset_config("standard", method=method)
        assert training_seconds(config, 100, 50, PACE) == pytest.approx(plain + more)
    given = preset_config("standard", method="l2_sp")
    given = replace(given, anchor=replace(given.anchor, strength=10.0))
    assert training_seconds(given, 100, 50, PACE) == pytest.approx(plain)


def test_a_few_images_on_a_fast_machine_do_not_promise_that_many_take_as_little() -> None:
    config = preset_config("standard")
    assert slowness_of(config, 8, 4, 8, 2.0, PACE) == 1.0
    assert slowness_of(config, 100, 50, 8, 20.0, PACE) < 0.5


def test_starting_up_with_a_few_images_does_not_count_as_a_slow_machine() -> None:
    config = preset_config("standard")
    assert training_seconds(config, 8, 4, PACE) == pytest.approx(5 + 0.12 + 8 * 0.36 + 0.04)
    assert slowness_of(config, 8, 4, 8, 8.0, PACE) < 1.1


def facts(*past: PastTraining, device: str = "cpu") -> SetupFacts:
    return SetupFacts(n_train=(100, 100), n_val=40, device=device, past=past)


def took(slowness: float, *, method: str = "full_finetune", device: str = "cpu") -> PastTraining:
    return PastTraining(
        backbone="efficientnet_lite0", method=method, device=device, slowness=slowness
    )


def test_an_earlier_training_corrects_the_estimate() -> None:
    config = preset_config("standard")
    usual = estimated_seconds(facts(), config) - 5
    assert estimated_seconds(facts(took(3.0)), config) - 5 == pytest.approx(3 * usual)
    newest_of_the_method = facts(took(9.0, method="adversarial"), took(2.0), took(7.0))
    assert estimated_seconds(newest_of_the_method, config) - 5 == pytest.approx(2 * usual)
    probe = preset_config("quick", method="linear_probe")
    usual_probe = estimated_seconds(facts(), probe) - 5
    of_others = facts(took(9.0, method="adversarial"), took(2.0), took(7.0, method="l2_sp"))
    assert estimated_seconds(of_others, probe) - 5 == pytest.approx(2 * usual_probe)
    of_another_method = facts(took(9.0, method="lora"))
    assert estimated_seconds(of_another_method, config) - 5 == pytest.approx(9 * usual)


def test_a_training_on_the_card_says_nothing_of_the_processor_or_of_another_backbone() -> None:
    config = preset_config("standard")
    usual = estimated_seconds(facts(), config)
    assert estimated_seconds(facts(took(0.1, device="cuda")), config) == usual
    other = preset_config("standard", backbone="resnet18")
    assert estimated_seconds(facts(took(0.1)), other) == estimated_seconds(facts(), other)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "5 s"),
        (5.0, "5 s"),
        (41.0, "45 s"),
        (60.0, "1 min"),
        (61.0, "2 min"),
        (300.0, "5 min"),
        (312.0, "6 min"),
        (3600.0, "1 h"),
        (3601.0, "1 h 5 min"),
        (28_800.0, "8 h"),
    ],
)
def test_estimates_are_rounded_up_and_never_overprecise(seconds: float, words: str) -> None:
    assert rough_time(seconds) == words
    assert rough_seconds(seconds) >= seconds


def test_a_learning_rate_test_learns_from_batches_and_looks_at_64_images_after_each() -> None:
    pace = Pace(look_s=0.01, learn_s=0.03)
    plain = preset_config("standard")
    assert plain.optimizer.batch_size == 16
    start_s = lr_range_seconds(plain, 500, 0, pace)
    assert lr_range_seconds(plain, 500, 100, pace) - start_s == pytest.approx(48 + 64)
    assert lr_range_seconds(plain, 8, 100, pace) - start_s == pytest.approx(24 + 8)
    adversarial = preset_config("standard", method="adversarial")
    assert lr_range_seconds(adversarial, 500, 100, pace) - start_s == pytest.approx(4 * 48 + 64)
