"""The rounds of a search: each trains fewer settings for longer, and all fit into its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.contract.config import BackboneConfig, ExperimentConfig
from engine.contract.config_io import from_plain, to_plain
from engine.contract.control import Control
from engine.contract.errors import EngineError, ProjectBusyError, RunError, StorageError
from engine.contract.events import Event, JobProgressed, Warned
from engine.contract.searching import SearchResult, TriedSettings
from engine.hardware import apply_runtime, place_run
from engine.jobs.candidates import Candidate
from engine.jobs.halving import Fidelity, Plan, make_plan
from engine.jobs.one_trial import TrialResult
from engine.jobs.search_kept import KeptTrial, SearchFolder
from engine.jobs.search_next import Schedule, Step
from engine.jobs.search_pace import (
    measured_pace,
    n_described,
    part_of,
    shortened,
    smallest_share,
)
from engine.jobs.search_words import missed, ranked_rows, sentences, title, words
from engine.jobs.seen_before import backbone_warning
from engine.jobs.trials import TrialBench
from engine.models.fallback import timed_warning
from engine.models.weights_warning import weights_warning
from engine.project.searching import SEARCH
from engine.project.store import Project
from engine.project.table import TrainingTable
from engine.trainer.full_disk import waiting_as_warning
from engine.trainer.time_limit import TimedControl, TimeIsUp

_PLAN_WITHOUT_PASSES: Final = Plan(n_candidates=1, rounds=(Fidelity(share=1.0, epochs=1),))
Emit = Callable[[Event], None]


class SearchRounds:
    """A search under way."""

    def __init__(
        self,
        project: Project,
        name: str,
        table: TrainingTable,
        candidates: list[Candidate],
        *,
        minutes: float,
        emit: Emit,
        control: Control,
    ) -> None:
        """Take up what an interrupted search has tried.

        Args:
            project: Open for writing.
            name: Of the search's folder.
            table: The images.
            candidates: What could be tried, in this order.
            minutes: Time of the search, earlier parts included.
            emit: Takes the events.
            control: Requests to honour.
        """
        self._name, self._minutes, self._table = name, minutes, table
        self._candidates, self._emit, self._control = candidates, emit, control
        self._kept = SearchFolder(project.run_folder(name))
        self._spent_s = self._kept.spent_s
        self._notes: list[str] = []
        self._tell_of_earlier()
        if self._kept.damage:
            self._note(self._kept.damage)
        self._time = TimedControl(control, 60 * minutes - self._spent_s)
        config = candidates[0].config
        runtime, fallback = place_run(config.runtime, safe_point=control.wait_point)
        apply_runtime(runtime)
        self._cautions = dict(self._warn_of_weights(project))
        if fallback is not None:
            emit(timed_warning(fallback, minutes))
        self.bench = TrialBench(
            project=project,
            table=table,
            image=config.image,
            runtime=runtime,
            control=self._time,
            on_event=waiting_as_warning(emit),
        )
        self._pass_s: dict[str, float] = {}
        self._look_s: dict[str, float] = {}  # empty of earlier versions, as is the next
        self._undescribed: dict[int, int] = {}
        self._began_s = 0.0
        self._failure = ""

    def _warn_of_weights(self, project: Project) -> Iterator[tuple[BackboneConfig, str]]:
        """Warn of weights; yield those that know patients, with what the result says of them."""
        firsts = {c.config.backbone: c for c in reversed(self._candidates)}
        for backbone, candidate in firsts.items():
            if (warned := weights_warning(backbone)) is not None:
                self._emit(warned)
            if (warned := backbone_warning(project, self._table, backbone)) is None:
                continue
            self._emit(warned)
            said = f"{warned.message} {warned.remedy}"
            if len(firsts) > 1:
                weights = (word for word in candidate.changes if word.startswith("weights "))
                named = ", ".join([title(backbone.key), *weights])
                said = f"{named}: {said[:1].lower()}{said[1:]}"
            yield backbone, said

    def run(self) -> SearchResult:
        """Go through the rounds while there is time.

        Raises:
            JobCanceled: If canceled or interrupted.
            RunError: If nothing could be trained, or there was no time to try anything.
        """
        try:
            self._schedule = self._planned(self._earlier_plan() or self._new_plan())
            self._go_through(self._schedule)
        except TimeIsUp:
            pass  # whatever was found counts
        return self._result()

    def _go_through(self, schedule: Schedule) -> None:
        """Make trials while there is time, and something to try."""
        while True:
            step = schedule.next(began_s=self._began_s, now_s=self._elapsed_s)
            if step is not None and step.is_carried:  # which takes no time
                self._carry(step)
            elif self._time.stop_requested:
                return
            elif step is not None:
                self._try(step)
            elif self._kept.spent_s > self._began_s:
                self._begin_rounds(self._elapsed_s)
            else:
                return

    def _earlier_plan(self) -> Plan | None:
        """Return the plan of a search that was interrupted: its rounds must train alike."""
        plain = self._kept.plan
        if plain is None:
            return None
        self._plan_facts = plain
        self._pass_s = {key: float(value) for key, value in plain["pass_s"].items()}
        self._look_s = {key: float(value) for key, value in plain.get("look_s", {}).items()}
        self._undescribed = {int(key): int(n) for key, n in plain.get("undescribed", {}).items()}
        self._notes += plain["notes"]
        self._began_s = float(plain.get("began_s", 0.0))
        self._spent_s = max(self._spent_s, self._began_s)
        if "fitting" in plain:
            self._candidates = [c for c in self._candidates if c.number in plain["fitting"]]
        else:  # earlier versions kept no pace of what they left out
            fast = self._pass_s
            self._candidates = [c for c in self._candidates if c.config.backbone.key in fast]
        self._pass_s |= self._kept.pass_s
        plan: Plan = from_plain(Plan, plain["plan"])
        return plan

    def _new_plan(self) -> Plan:
        budget_s = 60 * self._minutes
        pace = measured_pace(
            self._candidates, self.bench, self._time, budget_s=budget_s, tell=self._tell
        )
        self._pass_s, self._look_s = pace.pass_s, pace.look_s
        self._undescribed = pace.undescribed
        self._notes += pace.notes
        self._candidates = pace.fitting
        costs = [self._pace(c, 1.0) for c in self._candidates if c.has_epochs]
        plan = _PLAN_WITHOUT_PASSES
        if costs:
            plan = make_plan(
                float(np.median(costs)),
                budget_s=budget_s,
                n_candidates=len(self._candidates),
                max_epochs=self._candidates[0].config.method.max_epochs,
                smallest_share=smallest_share(self._table),
            )
        self._plan_facts = {
            "plan": to_plain(plan),
            "pass_s": dict(self._pass_s),
            "look_s": self._look_s,
            "undescribed": {str(number): n for number, n in self._undescribed.items()},
            "fitting": [candidate.number for candidate in self._candidates],
            "notes": list(self._notes),
        }
        self._begin_rounds(0.0)
        return plan

    def _begin_rounds(self, began_s: float) -> None:
        """Keep when the rounds begin, so that a search that goes on is where it was."""
        self._began_s = began_s
        facts = self._plan_facts | {"began_s": began_s}
        self.bench.patiently(lambda: self._kept.keep_plan(facts))

    def _planned(self, plan: Plan) -> Schedule:
        self._n_rounds = len(plan.rounds)
        return Schedule(
            plan,
            self._candidates,
            self._kept.trials,
            budget_s=60 * self._minutes,
            pass_s=self._pace,
        )

    def _pace(self, candidate: Candidate, share: float) -> float:
        """Return the seconds that a candidate is expected to take for a pass.

        Without passes that is describing the images, unless another trial has done so.
        """
        backbone = candidate.config.backbone
        if candidate.has_epochs:
            return self._pass_s[backbone.key]
        for (_, number), trial in self._kept.trials.items():
            other = self._by_number.get(number)
            if other is None or other.has_epochs or other.config.backbone != backbone:
                continue
            if trial.passes >= share:
                return 0.0
        n_images = n_described(self._table, share)
        n_images = min(n_images, self._undescribed.get(candidate.number, n_images))
        return self._look_s.get(backbone.key, 0.0) * n_images / share

    @cached_property
    def _by_number(self) -> dict[int, Candidate]:
        return {candidate.number: candidate for candidate in self._candidates}

    @property
    def _elapsed_s(self) -> float:
        return self._spent_s + self._time.elapsed_s

    def _carry(self, step: Step) -> None:
        """Let a trial count in the next round, too, where it would give the same again."""
        earlier = self._kept.trials[step.round - 1, step.candidate.number]
        again = replace(earlier.row, round=step.round + 1)
        trial = replace(earlier, row=again, round=step.round, spent_s=self._elapsed_s)
        self._keep(step, trial)

    def _try(self, step: Step) -> None:
        candidate, fidelity = step.candidate, step.fidelity
        key = (step.round, candidate.number)
        if self._kept.is_deadly(*key):
            self._leave_out(key, "RadTune was ended twice meanwhile, perhaps for want of memory.")
            return
        left_s = self._time.left_s
        assert left_s is not None
        try:
            with self._kept.trying(*key, words(candidate)):
                result = self._trained(step, left_s)
        except (StorageError, ProjectBusyError):
            raise  # not the settings' fault, and the same command goes on
        except EngineError as error:
            self._leave_out(key, error.message)
            return
        except TimeIsUp:
            if step.round:
                self._schedule.too_long.add(key)
            raise
        self._learn_pace(candidate, fidelity, result)
        trial = KeptTrial(
            row=self._row(step, result),
            round=step.round,
            passes=fidelity.passes,
            probabilities=result.probabilities,
            spent_s=self._elapsed_s,
        )
        self._keep(step, trial)

    def _leave_out(self, key: tuple[int, int], why: str) -> None:
        self._schedule.failed.add(key)
        self._failure = why
        self._note(f"{words(self._by_number[key[1]])} could not be trained: {why}")

    def _trained(self, step: Step, left_s: float) -> TrialResult:
        said = self._named(step)
        return self.bench.train(
            shortened(step.candidate.config, step.fidelity.epochs),
            train=self._part(step.fidelity.share),
            seconds=left_s,
            on_progress=lambda stage, *_: self._tell(f"{said}: {stage.lower()}"),
        )

    def _named(self, step: Step) -> str:
        return f"Round {step.round + 1} of {self._n_rounds}, {words(step.candidate)}"

    def _part(self, share: float) -> NDArray[np.int64]:
        return part_of(self._table, share, seed=self._candidates[0].config.seed)

    def _learn_pace(self, candidate: Candidate, fidelity: Fidelity, result: TrialResult) -> None:
        """Take what a trial took as what the next of its backbone will take."""
        if candidate.has_epochs and result.epochs and result.is_complete:
            passes = result.epochs * fidelity.share
            self._pass_s[candidate.config.backbone.key] = result.seconds / passes

    def _row(self, step: Step, result: TrialResult) -> TriedSettings:
        candidate = step.candidate
        return TriedSettings(
            number=candidate.number,
            backbone=candidate.config.backbone.key,
            method=candidate.config.method.key,
            changes=candidate.changes,
            round=step.round + 1,
            n_rounds=self._n_rounds,
            epochs=result.epochs,
            n_train=len(self._part(step.fidelity.share)),
            auroc=result.val_auroc,
            loss=result.val_loss,
            seconds=round(self._whole_s(step, result), 2),
            is_complete=result.is_complete,
            config=to_plain(candidate.config),
        )

    def _whole_s(self, step: Step, result: TrialResult) -> float:
        """Return what a trial had taken if no image had been described before it."""
        n_images = len(self._part(step.fidelity.share)) + int((self._table.split == 1).sum())
        look_s = self._look_s.get(step.candidate.config.backbone.key, 0.0)
        return result.seconds + max(0.0, look_s * n_images - result.described_s)

    def _keep(self, step: Step, trial: KeptTrial) -> None:
        """Keep a trial, and tell of it."""
        self.bench.patiently(lambda: self._kept.keep(trial, self._pass_s))
        found = f"AUROC {trial.row.auroc:.3f}"
        self._tell(f"{self._named(step)}: {found}", facts=self._facts(trial))

    def _facts(self, trial: KeptTrial) -> dict[str, Any]:
        """Return what is told of a trial; one that counts again is no further training."""
        is_carried = self._kept.is_carried(trial.round, trial.row.number)
        return {"carried" if is_carried else "row": to_plain(trial.row)}

    def _tell_of_earlier(self) -> None:
        """Say what an interrupted search has tried."""
        self._kept.log(f"starts with {len(self._kept.trials)} trials")
        for _, trial in sorted(self._kept.trials.items()):
            self._emit(
                JobProgressed(
                    kind=SEARCH,
                    stage="Going on where it was interrupted",
                    done=0,
                    total=0,
                    facts=self._facts(trial),
                )
            )

    def _note(self, text: str) -> None:
        self._notes.append(text)
        self._kept.log(text)
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
        trials = self._kept.trials
        if not trials:
            raise self._nothing_found()
        rows = ranked_rows(trials, self._table)
        best: ExperimentConfig = from_plain(ExperimentConfig, rows[0].config)
        n_trials = sum(not self._kept.is_carried(*key) for key in trials)
        self._kept.log(f"ends with {n_trials} trials")
        schedule = self._schedule
        return SearchResult(
            id=self._name,
            minutes=self._minutes,
            seconds=round(self._elapsed_s, 2),
            rows=tuple(rows),
            n_trials=n_trials,
            best=best,
            notes=tuple(self._notes),
            sentences=sentences(
                rows,
                n_trials,
                int((self._table.split == 1).sum()),
                not_tried=missed(
                    self._candidates,
                    tried={n for _, n in {*trials, *schedule.failed}},
                    too_long={n for r, n in schedule.too_long if (r, n) not in trials},
                    is_stopped=self._control.stop_requested,
                ),
                cautions=tuple(self._cautions.values()),
            ),
        )

    def _nothing_found(self) -> RunError:
        failed = f" Others could not be trained: {self._failure}" if self._failure else ""
        if self._control.stop_requested:
            return RunError(
                f"The search was stopped before any settings were trained.{failed}",
                remedy="Start it again when there is time for it.",
            )
        if self._failure and not self._time.stop_requested:
            return RunError(
                f"No settings could be trained. Of the last: {self._failure}",
                remedy="Mend that, or train one of them by itself to see more of it.",
            )
        return RunError(
            f"The time was over before any settings were trained.{failed}",
            remedy="Give the search more minutes.",
        )
