"""Advice on classes of unequal size."""

from __future__ import annotations

import pytest

from engine.contract.config import LossConfig
from engine.contract.imbalance import imbalance_advice
from engine.contract.limits import limits_of


@pytest.mark.parametrize(
    ("counts", "choice", "says"),
    [
        ((100, 100), "none", "equally common"),
        ((140, 100), "none", "equally common"),
        ((250, 100), "weights", "2.5 times"),
        ((80, 400, 90), "weights", "5 times"),
        ((40, 900), "logit_adjustment", "22 times"),
        ((9, 30), "weights", "With 9 images of one class"),
        ((0, 50), "none", "only one class"),
        ((), "none", "only one class"),
    ],
)
def test_the_advice_follows_the_ratio(counts: tuple[int, ...], choice: str, says: str) -> None:
    found, sentence = imbalance_advice(counts)
    assert found == choice
    assert says in sentence
    assert sentence.endswith(".")


def test_every_advice_can_be_set() -> None:
    limit = limits_of(LossConfig)["imbalance"]
    for counts in ((1, 1), (1, 2), (1, 20)):
        assert limit.problem(imbalance_advice(counts)[0]) is None
