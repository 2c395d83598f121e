"""The search for settings within a time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine.contract.commands import Search
from engine.contract.config import ExperimentConfig
from engine.contract.config_io import from_plain
from engine.contract.control import Control
from engine.contract.events import CANCELED, Event, JobFinished, JobProgressed
from engine.jobs import candidates
from engine.jobs.candidates import make_candidates
from engine.jobs.halving import Fidelity, affordable_epochs, by_round, make_plan, ranked
from engine.project.store import Project
from engine.run import execute
from engine.trainer.time_limit import TimedControl
from tests.helpers.tiny_study import run_job, small_config


@pytest.fixture(autouse=True)
def few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a search end because nothing is left to try, however fast or slow the machine is."""
    monkeypatch.setattr(candidates, "_MOST", 3)


def _search(project: Path, minutes: float = 30.0, **options: Any) -> Search:
    options.setdefault("backbones", ("efficientnet_lite0",))
    options.setdefault("methods", ("linear_probe", "full_finetune"))
    config = small_config(max_epochs=2)
    return Search(project=str(project), minutes=minutes, config=config, **options)


@pytest.mark.parametrize("budget_s", [60.0, 600.0, 1800.0, 36000.0])
@pytest.mark.parametrize("pass_s", [0.5, 5.0, 60.0])
def test_a_plan_fits_into_its_time(budget_s: float, pass_s: float) -> None:
    plan = make_plan(pass_s, budget_s=budget_s, n_candidates=200, max_epochs=8, smallest_share=0.1)
    cost = sum(
        plan.n_in_round(number) * fidelity.passes * pass_s
        for number, fidelity in enumerate(plan.rounds)
    )
    # Three candidates at the least share are tried however little time there is; the rounding of
    # numbers of passes may cost a little.
    least = pass_s * (3 * 0.1 + 0.3 + 1)
    assert cost <= 1.15 * max(budget_s, least)
    passes = [fidelity.passes for fidelity in plan.rounds]
    assert passes == sorted(passes)
    assert passes[-1] <= 8


def test_every_round_trains_fewer_for_longer() -> None:
    plan = make_plan(10.0, budget_s=1800, n_candidates=100, max_epochs=8, smallest_share=0.1)
    sizes = [plan.n_in_round(number) for number in range(3)]
    assert sizes == sorted(sizes, reverse=True)
    assert plan.rounds[-1] == Fidelity(share=1.0, epochs=8)


def test_a_trial_that_does_not_fit_is_shortened_or_left_out() -> None:
    whole = Fidelity(share=1.0, epochs=8)
    assert affordable_epochs(whole, 10.0, 100.0, at_least=0) == whole
    assert affordable_epochs(whole, 10.0, 60.0, at_least=3) == Fidelity(share=1.0, epochs=5)
    assert affordable_epochs(whole, 10.0, 30.0, at_least=3) is None
    assert affordable_epochs(Fidelity(share=0.2, epochs=1), 10.0, 1.0, at_least=0) is None


def test_candidates_rank_by_auroc_then_loss_and_undefined_ones_are_last() -> None:
    scores = {0: (0.8, 0.5), 1: (0.9, 0.6), 2: (0.9, 0.4), 3: (float("nan"), 0.1)}
    assert ranked(scores) == [2, 1, 0, 3]
    assert by_round({0: 2, 1: 0, 2: 1, 3: 0}, scores) == [0, 2, 1, 3]


def test_candidates_follow_from_the_seed_and_begin_with_the_plain_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(candidates, "_MOST", 40)
    base, keys = ExperimentConfig(), ["efficientnet_lite0", "efficientnet_lite1"]
    first = make_candidates(base, keys, ["linear_probe", "full_finetune"])
    assert first == make_candidates(base, keys, ["linear_probe", "full_finetune"])
    assert [(c.config.method.key, c.config.backbone.key, c.changes) for c in first[:4]] == [
        ("linear_probe", keys[0], ()),
        ("linear_probe", keys[1], ()),
        ("full_finetune", keys[0], ()),
        ("full_finetune", keys[1], ()),
    ]
    assert all(candidate.changes for candidate in first[4:])
    assert len(first) == 40
    assert len({repr(candidate.config) for candidate in first}) == len(first)


def test_a_search_ranks_by_validation_and_leaves_no_run(study: Path) -> None:
    events: list[Event] = []
    finished = execute(_search(study), events.append, Control())
    assert isinstance(finished, JobFinished)
    assert finished.outcome == "completed", finished.error
    result = finished.result
    assert result["seconds"] < 30 * 60
    rows = result["rows"]
    assert rows == sorted(rows, key=lambda row: (-row["round"], -row["auroc"], row["loss"]))
    best = from_plain(ExperimentConfig, result["best"])
    assert best.method.max_epochs == 2  # what is offered trains as long as the start settings
    told = [e.facts["row"] for e in events if isinstance(e, JobProgressed) and e.facts]
    assert len(told) == result["n_trials"]
    with Project.open(study, read_only=True) as project:
        assert project.runs() == ()


def test_no_trial_begins_once_the_time_is_up(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(TimedControl, "is_time_up", property(lambda _: len(told) >= 2))

    def note(event: Event) -> None:
        if isinstance(event, JobProgressed) and event.facts:
            told.append(event.facts["row"]["number"])

    finished = execute(_search(study), note, Control())
    assert isinstance(finished, JobFinished)
    assert finished.result["n_trials"] == 2


def test_an_interrupted_search_goes_on_and_repeats_nothing(study: Path) -> None:
    command, control, told = _search(study), Control(), []

    def interrupt_after_two(event: Event) -> None:
        if isinstance(event, JobProgressed) and event.facts:
            told.append((event.facts["row"]["round"], event.facts["row"]["number"]))
            if len(told) == 2:
                control.interrupt()

    assert execute(command, interrupt_after_two, control).outcome == CANCELED
    folder = next((study / "runs").glob("search-*"))
    before = {path.name: path.read_bytes() for path in folder.glob("trial-*.json")}
    result = run_job(command)
    assert result["id"] == folder.name
    assert all((folder / name).read_bytes() == content for name, content in before.items())
    assert result["n_trials"] > 2


def test_a_stopped_search_gives_what_it_has(study: Path) -> None:
    control = Control()

    def stop_after_one(event: Event) -> None:
        if isinstance(event, JobProgressed) and event.facts:
            control.stop()

    finished = execute(_search(study), stop_after_one, control)
    assert finished.outcome == "completed"
    assert finished.result["n_trials"] == 1


def test_a_canceled_search_leaves_nothing(study: Path) -> None:
    control = Control()
    control.cancel()
    assert execute(_search(study), lambda event: None, control).outcome == CANCELED
    assert list((study / "runs").glob("search-*")) == []


def test_the_test_images_have_no_influence(study: Path) -> None:
    """Whatever the search reads of the table, no trial is given a test image."""
    from engine.jobs import trials

    seen: Counter[int] = Counter()
    original = trials._with_parts

    def note(table: Any, train: Any, val: Any) -> Any:
        found = original(table, train, val)
        seen.update(table.split[found.split >= 0].tolist())
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "_with_parts", note)
        patch.setattr(candidates, "_MOST", 2)
        run_job(_search(study))
    assert set(seen) == {0, 1}


def test_a_backbone_without_weights_is_refused_with_what_to_do(study: Path) -> None:
    command = _search(study, backbones=("no_such",))
    finished = execute(command, lambda event: None, Control())
    assert "There is no backbone called" in (finished.error or "")
