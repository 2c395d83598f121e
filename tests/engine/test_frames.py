"""Which frames of a file with several become images."""

from __future__ import annotations

import pytest

from engine.contract.errors import ConfigError
from engine.contract.import_rules import FramePolicy
from engine.data.frames import choose_frames


@pytest.mark.parametrize(
    ("n_frames", "policy", "expected"),
    [
        (1, FramePolicy(), (0,)),
        (2, FramePolicy(), (0,)),
        (5, FramePolicy(), (2,)),
        (10, FramePolicy(), (4,)),
        (10, FramePolicy(frames="every", step=4), (0, 4, 8)),
        (3, FramePolicy(frames="every", step=10), (0,)),
        (3, FramePolicy(frames="all"), (0, 1, 2)),
    ],
)
def test_the_policy_chooses_frames(n_frames, policy, expected):
    assert choose_frames(n_frames, policy) == expected


def test_a_file_may_have_another_frame_that_stands_for_it():
    assert choose_frames(9, FramePolicy(), default=0) == (0,)
    assert choose_frames(3, FramePolicy(frames="all"), default=0) == (0, 1, 2)


def test_there_is_no_frame_of_nothing_and_no_step_of_zero():
    with pytest.raises(ValueError):
        choose_frames(0, FramePolicy())
    with pytest.raises(ConfigError):
        FramePolicy(frames="every", step=0)
