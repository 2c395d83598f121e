#!/usr/bin/env python3
"""Try the built application as a user would, on a virtual screen, without a network.

usage: python3 packaging/smoke.py [APP] [--out DIR] [--data DIR]

The built engine does the main job on the sample study, from images to predictions, and reads real
DICOM of every compression where the folder with such files is there. The built window paints,
starts its workers, closes as by its cross and leaves nothing behind. Then it is driven through the
whole job, page by page (gui/tour.py). Pictures of what was on the screen and the tour's bundle go
to DIR.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from build import programs
from dev_setup import Checkout, say
from smoke_place import Built, offline_prefix, temporary_folder, workplace
from smoke_screen import Screen, open_screen

if TYPE_CHECKING:
    from PIL.Image import Image

ROOT: Final = Path(__file__).resolve().parent.parent
N_IMAGES: Final = 120
N_STARTS: Final = 5
LIMIT_S: Final = 900
REST_S: Final = 4
_FLAVOURS: Final = "dicom_flavours"
_NOISY: Final = "nih_cxr"


class SmokeError(Exception):
    """The built application does not do what it should; the text says what."""


def main(arguments: Sequence[str]) -> int:
    """Try the built application and return the exit status."""
    checkout = Checkout(ROOT)
    if Path(sys.prefix).resolve() != checkout.venv.resolve() and checkout.python.is_file():
        return subprocess.call([str(checkout.python), __file__, *arguments])  # for psutil, pillow
    wishes = _parser().parse_args(arguments)
    app = wishes.app.resolve()
    if missing := [path for path in programs(app, os.name) if not path.is_file()]:
        say(f"{missing[0]} is not there; build first with: python3 packaging/build.py")
        return 1
    wishes.out.mkdir(parents=True, exist_ok=True)
    try:
        with workplace() as work, open_screen() as screen:
            built = Built(app, work, screen, tuple(offline_prefix()))
            try_engine(built)
            try_codecs(built, wishes.data / _FLAVOURS)
            try_audit(built, wishes.data / _NOISY)
            try_window(built, wishes.out)
            try_tour(built, wishes.out)
            _left_in_order(built)
    except SmokeError as error:
        say(f"FAILED: {error}")
        return 1
    say("The built application works.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="smoke.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("app", nargs="?", type=Path, default=ROOT / "dist" / "RadTune")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "smoke", metavar="DIR")
    data = os.environ.get("RADTUNE_TEST_DATA") or ROOT.parent / "shared" / "data"
    parser.add_argument(
        "--data", type=Path, default=Path(data), metavar="DIR", help=f"folder with {_FLAVOURS}/"
    )
    return parser


def ask(command: Sequence[str], env: Mapping[str, str]) -> dict[str, Any]:
    """Run an engine command with ``--json`` and return its result.

    Raises:
        SmokeError: If it fails, or says anything on standard output that is no event.
    """
    done = subprocess.run(
        [*command, "--json"], env=env, stdin=subprocess.DEVNULL, capture_output=True,
        encoding="utf-8", errors="replace", timeout=LIMIT_S, check=False,
    )  # fmt: skip
    name = Path(command[0]).name
    try:
        events = [json.loads(line) for line in done.stdout.splitlines()]
    except ValueError as error:
        raise SmokeError(f"{name} wrote a line that is no event: {error}") from error
    if done.returncode or not events or events[-1].get("type") != "result":
        said = events[-1] if events else done.stderr[-2000:]
        raise SmokeError(f"{' '.join(command[-4:])} ended with {done.returncode}: {said}")
    result: dict[str, Any] = events[-1]
    return result


def expect(holds: bool, what: str) -> None:
    """Stop with ``what`` unless it holds."""
    if not holds:
        raise SmokeError(f"not so: {what}")


def try_engine(built: Built) -> None:
    """Do the main job with the built engine: images, run, bundle, predictions."""
    env = built.environment()
    machine = ask([*built.engine, "doctor"], env)
    for size in range(3):
        state = machine["weights"][f"efficientnet_lite{size}"]
        expect(state == "embedded", f"the weights of EfficientNet-Lite{size} are there")
    say(f"doctor: {machine['device']}, {machine['precision']}, {machine['versions']}")
    study, out, sheet = (built.work / name for name in ("study", "job", "predictions.csv"))
    made = ask([*built.engine, "sample", str(study), "--images", str(N_IMAGES)], env)
    expect(made["n_images"] == N_IMAGES, "the sample study has all its images")
    result = ask([*built.engine, "run", str(study), "--out", str(out), "--preset", "quick"], env)
    expect(math.isfinite(result["auroc"]), "the run has a test result")
    wanted = ("bundle/bundle.json", "bundle/weights.safetensors", "plots/roc.png", "plots/roc.svg")
    for name in wanted:
        expect((out / name).is_file(), f"the run leaves {name}")
    options = ["--bundle", str(out / "bundle"), "--out", str(sheet)]
    told = ask([*built.engine, "predict", str(study), *options], env)
    with sheet.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    expect(len(rows) == told["n_images"] == N_IMAGES, "every image has a prediction")
    say(f"engine: run in {result['seconds']} s, AUROC {result['auroc']:.3f}, predictions written")
    project, copies = out / "project.radtune", built.work / "copies"
    copied = ask(
        [*built.engine, "deidentify", "--project", str(project), "--out", str(copies)], env
    )
    expect(copied["n_images"] == N_IMAGES, "every image is copied without identifiers")


def try_codecs(built: Built, flavours: Path) -> None:
    """Read DICOM of many kinds: the built engine must read what the checkout's engine reads."""
    files = sorted(path.name for path in (flavours / "files").glob("*"))
    if not files:
        say(f"codecs: NOT TRIED, there is no {flavours}")
        return
    labels = built.work / "labels.csv"
    with labels.open("w", encoding="utf-8", newline="") as stream:
        # Two classes, so that the folder can be imported at all.
        csv.writer(stream).writerows(
            [("path", "label"), *((name, "ab"[i % 2]) for i, name in enumerate(files))]
        )
    source = [str(Checkout(ROOT).python), "-m", "engine"]
    env = built.environment()
    results = [
        ask(
            [*engine, "scan", str(flavours / "files"), "--labels", str(labels),
             "--path-column", "path", "--label-column", "label",
             "--project", str(built.work / name)],
            env | extra,
        )
        for engine, name, extra in (
            (built.engine, "built.radtune", {}),
            (source, "source.radtune", {"PYTHONPATH": str(ROOT)}),
        )
    ]  # fmt: skip
    ours, theirs = ({s["path"]: s["reason"] for s in result["skipped"]} for result in results)
    differing = sorted(
        name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
    )
    expect(not differing, f"built and source engine read the same files; differing: {differing}")
    n_images = [result["n_images"] for result in results]
    expect(n_images[0] == n_images[1] > 0, f"built and source engine read as many: {n_images}")
    say(f"codecs: {n_images[0]} of {len(files)} DICOM flavours read, as from source")


