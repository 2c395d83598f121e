"""The size of a source's images: seen before the import, and prepared for it at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.command_arguments import command_from
from engine.command_line import make_parser
from engine.contract.commands import PrepareImages, Preview, Scan
from engine.contract.config import ImageContract
from engine.contract.control import Control
from engine.contract.errors import ConfigError
from engine.contract.events import JobProgressed
from engine.data.original_size import median_side
from engine.project.segment_reader import SegmentReader
from engine.project.store import Project
from engine.run import execute
from tests.helpers.tiny_study import run_job


def write_pictures(folder: Path, sides: list[tuple[int, int]], suffix: str = ".png") -> Path:
    random = np.random.default_rng(0)
    for number, (width, height) in enumerate(sides):
        path = folder / "ab"[number % 2] / f"{number:03d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (height, width), dtype=np.uint8)).save(path)
    return folder


def seen(source: Path) -> int:
    return int(run_job(Preview(source=str(source)))["image_px"])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_the_shorter_side_of_pictures_is_seen_before_the_import(
    tmp_path: Path, suffix: str
) -> None:
    assert seen(write_pictures(tmp_path / "images", [(40, 28), (31, 64), (200, 30)], suffix)) == 30


def test_arrays_are_seen_from_their_headers(tmp_path: Path) -> None:
    images = np.zeros((10, 28, 32), dtype=np.uint8)
    labels = np.arange(10)[:, None] % 2
    np.savez(tmp_path / "set.npz", train_images=images, train_labels=labels)
    assert seen(tmp_path / "set.npz") == 28


def test_broken_pictures_are_passed_over_and_dicom_says_nothing(tmp_path: Path) -> None:
    write_pictures(tmp_path, [(28, 28)] * 4)
    (tmp_path / "a" / "000.png").write_bytes(b"\x89PNG\r\n\x1a\n, cut off")
    names = ["a/000.png", "b/001.png"]
    assert median_side(tmp_path, names, lambda: None) == 28
    assert median_side(tmp_path, ["a/000.png"], lambda: None) == 0
    assert median_side(tmp_path, [*names, "scan.dcm"], lambda: None) == 0
    assert median_side(tmp_path, [], lambda: None) == 0


def test_a_few_of_many_files_are_opened(tmp_path: Path) -> None:
    write_pictures(tmp_path, [(50, 50)] * 200)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    opened: list[None] = []
    assert median_side(tmp_path, names, lambda: opened.append(None)) == 50
    assert len(opened) <= 24


def test_images_are_prepared_once_at_the_size_that_was_chosen(tmp_path: Path) -> None:
    source = write_pictures(tmp_path / "images", [(28, 28)] * 12)
    project = tmp_path / "p.radtune"
    run_job(Scan(source=str(source), project=str(project), size_px=112))
    with Project.open(project, read_only=True) as opened:
        assert opened.image_contract.size_px == 112
        reader = SegmentReader(opened, f"pixels-{opened.image_contract.key()}")
        assert reader.row(0).shape == (112, 112)
        usual = ImageContract(channels=opened.image_contract.channels)
        assert not SegmentReader(opened, f"pixels-{usual.key()}").has(0)
    told: list[object] = []
    execute(PrepareImages(project=str(project), size_px=112), told.append, Control())
    assert not [event for event in told if isinstance(event, JobProgressed) and event.total]


def test_images_that_are_added_take_the_size_of_the_project(tmp_path: Path) -> None:
    project = tmp_path / "p.radtune"
    for name, size_px in (("one", 96), ("two", 160)):
        source = write_pictures(tmp_path / name, [(28, 28)] * 4)
        run_job(Scan(source=str(source), project=str(project), size_px=size_px))
    with Project.open(project, read_only=True) as opened:
        assert opened.image_contract.size_px == 96
        reader = SegmentReader(opened, f"pixels-{opened.image_contract.key()}")
        assert all(reader.row(record.row).shape == (96, 96) for record in opened.records())


def test_the_command_line_names_the_size() -> None:
    words = ["scan", "images", "--project", "p", "--size-px", "112"]
    command = command_from(make_parser().parse_args(words))
    assert isinstance(command, Scan)
    assert command.size_px == 112


def test_a_size_that_no_network_takes_is_refused() -> None:
    with pytest.raises(ConfigError):
        Scan(source="s", project="p", size_px=8)
