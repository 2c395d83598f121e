"""A file that breaks its decoder costs that file alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from engine.contract.config import ImageContract
from engine.contract.errors import EngineError
from engine.contract.import_rules import FramePolicy
from engine.data.decode_child import is_there, pixel_hash
from engine.data.decode_messages import (
    PIXELS,
    DecodedFrame,
    DecodeSettings,
    ImageFacts,
    Job,
    receive,
    send,
)
from engine.data.decode_pool import (
    DecodePool,
    Failed,
    Finished,
    Limits,
    SourceGoneError,
    n_processes,
)
from engine.data.pixels import load_pixels
from tests.conftest import ROOT
from tests.helpers.fragile_decoder import fragile_command

CONTRACT = ImageContract(size_px=64)
SETTINGS = DecodeSettings(contract=CONTRACT)
QUICK = Limits(
    decode_s=0.6,
    decode_alone_s=0.6,
    memory_bytes=256 << 20,
    tell_s=0.1,
    stall_s=0.6,
    gone_s=0.3,
    retry_s=0.05,
)

PATIENT = replace(QUICK, decode_s=30.0, decode_alone_s=30.0)
"""For what is not about time: a busy machine takes a second over what else takes none."""


def put(root: Path, *names: str) -> list[Job]:
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(number).integers(0, 256, (40, 50), np.uint8)
        Image.fromarray(values).save(path)
    return [Job(str(root), name) for name in names]


def put_pages(path: Path, n_pages: int) -> Job:
    path.parent.mkdir(parents=True, exist_ok=True)
    pages = [Image.fromarray(np.full((30, 30), 10 * i, np.uint8)) for i in range(n_pages)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return Job(str(path.parent), path.name)


def decode(jobs, settings=SETTINGS, **options):
    """Return the frames and how it ended, by path."""
    frames: dict[str, list[DecodedFrame]] = {job.path: [] for job in jobs}
    ends: dict[str, Finished | Failed] = {}
    with DecodePool(**options) as pool:
        for job, outcome in pool.decode(jobs, settings):
            if isinstance(outcome, DecodedFrame):
                frames[job.path].append(outcome)
            else:
                assert job.path not in ends
                ends[job.path] = outcome
    return frames, ends


def test_files_come_in_order_and_as_the_reader_reads_them(tmp_path):
    jobs = put(tmp_path, *(f"{i:03d}.png" for i in range(120)))  # enough for a second process
    order = []
    with DecodePool() as pool:
        for job, outcome in pool.decode(jobs, SETTINGS):
            if isinstance(outcome, DecodedFrame):
                order.append(job)
                if len(order) % 40 == 1:
                    alone, image = load_pixels(tmp_path / job.path, CONTRACT)
                    np.testing.assert_array_equal(outcome.pixels, alone)
                    assert outcome.thumbnail is not None
                    assert outcome.thumbnail.shape == (128, 128)
                    assert outcome.facts.pixel_hash == pixel_hash(image.values)
                    assert outcome.facts.n_bytes == (tmp_path / job.path).stat().st_size
    assert order == jobs


@pytest.mark.parametrize(
    ("name", "words", "limits"),
    [
        ("crash.png", "crashed the image reader twice", PATIENT),
        ("hang.png", "doesn't come to an end", QUICK),
        ("hog.png", "more than 1 GB of memory", PATIENT),
    ],
)
def test_a_file_that_breaks_its_decoder_twice_is_set_aside_and_the_others_go_on(
    tmp_path, name, words, limits
):
    jobs = put(tmp_path, *(f"{i}.png" for i in range(6)), name, *(f"{i}.png" for i in "abcdef"))
    frames, ends = decode(jobs, command=fragile_command(), limits=limits)
    assert isinstance(ends[name], Failed)
    assert words in ends.pop(name).reason
    assert all(isinstance(end, Finished) for end in ends.values())
    assert sum(len(found) for found in frames.values()) == 12


def test_a_file_that_breaks_its_decoder_once_is_read_at_the_second_attempt(tmp_path):
    jobs = put(tmp_path, "a.png", "once-crash.png", "b.png")
    frames, ends = decode(jobs, command=fragile_command(), limits=PATIENT)
    assert all(isinstance(end, Finished) for end in ends.values())
    assert [len(found) for found in frames.values()] == [1, 1, 1]


def test_frames_that_came_before_a_crash_do_not_come_again(tmp_path):
    job = put_pages(tmp_path / "once-late.tif", 5)
    settings = replace(SETTINGS, policy=FramePolicy(frames="all"))
    frames, ends = decode([job], settings, command=fragile_command())
    assert [frame.facts.frame for frame in frames[job.path]] == [0, 1, 2, 3, 4]
    assert isinstance(ends[job.path], Finished)


@pytest.mark.parametrize(
    ("policy", "frames"),
    [
        (FramePolicy(), [0]),  # the first page stands for a TIFF
        (FramePolicy(frames="every", step=3), [0, 3, 6]),
        (FramePolicy(frames="all"), list(range(8))),
    ],
)
def test_a_file_gives_the_frames_of_the_policy(tmp_path, policy, frames):
    job = put_pages(tmp_path / "pages.tif", 8)
    found, _ = decode([job], replace(SETTINGS, policy=policy, parts=(PIXELS,)))
    assert [frame.facts.frame for frame in found[job.path]] == frames
    assert {frame.facts.n_frames for frame in found[job.path]} == {8}
    assert [int(frame.pixels[0, 0]) for frame in found[job.path]] == [10 * i for i in frames]
    assert found[job.path][0].thumbnail is None


def test_an_unreadable_file_has_a_reason_and_the_time_of_its_change(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (tmp_path / "other.png").mkdir()
    jobs = [Job(str(tmp_path), name) for name in ("broken.png", "other.png", "nowhere.png")]
    _, ends = decode(jobs)
    status = (tmp_path / "broken.png").stat()
    assert ends["broken.png"].stamp == (status.st_size, status.st_mtime_ns)
    assert all(isinstance(end, Failed) for end in ends.values())
    assert ends["nowhere.png"].reason == "The file isn't there any more."


def test_a_source_that_is_gone_is_waited_for(tmp_path):
    root = tmp_path / "disk"
    jobs = put(root, "a.png", "b.png")
    away, told = tmp_path / "away", []

    def come_back(sentence: str) -> None:
        told.append(sentence)
        if len(told) == 2:
            away.rename(root)

    root.rename(away)
    frames, ends = decode(jobs, limits=replace(QUICK, gone_s=30), on_wait=come_back)
    assert "can't be reached" in told[0]
    assert [len(found) for found in frames.values()] == [1, 1]
    assert all(isinstance(end, Finished) for end in ends.values())


def test_a_source_that_stays_away_ends_the_work(tmp_path):
    jobs = put(tmp_path / "disk", "a.png")
    (tmp_path / "disk" / "a.png").unlink()  # an empty folder is where a disk was mounted
    assert not is_there(str(tmp_path / "disk"))
    with pytest.raises(SourceGoneError):
        decode(jobs, limits=QUICK)


def test_a_disk_that_does_not_answer_is_said(tmp_path):
    told: list[str] = []
    jobs = put(tmp_path, "once-stall.png")
    _, ends = decode(jobs, command=fragile_command(), limits=QUICK, on_wait=told.append)
    assert told[0].startswith("The disk with the images doesn't answer")
    assert isinstance(ends["once-stall.png"], Finished)


def test_whoever_waits_can_give_up(tmp_path):
    class GaveUpError(Exception):
        pass

    began = time.monotonic()

    def safe_point() -> None:
        if time.monotonic() - began > 0.5:
            raise GaveUpError

    with pytest.raises(GaveUpError):
        decode(put(tmp_path, "hang.png"), command=fragile_command(), safe_point=safe_point)
    assert time.monotonic() - began < 5


def test_processes_that_cannot_start_are_an_error(tmp_path):
    jobs = put(tmp_path, "a.png")
    with pytest.raises(EngineError, match="could not be started"):
        decode(jobs, command=[sys.executable, "-c", "raise SystemExit(1)"])
    with pytest.raises(EngineError, match="could not be started"):
        decode(jobs, command=[str(tmp_path / "no-such-program")])


def test_decode_processes_end_with_the_program(tmp_path):
    put(tmp_path, "hang.png")
    code = (
        "import psutil\n"
        "from engine.data.decode_pool import DecodePool\n"
        "from engine.data.decode_messages import *\n"
        "from engine.contract.config import ImageContract\n"
        "from tests.helpers.fragile_decoder import fragile_command\n"
        "pool = DecodePool(command=fragile_command())\n"
        "print(psutil.Process().children()[0].pid, flush=True)\n"
        f"list(pool.decode([Job({str(tmp_path)!r}, 'hang.png')],\n"
        "                  DecodeSettings(contract=ImageContract())))\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    child = psutil.Process(int(program.stdout.readline()))
    assert child.is_running()
    program.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    program.communicate()
    child.wait(timeout=10)


def test_the_real_process_computes_in_one_thread_and_is_as_nice_as_this_one(tmp_path):
    others = psutil.Process().children()
    with DecodePool() as pool:
        list(pool.decode(put(tmp_path, "a.png"), SETTINGS))
        [process] = set(psutil.Process().children()) - set(others)
        assert process.environ()["OMP_NUM_THREADS"] == "1"
        assert process.nice() == psutil.Process().nice()  # the window's worker is of low priority


def test_there_are_as_many_processes_as_cores_may_be_used():
    assert 1 <= n_processes() <= (os.cpu_count() or 1)


def test_messages_survive_the_pipe_whatever_names_files_have():
    values: dict[str, Any] = dict.fromkeys(ImageFacts.__dataclass_fields__, 1)
    values |= {"window": (0.5, 2.0), "notes": ("a",), "patient_id": "Müller\udce9"}
    facts = ImageFacts(**values)
    frame = DecodedFrame(facts, np.arange(12, dtype=np.uint16).reshape(3, 4))
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb", buffering=0) as reader:
        with os.fdopen(write_end, "wb", buffering=0) as writer:
            send(writer, *frame.to_message())
            writer.write(b"\x05\0\0\0")  # cut off
        message = receive(reader)
        assert message is not None
        back = DecodedFrame.from_message(*message)
        assert receive(reader) is None
    assert back.facts == facts
    np.testing.assert_array_equal(back.pixels, frame.pixels)
    assert back.thumbnail is None


def test_equal_values_have_one_hash_whatever_their_type():
    values = np.arange(200).reshape(10, 20)
    hashes = {pixel_hash(values.astype(kind)) for kind in ("u1", "<u2", ">i4", "i8")}
    assert len(hashes) == 1
    assert pixel_hash(values.T) not in hashes
    assert pixel_hash(values.astype(np.float32)) not in hashes