def try_audit(built: Built, images: Path) -> None:
    """Look for problems in real images with noisy labels, which takes every check."""
    if not images.is_dir():
        say(f"audit: NOT TRIED, there is no {images}")
        return
    env, project = built.environment(), str(built.work / "noisy.radtune")
    ask([*built.engine, "scan", str(images), "--project", project], env)
    report = ask([*built.engine, "audit", "--project", project], env)
    undone = {name: reason for name, reason in report["checks"].items() if reason}
    expect(not undone, f"every check of the audit can be made; not so: {undone}")
    say(f"audit: {len(report['checks'])} checks, {len(report['findings'])} findings")


def try_window(built: Built, out: Path) -> None:
    """Open the window, look at it, and close it as by its cross."""
    paints = [_first_paint(built) for _ in range(N_STARTS)]
    fastest, slowest = min(paints), max(paints)
    say(f"first paint: median {statistics.median(paints):.2f} s ({fastest:.2f} to {slowest:.2f})")
    _nothing_runs(built)
    if not built.screen.can_look:
        say("window: NOT LOOKED AT, there is no screen for it")
        return
    with _started(built, []) as process:
        _wait(lambda: _is_painted(built.screen), 30, "the window paints")
        _wait(lambda: _roles(built) == {"data", "run"}, 60, "the window starts both workers")
        _wait(lambda: _run_worker_has_torch(built), 120, "the run worker loads torch")
        _only_own_files(built)
        _picture_at_rest(built.screen).save(out / "window.png")
        built.screen.close_window(process.pid)
        _ends_well(process, 30)
    _nothing_runs(built)
    say("window: painted, two workers, closed with exit code 0, no process left")


