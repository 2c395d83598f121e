"""Whether the data browser stays smooth with 100,000 images.

``python -m tests.speed.grid [--images 100000] [--findings 0] [--project P]``: the real window on a
project of that many records with thumbnails, and so many findings each (made first if none is
given). Printed are the time to open it, the cost of a frame while the grid scrolls slowly, fast and
by jumps, and how long filters, orders and a label take from the click to the painted grid; in
brackets what the window's thread computed meanwhile, which other programs don't lengthen. Frames
come as a screen asks for them, 60 a second; a picture that isn't read when its frame is painted
follows in a later one, and is counted. Scrolling begins once the window has said what it has to say
on opening: here, that the originals are missing. Drop the system's file cache before for the case
of a project that is opened after a restart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication

from engine.contract.records import AuditReport, Finding
from engine.project.records import NewRecord
from engine.project.store import Project
from engine.project.thumbnails import THUMBNAIL_PX, ThumbnailWriter
from gui.app import make_application
from gui.itemmodels.image_query import FindingIs, ImageQuery, SortBy
from gui.itemmodels.label_states import Mark
from gui.main_window import MainWindow
from gui.panels.data import DataPanel
from gui.preferences import Preferences
from gui.stages import Stage
from gui.worker.engine_client import EngineClient
from tests.speed.delays import live_until
from tests.speed.machine import describe_machine

_FRAME_MS = 1000 / 60
_N_FRAMES = 300


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--findings", type=int, default=0)
    parser.add_argument("--project", type=Path, help="a project with thumbnails")
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    print(describe_machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = arguments.project or _make_project(
            folder / "large.radtune", arguments.images, arguments.findings
        )
        _measure(project.absolute(), folder)


def _make_project(folder: Path, n_images: int, n_findings: int) -> Path:
    random = np.random.default_rng(0)
    shades = random.integers(0, 255, (64, THUMBNAIL_PX, THUMBNAIL_PX), dtype=np.uint8)
    with Project.create(folder) as project:
        source = project.add_source(folder.parent / "images", "folder")
        names = [f"Finding {k}" for k in range(n_findings)] or ["Normal", "Pneumonia", "Effusion"]
        classes = [project.add_class(name) for name in names]
        with project.transaction():
            patients = [project.patient(f"patient {k}") for k in range(n_images // 3 + 1)]
        project.add_records(
            [
                NewRecord(
                    source_id=source,
                    path=f"series {row % 97}/image {row:06d}.dcm",
                    row=row,
                    class_id=None if n_findings else classes[row // 3 % 3],
                    patient_id=patients[row // 3],
                    format="DICOM",
                    modality=("DX", "CR")[row % 2],
                    site=f"Site {row % 5 + 1}",
                    study=f"{row // 2:032x}",
                    view=("PA", "AP", None)[row % 3],
                    width=2048,
                    height=2048,
                    bits=12,
                    dicom={"Modality": "DX", "View": "PA", "Manufacturer": "Simulated"},
                )
                for row in range(n_images)
            ]
        )
        if n_findings:
            _add_findings(project, classes, n_images, random)
        with ThumbnailWriter(project) as thumbnails:
            for row in range(n_images):
                thumbnails.append(row, shades[row % len(shades)])
    return folder


def _add_findings(
    project: Project, classes: list[int], n_images: int, random: np.random.Generator
) -> None:
    """Give each image some findings at random, a tenth of them unknown."""
    project.set_task("multi")
    drawn = random.choice([0, 0, 0, 0, 0, 0, 0, 1, 1, -1], (n_images, len(classes)))
    values = {0: 0, 1: 1, -1: None}
    with project.transaction():
        for record, row in enumerate(drawn.tolist(), start=1):
            project.db.execute_many(
                "INSERT INTO record_findings (record_id, class_id, value) VALUES (?, ?, ?)",
                [(record, c, values[v]) for c, v in zip(classes, row, strict=True)],
            )


def _measure(project: Path, folder: Path) -> None:
    make_application()
    settings = QSettings(str(folder / "preferences.ini"), QSettings.Format.IniFormat)
    window = MainWindow(EngineClient(), Preferences(settings))
    window.resize(1366, 768)
    window.show()
    window.warm_up()
    end = time.monotonic() + 4  # pages are built meanwhile, as they are for a user
    live_until(lambda: time.monotonic() > end, 5)
    begin = time.perf_counter()
    window.open_project(project)
    live_until(lambda: bool(window.session.snapshot.records), 60)
    window.show_stage(Stage.DATA)
    page = window.page(Stage.DATA)
    assert isinstance(page, DataPanel)
    page.grid.viewport().repaint()
    n_records = len(window.session.snapshot.records)
    print(f"{n_records:,} images: open and painted after {time.perf_counter() - begin:.2f} s")
    end = time.monotonic() + 1
    live_until(lambda: time.monotonic() > end, 2)
    _scroll(page)
    _query(page)
    window.close()


def _scroll(page: DataPanel) -> None:
    bar = page.grid.verticalScrollBar()
    furthest = bar.maximum()
    ways: dict[str, Callable[[int], int]] = {
        "slowly (20 px a frame)": lambda k: 20 * k,
        "fast (a page a frame)": lambda k: 600 * k,
        "by jumps": lambda k: k * 7919 * 40,
    }
    for name, way in ways.items():
        took, computed, late = [], [], []
        for frame in range(_N_FRAMES):
            begin, computing = time.perf_counter(), time.thread_time()
            bar.setValue(way(frame) % max(1, furthest))
            QApplication.processEvents()  # paints what has moved
            took.append((time.perf_counter() - begin) * 1e3)
            computed.append((time.thread_time() - computing) * 1e3)
            late.append(page.grid.n_awaited)
            time.sleep(max(0.0, _FRAME_MS / 1e3 - (time.perf_counter() - begin)))
        print(f"scrolling {name}: a frame takes {_spread(took)} ({_spread(computed)})")
        print(f"    frames that lacked a picture: {sum(n > 0 for n in late)}, at most {max(late)}")


def _spread(ms: list[float]) -> str:
    late = sum(value > _FRAME_MS for value in ms)
    return (
        f"median {statistics.median(ms):.1f} ms, p99 {np.percentile(ms, 99):.1f}, max "
        f"{max(ms):.1f}, {late} of {len(ms)} over {_FRAME_MS:.1f}"
    )


def _query(page: DataPanel) -> None:
    snapshot = page.session.snapshot
    some_class = snapshot.classes[0].id
    some_ids = [record.id for record in snapshot.records[::7]]
    page.session.snapshot = replace(snapshot, audit=_audit(some_ids))
    label = (
        ImageQuery(finding=FindingIs(some_class, Mark.PRESENT))
        if snapshot.is_multi
        else ImageQuery(class_id=some_class)
    )
    for name, query in (
        ("class or finding", label),
        ("words", ImageQuery(text="pneu 0123")),
        ("a word of many", ImageQuery(text="image")),
        ("site", ImageQuery(site="Site 2")),
        ("view, site and word", ImageQuery(view="PA", site="Site 2", text="dx")),
        ("by class or finding", ImageQuery(sort_by=SortBy.CLASS)),
        ("by patient", ImageQuery(sort_by=SortBy.PATIENT)),
        ("by suspicion", ImageQuery(sort_by=SortBy.SUSPICION)),
        ("everything by name", ImageQuery()),
    ):
        _report(name, page, partial(page.filters.query_changed.emit, query))
    page.session.snapshot = snapshot
    _report("the same after a label", page, page.session.snapshot_changed.emit)


def _report(name: str, page: DataPanel, act: Callable[[], object]) -> None:
    took, computed = [], []
    for _ in range(5):
        begin, computing = time.perf_counter(), time.thread_time()
        act()
        QApplication.processEvents()
        page.grid.viewport().repaint()
        took.append((time.perf_counter() - begin) * 1e3)
        computed.append((time.thread_time() - computing) * 1e3)
    print(
        f"{name}: painted after median {statistics.median(took):.0f} ms, max {max(took):.0f} "
        f"({statistics.median(computed):.0f})"
    )


def _audit(doubtful: list[int]) -> AuditReport:
    finding = Finding(
        kind="label_suspects",
        key="",
        severity="medium",
        n=len(doubtful),
        sentence="",
        records=tuple(doubtful),
    )
    return AuditReport(findings=(finding,), n_images=0, checks={}, data_digest="")


if __name__ == "__main__":
    main()
