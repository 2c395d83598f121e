"""Robustness of several findings at once: one change for all of them, each measured by itself."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.contract.commands import Robustness
from engine.contract.events import COMPLETED
from engine.contract.targets import UNKNOWN
from engine.evaluate import masking, robustness
from engine.evaluate.decisions import REST, FindingsDecision
from engine.evaluate.masking import check_masking
from engine.evaluate.robust_sample import choose_findings_images
from engine.evaluate.robustness import STRENGTHS_255, _AsMeasured
from engine.evaluate.score import load_run
from engine.evaluate.worst_case import WorstCaseSearch
from engine.metrics.findings import bootstrap_findings_rates
from engine.metrics.intervals import bootstrap_rates
from engine.models.attacks import gradient
from engine.project.robustness import read_robustness
from engine.project.store import Project
from tests.helpers.findings_study import LEARNED, make_findings_study
from tests.helpers.tiny_study import run_job, small_config, train

SIDE = 8
HALF = SIDE * SIDE // 2
EVEN = FindingsDecision(thresholds=(0.5, 0.5))


class _TwoHalves(nn.Module):
    """Two findings, each a weighted sum of one half of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, HALF, generator=torch.Generator().manual_seed(1)))

    @property
    def reach(self) -> Tensor:
        """How far each logit can move for each unit that every grey value may."""
        return self.weight.detach().abs().sum(dim=1)

    def forward(self, images: Tensor) -> Tensor:
        halves = (images.flatten(1) - 0.5).unflatten(1, (2, HALF))
        logits: Tensor = (halves * self.weight).sum(dim=2)
        return logits


class _OfCoarseGreys(_TwoHalves):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward((images * 64.0).round() / 64.0)


def _cases(network: _TwoHalves, leads: Tensor, labels: Tensor) -> Tensor:
    """Return images whose right answers lead by given margins, ``(N, 2)``."""
    random = torch.rand(len(leads), 2, HALF, generator=torch.Generator().manual_seed(2))
    halves = 0.4 + 0.2 * random
    weight = network.weight.detach()
    wanted = leads * (2 * labels - 1)
    off = wanted - ((halves - 0.5) * weight).sum(dim=2)
    halves += off[:, :, None] * weight / weight.square().sum(dim=1)[:, None]
    assert halves.min() > 0.05 and halves.max() < 0.95
    return halves.reshape(len(leads), 1, SIDE, SIDE)


def _search(network: _TwoHalves, leads: Tensor, labels: Tensor) -> WorstCaseSearch:
    images = _cases(network, leads, labels)
    return WorstCaseSearch(network, images, labels, EVEN, batch_size=64)


def test_one_change_turns_every_finding_whose_lead_is_within_its_own_reach():
    network = _TwoHalves()
    leads = torch.stack([torch.linspace(0.01, 0.6, 30), torch.linspace(0.6, 0.01, 30)], dim=1)
    labels = torch.stack([torch.arange(30) % 2, torch.arange(30) // 2 % 2], dim=1)
    search = _search(network, leads, labels)
    assert search.clean.share_right == 1.0
    for epsilon in (0.5 / 255, 2 / 255, 4 / 255):
        found = search.strengthen(epsilon)
        expected = leads - epsilon * network.reach
        torch.testing.assert_close(found.worst.leads, expected, atol=2e-3, rtol=0)
        assert found.worst.share_right == pytest.approx(float((expected > 0).float().mean()))
        assert found.noise.share_right > found.worst.share_right


def test_what_is_unknown_neither_steers_the_attack_nor_counts():
    network = _TwoHalves()
    leads, labels = torch.full((12, 2), 0.1), torch.ones(12, 2, dtype=torch.long)
    images = _cases(network, leads, labels)
    labels[:, 1] = UNKNOWN
    slope, _ = gradient(network, images, labels, EVEN.loss)
    assert not slope.flatten(1)[:, HALF:].any()
    assert slope.flatten(1)[:, :HALF].all()
    worst = WorstCaseSearch(network, images, labels, EVEN).strengthen(8 / 255).worst
    assert worst.leads[:, 1].isnan().all()
    assert worst.share_right == 0.0


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.8])
def test_a_finding_turns_at_its_own_threshold(threshold):
    odds = math.log(threshold / (1 - threshold))
    decision = FindingsDecision(thresholds=(threshold, 0.5))
    logits = torch.tensor([[odds + 0.01, 1.0], [odds - 0.01, 1.0]])
    present = decision.leads(logits, torch.tensor([[1, 1], [1, UNKNOWN]]))
    assert (present[:, 0] > 0).tolist() == [True, False]
    assert present[1, 1].isnan()
    assert (decision.leads(logits, torch.zeros(2, 2))[:, 0] > 0).tolist() == [False, True]


