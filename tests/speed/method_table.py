"""The table of methods as Markdown, and whether Recommended holds up in it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace

from engine.contract.config import ImageContract
from engine.contract.methods import METHODS
from engine.contract.recommendation import HEAD_ONLY, SetupFacts, recommend_setup
from tests.speed.method_rows import Row
from tests.speed.study_sets import AMOUNTS, FEW, SETS

N_SEEDS = 3
"""Seeds of a cell that is done."""
_SLOWEST = 2.0
"""Recommended may take so many times as long as the fastest method that is as good."""
_FACTS = {
    "pneumoniamnist": ((258, 742), 28),
    "mednist_subset": ((84,) * 6, 64),
    "cxr_pneumonia": ((196, 583), 256),
    "nih_cxr": ((349, 350), 384),
}
"""Training images of each class in the full sets, and the median shorter side of the images."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A method in one cell: what its seeds gave."""

    method: str
    size_px: int
    val: tuple[float, ...]
    test: tuple[float, ...]
    cpu_s: float
    epochs: float
    processors: frozenset[str] = frozenset()

    @property
    def mean(self) -> float:
        """Mean validation AUROC."""
        return statistics.mean(self.val)

    @property
    def deviation(self) -> float:
        """Standard deviation of the validation AUROC over the seeds."""
        return statistics.stdev(self.val) if len(self.val) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether Recommended holds up in a cell, judged on validation images.

    Attributes:
        best: The method of the highest mean.
        in_band: Those within one standard deviation of ``best``.
        is_in_band: Whether Recommended is among them; None while it is not measured.
        slowness: Its time as a multiple of the fastest in the band; with that of the linear probe,
            which has to be tried before anything else is recommended.
    """

    best: Entry
    in_band: tuple[Entry, ...]
    recommended: str
    is_in_band: bool | None
    slowness: float | None

    @property
    def holds(self) -> bool:
        """Whether Recommended is as good as the best and not too slow."""
        return bool(self.is_in_band) and (self.slowness or 0.0) <= _SLOWEST


def entries_of(rows: Iterable[Row], data: str, amount: str) -> list[Entry]:
    """Return the methods measured in a cell, the best first."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        if row.is_measured and (row.data, row.amount) == (data, amount):
            groups.setdefault((row.method, row.size_px), []).append(row)
    entries = [
        Entry(
            method=method,
            size_px=size_px,
            val=tuple(row.val_auroc or 0.0 for row in group),
            test=tuple(row.test_auroc or 0.0 for row in group),
            cpu_s=statistics.mean(row.cpu_s or 0.0 for row in group),
            epochs=statistics.mean(row.epochs or 0 for row in group),
            processors=frozenset(row.processor for row in group),
        )
        for (method, size_px), group in groups.items()
    ]
    return sorted(entries, key=lambda entry: -entry.mean)


def recommended_for(data: str, amount: str, entries: list[Entry]) -> tuple[str, int]:
    """Return the method and the image size that the rules recommend in a cell.

    As for a user who has tried the linear probe, which takes seconds, and then asks.
    """
    n_train, image_px = _FACTS[data]
    if amount != AMOUNTS[1]:
        n_train = (FEW,) * len(n_train)
    facts = SetupFacts(n_train=n_train, image_px=image_px)
    size_px = int(recommend_setup(facts).size_px.value)
    tried = (e.mean for e in _done(entries, size_px) if e.method == HEAD_ONLY)
    found = recommend_setup(replace(facts, probe_auroc=next(tried, None)))
    return str(found.method.value), int(found.size_px.value)


def _done(entries: Iterable[Entry], size_px: int) -> list[Entry]:
    return [e for e in entries if e.size_px == size_px and len(e.val) >= N_SEEDS]


def judge(entries: list[Entry], recommended: str, size_px: int) -> Verdict | None:
    """Return how Recommended compares with the best at its image size; None without any there.

    A method counts once all its seeds are measured.

    Args:
        entries: What was measured.
        recommended: Key of a method.
        size_px: The recommended image size.
    """
    alike = _done(entries, size_px)
    if not alike:
        return None
    best = max(alike, key=lambda entry: entry.mean)
    band = tuple(entry for entry in alike if entry.mean >= best.mean - best.deviation)
    own = next((entry for entry in alike if entry.method == recommended), None)
    probe = next((entry for entry in alike if entry.method == HEAD_ONLY), None)
    tried_s = probe.cpu_s if probe is not None and recommended != HEAD_ONLY else 0.0
    alike_timed = [e.cpu_s for e in band if own is not None and e.processors == own.processors]
    return Verdict(
        best=best,
        in_band=band,
        recommended=recommended,
        is_in_band=None if own is None else own in band,
        slowness=(own.cpu_s + tried_s) / min(alike_timed) if own and alike_timed else None,
    )


