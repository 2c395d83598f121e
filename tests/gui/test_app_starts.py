"""The application before and around its first paint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gui.app import main, make_application

ROOT = Path(__file__).resolve().parents[2]


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_first_paint_flag_prints_seconds_and_quits():
    out = run_python("import sys; from gui.app import main; main(['--print-first-paint'])")
    assert 0.0 < float(out.split()[-1]) < 60.0


def test_nothing_heavy_is_loaded_before_the_first_paint():
    out = run_python(
        "import json, sys\n"
        "from gui.app import main\n"
        "main(['--print-first-paint'])\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    loaded = set(json.loads(out.splitlines()[-1]))
    assert not loaded & {"torch", "pandas", "pyqtgraph", "scipy", "sklearn", "PIL", "pydicom"}


def test_help_names_the_argument(capsys):
    assert main(["--help"]) == 0
    assert "radtune [PROJECT]" in capsys.readouterr().out


def test_application_has_a_name(qapp):
    app = make_application()
    assert app is qapp
    assert app.applicationDisplayName() == "RadTune"


def test_failure_log_names_places_but_no_messages(tmp_path, monkeypatch):
    from gui import failures

    monkeypatch.setattr(failures, "_log_folder", lambda: tmp_path)
    try:
        raise ValueError("could not read /home/ana/Doe, John/scan.dcm")
    except ValueError as failure:
        failures.log_failure(failure)
    text = (tmp_path / "failures.log").read_text(encoding="utf-8")
    assert "ValueError" in text
    assert "test_app_starts.py" in text
    assert "John" not in text
    assert "/home" not in text


def test_unhandled_exceptions_reach_the_window(qapp, qtbot, tmp_path, monkeypatch):
    from gui import failures

    monkeypatch.setattr(failures, "_log_folder", lambda: tmp_path)
    reporter = failures.FailureReporter()
    try:
        raise KeyError("x")
    except KeyError as failure:
        with qtbot.waitSignal(reporter.failure_happened):
            reporter._handle(KeyError, failure, failure.__traceback__)


@pytest.mark.parametrize("stored", ["nonsense", ""])
def test_unreadable_text_scale_falls_back(stored):
    from gui.preferences import Preferences

    preferences = Preferences()
    preferences._settings.setValue("look/text_scale", stored)
    assert Preferences().text_scale == 1.0
    preferences._settings.remove("look/text_scale")
