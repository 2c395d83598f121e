"""A window that is killed takes its pipes along one by one: whichever goes first, runs survive."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from engine.contract.commands import Train
from engine.contract.events import EpochFinished
from engine.contract.protocol import decode_from_worker, encode_command
from engine.contract.run_states import UNDER_WAY
from engine.project.store import Project
from tests.helpers.tiny_study import make_study, small_config

ROOT = Path(__file__).resolve().parents[2]


def test_a_run_whose_events_nobody_reads_any_more_can_go_on(tmp_path: Path) -> None:
    project = make_study(tmp_path, n_patients=20)
    small = small_config(max_epochs=500)
    config = replace(small, backbone=replace(small.backbone, key="squeezenet1_0"))
    worker = subprocess.Popen(
        [sys.executable, "-m", "engine", "worker", "--role", "run"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        worker.stdin.write(encode_command(Train(project=str(project), config=config)) + "\n")
        worker.stdin.flush()
        while not isinstance(decode_from_worker(worker.stdout.readline()), EpochFinished):
            pass
        worker.stdout.close()
        worker.wait(30)  # by itself: its standard input is still open
    finally:
        worker.kill()
        worker.wait(30)
        worker.stdin.close()
        worker.stdout.close()
    with Project.open(project, read_only=True) as opened:
        (run,) = opened.runs()
        assert run.state in UNDER_WAY
        assert opened.has_saved_state(run.id)
