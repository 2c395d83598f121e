"""Looking for the best settings within a time, by the validation images alone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.backbones import BACKBONES, backbone_card
from engine.contract.commands import Search
from engine.contract.config import ExperimentConfig
from engine.contract.config_io import finite, from_plain, to_plain
from engine.contract.control import Control, JobCanceled
from engine.contract.errors import ConfigError, DatasetError, EngineError, RunError
from engine.contract.events import Event, JobProgressed, Warned
from engine.contract.methods import METHODS, method_card
from engine.contract.searching import SearchResult, TriedSettings
from engine.files import read_json, write_json
from engine.hardware import Runtime, apply_runtime, autocast, resolve_runtime
from engine.jobs.candidates import DEFAULT_METHODS, Candidate, make_candidates
from engine.jobs.halving import (
    N_ROUNDS,
    Fidelity,
    Plan,
    affordable_epochs,
    by_round,
    make_plan,
    ranked,
)
from engine.jobs.training import checked_table
from engine.jobs.trials import TrialBench, TrialResult
from engine.methods.registry import METHOD_KEYS, get_method
from engine.methods.strength_choice import strongest_as_good
from engine.models.registry import build_network
from engine.models.weights import weights_state
from engine.project.access import open_alone
from engine.project.searching import SEARCH, begin_or_go_on, save_result
from engine.project.store import Project
from engine.project.table import TrainingTable
from engine.seeding import step_seed
from engine.splits.stratify import divide_groups
from engine.trainer.time_limit import TimedControl, TimeIsUp

_TRAIN_COST: Final = 2.7  # a trained image costs so many that are only looked at
_SPEED_BATCH: Final = 8
_LEAST_OF_A_CLASS: Final = 20  # images in a first trial
_MOST_COMPARED: Final = 12
_FEWEST_IN_ROUND: Final = 3
_WORTH_MEASURING: Final = 0.5
_PLAN_FILE: Final = "plan.json"
Emit = Callable[[Event], None]


def search_settings(command: Search, emit: Emit, control: Control) -> SearchResult:
    """Try settings until the time is over, or go on with a search that was interrupted.

    Raises:
        ConfigError: If there is nothing to choose from.
        EngineError: If the data don't allow training.
        JobCanceled: If canceled, and then nothing is kept; or interrupted, and then the same
            command goes on.
        RunError: If the time was over before anything was tried.
    """
    with open_alone(Path(command.project), owner="a search") as project:
        base = replace(command.config, image=project.image_contract)
        table = checked_table(project)
        backbones = _backbones(command.backbones, base.backbone.key)
        candidates = make_candidates(base, backbones, _methods(command.methods))
        asked = {
            "minutes": command.minutes,
            "config": to_plain(base),
            "backbones": backbones,
            "methods": _methods(command.methods),
        }
        name = begin_or_go_on(project, SEARCH, asked)
        work = _Search(project, name, command.minutes, table, candidates, emit, control)
        try:
            result = work.run()
        except JobCanceled:
            if not control.interrupted:
                shutil.rmtree(project.run_folder(name), ignore_errors=True)
            raise
        save_result(project, result)
        return result


def _backbones(wanted: Sequence[str], preferred: str) -> list[str]:
    """Return the backbones to try whose weights are here, the preferred one first.

    Raises:
        ConfigError: If one is unknown or there is none.
    """
    for key in wanted:
        if backbone_card(key) is None:
            raise ConfigError(
                f"There is no backbone called {key!r}.",
                remedy="Choose some that 'radtune-engine backbones' lists.",
            )
    keys = list(wanted) or [card.key for card in BACKBONES]
    present = [key for key in keys if weights_state(key) != "missing"]
    if not present:
        raise ConfigError(
            "None of the chosen backbones has pre-trained weights on this computer.",
            remedy="Choose EfficientNet-Lite0, or add a weights file first.",
        )
    return sorted(present, key=lambda key: key != preferred)


def _methods(wanted: Sequence[str]) -> list[str]:
    for key in wanted:
        if key not in METHOD_KEYS or method_card(key) is None:
            raise ConfigError(
                f"There is no method called {key!r}.",
                remedy=f"Choose from: {', '.join(card.key for card in METHODS)}.",
            )
    return list(wanted) or [key for key in DEFAULT_METHODS if key in METHOD_KEYS]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Trial:
    """A trial that was made.

    Attributes:
        round: From 0.
        passes: Over all training images, in cost.
        probabilities: Of the validation images.
    """

    row: TriedSettings
    round: int
    passes: float
    probabilities: NDArray[np.float64]

    @property
    def score(self) -> tuple[float, float]:
        return self.row.auroc, self.row.loss


class _Search:
    """A search under way."""

    def __init__(
        self,
        project: Project,
        name: str,
        minutes: float,
        table: TrainingTable,
        candidates: list[Candidate],
        emit: Emit,
        control: Control,
    ) -> None:
        self._folder = project.run_folder(name)
        self._name, self._minutes, self._table = name, minutes, table
        self._candidates, self._emit, self._control = candidates, emit, control
        self._trials: dict[tuple[int, int], _Trial] = {}
        self._notes: list[str] = []
        self._spent_s = 0.0
        self._read()
        self._time = TimedControl(control, 60 * minutes - self._spent_s)
        config = candidates[0].config
        self._runtime = resolve_runtime(config.runtime)
        apply_runtime(self._runtime)
        self._bench = TrialBench(
            project=project,
            table=table,
            image=config.image,
            runtime=self._runtime,
            control=self._time,
        )
        self._pass_s: dict[str, float] = {}

    def run(self) -> SearchResult:
        """Go through the rounds while there is time."""
        try:
            plan = self._kept_plan() or self._new_plan()
            chosen = [candidate.number for candidate in self._candidates]
            for number in range(N_ROUNDS):
                chosen = self._round(number, chosen, plan)
                if self._time.stop_requested:
                    break
        except TimeIsUp:
            pass  # whatever was found counts
        return self._result()

    def _kept_plan(self) -> Plan | None:
        """Return the plan of a search that was interrupted: its rounds must train alike."""
        path = self._folder / _PLAN_FILE
        if not path.is_file():
            return None
        plain = read_json(path)
        self._pass_s = {key: float(value) for key, value in plain["pass_s"].items()}
        self._notes = list(plain["notes"])
        self._leave_out(set(self._pass_s))
        plan: Plan = from_plain(Plan, plain["plan"])
        return plan

    def _new_plan(self) -> Plan:
        self._measure_speeds()
        self._measure_slowness()
        plan = self._plan()
        facts = {"plan": to_plain(plan), "pass_s": self._pass_s, "notes": self._notes}
        write_json(self._folder / _PLAN_FILE, facts)
        return plan

    def _leave_out(self, fitting: set[str]) -> None:
        self._pass_s = {key: value for key, value in self._pass_s.items() if key in fitting}
        self._candidates = [c for c in self._candidates if c.config.backbone.key in fitting]

    def _measure_speeds(self) -> None:
        """Measure how fast each backbone is here, and leave out those that are too slow."""
        keys = list(dict.fromkeys(c.config.backbone.key for c in self._candidates))
        limit_s = 60 * self._minutes / N_ROUNDS
        for key in keys:
            self._tell(f"Measuring how fast {_title(key)} is here")
            self._pass_s[key] = self._expected_pass_s(key)
        fitting = {key for key in keys if self._pass_s[key] <= limit_s} or {
            min(keys, key=lambda key: self._pass_s[key])
        }
        for key in keys:
            if key not in fitting:
                minutes = self._pass_s[key] / 60
                self._notes.append(
                    f"{_title(key)} was left out: one pass over the images takes about "
                    f"{minutes:.0f} minutes here."
                )
        self._leave_out(fitting)

    def _expected_pass_s(self, key: str) -> float:
        forward_s = _forward_s(key, self._bench, self._runtime)
        return forward_s * self._looks(1.0)

    def _looks(self, share: float) -> float:
        """Return the work of a pass over a share of the training images, in images looked at."""
        table = self._table
        n_train, n_val = (int((table.split == code).sum()) for code in (0, 1))
        # After each pass the head is fitted anew, which looks at every image once.
        return (_TRAIN_COST + 1) * share * n_train + 2 * n_val

    def _measure_slowness(self) -> None:
        """Train for a pass over few images, to learn what training costs beside its networks.

        Fitting heads, reading, and whatever else the computer does are not in the speed of a
        network; they slow all backbones down about alike.
        """
        trained = [candidate for candidate in self._candidates if candidate.has_epochs]
        if not trained:
            return
        key, share = trained[0].config.backbone.key, self._smallest_share()
        if share > _WORTH_MEASURING:
            return  # the first trial tells as much
        self._tell(f"Measuring how fast {_title(key)} is trained here")
        config, part = _limited(trained[0].config, 1), self._part(share)
        # Features are kept for all later trials; computing them is not what a pass costs.
        network, _ = self._bench.fresh(config, get_method(config.method.key))
        rows = self._table.rows[np.concatenate([np.flatnonzero(self._table.split == 0), self._val])]
        self._time.is_strict = True
        self._bench.features(network, rows, self._time)
        self._time.is_strict = False
        result = self._bench.train(config, train=part, seconds=self._time.left_s)
        expected_s = self._pass_s[key] * self._looks(share) / self._looks(1.0)
        slowness = max(1.0, result.seconds / expected_s)
        self._pass_s = {name: slowness * pass_s for name, pass_s in self._pass_s.items()}

    @property
    def _val(self) -> NDArray[np.int64]:
        return np.flatnonzero(self._table.split == 1)

    def _smallest_share(self) -> float:
        counts = np.bincount(self._table.labels[self._table.split == 0])
        return min(1.0, _LEAST_OF_A_CLASS / int(counts.min()))

    def _plan(self) -> Plan:
        costs = [self._pass_s[c.config.backbone.key] for c in self._candidates if c.has_epochs]
        return make_plan(
            float(np.median(costs)) if costs else 1.0,
            budget_s=60 * self._minutes,
            n_candidates=len(self._candidates),
            max_epochs=self._candidates[0].config.method.max_epochs,
            smallest_share=self._smallest_share(),
        )

    def _round(self, number: int, chosen: list[int], plan: Plan) -> list[int]:
        """Try candidates in their order, and return those that were, best first.

        As many as were planned, and more while the round's share of the time lasts; fewer, but
        three, if they take longer than expected.
        """
        wanted, budget_s = plan.rounds[number], 60 * self._minutes
        is_last = number == N_ROUNDS - 1
        end_s = budget_s * (number + 1) / N_ROUNDS
        for position, candidate in enumerate(self._by_number[n] for n in chosen):
            if (number, candidate.number) in self._trials:
                continue
            cost_s = wanted.passes * self._pace(candidate)
            is_over = self._elapsed_s + (0.0 if position < plan.n_in_round(number) else cost_s)
            if not is_last and position >= _FEWEST_IN_ROUND and is_over > end_s:
                break
            if self._time.stop_requested:
                break
            self._try(candidate, number, wanted)
        return ranked({c: t.score for (r, c), t in self._trials.items() if r == number})

    def _pace(self, candidate: Candidate) -> float:
        """Return the seconds that a pass over all training images is expected to take."""
        return self._pass_s[candidate.config.backbone.key] if candidate.has_epochs else 0.0

    @cached_property
    def _by_number(self) -> dict[int, Candidate]:
        return {candidate.number: candidate for candidate in self._candidates}

    @property
    def _elapsed_s(self) -> float:
        return self._spent_s + self._time.elapsed_s

    def _try(self, candidate: Candidate, number: int, wanted: Fidelity) -> None:
        earlier = self._trials.get((number - 1, candidate.number))
        if not candidate.has_epochs and earlier is not None and earlier.passes >= wanted.share:
            self._keep(candidate, number, earlier.passes, _again(earlier, number))
            return
        left_s = self._time.left_s
        assert left_s is not None
        at_least = earlier.passes if earlier is not None else 0.0
        fidelity = affordable_epochs(wanted, self._pace(candidate), left_s, at_least=at_least)
        if fidelity is None:
            return
        config = _limited(candidate.config, fidelity.epochs)
        try:
            result = self._bench.train(
                config,
                train=self._part(fidelity.share),
                seconds=left_s,
                on_progress=lambda stage, *_: self._tell(
                    f"Round {number + 1} of {N_ROUNDS}, {_words(candidate)}: {stage.lower()}"
                ),
            )
        except EngineError as error:
            self._note(f"{_words(candidate)} could not be trained: {error.message}")
            return
        self._learn_pace(candidate, fidelity, result)
        passes = fidelity.passes if candidate.has_epochs else fidelity.share
        self._keep(
            candidate, number, passes, self._row(candidate, number, fidelity, result), result
        )

    def _part(self, share: float) -> NDArray[np.int64]:
        """Return training images: all, or a part with whole patients and the classes balanced."""
        train = np.flatnonzero(self._table.split == 0)
        if share >= 1:
            return train
        table = self._table
        try:
            part = divide_groups(
                table.labels[train],
                table.groups[train],
                np.array([share, 1 - share]),
                seed=step_seed(self._candidates[0].config.seed, "search", "part"),
                class_names=table.class_names,
                unit=table.unit,
            )
        except DatasetError:  # a class of a single patient can't be divided
            return train
        chosen: NDArray[np.int64] = train[part == 0]
        return chosen

    def _learn_pace(self, candidate: Candidate, fidelity: Fidelity, result: TrialResult) -> None:
        """Take what a trial took as what the next of its backbone will take."""
        if candidate.has_epochs and result.epochs and result.is_complete:
            passes = result.epochs * fidelity.share
            self._pass_s[candidate.config.backbone.key] = result.seconds / passes

    def _row(
        self, candidate: Candidate, number: int, fidelity: Fidelity, result: TrialResult
    ) -> TriedSettings:
        return TriedSettings(
            number=candidate.number,
            backbone=candidate.config.backbone.key,
            method=candidate.config.method.key,
            changes=candidate.changes,
            round=number + 1,
            n_rounds=N_ROUNDS,
            epochs=result.epochs,
            n_train=len(self._part(fidelity.share)),
            auroc=result.val_auroc,
            loss=result.val_loss,
            seconds=round(result.seconds, 2),
            is_complete=result.is_complete,
            config=to_plain(candidate.config),
        )

    def _keep(
        self,
        candidate: Candidate,
        number: int,
        passes: float,
        row: TriedSettings,
        result: TrialResult | None = None,
    ) -> None:
        """Remember a trial, here and on disk, and tell of it."""
        probabilities = (
            result.probabilities
            if result is not None
            else self._trials[number - 1, candidate.number].probabilities
        )
        trial = _Trial(row=row, round=number, passes=passes, probabilities=probabilities)
        self._trials[number, candidate.number] = trial
        write_json(
            self._folder / f"trial-{number + 1}-{candidate.number}.json",
            {
                "row": finite(to_plain(row)),
                "passes": passes,
                "spent_s": self._elapsed_s,
                "probabilities": probabilities.tolist(),
            },
        )
        words = f"Round {number + 1} of {N_ROUNDS}, {_words(candidate)}: AUROC {row.auroc:.3f}"
        self._tell(words, facts={"row": to_plain(row)})

    def _read(self) -> None:
        """Take up what an interrupted search has tried."""
        for path in sorted(self._folder.glob("trial-*.json")):
            plain = read_json(path)
            row: TriedSettings = from_plain(TriedSettings, plain["row"])
            self._trials[row.round - 1, row.number] = _Trial(
                row=row,
                round=row.round - 1,
                passes=float(plain["passes"]),
                probabilities=np.array(plain["probabilities"]),
            )
            self._spent_s = max(self._spent_s, float(plain["spent_s"]))
        for trial in sorted(self._trials.values(), key=lambda t: (t.round, t.row.number)):
            self._emit(
                JobProgressed(
                    kind=SEARCH,
                    stage="Going on where it was interrupted",
                    done=0,
                    total=0,
                    facts={"row": to_plain(trial.row)},
                )
            )

    def _note(self, text: str) -> None:
        self._notes.append(text)
        self._emit(Warned(message=text))

    def _tell(self, stage: str, facts: dict[str, Any] | None = None) -> None:
        budget_s = 60 * self._minutes
        self._emit(
            JobProgressed(
                kind=SEARCH,
                stage=stage,
                done=min(100, round(100 * self._elapsed_s / budget_s)),
                total=100,
                seconds_left=max(0.0, budget_s - self._elapsed_s),
                facts=facts or {},
            )
        )
        self._control.safe_point()

    def _result(self) -> SearchResult:
        last = {
            number: max(r for r, c in self._trials if c == number)
            for number in {c for _, c in self._trials}
        }
        if not last:
            raise RunError(
                "The time was over before any settings were tried.",
                remedy="Give the search more minutes.",
            )
        kept = {number: self._trials[r, number] for number, r in last.items()}
        # A trial that was cut short says less than the whole one before it.
        for number, trial in kept.items():
            if not trial.row.is_complete and (last[number] - 1, number) in self._trials:
                kept[number] = self._trials[last[number] - 1, number]
        rounds = {number: trial.round for number, trial in kept.items()}
        order = by_round(rounds, {number: trial.score for number, trial in kept.items()})
        rows = self._compared([kept[number] for number in order])
        best: ExperimentConfig = from_plain(ExperimentConfig, rows[0].config)
        return SearchResult(
            id=self._name,
            minutes=self._minutes,
            seconds=round(self._elapsed_s, 2),
            rows=tuple(rows),
            n_trials=len(self._trials),
            best=best,
            notes=tuple(self._notes),
            sentences=_sentences(rows, len(self._trials), int((self._table.split == 1).sum())),
        )

    def _compared(self, trials: list[_Trial]) -> list[TriedSettings]:
        """Return the rows, saying of each whether chance explains that it trails the first."""
        table, val = self._table, self._val
        first, *others = trials
        rows = [replace(first.row, is_as_good=True)]
        for place, trial in enumerate(others):
            is_as_good = False
            if place < _MOST_COMPARED:
                chosen, _ = strongest_as_good(
                    [first.probabilities, trial.probabilities],
                    table.labels[val],
                    table.groups[val],
                    positive=table.positive,
                    seed=0,
                )
                is_as_good = chosen == 1
            rows.append(replace(trial.row, is_as_good=is_as_good))
        return rows


def _forward_s(key: str, bench: TrialBench, runtime: Runtime) -> float:
    """Return seconds that a backbone takes to look at one image, after one batch of warm-up."""
    import torch

    from engine.data.transforms import pixels_to_batch

    network = build_network(key, 2, features="stages").to(runtime.device)
    rows = bench.table.rows[:_SPEED_BATCH]
    images = pixels_to_batch(bench.pixels.read(rows), runtime.device)
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        with torch.inference_mode(), autocast(runtime):
            network(images).cpu()
        taken.append(time.perf_counter() - started)
    return min(taken[1:]) / len(rows)


def _limited(config: ExperimentConfig, epochs: int) -> ExperimentConfig:
    patience = min(config.method.patience, epochs)
    return replace(config, method=replace(config.method, max_epochs=epochs, patience=patience))


def _again(earlier: _Trial, number: int) -> TriedSettings:
    """Return the row of a trial that would give the same again."""
    return replace(earlier.row, round=number + 1, seconds=0.0)


def _title(key: str) -> str:
    card = backbone_card(key)
    return card.title if card is not None else key


def _words(candidate: Candidate) -> str:
    method = method_card(candidate.config.method.key)
    named = method.title if method is not None else candidate.config.method.key
    parts = [_title(candidate.config.backbone.key), named, *candidate.changes]
    return ", ".join(parts)


def _sentences(rows: Sequence[TriedSettings], n_trials: int, n_val: int) -> tuple[str, ...]:
    first = rows[0]
    method = method_card(first.method)
    named = f"{_title(first.backbone)} with {(method.title if method else first.method).lower()}"
    changed = f" ({', '.join(first.changes)})" if first.changes else ""
    n_equal = sum(row.is_as_good for row in rows[1:])
    sentences = [
        f"Best of {len(rows)} settings, in {n_trials} short trainings: {named}{changed}, "
        f"validation AUROC {first.auroc:.3f}."
    ]
    if n_equal:
        others = "another is" if n_equal == 1 else f"{n_equal} others are"
        sentences.append(
            f"{others[:1].upper()}{others[1:]} as good as far as {n_val} validation images can "
            "tell; of these, take the fastest."
        )
    sentences.append(
        "The best of many looks better on the images it was chosen by than it is. Train it, and "
        "look at the test images once to know."
    )
    return tuple(sentences)
