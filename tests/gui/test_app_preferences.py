"""What is remembered between two starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QSettings

from gui.preferences import MAX_RECENT, Preferences

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def preferences(qapp):
    preferences = Preferences()
    preferences._settings.clear()
    yield preferences
    preferences._settings.clear()


def test_newest_project_comes_first_and_once(preferences):
    for name in ("a", "b", "a"):
        preferences.add_recent(Path("/studies") / name)
    assert preferences.recent_projects == [Path("/studies/a"), Path("/studies/b")]


def test_one_recent_project_is_a_list_too(preferences):
    preferences.add_recent(Path("/studies/胸部 X"))
    preferences._settings.sync()
    assert Preferences().recent_projects == [Path("/studies/胸部 X")]


def test_old_projects_drop_off_the_list(preferences):
    for number in range(MAX_RECENT + 3):
        preferences.add_recent(Path(f"/studies/{number}"))
    assert len(preferences.recent_projects) == MAX_RECENT
    assert preferences.recent_projects[0] == Path(f"/studies/{MAX_RECENT + 2}")


def test_a_project_can_be_forgotten(preferences):
    preferences.add_recent(Path("/studies/a"))
    preferences.forget_recent(Path("/studies/a"))
    assert preferences.recent_projects == []


def test_theme_and_text_size_survive(preferences):
    preferences.theme_choice = "light"
    preferences.text_scale = 1.5
    preferences._settings.sync()
    again = Preferences()
    assert (again.theme_choice, again.text_scale) == ("light", 1.5)


def test_windows_of_two_processes_forget_nothing_of_each_other(tmp_path):
    path = str(tmp_path / "preferences.ini")
    preferences = Preferences(QSettings(path, QSettings.Format.IniFormat))
    add = (
        "import sys; from pathlib import Path; from PySide6.QtCore import QSettings;"
        "from gui.preferences import Preferences;"
        "settings = QSettings(sys.argv[1], QSettings.Format.IniFormat);"
        "Preferences(settings).add_unfinished(Path(sys.argv[2]), 'r2')"
    )
    ours, others = tmp_path / "胸部, ours", tmp_path / "others"
    preferences.add_unfinished(ours, "r1")
    subprocess.run([sys.executable, "-c", add, path, str(others)], cwd=ROOT, check=True)
    assert preferences.unfinished_runs == [(others, "r2"), (ours, "r1")]
    preferences.forget_unfinished(others, "r1")  # not the one that is remembered
    preferences.forget_unfinished(others, "r2")
    assert preferences.unfinished_runs == [(ours, "r1")]
