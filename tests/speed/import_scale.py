"""How an import of 100,000 small files compares with a bare loop, and whether it can be cut off.

``python -m tests.speed.import_scale [--images 100000] [--folder DIR]``: generated DICOM and PNG
files, half of each, in two class folders. Printed are images a second of the import beside those of
a bare loop (read, decode, SHA-256, two resizes; nothing kept) in as many processes, before and
after the import since the machine's load varies, and the processor time of both; the most memory
that all processes took; the time to open the project as the window does; and what a second import
that is killed half-way repeats.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from engine.contract.config import ImageContract
from engine.data.decode_pool import n_processes
from engine.data.images import open_image, read_bytes
from engine.data.rendering import to_pixels
from engine.data.voi import display_levels
from engine.project.segment_reader import SegmentReader
from engine.project.store import Project
from gui.snapshot import read_snapshot
from tests.speed.machine import ROOT, describe_machine

_FILES_PER_FOLDER = 1000
_SAMPLE = 10_000
_CHECKED = 50
_BARE = {"own": "RadTune's reader", "libraries": "pydicom and Pillow alone"}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--height", type=int, default=256, help="of the images, in pixels")
    parser.add_argument("--folder", type=Path, help="where to write; else a temporary folder")
    parser.add_argument("--no-kill", action="store_true", help="leave the killed import out")
    parser.add_argument("--bare", choices=tuple(_BARE), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        _bare_loop(arguments.bare)
        return
    print(f"{describe_machine()}, {n_processes()} decode processes", flush=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        _measure(Path(name), arguments.images, arguments.height, is_killed=not arguments.no_kill)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a number of images took, in seconds of the clock and of all processors."""

    n_images: int
    seconds: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        """Images a second."""
        return self.n_images / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Processor time of an image, in milliseconds."""
        return self.cpu_s / self.n_images * 1e3

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.n_images + other.n_images,
            self.seconds + other.seconds,
            self.cpu_s + other.cpu_s,
        )

    def __str__(self) -> str:
        return f"{self.per_s:.0f} images/s ({self.cpu_ms:.2f} ms of processor each)"


def _cpu_seconds() -> float:
    """Return the processor time of all child processes that have ended."""
    times = psutil.Process().cpu_times()
    return times.children_user + times.children_system


def _measure(folder: Path, n_images: int, height: int, *, is_killed: bool) -> None:
    source = folder / "images"
    started = time.perf_counter()
    files = list(_write_files(source, n_images, height))
    print(f"{n_images:,} files written in {time.perf_counter() - started:.0f} s", flush=True)
    sample = files[: min(n_images, _SAMPLE)]
    before = {kind: _bare_cost(sample, kind) for kind in _BARE}
    cpu_s = _cpu_seconds()
    seconds, memory = _import(source, folder / "whole.radtune", n_images)
    cost = Cost(n_images, seconds, _cpu_seconds() - cpu_s)
    after = {kind: _bare_cost(sample, kind) for kind in _BARE}
    print(f"import: {seconds:.1f} s, {cost}, at most {memory / 2**20:.0f} MiB in all")
    for kind, words in _BARE.items():
        bare = before[kind] + after[kind]
        print(
            f"bare loop, {words}: {before[kind]} before, {after[kind]} after; ratio of the import "
            f"{cost.per_s / bare.per_s:.2f} by the clock, {bare.cpu_ms / cost.cpu_ms:.2f} by "
            "processor time",
            flush=True,
        )
    _open(folder / "whole.radtune", n_images)
    if is_killed:
        _kill_and_resume(source, folder / "killed.radtune", n_images)


# --- files ---------------------------------------------------------------------------------------


def _write_files(root: Path, n_images: int, height: int) -> Iterator[Path]:
    random = np.random.default_rng(0)
    width = height * 7 // 8
    noise = random.integers(0, 200, (64, height, width), dtype=np.uint16)
    ramp = np.linspace(0, 3500, width).astype(np.uint16)
    template = _dicom_template(height, width)
    for number in range(n_images):
        label, patient = ("normal", "sick")[number % 2], number // 4
        values = noise[random.integers(64)] + np.roll(ramp, int(random.integers(width)))
        folder = root / label / f"{number // _FILES_PER_FOLDER:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number:06d}.{'dcm' if number // 2 % 2 else 'png'}"
        if path.suffix == ".dcm":
            path.write_bytes(_dicom(template, patient, number) + values.tobytes())
        else:
            Image.fromarray((values >> 4).astype(np.uint8)).save(path, compress_level=1)
        yield path


_PATIENT, _UID = "PPPPPPPP", "1.2.826.0.1.3680043.9.9999999999"


def _dicom_template(height: int, width: int) -> bytes:
    """Return a file up to its pixels, with placeholders for what differs from file to file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1.1")
    meta.MediaStorageSOPInstanceUID = UID(_UID)
    image = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    for name, value in {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": _UID,
        "StudyInstanceUID": _UID,
        "StudyDate": "20240102",
        "Modality": "DX",
        "Manufacturer": "Made",
        "ManufacturerModelName": "Up",
        "InstitutionName": "Nowhere",
        "PatientName": "Nobody",
        "PatientID": _PATIENT,
        "PatientSex": "O",
        "PatientAge": "050Y",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": height,
        "Columns": width,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "WindowCenter": 2000,
        "WindowWidth": 3600,
        "PixelData": bytes(2 * height * width),
    }.items():
        setattr(image, name, value)
    file = io.BytesIO()
    image.save_as(file, enforce_file_format=True)
    return file.getvalue()[: -2 * height * width]


