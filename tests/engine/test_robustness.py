"""Measuring the robustness of a finished run: what is asked, kept, counted and said."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from engine.command_arguments import command_from
from engine.command_line import make_parser
from engine.contract.commands import Robustness
from engine.contract.config_io import to_plain
from engine.contract.control import Control
from engine.contract.errors import ConfigError
from engine.contract.events import CANCELED, FAILED, Event, JobFinished, JobProgressed
from engine.contract.results import AttackPoint, CorruptionPoint, Estimate, MaskingCheck
from engine.evaluate import masking, robustness
from engine.evaluate.robust_sample import choose_images
from engine.evaluate.robustness import STRENGTHS_255, skill_kept
from engine.evaluate.robustness_words import describe
from engine.metrics.paired import loss_p
from engine.project.robustness import read_robustness
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import make_study, run_job, small_config, train


@pytest.fixture(scope="module", autouse=True)
def _few_steps():
    """Attack in few steps: this is about what is done with what they find."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robustness, "MIN_STEPS", 4)
        patch.setattr(masking, "BLIND_TRIES", 4)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    project = make_study(tmp_path_factory.mktemp("study"))
    finished, _ = train(project, small_config("linear_probe"))
    return project, finished.run


@pytest.fixture(scope="module")
def told():
    """Everything that the measurement of ``measured`` says on its way."""
    return []


@pytest.fixture(scope="module")
def measured(trained, told):
    project, run = trained
    execute(Robustness(project=str(project), run=run, n_images=10), told.append, Control())
    return read_robustness(project, run)


def test_the_result_is_kept_with_the_run_and_begins_with_the_unchanged_images(trained, measured):
    project, run = trained
    assert measured.run == run and measured.split == "val"
    assert [point.epsilon_255 for point in measured.attacks] == [0.0, *STRENGTHS_255]
    clean = measured.attacks[0]
    assert clean.one_step == clean.noise == clean.accuracy.value
    file = project / "runs" / run / "evaluation" / "robustness.json"
    assert json.loads(file.read_text(encoding="utf-8"))["n_images"] == measured.n_images


def test_unchanged_images_score_as_in_the_validation_of_the_run(trained, tmp_path_factory):
    """With every validation image asked for, the AUROC is the one that training reported."""
    project, run = trained
    result = run_job(Robustness(project=str(project), run=run, n_images=2000, corruptions=False))
    with Project.open(project, read_only=True) as opened:
        expected = opened.run_summary(run).val_auroc
        n_val = int((opened.training_table().split == 1).sum())
    assert result["n_images"] == n_val
    assert result["attacks"][0]["auroc"]["value"] == pytest.approx(expected, abs=1e-6)
    assert result["corruptions"] == [] and math.isnan(result["skill_kept"])


def test_worst_cases_only_get_worse_with_strength_and_break_a_plain_network(measured):
    accuracies = [point.accuracy.value for point in measured.attacks]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] > 0.5 and accuracies[-1] < 0.1
    assert not measured.is_masking_suspected


def test_every_degradation_is_measured_in_every_severity(measured):
    points = {(point.kind, point.severity) for point in measured.corruptions}
    assert len(points) == len(measured.corruptions) == 7 * 5


def test_measuring_twice_gives_the_same(trained, measured):
    project, run = trained
    again = run_job(Robustness(project=str(project), run=run, n_images=10, corruptions=False))
    assert json.dumps(again["attacks"]) == json.dumps(to_plain(measured.attacks))
    assert json.dumps(again["checks"]) == json.dumps(to_plain(measured.checks))


def test_validation_images_are_no_look_at_the_test_set_and_test_images_are(trained, measured):
    project, run = trained

    def looks() -> int:
        with Project.open(project, read_only=True) as opened:
            return opened.run_summary(run).looks

    assert looks() == 0  # though robustness was measured
    result = run_job(
        Robustness(project=str(project), run=run, split="test", n_images=10, corruptions=False)
    )
    assert looks() == 1 == result["looks"]


def test_canceling_keeps_the_result_that_was_there(trained, measured):
    project, run = trained
    file = project / "runs" / run / "evaluation" / "robustness.json"
    before = file.read_bytes()
    control, events = Control(), list[Event]()

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, JobProgressed) and "worst case" in event.stage:
            control.cancel()

    finished = execute(Robustness(project=str(project), run=run, n_images=10), emit, control)
    assert finished.outcome == CANCELED
    assert file.read_bytes() == before


def test_progress_says_how_much_is_left(measured, told):
    steps = [e for e in told if isinstance(e, JobProgressed) and e.seconds_left is not None]
    assert [e.done for e in steps] == sorted(e.done for e in steps)
    assert steps[-1].done == steps[-1].total


def test_a_run_that_isn_t_there_fails_with_a_remedy(trained):
    project, _ = trained
    command = Robustness(project=str(project), run="none")
    finished = execute(command, lambda event: None, Control())
    assert isinstance(finished, JobFinished)
    assert finished.outcome == FAILED and finished.remedy


def test_senseless_requests_are_refused():
    with pytest.raises(ConfigError):
        Robustness(project="p", run="r", split="train")
    with pytest.raises(ConfigError):
        Robustness(project="p", run="r", n_images=5)


def test_the_command_line_asks_for_validation_images_unless_told_otherwise():
    def asked(*options: str) -> Robustness:
        arguments = make_parser().parse_args(
            ["robustness", "--project", "p", "--run", "r", *options]
        )
        command = command_from(arguments)
        assert isinstance(command, Robustness)
        return command

    plain = asked()
    assert (plain.split, plain.n_images, plain.corruptions) == ("val", 200, True)
    other = asked("--split", "test", "--images", "50", "--no-corruptions")
    assert (other.split, other.n_images, other.corruptions) == ("test", 50, False)


