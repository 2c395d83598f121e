"""How fast a run was trained, read from its own log."""

from __future__ import annotations

from pathlib import Path

from engine.contract.events import BatchFinished, Warned
from engine.contract.protocol import encode_event
from engine.project.run_pace import RunPace, read_run_pace


def batch(step: int, images_per_s: float, memory_mb: float) -> BatchFinished:
    return BatchFinished(
        run="r1",
        epoch=1,
        batch=step,
        n_batches=9,
        step=step,
        loss=0.5,
        learning_rate=0.001,
        images_per_s=images_per_s,
        memory_mb=memory_mb,
    )


def log(folder: Path, *lines: str) -> Path:
    (folder / "events.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def test_the_last_update_counts_whatever_follows_it(tmp_path: Path) -> None:
    folder = log(
        tmp_path,
        encode_event(batch(1, 3.0, 500.0)),
        encode_event(batch(2, 21.5, 1180.0)),
        encode_event(Warned(message='Of a "BatchFinished" nothing is said here.')),
        '{"type":"BatchFinished","run":"r1","epo',  # cut off
    )
    assert read_run_pace(folder) == RunPace(images_per_s=21.5, memory_mb=1180.0)


def test_a_log_of_many_updates_is_read_from_its_end(tmp_path: Path) -> None:
    many = [encode_event(batch(step, 1.0, 1.0)) for step in range(1, 3000)]
    folder = log(tmp_path, *many, encode_event(batch(3000, 7.0, 9.0)))
    assert (folder / "events.jsonl").stat().st_size > 512 * 1024
    assert read_run_pace(folder) == RunPace(images_per_s=7.0, memory_mb=9.0)


def test_without_a_log_or_an_update_nothing_is_known(tmp_path: Path) -> None:
    assert read_run_pace(tmp_path) is None
    assert read_run_pace(log(tmp_path, "not JSON", "")) is None
