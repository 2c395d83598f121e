"""A log-off, which signals the window and its workers at once, costs a run nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from engine.project.store import Project
from tests.helpers.tiny_study import make_study

ROOT = Path(__file__).resolve().parents[2]
_TRAIN = """
import sys
from pathlib import Path
import gui.app, gui.main_window
from engine.contract.commands import Train
from engine.contract.events import EpochFinished
from tests.helpers.real_window import config

class Window(gui.main_window.MainWindow):
    def warm_up(self):
        self.open_project(Path(sys.argv[1]))
        runs = self.session.runs
        runs.event_received.connect(self.on_event)
        runs.start(Train(project=sys.argv[1], config=config(max_epochs=500)))

    def on_event(self, event):
        if isinstance(event, EpochFinished) and event.epoch == 1:
            print("first pass", flush=True)

gui.app.MainWindow = Window
sys.exit(gui.app.main([]))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows tells of a log-off by messages, not signals")
def test_a_log_off_saves_the_run_where_it_is(tmp_path):
    project = make_study(tmp_path, n_patients=20)
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"}
    window = subprocess.Popen(
        [sys.executable, "-c", _TRAIN, str(project)],
        cwd=ROOT,
        env={**os.environ, **home},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert window.stdout is not None
        assert window.stdout.readline() == "first pass\n"
        everyone = [psutil.Process(window.pid), *psutil.Process(window.pid).children(True)]
        asked = time.time()
        for process in everyone:
            process.send_signal(signal.SIGTERM)
        assert window.wait(60) == 0
    finally:
        window.kill()
    assert not any(process.is_running() for process in everyone[1:])
    with Project.open(project, read_only=True) as opened:
        (run,) = opened.runs()
        saved = opened.run_folder(run.id) / "checkpoints" / "last"
    assert (run.state, run.is_resumable) == ("interrupted", True)
    assert saved.stat().st_mtime >= asked