def test_what_the_attack_raises_is_the_masked_cross_entropy_until_a_finding_is_lost():
    logits = torch.tensor([[0.7, -1.2], [2.0, 0.3]])
    labels = torch.tensor([[1, 0], [0, UNKNOWN]])
    expected = [
        F.binary_cross_entropy_with_logits(logits[0], labels[0].float()),
        F.binary_cross_entropy_with_logits(logits[1, :1], labels[1, :1].float()),
    ]
    torch.testing.assert_close(EVEN.loss(logits, labels), torch.stack(expected))
    lost = torch.tensor([[-REST, 0.0], [-3 * REST, 0.0]])
    first, second = EVEN.loss(lost, torch.tensor([[1, 1], [1, 1]]))
    assert first == second


def test_hidden_gradients_are_noticed_with_findings_too():
    leads, labels = torch.full((20, 2), 0.2), torch.arange(40).reshape(20, 2) // 3 % 2
    for network, is_suspect in ((_TwoHalves(), False), (_OfCoarseGreys(), True)):
        search = _search(network, leads, labels)
        strengths = [search.strengthen(epsilon) for epsilon in (2 / 255, 8 / 255)]
        checks = check_masking(search, strengths, answers="findings")
        assert any(not check.is_passed for check in checks) == is_suspect
        assert any("of the findings of 20 images" in check.sentence for check in checks)


def test_a_sample_keeps_the_shares_of_findings_and_loses_no_rare_one():
    random = np.random.default_rng(0)
    labels = (random.random((900, 3)) < (0.5, 0.2, 0.004)).astype(np.int64)
    labels[random.random((900, 3)) < 0.2] = UNKNOWN
    labels[:10] = UNKNOWN
    chosen = choose_findings_images(labels, 90, seed=1)
    assert len(chosen) == len(set(chosen)) == 90
    assert chosen.min() >= 10  # an image of which nothing is known measures nothing
    for k in range(3):
        for state in (0, 1):
            n_all, n = (int((part[:, k] == state).sum()) for part in (labels, labels[chosen]))
            assert n >= max(1, math.floor(n_all * 90 / 890))
            assert n <= 1.35 * n_all * 90 / 890 + 2
    np.testing.assert_array_equal(chosen, choose_findings_images(labels, 90, seed=1))
    every = np.flatnonzero((labels != UNKNOWN).any(axis=1))
    np.testing.assert_array_equal(choose_findings_images(labels, 2000, seed=1), every)


def test_rates_of_findings_are_those_of_each_as_a_task_of_two_classes():
    random = np.random.default_rng(3)
    labels = random.integers(0, 2, (60, 2))
    called = random.random((60, 2)) < 0.4 + 0.3 * labels
    patients = random.integers(0, 25, 60)
    mean, each = bootstrap_findings_rates(called, labels, patients, n_resamples=300, seed=5)
    for k in range(2):
        alone = bootstrap_rates(
            labels[:, k],
            called[:, k].astype(np.int64),
            patients,
            2,
            positive=1,
            n_resamples=300,
            seed=5,
        )
        assert each[k] == alone.headline
    for name in ("accuracy", "sensitivity", "specificity"):
        assert mean[name].estimate == pytest.approx(np.mean([one[name].estimate for one in each]))
        assert mean[name].low < mean[name].estimate < mean[name].high


