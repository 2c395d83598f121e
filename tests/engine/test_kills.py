"""Killed trainings lose nothing; ``tests.long.kills`` does it 200 times."""

from pathlib import Path

import pytest

from tests.helpers.killable import one_thread
from tests.long.kills import kill_often


@pytest.mark.timeout(300)
def test_six_kills_cost_nothing(tmp_path: Path) -> None:
    with one_thread():
        figures = kill_often(tmp_path, 6, seed=1)
    assert figures.problems == []
    assert figures.kills == 6
    assert figures.runs >= 1
