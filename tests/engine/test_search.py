"""The search for settings within a time."""

from __future__ import annotations

import errno
import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.contract.commands import MakeSplit, Search
from engine.contract.config import BackboneConfig, ExperimentConfig
from engine.contract.config_io import from_plain
from engine.contract.control import Control
from engine.contract.errors import ConfigError, StorageError
from engine.contract.events import CANCELED, Event, JobFinished, JobProgressed, Warned
from engine.contract.searching import TriedSettings
from engine.jobs import candidates
from engine.jobs.candidates import Start, make_candidates
from engine.jobs.halving import Fidelity, affordable_epochs, by_round, make_plan, ranked
from engine.jobs.search import starting_weights
from engine.jobs.search_kept import SearchFolder
from engine.jobs.search_words import sentences
from engine.methods.anchored import AnchoredMethod
from engine.methods.l2_sp import L2SP
from engine.methods.soft_threshold import SoftThreshold
from engine.models.adapt import find_card
from engine.models.weights import FOUND, MADE, keep_weights, load_state
from engine.project import labels
from engine.project.searching import is_stale
from engine.project.store import Project
from engine.run import execute
from engine.trainer.time_limit import TimedControl
from tests.helpers.failing_disk import BrokenFolder
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
    starts = [Start(backbone=BackboneConfig(key=key)) for key in keys]
    first = make_candidates(base, starts, ["linear_probe", "full_finetune"])
    assert first == make_candidates(base, starts, ["linear_probe", "full_finetune"])
    assert [(c.config.method.key, c.config.backbone.key, c.changes) for c in first[:4]] == [
        ("linear_probe", keys[0], ()),
        ("linear_probe", keys[1], ()),
        ("full_finetune", keys[0], ()),
        ("full_finetune", keys[1], ()),
    ]
    assert all(candidate.changes for candidate in first[4:])
    for candidate in (first[2], first[3]):
        assert replace(candidate.config, backbone=base.backbone, method=base.method) == base
    assert len(first) == 40
    assert len({repr(candidate.config) for candidate in first}) == len(first)


def test_settings_of_ones_own_are_tried_and_what_differs_from_them_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(candidates, "_MOST", 200)
    base = ExperimentConfig()
    own = replace(
        base,
        optimizer=replace(base.optimizer, learning_rate=4.56e-4, layer_decay=0.8),
        method=replace(base.method, key="full_finetune", frozen_stages=1),
        loss=replace(base.loss, label_smoothing=0.1),
    )
    plain, *others = make_candidates(own, [Start(backbone=own.backbone)], ["full_finetune"])
    assert (plain.config, plain.changes) == (own, ())
    said = {
        (change, _settings(candidate.config))
        for candidate in others
        if len(candidate.changes) == 1
        for change in candidate.changes
    }
    assert said == {
        ("learning rate 0.00015", (1.5e-4, 1, 0.8, 0.1)),
        ("learning rate 0.0014", (1.4e-3, 1, 0.8, 0.1)),
        ("2 stages frozen", (4.56e-4, 2, 0.8, 0.1)),
        ("all layers trained", (4.56e-4, 0, 0.8, 0.1)),
        ("all layers equally fast", (4.56e-4, 1, 1.0, 0.1)),
        ("earlier layers slower", (4.56e-4, 1, 0.7, 0.1)),
        ("labels smoothed by 0.05", (4.56e-4, 1, 0.8, 0.05)),
        ("labels taken as certain", (4.56e-4, 1, 0.8, 0.0)),
    }


def _settings(config: ExperimentConfig) -> tuple[float, int, float, float]:
    optimizer = config.optimizer
    return (
        optimizer.learning_rate,
        config.method.frozen_stages,
        optimizer.layer_decay,
        config.loss.label_smoothing,
    )


def test_what_a_method_does_not_heed_is_not_tried_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "_MOST", 200)
    base = ExperimentConfig()
    found = make_candidates(base, [Start(backbone=base.backbone)], ["adversarial"])
    assert len({candidate.config.method.frozen_stages for candidate in found}) == 1


@pytest.mark.parametrize("rate", [1e-6, 2e-6, 1.0])
def test_rates_stay_within_their_limits(rate: float) -> None:
    base = ExperimentConfig()
    base = replace(base, optimizer=replace(base.optimizer, learning_rate=rate))
    found = make_candidates(base, [Start(backbone=base.backbone)], ["full_finetune"])
    assert found[0].config.optimizer.learning_rate == rate


