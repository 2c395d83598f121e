"""Methods: the fitted head against scikit-learn, what is trained, what is frozen."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from engine.contract.config import ExperimentConfig, preset_config
from engine.contract.errors import ConfigError
from engine.contract.methods import (
    METHODS,
    PRESETS,
    MethodCard,
    PresetCard,
    advice_of,
    method_card,
)
from engine.methods import anchored
from engine.methods.full_finetune import FullFinetune
from engine.methods.linear_head import STRENGTHS, fit_linear_head, standardisation
from engine.methods.registry import get_method
from engine.models.network import Network
from engine.models.registry import build_network


def _cases(n: int, n_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, n_classes, n)
    features = random.normal(size=(n, 12)) * np.array([1.0] * 6 + [100.0] * 6) + 5
    features[:, 0] += labels
    features[:, 7] -= 60.0 * labels
    return features, labels


def _auroc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(roc_auc_score(labels, probabilities, multi_class="ovr"))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_train", [10, 200])  # fewer and more images than features
def test_the_head_is_the_regularised_regression_it_claims_to_be(
    n_classes: int, n_train: int
) -> None:
    train, val = _cases(n_train, n_classes, 0), _cases(150, n_classes, 1)
    head = fit_linear_head(train, val, widths=(6, 6), class_weights=None, score=_auroc)
    mean, scale = standardisation(train[0], (6, 6))
    direct = LogisticRegression(C=head.strength, max_iter=5000, tol=1e-8)
    direct.fit((train[0] - mean) * scale, train[1])
    expected = direct.predict_proba((val[0] - mean) * scale)
    np.testing.assert_allclose(head.probabilities(val[0]), expected, atol=5e-3)


def test_the_strength_is_the_best_on_validation() -> None:
    train, val = _cases(80, 2, 0), _cases(300, 2, 1)
    head = fit_linear_head(train, val, widths=(6, 6), class_weights=None, score=_auroc)
    mean, scale = standardisation(train[0], (6, 6))
    scores = {}
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=5000)
        model.fit((train[0] - mean) * scale, train[1])
        scores[strength] = _auroc(model.predict_proba((val[0] - mean) * scale), val[1])
    assert scores[head.strength] == pytest.approx(max(scores.values()), abs=1e-3)


def test_class_weights_move_the_decision_towards_the_rare_class() -> None:
    features, labels = _cases(400, 2, 0)
    kept = (labels == 0) | (np.arange(400) % 8 == 0)
    train, val = (features[kept], labels[kept]), _cases(300, 2, 1)
    plain = fit_linear_head(train, val, widths=(12,), class_weights=None, score=_auroc)
    weights = 1 / np.bincount(train[1])
    weights = weights * 2 / weights.sum()
    balanced = fit_linear_head(train, val, widths=(12,), class_weights=weights, score=_auroc)
    assert balanced.probabilities(val[0])[:, 1].mean() > plain.probabilities(val[0])[:, 1].mean()


def test_each_block_of_features_gets_the_same_variance_and_constants_stay_small() -> None:
    random = np.random.default_rng(0)
    features = np.hstack([random.normal(size=(500, 2)), 50 * random.normal(size=(500, 10))])
    features = np.hstack([features, np.full((500, 1), 3.0)])
    mean, scale = standardisation(features, (2, 10, 1))
    variance = ((features - mean) * scale).var(axis=0)
    assert variance[:2].sum() == pytest.approx(1 / 3, rel=0.1)
    assert variance[2:12].sum() == pytest.approx(1 / 3, rel=0.05)
    assert variance[12] == 0


def test_a_network_with_the_head_gives_the_heads_probabilities() -> None:
    network = build_network("efficientnet_lite0", 2, weights="scratch")
    images = torch.rand(6, 1, 32, 32)
    with torch.inference_mode():
        features = network.features(images).numpy()
        labels = np.array([0, 1, 0, 1, 0, 1])
        head = fit_linear_head(
            (features, labels),
            (features, labels),
            widths=network.feature_blocks,
            class_weights=None,
            score=_auroc,
        )
        network.set_standardisation(torch.from_numpy(head.mean), torch.from_numpy(head.scale))
        network.set_head(torch.from_numpy(head.weight), torch.from_numpy(head.bias))
        given = torch.softmax(network(images).double(), 1).numpy()
    np.testing.assert_allclose(given, head.probabilities(features), atol=1e-4)


def test_every_card_has_its_method() -> None:
    assert [get_method(card.key).key for card in METHODS] == [card.key for card in METHODS]


def test_cards_count_the_passes_of_the_trials_that_methods_make():
    for card in METHODS:
        method = get_method(card.key)
        n_trials = len(method.strengths) if isinstance(method, anchored.AnchoredMethod) else 0
        assert card.trial_passes == n_trials * anchored._TRIAL_EPOCHS


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no method") as caught:
        get_method("magic")
    assert "linear_probe" in caught.value.remedy


@pytest.fixture(scope="module")
def network() -> Network:
    return build_network("efficientnet_lite0", 2, features="last")


def _config(**method: object) -> ExperimentConfig:
    config = ExperimentConfig()
    return replace(config, method=replace(config.method, **method))  # type: ignore[arg-type]


@pytest.mark.parametrize("frozen_stages", [0, 2])
def test_frozen_stages_are_in_no_group_and_all_others_in_just_one(
    network: Network, frozen_stages: int
) -> None:
    groups = FullFinetune().parameter_groups(network, _config(frozen_stages=frozen_stages))
    trained = [id(p) for group in groups for p in group.parameters]
    assert len(trained) == len(set(trained))
    frozen = {
        id(p) for stage in network.stages[:frozen_stages] for m in stage for p in m.parameters()
    }
    assert set(trained) == {id(p) for p in network.parameters()} - frozen


@pytest.mark.parametrize("preset", ["standard", "thorough"])
def test_the_card_of_full_fine_tuning_says_what_presets_do(network: Network, preset: str) -> None:
    groups = FullFinetune().parameter_groups(network, preset_config(preset))
    trained = {id(p) for group in groups for p in group.parameters}
    frozen = [
        not any(id(p) in trained for m in stage for p in m.parameters()) for stage in network.stages
    ]
    assert frozen == [True, True, False, False, False]
    assert {group.lr_ratio for group in groups} == {1.0}
    card = method_card("full_finetune")
    assert card is not None
    assert "its two stages next to the image" in card.how
    assert "Frozen stages" in card.how and "Layer decay" in card.how
    for text in (card.how, card.advice, *(preset.advice for preset in PRESETS)):
        assert not text.startswith("Every layer")
        assert "whole network" not in text


def test_a_backbone_without_pre_training_is_trained_as_a_whole() -> None:
    network = build_network("mobilenet_v3_small", 2, weights="scratch", features="last")
    groups = FullFinetune().parameter_groups(network, _config(frozen_stages=2))
    assert sum(len(g.parameters) for g in groups) == len(list(network.parameters()))


def test_earlier_layers_learn_more_slowly_and_biases_do_not_decay(network: Network) -> None:
    config = _config(frozen_stages=0)
    config = replace(
        config, optimizer=replace(config.optimizer, backbone_lr_ratio=0.5, layer_decay=0.8)
    )
    groups = FullFinetune().parameter_groups(network, config)
    ratios = [group.lr_ratio for group in groups]
    assert ratios == sorted(ratios)
    assert ratios[-1] == 1.0
    assert max(r for r in ratios if r < 1) == 0.5
    assert all(g.weight_decay == 0 for g in groups if g.name.endswith("biases"))
    assert all(g.weight_decay > 0 for g in groups if g.name.endswith("weights"))


def test_pre_trained_batch_norm_statistics_are_kept(network: Network) -> None:
    FullFinetune().set_train_mode(network)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    network.eval()


@pytest.mark.parametrize("card", METHODS, ids=lambda card: card.key)
@pytest.mark.parametrize("preset", PRESETS, ids=lambda card: card.key)
def test_presets_promise_passes_only_of_methods_that_make_them(
    card: MethodCard, preset: PresetCard
) -> None:
    said = advice_of(preset, card.key)
    assert card.has_passes == get_method(card.key).trains_epochs
    assert ("passes" in said) == get_method(card.key).trains_epochs
    assert get_method(card.key).trains_epochs or said == card.one_way


def test_a_method_that_says_it_needs_hundreds_of_images_asks_for_as_many() -> None:
    for card in METHODS:
        if re.search(r"needs\s+hundreds", card.advice, re.IGNORECASE):
            assert card.least_of_a_class >= 100, card.key
    adversarial = method_card("adversarial")
    assert adversarial is not None and "Needs hundreds" in adversarial.advice
