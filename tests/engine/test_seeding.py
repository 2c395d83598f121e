"""Random state rebuilt from a seed."""

import random

import numpy as np
import torch

from engine.seeding import seed_everything, step_seed, untouched_generators


def _draw():
    return random.random(), float(np.random.rand()), float(torch.rand(1))


def test_one_seed_gives_the_same_numbers_in_every_library():
    seed_everything(7)
    first = _draw()
    seed_everything(7)
    assert _draw() == first
    seed_everything(8)
    assert all(a != b for a, b in zip(_draw(), first, strict=True))


def test_what_is_drawn_inside_changes_nothing_of_what_follows():
    seed_everything(7)
    _draw()
    expected = _draw()
    seed_everything(7)
    _draw()
    with untouched_generators():
        _draw()
        seed_everything(8)
    assert _draw() == expected


def test_a_seed_beyond_numpys_range_is_accepted():
    seed_everything(2**62)


def test_step_seeds_are_the_same_on_every_machine():
    # sha256(b"int:0\0str:augment\0int:3"), first 8 bytes, without the lowest bit
    assert step_seed(0, "augment", 3) == 0x7B57F225C68E2B2B >> 1


def test_neighbouring_steps_get_unrelated_seeds():
    seeds = {step_seed(s, e, b) for s in range(3) for e in range(20) for b in range(20)}
    assert len(seeds) == 1200
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_parts_are_not_glued_together():
    assert step_seed(1, 12, 3) != step_seed(1, 1, 23)
    assert step_seed(1, "2") != step_seed(1, 2)