@pytest.mark.parametrize("method", [L2SP, SoftThreshold])
def test_a_method_that_holds_weights_is_tried_with_a_pull_of_its_own_path(
    method: type[AnchoredMethod],
) -> None:
    """The same number is no pull at all in one method, and holds everything in another."""
    base, path, key = ExperimentConfig(), method.strengths, method.key
    other = replace(base, method=replace(base.method, key="full_finetune"))
    set_for_another = replace(other, anchor=replace(base.anchor, strength=path[0] / 100))
    set_for_this = replace(set_for_another, method=replace(base.method, key=key))

    def tried(start: ExperimentConfig) -> set[float]:
        found = make_candidates(start, [Start(backbone=BackboneConfig())], [key])
        return {candidate.config.anchor.strength for candidate in found}

    for start in (base, set_for_another):
        assert tried(start) == {path[1]}
        assert path[0] < path[1] < path[2]
    assert tried(set_for_this) == {path[0] / 100}


def test_a_method_keeps_its_letters_in_a_sentence() -> None:
    row = TriedSettings(
        number=0,
        backbone="efficientnet_lite0",
        method="lora",
        changes=(),
        round=1,
        n_rounds=1,
        epochs=1,
        n_train=10,
        auroc=0.9,
        loss=0.3,
        seconds=1.0,
        is_complete=True,
        config={},
    )
    assert "EfficientNet-Lite0 with low-rank changes (LoRA), " in sentences([row], 1, 30)[0]


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


@pytest.mark.parametrize("stage", ["Measuring", "Round 1", "fitting", "AUROC"])
@pytest.mark.usefixtures("tries_again_soon")
def test_a_search_waits_for_a_full_disk_and_blames_no_settings_for_it(
    study: Path, stage: str
) -> None:
    """From its plan, what a network says of the images, a trial, or its result on."""
    broken: list[BrokenFolder] = []
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:

        def listen(event: Event) -> None:
            if isinstance(event, JobProgressed) and stage in event.stage and not broken:
                broken.append(BrokenFolder(study, errno.ENOSPC, 1))
                broken[0].install(patch)
            if isinstance(event, Warned) and broken:
                told.append(event.message)
                broken[0].mend()

        finished = execute(_search(study, methods=("linear_probe",)), listen, Control())
    assert isinstance(finished, JobFinished)
    assert finished.outcome == "completed", finished.error
    assert broken[0].n_refused >= 1
    assert "disk is full" in told[0]
    assert finished.result["notes"] == []
    assert finished.result["n_trials"] == 1


