"""Settings changed by name."""

from __future__ import annotations

import pytest

from engine.contract.config import ExperimentConfig, preset_config
from engine.contract.config_edit import (
    changes_between,
    require_effect,
    setting_names,
    with_settings,
)
from engine.contract.errors import ConfigError


def changed(*changes: str) -> ExperimentConfig:
    return with_settings(ExperimentConfig(), changes)


def test_values_are_read_as_the_type_of_their_field() -> None:
    config = changed(
        "optimizer.learning_rate=1e-3",
        "method.max_epochs = 3",
        "loss.imbalance=focal",
        "seed=7",
        "anchor.strength=1",
    )
    assert config.optimizer.learning_rate == 0.001
    assert config.method.max_epochs == 3
    assert config.loss.imbalance == "focal"
    assert config.seed == 7
    assert isinstance(config.anchor.strength, float)


def test_the_last_of_several_wins_and_nothing_else_changes() -> None:
    assert changed("seed=1", "seed=2") == changed("seed=2")
    assert changed() == ExperimentConfig()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("method.max_epochs=2.5", "whole number"),
        ("method.max_epochs=0", "between 1 and 1000"),
        ("optimizer.learning_rate=fast", "a number"),
        ("optimizer.learning_rate=nan", "a number"),
        ("loss.imbalance=magic", "one of none, weights"),
        ("method.max_epochs", "not a setting with a value"),
        ("image.size_px=64", "belongs to the project"),
        ("method=lora", "no setting called 'method'"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(change: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        changed(change)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("optimiser.learning_rate", "optimizer.learning_rate"),
        ("learning_rate", "optimizer.learning_rate"),
        ("method.max_epoch", "method.max_epochs"),
        ("loss.focal_gama", "loss.focal_gamma"),
        ("optimizer.epochs", "method.max_epochs"),
    ],
)
def test_a_misspelt_name_gets_the_near_ones(name: str, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        changed(f"{name}=1")
    assert meant in caught.value.remedy


def test_names_are_those_of_the_dataclasses() -> None:
    names = setting_names()
    assert {"seed", "method.key", "optimizer.batch_size", "lora.rank"} <= set(names)
    assert not any(name.startswith("image") for name in names)


@pytest.mark.parametrize(
    ("method", "change", "users"),
    [
        ("linear_probe", "lora.rank=3", "lora"),
        ("full_finetune", "anchor.strength=4", "soft_threshold, l2_sp"),
        ("linear_probe", "optimizer.learning_rate=0.1", "full_finetune"),
        ("direct_transfer", "loss.imbalance=focal", "linear_probe"),
    ],
)
def test_a_setting_at_which_the_method_does_not_look_is_refused(
    method: str, change: str, users: str
) -> None:
    with pytest.raises(ConfigError, match=f"no effect on the method {method}") as caught:
        require_effect(
            preset_config("standard", method=method),
            ["seed=1", "method.key=lora", "backbone.weights=scratch", change],
        )
    assert users in caught.value.remedy


def test_settings_at_which_it_looks_are_taken() -> None:
    require_effect(
        preset_config("standard", method="lora"),
        ["lora.rank=3", "optimizer.batch_size=8", "evaluation.test_time_views=2"],
    )
    require_effect(
        preset_config("quick", method="linear_probe"), ["loss.imbalance=focal", "seed=3"]
    )


def test_stochastic_depth_is_refused_on_a_backbone_that_was_not_made_for_it() -> None:
    change = ["method.stochastic_depth=0.2"]
    require_effect(preset_config("standard", backbone="efficientnet_lite0"), change)
    with pytest.raises(ConfigError, match="no effect on the backbone squeezenet1_0") as caught:
        require_effect(preset_config("standard", backbone="squeezenet1_0"), change)
    assert "convnext" in caught.value.remedy and "resnet18" not in caught.value.remedy


def test_a_policy_for_batch_norms_is_refused_on_a_backbone_without_any() -> None:
    change = ["method.batch_norm=adapt"]
    require_effect(preset_config("standard", backbone="resnet18"), change)
    plain = preset_config("standard", backbone="vit_tiny")
    with pytest.raises(ConfigError, match="no effect on the backbone vit_tiny") as caught:
        require_effect(plain, change)
    assert "resnet18" in caught.value.remedy and "convnext" not in caught.value.remedy
    require_effect(plain, change, backbones=["vit_tiny", "resnet18"])
    assert changes_between(plain, with_settings(plain, change)) == []


def test_a_preset_is_not_set_as_one_of_its_own_settings() -> None:
    """It would change the name of the settings alone."""
    with pytest.raises(ConfigError) as refused:
        with_settings(ExperimentConfig(), ["preset=thorough"])
    assert "--preset thorough" in refused.value.remedy


@pytest.mark.parametrize(
    ("others", "change", "way_on"),
    [
        ([], "loss.focal_gamma=1", "loss.imbalance=focal"),
        (["loss.imbalance=none"], "loss.focal_gamma=1", "loss.imbalance=focal"),
        (["backbone.weights=scratch"], "method.frozen_stages=1", "pre-trained weights"),
        (["backbone.weights=scratch"], "method.batch_norm=adapt", "pre-trained weights"),
    ],
)
def test_a_setting_that_another_one_keeps_from_having_an_effect_is_refused(
    others: list[str], change: str, way_on: str
) -> None:
    start = preset_config("standard")
    config = with_settings(start, [*others, change])
    with pytest.raises(ConfigError, match="no effect") as refused:
        require_effect(config, [*others, change])
    assert way_on in refused.value.remedy
    assert change not in changes_between(start, config)


def test_the_focal_loss_looks_at_its_gamma() -> None:
    changes = ["loss.focal_gamma=1", "loss.imbalance=focal"]
    require_effect(with_settings(preset_config("standard"), changes), changes)


def test_a_method_that_there_is_not_is_not_called_one_without_effect() -> None:
    require_effect(preset_config("standard", method="magic"), ["lora.rank=3"])
