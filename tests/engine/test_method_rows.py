"""The table of methods: rows that survive a crash, and few images drawn by whole patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.speed.method_rows import Key, Row, append_row, read_rows
from tests.speed.method_table import Entry, entries_of, judge
from tests.speed.study_sets import draw_few


def row(method: str = "linear_probe", seed: int = 0, val: float = 0.9, cpu_s: float = 10.0) -> Row:
    return Row(
        data="set",
        amount="all",
        method=method,
        seed=seed,
        size_px=224,
        val_auroc=val,
        test_auroc=0.8,
        test_low=0.7,
        test_high=0.9,
        epochs=3,
        wall_s=20.0,
        cpu_s=cpu_s,
        test_s=2.0,
        load=1.5,
        processor="a processor",
        version="abc",
    )


def test_rows_are_read_as_they_were_written(tmp_path: Path):
    table = tmp_path / "rows.csv"
    failed = Row.failed(Key("set", "all", "lora", 1), "no, “such”\nthing")
    for one in (row(), failed):
        append_row(table, one)
    assert read_rows(table) == [row(), failed]
    assert [one.is_measured for one in read_rows(table)] == [True, False]


def test_a_line_that_was_cut_off_is_measured_anew(tmp_path: Path):
    table = tmp_path / "rows.csv"
    append_row(table, row(seed=0))
    append_row(table, row(seed=1))
    content = table.read_bytes()
    table.write_bytes(content[:-9])
    assert [one.seed for one in read_rows(table)] == [0]
    append_row(table, row(seed=1))
    assert table.read_bytes() == content


def test_the_last_row_of_a_key_counts(tmp_path: Path):
    table = tmp_path / "rows.csv"
    append_row(table, Row.failed(row().key, "full disk"))
    append_row(table, row())
    assert read_rows(table) == [row()]


def test_seeds_of_a_method_become_one_entry():
    [best, other] = entries_of(
        [row(val=0.8), row(val=0.9, seed=1), row("lora", val=0.95), row("lora", seed=1, val=0.93)],
        "set",
        "all",
    )
    assert (best.method, other.method) == ("lora", "linear_probe")
    assert other.mean == pytest.approx(0.85)
    assert other.deviation == pytest.approx(0.0707, abs=1e-4)


def entry(method: str, vals: tuple[float, ...], cpu_s: float) -> Entry:
    return Entry(method=method, size_px=224, val=vals, test=vals, cpu_s=cpu_s, epochs=0)


def test_recommended_must_be_as_good_as_the_best_and_not_slow():
    best = entry("full_finetune", (0.90, 0.92, 0.94), 100)  # mean 0.92, deviation 0.02
    near, far = entry("linear_probe", (0.905,) * 3, 10), entry("linear_probe", (0.895,) * 3, 10)
    for entries, method, holds in (
        ([best, near], "linear_probe", True),
        ([best, far], "linear_probe", False),
        ([best, far], "full_finetune", True),
    ):
        verdict = judge(entries, method, 224)
        assert verdict is not None
        assert verdict.holds is holds
    slow = judge([best, near], "full_finetune", 224)
    assert slow is not None
    assert slow.is_in_band
    assert slow.slowness == pytest.approx(11)  # it is recommended after the probe was tried
    assert not slow.holds


def test_what_is_not_measured_has_no_verdict():
    entries = [entry("linear_probe", (0.9,) * 3, 10)]
    assert judge(entries, "linear_probe", 112) is None
    verdict = judge(entries, "full_finetune", 224)
    assert verdict is not None
    assert verdict.is_in_band is None
    assert not verdict.holds


def test_a_method_counts_once_all_its_seeds_are_measured():
    lucky = entry("lora", (0.99, 0.99), 1)
    probe = entry("linear_probe", (0.90, 0.91, 0.92), 10)
    assert judge([lucky], "lora", 224) is None
    verdict = judge([lucky, probe], "linear_probe", 224)
    assert verdict is not None
    assert verdict.holds
    assert verdict.best == probe
    unfinished = judge([lucky, probe], "lora", 224)
    assert unfinished is not None
    assert unfinished.is_in_band is None


def test_few_images_are_drawn_by_whole_patients():
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 3)
    labels = np.where(patients % 2 == 0, 0, 1)
    labels[patients == 7] = [0, 1, 1]  # a patient with images of both classes
    kept = draw_few(patients, labels, 2, n_each=20, seed=3)
    counts = np.bincount(labels[kept], minlength=2)
    assert (counts <= 20).all()
    assert (counts >= 18).all()  # 20 is no multiple of 3
    assert set(patients[kept].tolist()).isdisjoint(patients[~kept].tolist())
    assert (draw_few(patients, labels, 2, n_each=20, seed=3) == kept).all()
    assert (draw_few(patients, labels, 2, n_each=20, seed=4) != kept).any()
    single = np.arange(180)
    random.shuffle(single)
    assert np.bincount(labels[draw_few(single, labels, 2, n_each=20, seed=0)]).tolist() == [20, 20]