def test_a_disk_that_ends_a_search_is_not_the_settings_fault(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise StorageError("The disk is gone.", remedy="Connect it.")

    monkeypatch.setattr("engine.jobs.one_trial.fresh_network", refused)
    finished = execute(_search(study, methods=("linear_probe",)), lambda event: None, Control())
    assert finished.error == "The disk is gone."
    monkeypatch.undo()
    monkeypatch.setattr(candidates, "_MOST", 3)
    result = run_job(_search(study, methods=("linear_probe",)))
    assert (result["notes"], result["n_trials"]) == ([], 1)  # a probe alone has no second round
    assert len(list((study / "runs").glob("search-*"))) == 1


@pytest.mark.parametrize("file", ["trial-1-0.json", "plan.json", "search.json"])
def test_a_search_goes_on_whatever_of_its_files_is_damaged(study: Path, file: str) -> None:
    command, control = _search(study), Control()

    def interrupt(event: Event) -> None:
        if isinstance(event, JobProgressed) and event.facts:
            control.interrupt()

    assert execute(command, interrupt, control).outcome == CANCELED
    folder = next((study / "runs").glob("search-*"))
    text = (folder / file).read_text(encoding="utf-8")
    place = next(i for i, letter in enumerate(text) if letter in "123456")
    changed = text[:place] + "7" + text[place + 1 :]  # still valid JSON
    (folder / file).write_text(changed, encoding="utf-8")
    events: list[Event] = []
    finished = execute(command, events.append, Control())
    assert isinstance(finished, JobFinished)
    assert finished.outcome == "completed", finished.error
    assert list((study / "runs").glob("search-*")) == [folder]
    told = any("is damaged" in event.message for event in events if isinstance(event, Warned))
    assert told == (file != "search.json")  # of which there is a copy
    if file == "trial-1-0.json":
        assert (folder / file).read_text(encoding="utf-8") != changed


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


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[str, str]:
    """Add two files for EfficientNet-Lite0: one that a user found, and one made by pre-training.

    Returns:
        What settings call them.
    """
    monkeypatch.setenv("RADTUNE_WEIGHTS", str(tmp_path / "weights"))
    card, state = find_card("efficientnet_lite0"), load_state("efficientnet_lite0")
    choices = []
    for kind in (FOUND, MADE):
        name = next(name for name, tensor in state.items() if tensor.ndim == 4)
        state[name] = state[name] * 1.01
        item = keep_weights(
            card,
            state,
            name=f"{kind}.pth",
            kind=kind,
            licence="unknown",
            pretrained_on="hands",
            mean=card.mean,
            std=card.std,
        )
        choices.append(f"file:{item.id}")
    return choices[0], choices[1]


def test_weights_that_were_added_are_tried_beside_the_default_ones(
    study: Path, added: tuple[str, str]
) -> None:
    events: list[Event] = []
    command = _search(study, methods=("linear_probe",))
    finished = execute(command, events.append, Control())
    assert isinstance(finished, JobFinished)
    assert finished.outcome == "completed", finished.error
    rows = finished.result["rows"]
    assert {row["config"]["backbone"]["weights"] for row in rows} == {"pretrained", added[0]}
    assert {tuple(row["changes"]) for row in rows} == {(), ("weights found.pth",)}
    best = from_plain(ExperimentConfig, finished.result["best"])
    assert best.backbone.weights == rows[0]["config"]["backbone"]["weights"]


def test_what_a_pre_training_made_is_tried_only_if_it_is_asked_for(added: tuple[str, str]) -> None:
    found, made = added
    plain = BackboneConfig()

    def tried(*wanted: str, preferred: BackboneConfig = plain) -> list[str]:
        return [s.backbone.weights for s in starting_weights(wanted, preferred, 224)]

    assert tried("efficientnet_lite0") == ["pretrained", found]
    assert tried(made) == [made]
    assert tried(made, "efficientnet_lite0") == ["pretrained", made, found]
    chosen = BackboneConfig(weights=made)
    assert tried("efficientnet_lite0", preferred=chosen) == [made, "pretrained", found]
    with pytest.raises(ConfigError, match="No added weights"):
        tried("file:nothing")


def test_a_backbone_that_cannot_take_the_images_is_not_tried(added: tuple[str, str]) -> None:
    keys = {s.backbone.key for s in starting_weights((), BackboneConfig(), 250)}
    assert keys
    assert all(250 % find_card(key).size_step_px == 0 for key in keys)
    with pytest.raises(ConfigError, match="250 px"):
        starting_weights(("dinov2_vits14",), BackboneConfig(), 250)


def test_a_search_of_other_labels_is_not_continued_and_counts_as_stale(study: Path) -> None:
    command, control = _search(study, methods=("linear_probe",)), Control()

    def interrupt(event: Event) -> None:
        if isinstance(event, JobProgressed) and event.facts:
            control.interrupt()

    assert execute(command, interrupt, control).outcome == CANCELED
    before = next((study / "runs").glob("search-*")).name
    with Project.open(study) as project:
        assert not is_stale(project, before)
        table = project.training_table()
        first = int(table.record_ids[0])
        other = next(c.id for c in project.classes() if c.index != table.labels[0])
        labels.set_labels(project, [first], other)
        assert is_stale(project, before)
    run_job(MakeSplit(project=str(study), seed=3))
    assert run_job(command)["id"] != before


@pytest.mark.parametrize(("times", "is_left_out"), [(1, False), (2, True)])
def test_a_trial_that_ended_the_process_twice_is_left_out(
    study: Path, times: int, is_left_out: bool
) -> None:
    backbones = ("efficientnet_lite0", "efficientnet_lite1")
    command = _search(study, backbones=backbones, methods=("linear_probe",))
    control = Control()

    def interrupt(event: Event) -> None:
        if isinstance(event, JobProgressed) and event.stage.startswith("Round 1"):
            control.interrupt()

    assert execute(command, interrupt, control).outcome == CANCELED
    folder = next((study / "runs").glob("search-*"))
    kept = SearchFolder(folder)
    assert not kept.is_deadly(0, 0)  # an interruption is no death
    for path in folder.glob("trial-*.json"):
        path.unlink()
    (folder / "begun.json").write_text(f'{{"trial 1-0": {times}}}', encoding="utf-8")
    events: list[Event] = []
    finished = execute(command, events.append, Control())
    assert isinstance(finished, JobFinished)
    assert finished.outcome == "completed", finished.error
    numbers = {row["number"] for row in finished.result["rows"]}
    assert (0 not in numbers) == is_left_out
    assert any("ended twice" in note for note in finished.result["notes"]) == is_left_out
    log = (folder / "search.log").read_text(encoding="utf-8")
    assert "begins trial 1-1" in log
    assert str(study) not in log


def test_a_killed_trial_stays_begun_and_one_that_ends_does_not(tmp_path: Path) -> None:
    with SearchFolder(tmp_path).trying(0, 4, "words"):
        assert (tmp_path / "begun.json").read_text(encoding="utf-8").count("trial 1-4") == 1
        within = SearchFolder(tmp_path)  # as a process sees it that comes after a kill
        with within.trying(0, 4, "words"):
            again = SearchFolder(tmp_path)
            assert again.is_deadly(0, 4)
    assert not SearchFolder(tmp_path).is_deadly(0, 4)
    with pytest.raises(ZeroDivisionError), SearchFolder(tmp_path).trying(0, 5, "words"):
        _ = 1 / 0
    log = (tmp_path / "search.log").read_text(encoding="utf-8")
    assert "trial 1-5 ended by ZeroDivisionError" in log


def test_no_flipped_bit_makes_a_trial_one_that_ended_the_process_twice(tmp_path: Path) -> None:
    path = tmp_path / "begun.json"
    with SearchFolder(tmp_path).trying(0, 4, "words"):
        sound = path.read_bytes()
        assert SearchFolder(tmp_path)._begun == {"trial 1-4": 1}
    for place, bit in itertools.product(range(len(sound)), range(8)):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ (1 << bit)]) + sound[place + 1 :])
        assert not SearchFolder(tmp_path).is_deadly(0, 4)
    for harmed in (b"", b"[1]", b'{"trial 1-4": null}', b'{"trial 1-4": "x"}', b"\xff"):
        path.write_bytes(harmed)
        assert not SearchFolder(tmp_path).is_deadly(0, 4)
    path.write_text('{"trial 1-4": 2}', encoding="utf-8")  # earlier versions signed nothing
    assert SearchFolder(tmp_path).is_deadly(0, 4)


