"""How like its pre-training images a project's images are to a backbone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from engine.contract.config import BackboneConfig
from engine.models.add_weights import add_weights
from engine.models.pretraining_distance import pretraining_distance
from engine.models.registry import build_network
from engine.models.weights import register_backbone
from tests.helpers.tiny_study import small_config, train

KEY = "efficientnet_lite0"


def test_the_distance_is_that_of_two_normal_distributions_in_known_deviations():
    norm = nn.BatchNorm2d(3, eps=0.0)
    norm.running_mean = torch.tensor([0.0, 1.0, 5.0])
    norm.running_var = torch.tensor([1.0, 4.0, 1.0])
    network: Any = SimpleNamespace(body=nn.Sequential(norm.eval()))
    # Each channel is as often 1 as 5: mean 3, deviation 2.
    images = torch.tensor([1.0, 5.0]).repeat(8).view(2, 1, 2, 4).expand(2, 3, 2, 4)
    # (mean gap, deviation gap) over the known deviation: (3, 1)/1, (2, 0)/2, (2, 1)/1.
    far = pretraining_distance(network, lambda: [network.body(part) for part in images.split(1)])
    assert far == pytest.approx(5**0.5)  # the median of 10 ** 0.5, 1 and 5 ** 0.5


def test_images_that_the_batch_norms_have_just_seen_are_alike():
    network = build_network(KEY, 2)
    for norm in [m for m in network.body.modules() if isinstance(m, nn.BatchNorm2d)]:
        norm.momentum = None  # the plain mean over what is seen
        norm.reset_running_stats()
    images = torch.rand(16, 1, 64, 64, generator=torch.Generator().manual_seed(0)) ** 3
    with torch.no_grad():
        network.train()(images)
        network.eval()
        alike = pretraining_distance(network, lambda: network(images))
        other = pretraining_distance(network, lambda: network(1 - images))
    assert alike is not None and other is not None
    assert alike < 0.05 < other


def test_a_network_without_batch_norms_knows_nothing_of_them():
    network = build_network("convnext_atto", 2, weights="scratch")
    assert pretraining_distance(network, lambda: network(torch.rand(2, 1, 64, 64))) is None


def test_direct_transfer_says_how_far_the_images_are_from_what_the_backbone_knew(study: Path):
    finished, _ = train(study, small_config("direct_transfer"))
    said = finished.result["method_facts"]["likeness"]
    numbers = [float(number) for number in re.findall(r"\d+\.\d\d", said)]
    assert len(numbers) == 2, said
    assert numbers[0] > 0
    assert "shuffled" in said


@pytest.mark.parametrize("kind", ["random", "made here", "no batch norms"])
def test_where_it_cannot_be_measured_that_is_said_with_the_reason(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(tmp_path / "weights"))
    reasons = {
        "random": ("resnet18", "random"),
        "made here": (KEY, "RadTune trained it further"),
        "no batch norms": ("squeezenet1_0", "keeps no record"),
    }
    key, reason = reasons[kind]
    body = build_network(key, 2, weights="scratch").body.state_dict()
    weights = "scratch"
    if kind == "made here":
        made = register_backbone(key, body, name="x", pretrained_on="y", licence="unknown")
        weights = f"file:{made}"
    elif kind == "no batch norms":
        torch.save(body, tmp_path / "w.pth")
        weights = f"file:{add_weights(tmp_path / 'w.pth', key)['id']}"
    backbone = BackboneConfig(key=key, weights=weights)
    finished, _ = train(study, replace(small_config("direct_transfer"), backbone=backbone))
    said = finished.result["method_facts"]["likeness"]
    assert "can't be measured" in said
    assert reason in said
