"""Settings: limits, presets, and the way to JSON and back."""

import json
from dataclasses import replace

import pytest

from engine.contract.config import (
    ExperimentConfig,
    ImageContract,
    MethodConfig,
    OptimizerConfig,
    preset_config,
)
from engine.contract.config_io import config_from_json, config_to_json, from_plain, to_plain
from engine.contract.errors import ConfigError
from engine.contract.limits import Between, limits_of


@pytest.mark.parametrize("preset", ["quick", "standard", "thorough"])
def test_settings_survive_the_way_to_json_and_back(preset: str) -> None:
    config = preset_config(preset, backbone="resnet18", seed=7)
    assert config_from_json(config_to_json(config)) == config


def test_presets_are_what_the_issue_of_the_field_calls_them() -> None:
    quick, standard, thorough = (preset_config(p) for p in ("quick", "standard", "thorough"))
    assert quick.method.key == "linear_probe"
    assert (standard.method.key, standard.method.max_epochs) == ("full_finetune", 8)
    assert (thorough.method.max_epochs, thorough.method.patience) == (40, 8)
    assert thorough.evaluation.test_time_views > 1


def test_an_explicit_option_overrides_the_preset() -> None:
    assert preset_config("thorough", method="linear_probe").method.key == "linear_probe"
    assert preset_config("quick", method="full_finetune").method.key == "full_finetune"


def test_a_value_outside_its_limits_is_named_with_its_stage() -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.batch_size"):
        ExperimentConfig(optimizer=OptimizerConfig(batch_size=0))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "0.1"])
def test_what_is_no_number_in_range_is_refused(value: object) -> None:
    with pytest.raises(ConfigError):
        ExperimentConfig(optimizer=OptimizerConfig(learning_rate=value))  # type: ignore[arg-type]


def test_widgets_read_the_same_limits_as_validation() -> None:
    assert limits_of(MethodConfig)["max_epochs"] == Between(1, 1000)


def test_an_unknown_setting_is_named() -> None:
    plain = json.loads(config_to_json(ExperimentConfig()))
    plain["optimizer"]["momentum"] = 0.9
    with pytest.raises(ConfigError, match=r"optimizer\.momentum"):
        config_from_json(json.dumps(plain))


def test_settings_of_a_newer_version_are_refused() -> None:
    plain = json.loads(config_to_json(ExperimentConfig())) | {"schema_version": 999}
    with pytest.raises(ConfigError, match="newer version"):
        config_from_json(json.dumps(plain))


def test_a_wrong_type_is_refused_rather_than_converted() -> None:
    plain = to_plain(ExperimentConfig()) | {"seed": "7"}
    with pytest.raises(ConfigError, match="seed"):
        from_plain(ExperimentConfig, plain)


def test_the_image_contract_key_changes_with_each_of_its_fields() -> None:
    base = ImageContract()
    others = [
        replace(base, size_px=256),
        replace(base, fit="center_crop"),
        replace(base, padding="edge_mean"),
        replace(base, window="robust"),
        replace(base, channels=3),
        replace(base, depth_bits=16),
    ]
    keys = {base.key(), *(other.key() for other in others)}
    assert len(keys) == 1 + len(others)


def test_settings_of_version_1_keep_their_loss() -> None:
    plain = json.loads(config_to_json(ExperimentConfig())) | {"schema_version": 1}
    del plain["loss"]
    plain["optimizer"] |= {"class_weights": False, "label_smoothing": 0.2}
    read = config_from_json(json.dumps(plain))
    assert (read.loss.imbalance, read.loss.label_smoothing) == ("none", 0.2)