def test_a_sample_keeps_the_proportions_of_the_classes_and_loses_none():
    labels = np.repeat([0, 1, 2], [700, 297, 3])
    chosen = choose_images(labels, 100, n_classes=3, seed=1)
    assert len(set(chosen)) == 100
    assert np.bincount(labels[chosen], minlength=3).tolist() == [70, 29, 1]
    assert np.array_equal(chosen, choose_images(labels, 100, n_classes=3, seed=1))
    assert not np.array_equal(chosen, choose_images(labels, 100, n_classes=3, seed=2))


def test_a_small_part_is_taken_whole():
    assert choose_images(np.array([0, 1, 1]), 10, n_classes=2, seed=0).tolist() == [0, 1, 2]


def test_skill_is_what_is_above_chance():
    assert math.isclose(skill_kept(0.9, [0.9, 0.5]), 0.5)
    assert math.isnan(skill_kept(0.5, [0.9]))
    assert math.isnan(skill_kept(0.9, []))


def _estimate(value: float) -> Estimate:
    return Estimate(value=value, low=value, high=value)


def _attack(epsilon_255: float, accuracy: float, noise: float) -> AttackPoint:
    same = _estimate(accuracy)
    return AttackPoint(
        epsilon_255=epsilon_255,
        accuracy=same,
        sensitivity=same,
        specificity=same,
        auroc=same,
        one_step=accuracy,
        noise=noise,
    )


FINE = (MaskingCheck(key="gradient", is_passed=True, sentence="Fine."),)


def test_words_name_the_shares_at_two_grey_steps_and_what_noise_does():
    attacks = (_attack(0, 0.9, 0.9), _attack(1, 0.3, 0.9), _attack(2, 0.0, 0.88))
    first, second = describe(attacks, (), FINE, n_images=50, noise_p=(1.0, 1.0))
    assert "Of 50 unchanged images 90 %" in first and "none would be" in first
    assert "doesn't come by accident" in second
    noisy = (*attacks[:2], _attack(2, 0.0, 0.6))
    second = describe(noisy, (), FINE, n_images=50, noise_p=(1.0, 0.001))[1]
    assert "Even random changes" in second and "60 % of these 50 images" in second
    assert "noise alone is a problem" in second


def test_what_noise_costs_by_chance_is_no_problem_of_the_classifier():
    """Two wrong of sixteen, and none at greater strengths."""
    patients = np.arange(16)
    right = np.ones(16, dtype=np.int64)
    noisy = np.where(patients < 2, 0, 1)
    assert loss_p(right, noisy, patients) == pytest.approx(0.5)  # 2 of 2 the same way
    attacks = (_attack(0, 1.0, 1.0), _attack(2, 0.0, 0.875))
    second = describe(attacks, (), FINE, n_images=16, noise_p=(0.5,))[1]
    assert "88 % of these 16 images" in second
    assert "can be chance" in second
    assert "noise alone is a problem for" not in second


def test_a_loss_is_paired_and_counted_by_patients():
    right = np.array([1, 1, 1, 1, 0, 1, 1, 1, 1, 1])
    worse = 1 - right
    assert loss_p(right, right, np.arange(10)) == 1.0
    # Nine lose and one gains: 2 * (1 + 10) / 2 ** 10.
    assert loss_p(right, worse, np.arange(10)) == pytest.approx(22 / 1024)
    # Of five patients all lose but one, who loses as much as it gains: 2 / 2 ** 4.
    assert loss_p(right, worse, np.arange(10) // 2) == pytest.approx(1 / 8)


def test_words_put_suspected_masking_first():
    checks = (
        *FINE,
        MaskingCheck(key="noise", is_passed=False, sentence="Noise does more harm."),
    )
    attacks = (_attack(0, 0.9, 0.9), _attack(2, 0.8, 0.9))
    first = describe(attacks, (), checks, n_images=50, noise_p=(1.0,))[0]
    assert "may have failed" in first and "Noise does more harm." in first


def test_words_tell_a_lost_ranking_from_a_threshold_that_no_longer_fits():
    attacks = (_attack(0, 0.9, 0.9), _attack(2, 0.8, 0.9))

    def degraded(auroc: float, accuracy: float) -> str:
        points = tuple(
            CorruptionPoint(
                kind="blur",
                severity=severity,
                level="",
                auroc=_estimate(auroc),
                accuracy=_estimate(accuracy),
            )
            for severity in range(1, 6)
        )
        return describe(attacks, points, FINE, n_images=50, noise_p=(1.0,))[-1]

    assert "threshold no longer fits" in degraded(0.88, 0.5)
    assert "threshold no longer fits" not in degraded(0.6, 0.5)
    assert "blur hurts most" in degraded(0.6, 0.5)


def test_degradations_without_harm_are_not_called_the_worst():
    attacks = (_attack(0, 0.9, 0.9), _attack(2, 0.8, 0.9))

    def degraded(**accuracies: tuple[float, ...]) -> str:
        points = tuple(
            CorruptionPoint(
                kind=kind,
                severity=severity,
                level="",
                auroc=_estimate(0.9),
                accuracy=_estimate(accuracy),
            )
            for kind, of_severity in accuracies.items()
            for severity, accuracy in enumerate(of_severity, start=1)
        )
        return describe(attacks, points, FINE, n_images=50, noise_p=(1.0,))[-1]

    unharmed = (0.9,) * 5
    said = degraded(blur=unharmed, noise=unharmed)
    assert "hurts most" not in said and "0.900 or above" in said
    said = degraded(blur=unharmed, noise=(0.9, 0.9, 0.9, 0.9, 0.7))
    assert "noise hurts most: at severity 5 of 5" in said and "90 % to 70 %" in said
