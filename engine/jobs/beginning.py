"""Beginning a run, or going on with one: what can be wrong is found before anything is made."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from engine.contract.commands import Resume, Train
from engine.contract.control import Control
from engine.contract.events import Event
from engine.files import long_path, make_folder
from engine.jobs.begun import Begun, find_begun
from engine.jobs.findings import choose_finding
from engine.jobs.repeat import choose_same_finding, plan_repeat, require_same_classes
from engine.jobs.run_checks import (
    checked_table,
    new_run_id,
    require_resumable,
    with_weights_there_are,
)
from engine.jobs.run_log import RunLog
from engine.jobs.source_bundle import chosen_source, config_for, keep_source
from engine.jobs.training import TrainingRun
from engine.methods.registry import get_method
from engine.project.access import open_alone
from engine.trainer.full_disk import when_there_is_room

Emit = Callable[[Event], None]


@contextlib.contextmanager
def begin_run(command: Train | Resume, emit: Emit, control: Control) -> Iterator[TrainingRun]:
    """Check that a run can start, make its folder, and say so.

    While the disk refuses, a run that goes on waits as it does when it trains; a new one is
    refused.

    Raises:
        EngineError: If settings, data or split don't allow the run; nothing has been made then.
        JobCanceled: If the run was asked to end while it waited.
    """
    with contextlib.ExitStack() as stack:

        def prepare() -> tuple[TrainingRun, RunLog]:
            return stack.enter_context(_prepared(command, emit, control))

        if isinstance(command, Resume):
            run, log = when_there_is_room(prepare, run=command.run, emit=emit, control=control)
        else:
            run, log = prepare()
        with log:
            run.start()
            yield run


@contextlib.contextmanager
def _prepared(
    command: Train | Resume, emit: Emit, control: Control
) -> Iterator[tuple[TrainingRun, RunLog]]:
    """Open the project, and give a run that has all that it takes, and its log."""
    repeat = plan_repeat(command) if isinstance(command, Train) else None
    command = command if repeat is None else repeat.command
    begun: Begun | None = None
    with open_alone(Path(command.project), owner="a training") as project:
        if isinstance(command, Resume):
            run_id, config = command.run, project.run_config(command.run)
            require_resumable(project, run_id, anyway=command.anyway)
            begun = find_begun(project.run_folder(run_id), config)
        else:
            if command.finding is not None:
                choose_finding(project, command.finding)
            if repeat is not None:
                choose_same_finding(project, repeat.recipe)
            config = with_weights_there_are(replace(command.config, image=project.image_contract))
            run_id = new_run_id(project)
        goes_on_anyway = isinstance(command, Resume) and command.anyway
        table = checked_table(project, allows_added=goes_on_anyway)
        if repeat is not None:
            require_same_classes(table, repeat.recipe)
        get_method(config.method.key).check(config.backbone)
        source = None
        if isinstance(command, Train):
            source = chosen_source(command, table.class_names, is_multi=table.is_multi)
            config = config if source is None else config_for(source, config)
        folder, is_new = project.run_folder(run_id), isinstance(command, Train)
        with gone_if_refused(folder) if is_new else contextlib.nullcontext():
            make_folder(folder)
            if source is not None:
                keep_source(folder, source)
            project.keep_run_data(run_id, table)
            log = RunLog(folder, emit, project.require_there)
            run = TrainingRun(
                project,
                run_id,
                config,
                table,
                log.emit,
                control,
                begun=begun,
                goes_on_anyway=goes_on_anyway,
                repeat=repeat,
            )
            if is_new:  # last, so that a run in the history has all that it takes to go on with it
                project.add_run(run_id, config)
        yield run, log


@contextlib.contextmanager
def gone_if_refused(folder: Path) -> Iterator[None]:
    """Remove the folder of a run that didn't come into being."""
    try:
        yield
    except BaseException:
        shutil.rmtree(long_path(folder), ignore_errors=True)
        raise
