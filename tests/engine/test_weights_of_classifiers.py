"""The weights of a classifier that RadTune trained, added as pre-trained weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from engine.contract.commands import Export
from engine.contract.config import BackboneConfig
from engine.contract.seen_before import UNTOLD
from engine.jobs.search import starting_weights
from engine.models.adapt import find_card
from engine.models.add_weights import add_weights
from engine.models.weights import MADE, OFFICIAL, added_weights, keep_weights, load_state
from engine.models.weights_facts import AddedWeights
from tests.helpers.tiny_study import run_job, small_config, train


@pytest.fixture(autouse=True)
def _kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(tmp_path / "kept"))


@pytest.fixture
def bundle(trained: tuple[Path, str], tmp_path: Path) -> Path:
    """Return the folder of an exported classifier."""
    project, run = trained
    out = tmp_path / "bundle"
    run_job(Export(project=str(project), run=run, out=str(out)))
    return out


def _only() -> AddedWeights:
    (item,) = added_weights()
    return item


def test_they_are_no_file_of_unknown_origin(bundle: Path) -> None:
    facts = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    add_weights(bundle / "weights.safetensors")
    item = _only()
    assert (item.kind, item.is_noted) == (MADE, False)
    assert item.name == facts["name"]
    assert item.licence == facts["backbone"]["licence"]
    assert item.pretrained_on.startswith(facts["backbone"]["pretrained_on"])
    assert list(item.mean) == pytest.approx(facts["backbone"]["mean"])


def test_without_their_bundle_they_are_known_by_their_tensors(bundle: Path, tmp_path: Path) -> None:
    alone = tmp_path / "elsewhere" / "chest.safetensors"
    alone.parent.mkdir()
    shutil.copy(bundle / "weights.safetensors", alone)
    add_weights(alone)
    assert (_only().kind, _only().name, _only().licence) == (MADE, "chest.safetensors", "unknown")


def test_facts_of_another_file_are_not_taken_for_theirs(bundle: Path) -> None:
    path = bundle / "bundle.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["files"]["weights.safetensors"] = "0" * 64
    path.write_text(json.dumps(facts), encoding="utf-8")
    add_weights(bundle / "weights.safetensors")
    assert (_only().kind, _only().licence) == (MADE, "unknown")


def test_a_run_says_that_nobody_knows_whom_they_know(
    bundle: Path, trained: tuple[Path, str]
) -> None:
    weights = f"file:{add_weights(bundle / 'weights.safetensors')['id']}"
    config = replace(small_config("linear_probe"), backbone=BackboneConfig(weights=weights))
    _, events = train(trained[0], config)
    assert UNTOLD in [getattr(event, "message", "") for event in events]


def test_a_search_tries_them_only_if_it_is_asked_for_them(bundle: Path) -> None:
    weights = f"file:{add_weights(bundle / 'weights.safetensors')['id']}"
    tried = [s.backbone.weights for s in starting_weights((), BackboneConfig(), 224)]
    assert "pretrained" in tried
    assert weights not in tried
    assert weights in [
        s.backbone.weights for s in starting_weights((weights,), BackboneConfig(), 224)
    ]


def test_what_the_library_vouches_for_stays_its_own(bundle: Path) -> None:
    add_weights(bundle / "weights.safetensors")
    before = _only()
    state = load_state(before.backbone, f"file:{before.id}")
    for kind in (OFFICIAL, MADE):
        keep_weights(
            find_card(before.backbone),
            state,
            name=kind,
            kind=kind,
            licence="MIT",
            pretrained_on="hands",
            mean=before.mean,
            std=before.std,
        )
    assert (_only().kind, _only().name) == (OFFICIAL, OFFICIAL)
