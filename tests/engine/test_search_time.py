"""A search on a clock of the test's own: how it spends its time, and what it says of the rest."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.contract.backbones import BACKBONES
from engine.contract.commands import Search
from engine.contract.config import BackboneConfig
from engine.contract.control import Control
from engine.contract.errors import RunError
from engine.contract.events import CANCELED, COMPLETED, FAILED, Event, JobFinished, JobProgressed
from engine.files import read_signed_json, signed, write_json
from engine.jobs import candidates, search, search_pace, search_rounds
from engine.jobs.candidates import Start
from engine.jobs.one_trial import TrialResult
from engine.jobs.trials import TrialBench
from engine.project.store import Project
from engine.run import execute
from engine.trainer import time_limit
from engine.trainer.time_limit import TimeIsUp
from tests.helpers.tiny_study import small_config

BUDGET_S = 600.0
KEYS = tuple(card.key for card in BACKBONES[:5])


@dataclass
class Machine:
    """A computer that trains in no time, and tells how long it would have taken.

    Attributes:
        now_s: Its clock.
        look_s: Seconds of an image that is looked at, by backbone.
        slowness: How many times as long as measured training takes.
        best: Backbone that trains to an AUROC of 0.85; others reach 0.7 to 0.8, and every linear
            probe 0.9.
        made: Backbone, method and share of the images of each training that was begun.
    """

    look_s: dict[str, float]
    now_s: float = 0.0
    slowness: float = 1.0
    best: str = ""
    made: list[tuple[str, str, float]] = field(default_factory=list)

    def train(self, bench: TrialBench, config: Any, **how: Any) -> TrialResult:
        """Let the time of a training pass."""
        split, n = bench.table.split, len(how["train"])
        n_train, val = int((split == 0).sum()), np.flatnonzero(split == 1)
        key, method = config.backbone.key, config.method.key
        self.made.append((key, method, n / n_train))
        is_probe = method == "linear_probe"
        wanted = 0 if is_probe else config.method.max_epochs
        # Learning from an image costs 2.7 looks. All are described before a pass and after each.
        takes_s = self.look_s[key] * (n + len(val))
        if wanted:
            pass_s = self.slowness * self.look_s[key] * (3.7 * n + 2 * len(val))
            takes_s = wanted * pass_s
        left_s = how["seconds"]
        self.now_s += min(takes_s, left_s)
        epochs = wanted if takes_s <= left_s else int(wanted * left_s / takes_s)
        if takes_s > left_s and not epochs:
            raise TimeIsUp
        trained = 0.85 if key == self.best else 0.7 + 0.01 * epochs + 0.001 * (len(self.made) % 10)
        return TrialResult(
            val_auroc=0.9 if is_probe else trained,
            val_loss=0.5,
            epochs=epochs,
            seconds=min(takes_s, left_s),
            described_s=takes_s if is_probe else 0.0,
            is_complete=takes_s <= left_s,
            val=val,
            probabilities=np.full((len(val), 2), 0.5),
            facts={},
        )


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(look_s=dict.fromkeys(KEYS, 0.1))

    def train(bench: TrialBench, config: Any, **how: Any) -> TrialResult:
        return made.train(bench, config, **how)

    monkeypatch.setattr(TrialBench, "train", train)
    monkeypatch.setattr(search_pace, "_forward_s", lambda key, *_: made.look_s[key])
    monkeypatch.setattr(search_pace, "_slowness", lambda *_: 1.0)
    monkeypatch.setattr(search_rounds, "smallest_share", lambda _: 0.1)
    clock = SimpleNamespace(perf_counter=lambda: made.now_s, sleep=time.sleep)
    monkeypatch.setattr(time_limit, "time", clock)
    starts = [Start(backbone=BackboneConfig(key=key)) for key in KEYS]
    monkeypatch.setattr(
        search,
        "starting_weights",
        lambda wanted, *_: [s for s in starts if not wanted or s.backbone.key in wanted],
    )
    monkeypatch.setattr(candidates, "_MOST", 60)
    return made


def command(project: Path, methods: tuple[str, ...], backbones: tuple[str, ...] = KEYS) -> Search:
    config = small_config(max_epochs=9)
    return Search(
        project=str(project),
        minutes=BUDGET_S / 60,
        config=config,
        methods=methods,
        backbones=backbones,
    )


def found(asked: Search, events: list[Event] | None = None) -> dict[str, Any]:
    heard: list[Event] = [] if events is None else events
    finished = execute(asked, heard.append, Control())
    assert isinstance(finished, JobFinished)
    assert finished.outcome == COMPLETED, finished.error
    return finished.result


def counts(project: Path) -> tuple[int, int]:
    with Project.open(project, read_only=True) as opened:
        split = opened.training_table().split
    return int((split == 0).sum()), int((split == 1).sum())


def passes_s(project: Path, share_of_budget: float) -> float:
    """Return the seconds of a look of a backbone of which a pass takes a share of the time."""
    n_train, n_val = counts(project)
    return share_of_budget * BUDGET_S / (3.7 * n_train + 2 * n_val)


def test_probes_that_fill_the_later_rounds_do_not_end_a_search(
    study: Path, machine: Machine
) -> None:
    """Behind the probes comes what is too slow for its round; what is faster is trained then."""
    fast_s = 0.03 * BUDGET_S
    machine.look_s = dict.fromkeys(KEYS, passes_s(study, 0.03))
    machine.look_s[KEYS[1]], machine.best = passes_s(study, 0.2), KEYS[1]
    result = found(command(study, ("linear_probe", "full_finetune")))
    assert BUDGET_S - 2 * fast_s <= result["seconds"] <= BUDGET_S
    trained = [r for r in result["rows"] if r["method"] == "full_finetune" and r["round"] > 1]
    assert len({row["backbone"] for row in trained}) >= 3
    n_left = 60 - len(result["rows"])
    assert n_left > 0
    told = " ".join(result["sentences"])
    assert f"{n_left} of 60 settings were not tried: the time was too short." in told


def test_time_that_the_rounds_leave_goes_to_further_settings(study: Path, machine: Machine) -> None:
    """Trainings take a third of what was measured, so the rounds are over long before the time."""
    machine.look_s, machine.slowness = dict.fromkeys(KEYS, passes_s(study, 0.05)), 1 / 3
    result = found(command(study, ("full_finetune",)))
    assert BUDGET_S * 0.95 <= result["seconds"] <= BUDGET_S


def test_a_search_that_tried_everything_ends_and_misses_nothing(
    study: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "_MOST", 7)
    machine.look_s = dict.fromkeys(KEYS, passes_s(study, 1e-4))
    result = found(command(study, ("linear_probe", "full_finetune")))
    assert result["seconds"] < BUDGET_S / 10
    trained = [row for row in result["rows"] if row["method"] == "full_finetune"]
    assert [row["round"] for row in trained] == [3, 3]
    assert "not t" not in " ".join(result["sentences"])


def test_a_probe_counts_once_however_many_rounds_it_leads(
    study: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "_MOST", 7)
    machine.look_s = dict.fromkeys(KEYS, passes_s(study, 1e-4))
    events: list[Event] = []
    result = found(command(study, ("linear_probe", "full_finetune")), events)
    facts = [event.facts for event in events if isinstance(event, JobProgressed)]
    told = [fact["row"] for fact in facts if "row" in fact]
    assert result["n_trials"] == len(machine.made) == len(told)
    n_probes = sum(method == "linear_probe" for _, method, _ in machine.made)
    assert n_probes == len(KEYS)
    assert f"in {len(machine.made)} short trainings" in result["sentences"][0]
    assert result["rows"][0]["method"] == "linear_probe"
    assert result["rows"][0]["round"] == 3
    carried = [fact["carried"]["round"] for fact in facts if "carried" in fact]
    assert sorted(carried) == [2] * len(KEYS) + [3] * len(KEYS)


def test_a_search_of_probes_leaves_out_only_what_it_cannot_describe(
    study: Path, machine: Machine
) -> None:
    """Passes over the images, which a probe doesn't make, would take 0.9 and 1.2 of the time."""
    n_images = sum(counts(study))
    fast, slow, hopeless = KEYS[:3]
    machine.look_s |= {fast: passes_s(study, 0.9), slow: passes_s(study, 1.2)}
    machine.look_s[hopeless] = 1.5 * BUDGET_S / n_images
    result = found(command(study, ("linear_probe",), KEYS[:3]))
    assert machine.made == [(fast, "linear_probe", 1.0), (slow, "linear_probe", 1.0)]
    [note] = result["notes"]
    assert note == (
        "EfficientNet-Lite2, Linear probe was left out: describing the images takes about 15 min "
        "here."
    )
    described_s = (machine.look_s[fast] + machine.look_s[slow]) * n_images
    assert result["seconds"] == pytest.approx(described_s, abs=0.02)
    assert described_s < BUDGET_S