def _dicom(template: bytes, patient: int, number: int) -> bytes:
    uid = f"{_UID[:-10]}{number:010d}".encode()
    return template.replace(_UID.encode(), uid).replace(_PATIENT.encode(), b"%08d" % patient)


# --- the bare loop -------------------------------------------------------------------------------


def _bare_cost(files: list[Path], kind: str) -> Cost:
    """Return the cost of a loop that keeps nothing, in as many processes as the import."""
    n, cpu_s = n_processes(), _cpu_seconds()
    command = [sys.executable, "-m", "tests.speed.import_scale", "--bare", kind]
    children = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(n)
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()  # it has loaded its libraries
    started = time.perf_counter()
    for number, child in enumerate(children):
        assert child.stdin is not None
        share = files[number * len(files) // n : (number + 1) * len(files) // n]  # of both kinds
        child.stdin.write("\n".join(map(str, share)) + "\n")
        child.stdin.close()
    for child in children:
        child.wait()
    return Cost(len(files), time.perf_counter() - started, _cpu_seconds() - cpu_s)


def _bare_loop(kind: str) -> None:
    contract = ImageContract()
    import pydicom

    print("ready", flush=True)
    for line in sys.stdin:
        path = Path(line.rstrip("\n"))
        if kind == "own":
            data = read_bytes(path)
            image = open_image(data, suffix=path.suffix).read(None, contract.size_px)
            levels = display_levels(image, contract.window)
        else:
            data = path.read_bytes()
            if path.suffix == ".dcm":
                levels = pydicom.dcmread(io.BytesIO(data)).pixel_array.astype(np.float32)
            else:
                levels = np.asarray(Image.open(io.BytesIO(data)))
        hashlib.sha256(data).hexdigest()
        height, width = levels.shape
        for side in (224, 128):
            size = (round(side * width / height), side)
            np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC))


# --- the import ----------------------------------------------------------------------------------


def _command(source: Path, project: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "engine", "scan", str(source)),
        *("--project", str(project), "--json"),
    ]


def _import(source: Path, project: Path, n_images: int) -> tuple[float, int]:
    """Import and return the seconds that took and the most memory of all processes together."""
    started = time.perf_counter()
    process = subprocess.Popen(
        _command(source, project),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    most = [0]
    watcher = threading.Thread(target=_watch_memory, args=(process.pid, most), daemon=True)
    watcher.start()
    stage, began = "", started
    last = ""
    assert process.stdout is not None
    for last in process.stdout:
        event = json.loads(last)
        if event.get("stage", stage) != stage:
            now = time.perf_counter()
            print(f"  {stage or 'start'}: {now - began:.1f} s", flush=True)
            stage, began = event["stage"], now
    process.wait()
    seconds = time.perf_counter() - started
    print(f"  {stage}, and entering: {time.perf_counter() - began:.1f} s", flush=True)
    result = json.loads(last)
    if result.get("n_images") != n_images:
        raise SystemExit(f"the import failed: {last[:500]}")
    return seconds, most[0]


def _watch_memory(pid: int, most: list[int]) -> None:
    while psutil.pid_exists(pid):
        try:
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)]
            most[0] = max(most[0], sum(member.memory_info().rss for member in family))
        except psutil.Error:
            continue
        time.sleep(0.1)


def _open(project: Path, n_images: int) -> None:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        snapshot = read_snapshot(project)
        times.append(time.perf_counter() - started)
        assert len(snapshot.records) == n_images
    print(
        f"opened as the window does in {times[0]:.2f} s, again {min(times[1:]):.2f} s", flush=True
    )


def _kill_and_resume(source: Path, project: Path, n_images: int) -> None:
    process = subprocess.Popen(
        _command(source, project),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    children: list[psutil.Process] = []
    n_done = 0
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event.get("stage") == "Reading images":
            n_done = event["done"]
        if n_done > 0.6 * n_images:
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
            break
    process.wait()
    killed_at = time.perf_counter()
    psutil.wait_procs(children, timeout=10)
    n_left = sum(child.is_running() for child in children)
    print(
        f"killed after {n_done:,} images; {len(children) - n_left} of {len(children)} decode "
        f"processes were gone within {time.perf_counter() - killed_at:.1f} s",
        flush=True,
    )
    started = time.perf_counter()
    done = subprocess.run(
        _command(source, project), cwd=ROOT, capture_output=True, text=True, check=True
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    reading = [event for event in events if event.get("stage") == "Reading images"]
    print(
        f"resumed in {time.perf_counter() - started:.1f} s: {reading[0]['done']:,} images were "
        f"kept, {n_done - reading[0]['done']:,} read again; {events[-1]['n_images']:,} imported",
        flush=True,
    )
    _check(project)


def _check(project: Path) -> None:
    """Compare some images of a project with their files."""
    with Project.open(project, read_only=True) as opened:
        records = opened.records()
        records = records[:: max(1, len(records) // _CHECKED)]
        contract = opened.image_contract
        pixels = SegmentReader(opened, f"pixels-{contract.key()}")
        for record, path in zip(
            records, opened.original_paths([record.id for record in records]), strict=True
        ):
            image = open_image(read_bytes(path)).read(None, contract.size_px)
            assert np.array_equal(pixels.row(record.row), to_pixels(image, contract)), record.id
    print(f"{len(records)} images spread over the project equal their files")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