def test_a_finding_is_rated_on_the_images_where_it_is_known():
    labels = np.array([[1, 1], [0, UNKNOWN], [1, 0], [0, UNKNOWN]])
    called = np.array([[True, True], [False, True], [False, True], [False, True]])
    _, each = bootstrap_findings_rates(called, labels, np.arange(4), n_resamples=50)
    assert each[0]["accuracy"].estimate == 0.75
    assert each[1]["accuracy"].estimate == 0.5
    assert each[1]["specificity"].estimate == 0.0


@pytest.fixture(scope="module", autouse=True)
def _few_steps():
    """Attack projects in few steps: this is about what is done with what they find."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robustness, "MIN_STEPS", 4)
        patch.setattr(masking, "BLIND_TRIES", 4)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    project = make_findings_study(tmp_path_factory.mktemp("findings"))
    finished, _ = train(project, small_config("linear_probe"))
    assert finished.outcome == COMPLETED, finished.error
    run_job(Robustness(project=str(project), run=finished.run, n_images=2000))
    return project, finished.run, read_robustness(project, finished.run)


def test_each_finding_and_their_mean_are_measured(trained):
    project, run, result = trained
    with Project.open(project, read_only=True) as opened:
        table = opened.training_table()
        expected = opened.run_summary(run).val_auroc
    of_val = table.labels[table.split == 1]
    assert result.n_images == len(of_val)
    assert result.attacks[0].auroc.value == pytest.approx(expected, abs=1e-6)
    assert (result.threshold, result.positive, result.classes) == (None, None, LEARNED)
    assert [found.name for found in result.findings] == list(LEARNED)
    for k, found in enumerate(result.findings):
        assert found.n_present == (of_val[:, k] == 1).sum()
        assert found.n_absent == (of_val[:, k] == 0).sum()
        assert [point.epsilon_255 for point in found.attacks] == [0.0, *STRENGTHS_255]
        assert len(found.corruptions) == len(result.corruptions) == 7 * 5
    for at, point in enumerate(result.attacks):
        for name in ("auroc", "accuracy", "sensitivity"):
            values = [getattr(found.attacks[at], name).value for found in result.findings]
            assert getattr(point, name).value == pytest.approx(np.mean(values))
    values = [found.corruptions[7].auroc.value for found in result.findings]
    assert result.corruptions[7].auroc.value == pytest.approx(np.mean(values))


def test_worst_cases_break_a_plain_network_and_words_name_the_frailest_finding(trained):
    _, _, result = trained
    accuracies = [point.accuracy.value for point in result.attacks]
    assert accuracies[0] > 0.8 and accuracies[-1] < 0.5  # after four steps
    assert result.attacks[-1].auroc.value < 0.5
    at = [point.epsilon_255 for point in result.attacks].index(2.0)
    losses = {f.name: f.attacks[0].auroc.value - f.attacks[at].auroc.value for f in result.findings}
    frailest = max(losses, key=losses.__getitem__)
    assert result.sentences[0].startswith("On average over the findings of")
    assert any(f"Of the findings {frailest} loses most" in text for text in result.sentences)


def test_views_are_averaged_as_probabilities_of_each_finding(trained):
    project, run, _ = trained
    with Project.open(project, read_only=True) as opened:
        loaded = load_run(opened, run)
        evaluation = replace(loaded.config.evaluation, test_time_views=4)
        loaded = replace(loaded, config=replace(loaded.config, evaluation=evaluation))
        rows = opened.training_table().rows[:5]
        expected = loaded.probabilities(rows)
        pixels = torch.from_numpy(loaded.pixels.read(rows))[:, None].float() / 255
        with torch.no_grad():
            found = _AsMeasured(loaded)(pixels).double().sigmoid().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
