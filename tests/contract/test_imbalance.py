"""Advice on classes of unequal size."""

from __future__ import annotations

import pytest

from engine.contract.config import LossConfig
from engine.contract.imbalance import findings_advice, imbalance_advice
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


@pytest.mark.parametrize(
    ("counts", "n_images", "choice", "says"),
    [
        ((60, 80), 140, "none", "about as often"),
        ((130, 120), 140, "none", "about as often"),
        ((16, 60), 140, "weights", "16 of 140"),
        ((16, 60), 140, "weights", "More images that show it"),
        ((40, 60), 140, "weights", "40 of 140"),
        ((40, 0), 140, "weights", "40 of 140"),
        ((100, 900), 2000, "logit_adjustment", "100 of 2,000"),
        ((0, 0), 140, "none", "No image shows"),
        ((), 0, "none", "No image shows"),
    ],
)
def test_the_rarest_finding_decides_against_its_own_absence(
    counts: tuple[int, ...], n_images: int, choice: str, says: str
) -> None:
    found, sentence = findings_advice(counts, n_images)
    assert found == choice
    assert says in sentence
    assert sentence.endswith(".")


def test_every_advice_can_be_set() -> None:
    limit = limits_of(LossConfig)["imbalance"]
    for counts in ((1, 1), (1, 2), (1, 20)):
        assert limit.problem(imbalance_advice(counts)[0]) is None