def test_a_search_whose_plan_is_gone_begins_anew_and_says_so(tmp_path: Path) -> None:
    assert SearchFolder(tmp_path).damage == ""  # a new one
    SearchFolder(tmp_path).keep_plan({"plan": 1})
    (tmp_path / "trial-1-0.json").write_text("{}", encoding="utf-8")
    (tmp_path / "plan.json").unlink()
    kept = SearchFolder(tmp_path)
    assert kept.damage == "What this search had planned is gone, so it begins anew."
    assert (kept.plan, kept.trials, list(tmp_path.glob("trial-*"))) == (None, {}, [])
    assert SearchFolder(tmp_path).damage == ""


def test_the_time_of_a_trial_counts_descriptions_that_were_at_hand(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are compared by time, so none may be fast because another described its images."""
    look_s = 0.5
    monkeypatch.setattr("engine.jobs.search_pace._forward_s", lambda *_: look_s)
    command = _search(study, methods=("linear_probe",))
    for _ in range(2):  # the second search finds every description in the project
        told: list[dict[str, Any]] = []

        def note(event: Event, told: list[dict[str, Any]] = told) -> None:
            if isinstance(event, JobProgressed) and event.facts:
                told.append(event.facts["row"])

        finished = execute(command, note, Control())
        assert isinstance(finished, JobFinished)
        assert finished.outcome == "completed", finished.error
        with Project.open(study, read_only=True) as project:
            n_val = int((project.training_table().split == 1).sum())
        assert told
        for row in [*told, *finished.result["rows"]]:
            assert row["seconds"] >= look_s * (row["n_train"] + n_val)


def test_a_probe_whose_images_are_described_already_is_tried_however_slow_its_backbone(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = _search(study, methods=("linear_probe",))
    run_job(command)
    monkeypatch.setattr("engine.jobs.search_pace._forward_s", lambda *_: 1e6)
    assert run_job(command)["n_trials"] == 1