def test_no_probe_begins_that_does_not_fit(study: Path, machine: Machine) -> None:
    machine.look_s = dict.fromkeys(KEYS, 0.4 * BUDGET_S / sum(counts(study)))
    result = found(command(study, ("linear_probe",), KEYS[:3]))
    assert len(machine.made) == 2
    told = " ".join(result["sentences"])
    assert "1 of 3 settings was not tried, among them all with EfficientNet-Lite2: the" in told


def test_backbones_too_slow_for_passes_are_probed(study: Path, machine: Machine) -> None:
    machine.look_s[KEYS[1]] = passes_s(study, 0.5)
    result = found(command(study, ("linear_probe", "full_finetune"), KEYS[:2]))
    assert {method for key, method, _ in machine.made if key == KEYS[1]} == {"linear_probe"}
    assert result["notes"] == [
        "Of EfficientNet-Lite1 only methods without passes were tried: one pass over the images "
        "takes about 5 min here."
    ]


def test_measuring_does_not_take_all_of_the_time(
    study: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(key: str, *_: Any) -> float:
        machine.now_s += 0.2 * BUDGET_S
        return machine.look_s[key]

    monkeypatch.setattr(search_pace, "_forward_s", measure)
    machine.look_s = dict.fromkeys(KEYS, passes_s(study, 0.001))
    result = found(command(study, ("linear_probe",)))
    assert [key for key, _, _ in machine.made] == list(KEYS[:2])
    assert len(result["notes"]) == 3
    assert all("no time to measure" in note for note in result["notes"])


def test_what_was_due_and_no_longer_fitted_is_told(study: Path, machine: Machine) -> None:
    """Training takes three times as long as measured."""
    machine.look_s, machine.slowness = dict.fromkeys(KEYS, passes_s(study, 0.05)), 3.0
    result = found(command(study, ("full_finetune",), KEYS[:1]))
    assert result["seconds"] <= BUDGET_S + 0.01
    rounds = [row["round"] for row in result["rows"]]
    due = [row for row in result["rows"] if row["round"] == 2]
    assert due and 3 not in rounds
    [told] = [text for text in result["sentences"] if text.startswith("Not trained longer: ")]
    for row in due:
        assert ", ".join(["EfficientNet-Lite0, Full fine-tuning", *row["changes"]]) in told


def test_a_training_that_the_end_of_the_time_leaves_without_a_pass_is_not_counted_as_tried(
    study: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "_MOST", 40)
    machine.look_s, machine.slowness = dict.fromkeys(KEYS, passes_s(study, 0.03)), 20.0
    result = found(command(study, ("full_finetune",), KEYS[:2]))
    assert len(machine.made) == result["n_trials"] + 1
    [told] = [text for text in result["sentences"] if " not tried" in text]
    assert told.startswith(f"{40 - len(result['rows'])} of 40 settings were not tried")


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (RunError("The numbers ran away.", remedy="Lower the rate."), "The numbers ran away."),
        (TimeIsUp(), "The time was over before any settings were trained."),
        (None, "The search was stopped before any settings were trained."),
    ],
)
def test_a_search_that_finds_nothing_says_why(
    study: Path,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Exception | None,
    said: str,
) -> None:
    machine.look_s = dict.fromkeys(KEYS, passes_s(study, 0.01))
    control = Control()

    def train(*_: Any, **__: Any) -> TrialResult:
        if trouble is None:
            control.stop()
            raise TimeIsUp
        raise trouble

    monkeypatch.setattr(TrialBench, "train", train)
    asked = command(study, ("full_finetune",), KEYS[:2])
    finished = execute(asked, lambda _: None, control)
    assert isinstance(finished, JobFinished)
    assert finished.outcome == FAILED
    assert finished.error is not None
    assert finished.error.endswith(said)
    assert finished.remedy


