"""What a command prints for people."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import main
from engine.contract.commands import (
    Command,
    Crossval,
    Predict,
    RecommendSetup,
    Robustness,
    Search,
    Train,
)
from engine.contract.config import preset_config
from engine.contract.config_edit import with_settings
from engine.contract.config_io import to_plain
from engine.contract.shell import train_line
from engine.result_words import result_text
from tests.helpers.tiny_study import run_job

CONFIG = preset_config("standard")
TRAIN = Train(project="p", config=CONFIG)


def _lines(result: dict[str, Any], command: Command = TRAIN) -> list[str]:
    """Return what is printed, each line without the room between its words."""
    return [" ".join(line.split()) for line in result_text(result, command).splitlines()]


def test_what_is_not_known_has_no_line() -> None:
    unknown: dict[str, Any] = {
        "train_images_per_s": None,
        "skill_kept": math.nan,
        "method_facts": {},
        "split": "",
    }
    assert _lines({"run": "r1", **unknown, "epochs": 0}) == ["run r1", "epochs 0"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.01, "under 0.1 s"),
        (0.42, "0.4 s"),
        (31.9, "32 s"),
        (60.0, "1 min"),
        (95.0, "1 min 35 s"),
        (5700.0, "1 h 35 min"),
    ],
)
def test_a_length_of_time_is_in_its_units(seconds: float, text: str) -> None:
    assert _lines({"seconds": seconds}) == [f"time {text}"]
    assert _lines({"seconds": seconds, "minutes": 0.5}) == [f"time {text} of 30 s"]


def test_minutes_of_a_recommendation_are_said_by_its_sentence_alone() -> None:
    result = {"minutes": 0.1309, "sentences": ["Time: about 10 s at most."]}
    assert _lines(result, RecommendSetup(project="p")) == ["Time: about 10 s at most."]


def test_untouched_weights_are_a_table_by_layer_group() -> None:
    layers = [
        {"name": "stage 1", "weights": 100, "untouched": 100, "trained": False},
        {"name": "stage 2", "weights": 300, "untouched": 150, "trained": True},
    ]
    untouched = {"layers": layers, "share": 0.625, "share_of_trained": 0.5}
    tried = [[0.1, 0.99], [0.3, 0.984]]
    facts = {"strength": 0.3, "tried": tried, "untouched": untouched}
    assert _lines({"method_facts": facts}) == [
        "Weights that stayed exactly as pre-trained:",
        "Stage 1 not trained",
        "Stage 2 50 %",
        "All that were trained 50 %",
        "All 62 %",
        "A pull of 0.3 was chosen: the strongest that was as good on validation as the best. AUROC "
        "after a short training with each: 0.1: 0.990, 0.3: 0.984.",
    ]
    facts["tried"] = []
    assert _lines({"method_facts": facts})[-1] == (
        "The pull towards the pre-trained weights was set to 0.3."
    )


def test_distances_from_the_pre_trained_weights_are_a_table_by_layer_group() -> None:
    layers = [
        {"name": "stage 1", "distance": 0.0, "trained": False},
        {"name": "stage 2", "distance": 0.0123, "trained": True},
    ]
    moved = {"layers": layers, "distance_of_trained": 0.0123}
    assert _lines({"method_facts": {"strength": 30.0, "tried": [], "moved": moved}}) == [
        "Distance from the pre-trained weights, in percent of their norm:",
        "Stage 1 not trained",
        "Stage 2 1.2 %",
        "All that were trained 1.2 %",
        "The pull towards the pre-trained weights was set to 30.",
    ]


def test_added_weights_are_counted() -> None:
    assert _lines({"method_facts": {"added": {"weights": 12345, "share": 0.0042}}}) == [
        "12,345 weights were learned beside the pre-trained ones, 0.4 % as many as there are; they "
        "are now part of the network."
    ]


def test_a_cross_validation_gives_one_figure_with_its_interval() -> None:
    result = {
        "auroc": {"value": 0.981, "low": 0.964, "high": 0.994},
        "mean": 0.9801,
        "sd": 0.02215,
        "folds": [{"fold": 1, "n_train": 90, "n_held_out": 40, "auroc": 0.97, "seconds": 20.0}],
        "sentence": "On 169 patients the AUROC is 0.981.",
    }
    assert _lines(result, Crossval(project="p", config=CONFIG)) == [
        "AUROC 0.981 (95 % interval 0.964 to 0.994)",
        "On 169 patients the AUROC is 0.981.",
        "part learned from held out AUROC time",
        "1 90 40 0.970 20 s",
    ]


def test_a_search_shows_its_rows_and_the_commands_for_the_best_and_the_fastest() -> None:
    configs = [preset_config("standard", method=key) for key in ("l2_sp", "linear_probe")]
    configs[0] = with_settings(configs[0], ["anchor.strength=0.1"])
    rows = [
        {
            "backbone": "efficientnet_lite0",
            "method": config.method.key,
            "changes": changes,
            "round": 2,
            "auroc": auroc,
            "seconds": seconds,
            "is_as_good": True,
            "config": to_plain(config),
        }
        for config, changes, auroc, seconds in zip(
            configs, (["all layers trained"], []), (0.99, 0.985), (40.0, 3.0), strict=True
        )
    ]
    command = Search(project="my lungs", config=CONFIG, minutes=1.0)
    assert _lines({"rows": rows, "sentences": ["Best of 2."]}, command) == [
        "Best of 2.",
        "AUROC time round settings",
        "0.990 40 s 2 EfficientNet-Lite0, Pull to the start (L2-SP), all layers trained",
        "0.985 as good 3.0 s 2 EfficientNet-Lite0, Linear probe",
        f"To train the best: {train_line('my lungs', configs[0])}",
        f"To train the fastest that is as good: {train_line('my lungs', configs[1])}",
    ]


def test_robustness_is_shown_at_every_strength() -> None:
    def figure(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.1, "high": value + 0.05}

    attacks = [
        {"epsilon_255": e, "accuracy": figure(a), "auroc": figure(a), "noise": 0.9}
        for e, a in ((0.0, 0.9), (2.0, 0.6), (4.0, 0.3))
    ]
    blurred = [{"kind": "blur", "severity": s, "auroc": figure(0.9 - s / 10)} for s in (1, 2)]
    result = {"attacks": attacks, "corruptions": blurred}
    assert _lines(result, Robustness(project="p", run="r")) == [
        "worst change accuracy AUROC accuracy, random change",
        "0 of 255 0.900 (0.800 to 0.950) 0.900 (0.800 to 0.950) 0.900",
        "2 of 255 0.600 (0.500 to 0.650) 0.600 (0.500 to 0.650) 0.900",
        "4 of 255 0.300 (0.200 to 0.350) 0.300 (0.200 to 0.350) 0.900",
        "degradation AUROC from slight to severe",
        "blur 0.800, 0.700",
    ]


def test_a_training_tells_people_what_stayed(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["method.max_epochs=1", "anchor.strength=0.1", "runtime.threads=1"]
    words = [word for setting in settings for word in ("--set", setting)]
    assert main(["train", "--project", str(study), "--method", "soft_threshold", *words]) == 0
    printed = capsys.readouterr().out
    assert "Weights that stayed exactly as pre-trained:\n  Stage 1" in printed
    assert "The pull towards the pre-trained weights was set to 0.1." in printed
    assert "None" not in printed and "nan" not in printed


def test_how_to_follow_a_recommendation_is_a_whole_command(study: Path) -> None:
    *_, last = run_job(RecommendSetup(project=str(study)))["sentences"]
    start = "To follow it: radtune-engine train "
    assert last.startswith(f"{start}--project ") and str(study) in last


def test_what_is_applied_as_it_is_says_whether_that_is_reasonable():
    facts = {"classifier": "Ward A", "likeness": "They suit it.", "seen": "It knows the patients."}
    assert _lines({"method_facts": facts}) == ["They suit it.", "It knows the patients."]
    assert _lines({"method_facts": {"direct_use": "Fit one."}}) == ["Fit one."]


def test_a_prediction_says_what_was_left_out_and_from_when_an_image_counts() -> None:
    skipped = [{"path": f"{n}.dcm", "reason": "It is cut off.", "kind": "x"} for n in range(23)]
    result = {"n_images": 5, "n_skipped": 23, "skipped": skipped, "threshold": 0.4321}
    lines = _lines(result, Predict(bundle="b", source="s", out="o"))
    assert "threshold 0.432" in lines
    assert "Left out: 0.dcm: It is cut off." in lines
    n_named = sum(line.startswith("Left out: ") for line in lines)
    assert lines[-1].startswith(f"and {23 - n_named} more") and 0 < n_named < 23


def test_the_thresholds_of_findings_are_said_with_their_names() -> None:
    result = {"classes": ["edema", "mass"], "threshold": None, "thresholds": [0.31, 0.5]}
    [line] = _lines(result, Predict(bundle="b", source="s", out="o"))
    assert line.endswith("edema 0.310, mass 0.500")
