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
from engine.jobs.halving import (
    N_ROUNDS,
    Fidelity,
    Plan,
    affordable_epochs,
    make_plan,
    ranked,
)
from engine.jobs.one_trial import TrialResult
from engine.jobs.search_kept import KeptTrial, SearchFolder
from engine.jobs.search_pace import measured_pace, part_of, shortened, smallest_share
from engine.jobs.search_words import ranked_rows, sentences, title, words
from engine.jobs.seen_before import backbone_warning
from engine.jobs.trials import TrialBench
from engine.models.fallback import timed_warning
from engine.models.weights_warning import weights_warning
from engine.project.searching import SEARCH
from engine.project.store import Project
from engine.project.table import TrainingTable
from engine.trainer.full_disk import waiting_as_warning
from engine.trainer.time_limit import TimedControl, TimeIsUp

_FEWEST_IN_ROUND: Final = 3
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
        self._look_s: dict[str, float] = {}

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
            RunError: If the time was over before anything was tried.
        """
        try:
            plan = self._earlier_plan() or self._new_plan()
            chosen = [candidate.number for candidate in self._candidates]
            for number in range(N_ROUNDS):
                chosen = self._round(number, chosen, plan)
                if self._time.stop_requested:
                    break
        except TimeIsUp:
            pass  # whatever was found counts
        return self._result()

    def _earlier_plan(self) -> Plan | None:
        """Return the plan of a search that was interrupted: its rounds must train alike."""
        plain = self._kept.plan
        if plain is None:
            return None
        self._pass_s = {key: float(value) for key, value in plain["pass_s"].items()}
        self._look_s = {key: float(value) for key, value in plain.get("look_s", {}).items()}
        self._notes += plain["notes"]
        self._leave_out_slow()
        plan: Plan = from_plain(Plan, plain["plan"])
        return plan

    def _new_plan(self) -> Plan:
        budget_s = 60 * self._minutes
        pace = measured_pace(
            self._candidates, self.bench, self._time, budget_s=budget_s, tell=self._tell
        )
        self._pass_s, self._look_s = pace.pass_s, pace.look_s
        self._notes += pace.notes
        self._leave_out_slow()
        costs = [self._pace(c) for c in self._candidates if c.has_epochs]
        plan = make_plan(
            float(np.median(costs)) if costs else 1.0,
            budget_s=budget_s,
            n_candidates=len(self._candidates),
            max_epochs=self._candidates[0].config.method.max_epochs,
            smallest_share=smallest_share(self._table),
        )
        facts = {
            "plan": to_plain(plan),
            "pass_s": self._pass_s,
            "look_s": self._look_s,
            "notes": self._notes,
        }
        self.bench.patiently(lambda: self._kept.keep_plan(facts))
        return plan

    def _leave_out_slow(self) -> None:
        self._candidates = [c for c in self._candidates if c.config.backbone.key in self._pass_s]

    def _round(self, number: int, chosen: list[int], plan: Plan) -> list[int]:
        """Try candidates in their order, and return those that were, best first.

        As many as were planned, and more while the round's share of the time lasts; fewer, but
        three, if they take longer than expected.
        """
        wanted, budget_s = plan.rounds[number], 60 * self._minutes
        is_last = number == N_ROUNDS - 1
        end_s = budget_s * (number + 1) / N_ROUNDS
        for position, candidate in enumerate(self._by_number[n] for n in chosen):
            if (number, candidate.number) in self._kept.trials:
                continue
            cost_s = wanted.passes * self._pace(candidate)
            is_over = self._elapsed_s + (0.0 if position < plan.n_in_round(number) else cost_s)
            if not is_last and position >= _FEWEST_IN_ROUND and is_over > end_s:
                break
            if self._time.stop_requested:
                break
            self._try(candidate, number, wanted)
        return ranked({c: t.score for (r, c), t in self._kept.trials.items() if r == number})

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
        earlier = self._kept.trials.get((number - 1, candidate.number))
        if not candidate.has_epochs and earlier is not None and earlier.passes >= wanted.share:
            again = replace(earlier.row, round=number + 1)
            self._keep(candidate, replace(earlier, row=again, round=number))
            return
        if self._kept.is_deadly(number, candidate.number):
            self._note(
                f"{words(candidate)} was left out: RadTune was ended twice while training it, "
                "perhaps for want of memory."
            )
            return
        left_s = self._time.left_s
        assert left_s is not None
        at_least = earlier.passes if earlier is not None else 0.0
        fidelity = affordable_epochs(wanted, self._pace(candidate), left_s, at_least=at_least)
        if fidelity is None:
            return
        try:
            with self._kept.trying(number, candidate.number, words(candidate)):
                result = self._trained(candidate, number, fidelity, left_s)
        except (StorageError, ProjectBusyError):
            raise  # not the settings' fault, and the same command goes on
        except EngineError as error:
            self._note(f"{words(candidate)} could not be trained: {error.message}")
            return
        self._learn_pace(candidate, fidelity, result)
        passes = fidelity.passes if candidate.has_epochs else fidelity.share
        row = self._row(candidate, number, fidelity, result)
        self._keep(
            candidate,
            KeptTrial(row=row, round=number, passes=passes, probabilities=result.probabilities),
        )

    def _trained(
        self, candidate: Candidate, number: int, fidelity: Fidelity, left_s: float
    ) -> TrialResult:
        said = f"Round {number + 1} of {N_ROUNDS}, {words(candidate)}"
        return self.bench.train(
            shortened(candidate.config, fidelity.epochs),
            train=self._part(fidelity.share),
            seconds=left_s,
            on_progress=lambda stage, *_: self._tell(f"{said}: {stage.lower()}"),
        )

    def _part(self, share: float) -> NDArray[np.int64]:
        return part_of(self._table, share, seed=self._candidates[0].config.seed)

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
            seconds=round(self._whole_s(candidate, fidelity, result), 2),
            is_complete=result.is_complete,
            config=to_plain(candidate.config),
        )

    def _whole_s(self, candidate: Candidate, fidelity: Fidelity, result: TrialResult) -> float:
        """Return what a trial had taken if no image had been described before it."""
        n_images = len(self._part(fidelity.share)) + int((self._table.split == 1).sum())
        look_s = self._look_s.get(candidate.config.backbone.key, 0.0)  # not kept by earlier ones
        return result.seconds + max(0.0, look_s * n_images - result.described_s)

    def _keep(self, candidate: Candidate, trial: KeptTrial) -> None:
        """Keep a trial, and tell of it."""
        self.bench.patiently(lambda: self._kept.keep(candidate.number, trial, self._elapsed_s))
        said = f"Round {trial.round + 1} of {N_ROUNDS}, {words(candidate)}"
        self._tell(f"{said}: AUROC {trial.row.auroc:.3f}", facts={"row": to_plain(trial.row)})

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
                    facts={"row": to_plain(trial.row)},
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
            raise RunError(
                "The time was over before any settings were tried.",
                remedy="Give the search more minutes.",
            )
        rows = ranked_rows(trials, self._table)
        best: ExperimentConfig = from_plain(ExperimentConfig, rows[0].config)
        self._kept.log(f"ends with {len(trials)} trials")
        return SearchResult(
            id=self._name,
            minutes=self._minutes,
            seconds=round(self._elapsed_s, 2),
            rows=tuple(rows),
            n_trials=len(trials),
            best=best,
            notes=tuple(self._notes),
            sentences=sentences(
                rows,
                len(trials),
                int((self._table.split == 1).sum()),
                cautions=tuple(self._cautions.values()),
            ),
        )
