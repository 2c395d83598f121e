"""Does a backbone pre-trained on the other real sets help where labelled images are few?

``python -m tests.speed.pretraining [--only WORDS] [--minutes M]`` leaves each set out in turn,
pre-trains on the others, and trains on 20 labelled images a class of that set, for three seeds. It
fills ``pretraining.csv`` beside this file and goes on where it stopped, as ``tests.speed.methods``
does.

``python -m tests.speed.pretraining --table`` prints what there is beside the same rows of the table
of methods, which start from ImageNet.

PneumoniaMNIST and cxr_pneumonia are made of the same images, so neither is pre-trained on for the
other. The chest X-rays of mednist_subset come from the collection of nih_cxr.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Final

from engine.contract.commands import Pretrain
from engine.contract.config import BackboneConfig, RuntimeConfig
from tests.speed.method_rows import Key, Row, append_row, read_rows
from tests.speed.methods import SEEDS, TABLE, be_modest, in_own_process, measure, workspace_of
from tests.speed.study_sets import AMOUNTS, SETS, Study, make_project, perform

_SAME_SOURCE: Final = frozenset({"pneumoniamnist", "cxr_pneumonia"})
_METHODS: Final = ("linear_probe", "full_finetune")
_TABLE: Final = Path(__file__).with_name("pretraining.csv")


def main() -> None:
    """Fill the table, or print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=_TABLE, metavar="CSV")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD")
    parser.add_argument("--minutes", type=float, help="start no further row after these")
    parser.add_argument("--table", action="store_true", help="print what there is")
    parser.add_argument(
        "--against", type=Path, default=TABLE, metavar="CSV", help="the table of methods"
    )
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.table:
        _print_table(read_rows(arguments.out), read_rows(arguments.against))
    elif arguments.row:
        _measure(Key(**json.loads(arguments.row)), workspace_of(arguments.out))
    else:
        be_modest()
        _fill(arguments.out, arguments.only, arguments.minutes)


def sources_for(target: str) -> tuple[str, ...]:
    """Return the sets to pre-train on for a set that is left out."""
    shared = _SAME_SOURCE if target in _SAME_SOURCE else {target}
    return tuple(name for name in SETS if name not in shared)


def _keys() -> list[Key]:
    return [
        Key(data=data, amount=AMOUNTS[0], method=method, seed=seed)
        for seed in SEEDS
        for data in SETS
        for method in _METHODS
    ]


def _fill(table: Path, only: list[str], minutes: float | None) -> None:
    started = time.monotonic()
    done = {row.key for row in read_rows(table)}
    for key in _keys():
        is_wanted = key not in done and all(key.has(word) for word in only)
        if not is_wanted or (minutes is not None and time.monotonic() - started > minutes * 60):
            continue
        row = in_own_process(key, table, "pretraining")
        append_row(table, row)
        print(row.words(), flush=True)


def _measure(key: Key, workspace: Path) -> None:
    sources = sources_for(key.data)
    weights = workspace / f"weights-{'-'.join(sources)}-{key.seed}"
    os.environ["RADTUNE_WEIGHTS"] = str(weights)  # a folder for each, so that none is mixed up
    measure(key, workspace, _pretrained(sources, key.seed, workspace, weights))


def _pretrained(
    sources: tuple[str, ...], seed: int, workspace: Path, weights: Path
) -> BackboneConfig:
    """Return the backbone pre-trained on sets, which is made on first use."""
    done = weights / "result.json"
    if not done.exists():
        projects = [make_project(Study(name, AMOUNTS[1], seed), workspace) for name in sources]
        command = Pretrain(
            projects=tuple(str(project) for project in projects),
            name="Other sets",
            seed=seed,
            runtime=RuntimeConfig(threads=1),
        )
        result = perform(command)
        done.write_text(json.dumps(result, indent=2), encoding="utf-8")
    made = json.loads(done.read_text(encoding="utf-8"))
    return BackboneConfig(key=made["backbone"], weights=made["weights"])


def _print_table(pretrained: list[Row], imagenet: list[Row]) -> None:
    """Print each set and method with the difference of the pairs that share a seed."""
    print("| Set | Method | ImageNet | pre-trained on the others | difference | seeds |")
    print("|---|---|---|---|---|---|")
    by_key = {row.key: row for row in imagenet if row.is_measured}
    for data in SETS:
        for method in _METHODS:
            pairs = [
                (by_key[row.key], row)
                for row in pretrained
                if (row.data, row.method) == (data, method)
                and row.is_measured
                and row.key in by_key
            ]
            if pairs:
                print(f"| {data} | {method} | {_words(pairs)} | {len(pairs)} |")


def _words(pairs: list[tuple[Row, Row]]) -> str:
    before = [one.test_auroc or 0.0 for one, _ in pairs]
    after = [two.test_auroc or 0.0 for _, two in pairs]
    differences = [two - one for one, two in zip(before, after, strict=True)]
    signed = f"{statistics.mean(differences):+.3f} ± {_deviation(differences):.3f}"
    return f"{_mean_sd(before)} | {_mean_sd(after)} | {signed}"


def _mean_sd(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ± {_deviation(values):.3f}"


def _deviation(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


if __name__ == "__main__":
    main()