def print_table(rows: list[Row]) -> None:
    """Print every cell with its verdict, and what failed."""
    for data in SETS:
        for amount in AMOUNTS:
            entries = entries_of(rows, data, amount)
            if entries:
                _print_cell(f"{data}, {amount}", entries, *recommended_for(data, amount, entries))
    failed = [row for row in rows if not row.is_measured]
    if failed:
        print("### Failed\n")
        print("\n".join(f"- {row.words()}" for row in failed))


def _print_cell(title: str, entries: list[Entry], recommended: str, size_px: int) -> None:
    print(f"### {title}\n")
    print("| Method | Validation AUROC | Test AUROC | Seconds of one core | Passes | Seeds |")
    print("|---|---|---|---|---|---|")
    verdict = judge(entries, recommended, size_px)
    for entry in entries:
        print(_line(entry, verdict))
    print(f"\n{_sentence(verdict) if verdict else f'Nothing is done at {size_px} px yet.'}\n")


def _line(entry: Entry, verdict: Verdict | None) -> str:
    name = entry.method
    if entry.size_px != ImageContract().size_px:
        name += f" at {entry.size_px} px"
    if verdict is not None and entry.size_px == verdict.best.size_px:
        name = f"**{name}**" if entry == verdict.best else name
        name += " •" if entry in verdict.in_band else ""
        name += " (Recommended)" if entry.method == verdict.recommended else ""
    return (
        f"| {name} | {_mean_sd(entry.val)} | {_mean_sd(entry.test)} | {entry.cpu_s:.0f} "
        f"| {entry.epochs:.0f} | {len(entry.val)} |"
    )


def _sentence(verdict: Verdict) -> str:
    if verdict.is_in_band is None or verdict.slowness is None:
        return f"Recommended ({verdict.recommended}) is not measured yet."
    where = "within" if verdict.is_in_band else "NOT within"
    return (
        f"Recommended ({verdict.recommended}) is {where} one standard deviation of the best "
        f"({verdict.best.method}) on validation images and takes {verdict.slowness:.1f} times as "
        f"long as the fastest there: {'holds' if verdict.holds else 'DOES NOT HOLD'}."
    )


def _mean_sd(values: tuple[float, ...]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f} ± {deviation:.3f}"


LEADS = {
    AMOUNTS[0]: f"**Test AUROC with {FEW} labelled images of each class**",
    AMOUNTS[1]: "**Test AUROC with all training images**",
}
"""The lines of the help that stand above its two tables."""


def update_help(text: str, rows: list[Row]) -> str:
    """Return the help with what is measured in its tables; what isn't yet is a dash.

    Args:
        text: Markdown with the lines :data:`LEADS`, each above a table.
        rows: What is measured.

    Raises:
        ValueError: If a line is missing.
    """
    for amount, lead in LEADS.items():
        before, found, after = text.partition(lead)
        if not found:
            raise ValueError(f"the help has no line {lead!r}")
        intro, _, rest = after.partition("\n|")
        lines = f"|{rest}".splitlines()
        n_table = next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))
        table = "\n".join(_help_table(rows, amount))
        tail = "\n".join(lines[n_table:])
        text = f"{before}{found}{intro}\n{table}\n{tail}"
    return text if text.endswith("\n") else f"{text}\n"


def _help_table(rows: list[Row], amount: str) -> list[str]:
    cells = {data: _at_recommended_size(rows, data, amount) for data in SETS}
    usual = statistics.mode([row.processor for row in rows if row.is_measured] or [""])
    lines = [f"| method | {' | '.join(SETS)} | seconds |", "|---" * (len(SETS) + 2) + "|"]
    for card in METHODS:
        found = {data: _entry(cells[data], card.key) for data in SETS}
        texts = [_help_cell(entry, cells[data]) for data, entry in found.items()]
        measured = [entry.cpu_s for entry in found.values() if entry is not None]
        kinds = {kind for entry in found.values() if entry is not None for kind in entry.processors}
        is_whole = len(measured) == len(SETS) and kinds == {usual}
        seconds = f"{statistics.mean(measured):.0f}" if is_whole else "–"
        lines.append(f"| {card.title} | {' | '.join(texts)} | {seconds} |")
    return lines


def _at_recommended_size(rows: list[Row], data: str, amount: str) -> list[Entry]:
    entries = entries_of(rows, data, amount)
    _, size_px = recommended_for(data, amount, entries)
    return _done(entries, size_px)


def _entry(entries: list[Entry], method: str) -> Entry | None:
    return next((entry for entry in entries if entry.method == method), None)


def _help_cell(entry: Entry | None, all_of_cell: list[Entry]) -> str:
    if entry is None:
        return "–"
    best = max(all_of_cell, key=lambda other: other.mean)
    mark = " •" if entry.mean >= best.mean - best.deviation else ""
    return f"{_mean_sd(entry.test)}{mark}"