def test_time_that_ends_after_a_failure_is_no_failure_of_the_rest(
    study: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.look_s = dict.fromkeys(KEYS, passes_s(study, 0.01))

    def train(*_: Any, **__: Any) -> TrialResult:
        if machine.now_s < BUDGET_S / 2:
            machine.now_s = BUDGET_S / 2
            raise RunError("The numbers ran away.", remedy="Lower the rate.")
        machine.now_s = 2 * BUDGET_S
        raise TimeIsUp

    monkeypatch.setattr(TrialBench, "train", train)
    asked = command(study, ("full_finetune",), KEYS[:2])
    finished = execute(asked, lambda _: None, Control())
    assert isinstance(finished, JobFinished)
    assert (finished.error or "").startswith("The time was over before any settings were trained.")
    assert "ran away" in (finished.error or "")


def interrupted_after(asked: Search, n_trials: int) -> bool:
    """Interrupt a search when it has told of so many trials; return whether it came to that."""
    control, told = Control(), []

    def listen(event: Event) -> None:
        if isinstance(event, JobProgressed) and "row" in event.facts:
            told.append(event)
            if len(told) == n_trials:
                control.interrupt()

    return execute(asked, listen, control).outcome == CANCELED


@pytest.mark.parametrize("n_before", [1, 9, 20, 28])
def test_an_interrupted_search_finds_what_one_finds_that_was_not(
    study: Path, machine: Machine, n_before: int
) -> None:
    """Also where training is faster than was measured, and in what comes after the rounds."""
    machine.look_s, machine.slowness = dict.fromkeys(KEYS, passes_s(study, 0.03)), 0.5
    asked = command(study, ("linear_probe", "full_finetune"))
    whole = found(asked)
    assert whole["n_trials"] > n_before
    made, machine.made, machine.now_s = machine.made, [], 0.0
    assert interrupted_after(asked, n_before)
    result = found(asked)
    assert machine.made == made
    assert result["rows"] == whole["rows"]
    for name in ("n_trials", "sentences", "notes"):
        assert result[name] == whole[name]


def test_a_search_that_an_earlier_version_began_goes_on(study: Path, machine: Machine) -> None:
    """It kept neither which candidates fit nor a pace with each trial."""
    machine.look_s = dict.fromkeys(KEYS, passes_s(study, 0.03))
    asked = command(study, ("linear_probe", "full_finetune"))
    whole = found(asked)
    machine.made, machine.now_s = [], 0.0
    assert interrupted_after(asked, 9)
    folder = max((study / "runs").glob("search-*"))
    for path in [folder / "plan.json", *folder.glob("trial-*.json")]:
        plain = read_signed_json(path)
        for name in ("fitting", "began_s", "undescribed"):
            plain.pop(name, None)
        if path.name != "plan.json":
            del plain["pass_s"]
        write_json(path, signed(plain))
    result = found(asked)
    assert result["id"] == folder.name
    assert result["rows"] == whole["rows"]
    assert result["n_trials"] == whole["n_trials"]
