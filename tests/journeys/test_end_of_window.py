"""Windows that are closed or killed at any moment of a run: no abort, no process, no work lost.

``tests.long.window_close`` and ``tests.long.window_kill`` do it more often.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.tiny_study import make_study
from tests.long.window_close import close_windows
from tests.long.window_kill import kill_window

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make_study(tmp_path, n_patients=20)


def test_five_windows_close_at_random_moments_of_a_run(study: Path, tmp_path: Path) -> None:
    closes, problems = close_windows(study, tmp_path, 5, seed=7)
    assert problems == []
    assert [close["closed"] for close in closes] == [True] * 5


def test_a_killed_window_takes_its_workers_along_and_the_next_one_goes_on(
    study: Path, tmp_path: Path
) -> None:
    _, problems = kill_window(study, tmp_path, after_s=0.5)
    assert problems == []
