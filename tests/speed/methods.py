"""Every method on four real sets, with few and with all labelled images, for three seeds.

``python -m tests.speed.methods [--only WORDS] [--minutes M]`` fills the table ``methods.csv``
beside this file row by row, the cheapest first. It takes days: stop it at any time, start it again
and it goes on. A row is one training and its test, in a process of its own; one that fails is kept
with its reason. It may run beside other work: compare the processor seconds then, of one thread,
not the wall seconds, and those of one kind of processor alone. ``--out FILE.csv`` fills another
table.

``python -m tests.speed.methods --table`` prints what there is as Markdown; ``--into HELP.md``
writes it into the tables of the help.

``--only`` takes words of which every one must occur in a row's set, amount, method or seed, such as
``--only nih_cxr linear_probe``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, Final

from engine.contract.commands import Evaluate, Train
from engine.contract.config import (
    BackboneConfig,
    ExperimentConfig,
    ImageContract,
    RuntimeConfig,
    preset_config,
)
from engine.contract.methods import METHODS
from engine.hardware.devices import cpu_name
from tests.speed.machine import ROOT
from tests.speed.method_rows import Key, Row, append_row, read_rows
from tests.speed.method_table import N_SEEDS, print_table, update_help
from tests.speed.study_sets import AMOUNTS, FEW, SETS, Study, make_project, perform

SEEDS: Final = tuple(range(N_SEEDS))
TABLE: Final = Path(__file__).with_name("methods.csv")
"""The table that the help shows and that the rules of Recommended rest on."""
_MOST_SECONDS: Final = 4 * 3600  # a row that takes longer hangs, even on a busy machine
_SMALL_PX: Final = 112
_SMALL_SETS: Final = ("pneumoniamnist", "mednist_subset")  # 28 and 64 px
_AT_BOTH_SIZES: Final = ("linear_probe", "full_finetune")  # whether 112 px loses anything
_ONE_TRAINING: Final = ("full_finetune", "gradual_unfreezing", "lora")
_WITHOUT_EPOCHS: Final = ("direct_transfer", "linear_probe")
_IMAGES: Final = {"pneumoniamnist": 1000, "mednist_subset": 504, "cxr_pneumonia": 780}
_NICEST: Final = 19


def main() -> None:
    """Fill the table, or print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=TABLE, metavar="CSV")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD")
    parser.add_argument("--minutes", type=float, help="start no further row after these")
    parser.add_argument("--retry", action="store_true", help="rows that failed, too")
    parser.add_argument("--table", action="store_true", help="print what there is")
    parser.add_argument("--into", type=Path, metavar="HELP", help="write it into the help")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.into:
        text = arguments.into.read_text(encoding="utf-8")
        arguments.into.write_text(update_help(text, read_rows(arguments.out)), encoding="utf-8")
    elif arguments.table:
        print_table(read_rows(arguments.out))
    elif arguments.row:
        measure(Key(**json.loads(arguments.row)), workspace_of(arguments.out))
    else:
        be_modest()
        _fill(arguments.out, arguments.only, arguments.minutes, is_retried=arguments.retry)


