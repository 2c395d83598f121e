"""What the help shows of the measured methods, and whether Recommended is what it speaks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.contract.methods import METHODS
from engine.contract.recommendation import HEAD_ONLY
from tests.speed.method_rows import read_rows
from tests.speed.method_table import LEADS, N_SEEDS, entries_of, recommended_for
from tests.speed.methods import TABLE
from tests.speed.study_sets import AMOUNTS, SETS

HELP = Path(__file__).resolve().parents[2] / "resources" / "help" / "help.en.md"
_ANEW = 0.006
"""Another processor and later versions of what computes give other bits."""
TITLES = {card.title: card.key for card in METHODS}


@dataclass(frozen=True)
class Shown:
    """A cell of the help: mean test AUROC, and whether a method validated as well as the best."""

    auroc: float
    is_among_best: bool
    seconds: float | None


def shown(amount: str) -> dict[str, dict[str, Shown]]:
    """Return what the help shows, by set and method; not what is still being measured."""
    _, found, after = HELP.read_text(encoding="utf-8").partition(LEADS[amount])
    assert found
    lines = after.partition("\n|")[2].partition("\n\n")[0].splitlines()
    heads, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert heads == ["method", *SETS, "seconds"]
    table: dict[str, dict[str, Shown]] = {data: {} for data in SETS}
    for title, *cells, seconds in rows:
        for data, cell in zip(SETS, cells, strict=True):
            if cell != "–":
                table[data][TITLES[title]] = Shown(
                    auroc=float(cell.partition("±")[0]),
                    is_among_best=cell.endswith("•"),
                    seconds=None if seconds == "–" else float(seconds),
                )
    return table


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("data", SETS)
def test_recommended_is_among_the_best_and_at_most_twice_as_slow_as_the_fastest_of_them(
    data: str, amount: str
) -> None:
    entries = entries_of(read_rows(TABLE), data, amount)
    method, size_px = recommended_for(data, amount, entries)
    probes = [e for e in entries if (e.method, e.size_px) == (HEAD_ONLY, size_px)]
    assert [len(probe.val) for probe in probes] == [N_SEEDS], "it follows the linear probe"
    cells = shown(amount)[data]
    assert cells[method].is_among_best
    seconds = {key: cell.seconds for key, cell in cells.items() if cell.seconds is not None}
    tried_s = seconds[HEAD_ONLY] if method != HEAD_ONLY else 0.0
    fastest_s = min(seconds[key] for key in seconds if cells[key].is_among_best)
    assert seconds[method] + tried_s <= 2 * fastest_s


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("data", SETS)
def test_what_is_measured_is_what_the_help_shows(data: str, amount: str) -> None:
    entries = entries_of(read_rows(TABLE), data, amount)
    _, size_px = recommended_for(data, amount, entries)
    cells = shown(amount)[data]
    for entry in entries:
        if entry.size_px == size_px and len(entry.test) == N_SEEDS:
            mean = sum(entry.test) / N_SEEDS
            assert cells[entry.method].auroc == pytest.approx(mean, abs=_ANEW)