def try_tour(built: Built, out: Path) -> None:
    """Drive the window from the sample study to a bundle."""
    folder = out / "tour"
    shutil.rmtree(folder, ignore_errors=True)
    with _started(built, ["--tour", "--out", str(folder.resolve())]) as process:
        _ends_well(process, LIMIT_S)
    pictures = sorted(folder.rglob("*.png"))
    expect(
        len(pictures) >= 6, f"the tour leaves a picture of every page; there are {len(pictures)}"
    )
    expect(any(folder.rglob("bundle.json")), "the tour leaves a bundle")
    _nothing_runs(built)
    say(f"tour: from the sample study to a bundle; {len(pictures)} pictures in {folder}")


@contextmanager
def _started(
    built: Built, arguments: Sequence[str], *, stdout: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    command = [*built.window, *arguments]
    process = subprocess.Popen(command, env=built.environment(), stdout=stdout)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _first_paint(built: Built) -> float:
    """Return the seconds from the start of the process to its word that it has painted."""
    started = time.monotonic()
    with _started(built, ["--print-first-paint"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        seconds = time.monotonic() - started
        _ends_well(process, 30)
    expect(bool(said.strip()), "the window says when it has painted")
    return seconds


def _ends_well(process: subprocess.Popen[bytes], limit_s: float) -> None:
    try:
        status = process.wait(limit_s)
    except subprocess.TimeoutExpired as error:
        raise SmokeError(f"the window did not close within {limit_s} s") from error
    expect(status == 0, f"the window ends with exit code 0; it was {status}")


def _is_painted(screen: Screen) -> bool:
    picture = screen.picture().convert("RGB")
    return len(picture.getcolors(picture.width * picture.height) or ()) > 50


def _picture_at_rest(screen: Screen) -> Image:
    """Return what is on the screen when nothing has changed there for a while."""
    pictures = [screen.picture()]

    def is_at_rest() -> bool:
        time.sleep(REST_S)
        pictures.append(screen.picture())
        return pictures[-1].tobytes() == pictures[-2].tobytes()

    _wait(is_at_rest, 60, "the window comes to rest")
    return pictures[-1]


def _roles(built: Built) -> set[str]:
    lines = [process.info["cmdline"] for process in built.running()]
    return {line[-1] for line in lines if "--role" in line}


def _run_worker_has_torch(built: Built) -> bool:
    run = [p for p in built.running() if p.info["cmdline"][-1:] == ["run"]]
    return any("torch_cpu" in Path(mapped.path).name for p in run for mapped in p.memory_maps())


def _only_own_files(built: Built) -> None:
    """See that no process has a library of the environment open that it was built from."""
    venv = Checkout(ROOT).venv.resolve()
    strangers = {
        mapped.path
        for process in built.running()
        for mapped in process.memory_maps()
        if Path(mapped.path).is_relative_to(venv)
    }
    expect(not strangers, f"the window needs nothing of .venv; it opened {sorted(strangers)[:3]}")


def _nothing_runs(built: Built) -> None:
    _wait(lambda: not built.running(), 10, "no process is left")


def _left_in_order(built: Built) -> None:
    """See that no program logged an unexpected failure or left a temporary file."""
    logged = [log.read_text(encoding="utf-8") for log in built.work.rglob("failures*.log")]
    expect(not logged, "no unexpected failure is logged; there is\n" + "\n".join(logged)[-3000:])
    # torch makes an empty folder of this name wherever it is imported.
    left = [
        path.name
        for path in temporary_folder(built.work).iterdir()
        if not path.name.startswith("torchinductor_")
    ]
    expect(not left, f"no temporary file is left; there are {left[:5]}")


def _wait(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    import psutil

    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            if condition():
                return
        except psutil.NoSuchProcess:
            continue  # it ended while it was looked at
        time.sleep(0.1)
    raise SmokeError(f"not within {limit_s} s: {what}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