def be_modest() -> None:
    """Let other work go first, and end on a signal as on Ctrl-C, with the row that is measured."""
    if hasattr(os, "nice"):
        os.nice(_NICEST - os.nice(0))
    signal.signal(signal.SIGTERM, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit("stopped; start again to go on")


def workspace_of(table: Path) -> Path:
    """Return the folder beside a table that holds its projects."""
    folder = table.with_suffix(".work").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def all_keys() -> Iterator[Key]:
    """Yield every row of the table."""
    for data in SETS:
        for amount in AMOUNTS:
            for seed in SEEDS:
                for card in METHODS:
                    if data in _SMALL_SETS:
                        yield Key(data, amount, card.key, seed, size_px=_SMALL_PX)
                    if data not in _SMALL_SETS or card.key in _AT_BOTH_SIZES:
                        yield Key(data=data, amount=amount, method=card.key, seed=seed)


def _cost(key: Key) -> float:
    """Return about how many images go through the network, so that cheap rows come first."""
    n_train = float(_IMAGES.get(key.data, 700)) if key.amount == "all" else 2.0 * FEW
    n_epochs = 0 if key.method in _WITHOUT_EPOCHS else preset_config("standard").method.max_epochs
    n_epochs *= 1 if key.method in _ONE_TRAINING else 3  # a path of strengths, attacks
    share = (key.size_px / ImageContract().size_px) ** 2
    return share * (n_train * (1 + 4 * n_epochs) + 300 * (1 + n_epochs))


def _fill(table: Path, only: list[str], minutes: float | None, *, is_retried: bool) -> None:
    started = time.monotonic()
    rows = read_rows(table)
    done = {row.key for row in rows if row.is_measured or not is_retried}
    wanted = [key for key in all_keys() if all(key.has(word) for word in only)]
    wanted = sorted((key for key in wanted if key not in done), key=_cost)
    print(f"{len(done)} rows done, {len(wanted)} to do", flush=True)
    for key in wanted:
        if minutes is not None and time.monotonic() - started > minutes * 60:
            break
        row = in_own_process(key, table)
        append_row(table, row)
        print(row.words(), flush=True)


def in_own_process(key: Key, table: Path, program: str = "methods") -> Row:
    """Measure a row where a crash or a full memory costs that row alone."""
    command = [sys.executable, "-m", f"tests.speed.{program}", "--out", str(table.absolute())]
    command += ["--row", json.dumps(key.plain())]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        out, err = process.communicate(timeout=_MOST_SECONDS)
    except subprocess.TimeoutExpired:
        return Row.failed(key, f"took longer than {_MOST_SECONDS} s")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode != 0 or not out.strip():
        last = err.strip().splitlines()[-1:] or [f"exit status {process.returncode}"]
        return Row.failed(key, last[0])
    return Row.from_plain(json.loads(out.splitlines()[-1]))


def measure(key: Key, workspace: Path, backbone: BackboneConfig | None = None) -> None:
    """Train and test in a fresh copy of the project, without features of earlier rows; print it."""
    study = Study(key.data, key.amount, key.seed, key.size_px)
    template = make_project(study, workspace)
    copy = workspace / f"row-{os.getpid()}.radtune"
    try:
        shutil.copytree(template, copy)
        facts = _timed(key, str(copy), backbone)
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    print(json.dumps(key.plain() | facts | {"version": _version()}))


def _timed(key: Key, project: str, backbone: BackboneConfig | None) -> dict[str, Any]:
    import engine.jobs.training  # noqa: F401 — loading torch is no part of a method's time

    load = os.getloadavg()[0]
    wall, cpu = time.perf_counter(), time.process_time()
    run = perform(Train(project=project, config=_config(key, backbone)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    test_wall = time.perf_counter()
    result = perform(Evaluate(project=project, run=run["run"]))
    return {
        "val_auroc": run["val_auroc"],
        "test_auroc": result["auroc"],
        "test_low": result["auroc_low"],
        "test_high": result["auroc_high"],
        "epochs": run["epochs"],
        "wall_s": wall,
        "cpu_s": cpu,
        "test_s": time.perf_counter() - test_wall,
        "load": max(load, os.getloadavg()[0]),
        "processor": cpu_name(),
    }


def _config(key: Key, backbone: BackboneConfig | None) -> ExperimentConfig:
    """Return the settings that a user gets who chooses method and backbone, and nothing else."""
    config = preset_config("standard", method=key.method, seed=key.seed)
    return replace(config, backbone=backbone or config.backbone, runtime=RuntimeConfig(threads=1))


def _version() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,  # a copy without its history has no commit
    )
    return done.stdout.strip()


if __name__ == "__main__":
    main()
