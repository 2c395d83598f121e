from __future__ import annotations

import errno
import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from engine.contract.errors import ProjectError, StorageError
from engine.project.segment_reader import SegmentReader
from engine.project.segments import (
    SEGMENT_ROWS,
    SegmentWriter,
    drop_unreferenced,
    forget_segments,
)
from engine.project.store import Project
from engine.project.thumbnails import THUMBNAIL_PX, Thumbnails, ThumbnailWriter


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "影像 é") as project:
        yield project


def _items(*rows: int) -> np.ndarray:
    """Items of shape (2, 3) that tell their row."""
    return np.array(rows, dtype=np.uint16)[:, None, None] * np.ones((2, 3), dtype=np.uint16)


def _write(project: Project, first: int, n: int, kind: str = "pixels-x") -> None:
    with SegmentWriter(project, kind, (2, 3), np.uint16, first) as writer:
        writer.append(_items(*range(first, first + n)))


def test_rows_come_back_in_the_order_asked_for_across_segments(project):
    _write(project, 0, SEGMENT_ROWS + 10)
    _write(project, SEGMENT_ROWS + 10, 5)
    reader = SegmentReader(project, "pixels-x")
    rows = np.array([SEGMENT_ROWS + 14, 0, SEGMENT_ROWS, SEGMENT_ROWS - 1, 0])
    read = reader.read(rows)
    np.testing.assert_array_equal(read, _items(*rows))
    assert read.dtype == np.uint16
    assert len(reader) == SEGMENT_ROWS + 15
    assert len(list(project.cache_folder.iterdir())) == 3


def test_copies_equal_what_was_written_and_leave_out_what_was_not(project):
    _write(project, 0, SEGMENT_ROWS + 10)
    _write(project, SEGMENT_ROWS + 10, 5)
    reader = SegmentReader(project, "pixels-x")
    rows = [SEGMENT_ROWS + 14, 7, 0, 8, SEGMENT_ROWS + 99, SEGMENT_ROWS - 1, -1]
    copies = reader.copies(rows)
    assert set(copies) == {SEGMENT_ROWS + 14, 7, 0, 8, SEGMENT_ROWS - 1}
    for row, item in copies.items():
        np.testing.assert_array_equal(item, _items(row)[0])


def test_copies_of_a_file_that_was_cut_short_are_refused(project):
    _write(project, 0, 20)
    reader = SegmentReader(project, "pixels-x")
    file = next(project.cache_folder.iterdir())
    os.truncate(file, file.stat().st_size - 12)
    with pytest.raises(ProjectError):
        reader.copies([18, 19])


def test_a_full_segment_counts_before_the_writer_is_done(project):
    writer = SegmentWriter(project, "pixels-x", (2, 3), np.uint16, 0)
    writer.append(_items(*range(SEGMENT_ROWS + 1)))
    assert len(SegmentReader(project, "pixels-x")) == SEGMENT_ROWS
    writer.commit()
    assert len(SegmentReader(project, "pixels-x")) == SEGMENT_ROWS + 1


def test_single_items_and_batches_may_be_mixed(project):
    with SegmentWriter(project, "pixels-x", (2, 3), np.uint16, 5) as writer:
        writer.append(_items(5)[0])
        writer.append(_items(6, 7))
        writer.commit()
        writer.append(_items(8)[0])
    reader = SegmentReader(project, "pixels-x")
    np.testing.assert_array_equal(reader.read(np.arange(5, 9)), _items(5, 6, 7, 8))
    assert not reader.has(4)
    assert not reader.has(-1)


def test_rows_may_have_gaps(project):
    with SegmentWriter(project, "features-x", (2, 3), np.uint16) as writer:
        writer.append(_items(9, 2, 40), np.array([9, 2, 40]))
    reader = SegmentReader(project, "features-x")
    np.testing.assert_array_equal(reader.read(np.array([2, 40, 9])), _items(2, 40, 9))
    wanted = np.array([0, 2, 39, 40, 41, -1])
    np.testing.assert_array_equal(reader.missing(wanted), [0, 39, 41, -1])
    assert project.next_row() == 41


def test_a_single_row_is_an_array_of_its_own(project):
    _write(project, 0, 3)
    item = SegmentReader(project, "pixels-x").row(2)
    np.testing.assert_array_equal(item, _items(2)[0])


@pytest.mark.parametrize("n_left", [128, 0])
def test_a_file_that_is_cut_short_while_it_is_open_is_a_sentence(project, n_left):
    _write(project, 0, 20)
    reader = SegmentReader(project, "pixels-x")
    reader.read(np.arange(20))
    os.truncate(next(project.cache_folder.iterdir()), n_left)
    with pytest.raises(ProjectError, match="cache"):
        reader.read(np.arange(20))
    with pytest.raises(ProjectError, match="cache"):
        reader.row(19)


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE])
def test_a_disk_that_fails_a_read_says_so_and_is_opened_anew_when_it_is_back(
    project, monkeypatch, code
):
    _write(project, 0, 3)
    reader = SegmentReader(project, "pixels-x")
    reader.read(np.arange(3))

    class Broken(io.FileIO):
        def readinto(self, _buffer):
            raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        (file,) = reader._files
        patch.setattr(file, "_file", Broken(file.path))
        with pytest.raises(StorageError, match="could not be read"):
            reader.read(np.arange(3))
    np.testing.assert_array_equal(reader.read(np.arange(3)), _items(0, 1, 2))


def test_a_file_that_is_away_serves_again_when_it_is_back(project):
    _write(project, 0, 3)
    reader = SegmentReader(project, "pixels-x")
    (file,) = project.cache_folder.iterdir()
    away = file.rename(file.with_name("away"))
    with pytest.raises(StorageError, match=r"isn't there any more.*could not be read"):
        reader.read(np.arange(3))
    away.rename(file)
    np.testing.assert_array_equal(reader.read(np.arange(3)), _items(0, 1, 2))


def test_a_file_of_another_length_than_the_database_says_is_refused(project):
    _write(project, 0, 3)
    (file,) = project.cache_folder.iterdir()
    np.save(file, _items(0, 1, 2, 3))
    with pytest.raises(ProjectError, match="cache"):
        SegmentReader(project, "pixels-x").read(np.arange(3))


def test_several_threads_read_one_file_without_mixing_it_up(project):
    _write(project, 0, 500)
    reader = SegmentReader(project, "pixels-x")
    wrong: list[int] = []

    def read(seed: int) -> None:
        for _ in range(40):
            rows = np.random.default_rng(seed).permutation(500)[:50]
            if not np.array_equal(reader.read(rows), _items(*rows)):
                wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_of_a_row_written_twice_the_later_counts(project):
    _write(project, 0, 3)
    with SegmentWriter(project, "pixels-x", (2, 3), np.uint16) as writer:
        writer.append(_items(77), [1])
    read = SegmentReader(project, "pixels-x").read(np.arange(3))
    np.testing.assert_array_equal(read, _items(0, 77, 2))


def test_an_exception_drops_the_unfinished_segment_only(project):
    with (
        pytest.raises(RuntimeError),
        SegmentWriter(project, "pixels-x", (2, 3), np.uint16, 0) as writer,
    ):
        writer.append(_items(0, 1))
        writer.commit()
        writer.append(_items(2))
        raise RuntimeError
    assert len(SegmentReader(project, "pixels-x")) == 2
    assert len(list(project.cache_folder.iterdir())) == 1


def test_a_full_disk_is_a_sentence_and_leaves_no_part(project, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "full")

    writer = SegmentWriter(project, "pixels-x", (2, 3), np.uint16, 0)
    writer.append(_items(0))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        writer.commit()
    assert list(project.cache_folder.iterdir()) == []
    assert len(SegmentReader(project, "pixels-x")) == 0


def test_a_file_without_its_row_in_the_database_does_not_count_and_goes(project):
    _write(project, 0, 2)
    writer = SegmentWriter(project, "pixels-x", (2, 3), np.uint16, 2)
    writer.append(_items(2))  # a worker that dies here leaves its part
    (project.cache_folder / "pixels-x-0123.npy").write_bytes(b"a crash before the database")
    (project.cache_folder / "notes.txt").write_text("the user's", encoding="utf-8")
    if os.name == "nt":
        writer.abort()
    assert len(SegmentReader(project, "pixels-x")) == 2
    assert drop_unreferenced(project) >= 1
    names = {path.suffix for path in project.cache_folder.iterdir()}
    assert names == {".npy", ".txt"}
    assert len(SegmentReader(project, "pixels-x")) == 2


def test_an_open_file_that_can_not_be_deleted_waits_for_the_next_opening(project, monkeypatch):
    _write(project, 0, 2)
    forget_segments(project, "pixels-x")
    with monkeypatch.context() as patch:

        def held(*_args, **_kwargs):
            raise PermissionError(errno.EACCES, "open")

        patch.setattr(Path, "unlink", held)
        assert drop_unreferenced(project) == 0
    assert drop_unreferenced(project) == 1
    assert list(project.cache_folder.iterdir()) == []


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_rows_of_a_damaged_segment_are_missing_and_can_be_written_again(project, damage):
    _write(project, 0, 2)
    _write(project, 2, 2)
    first = project.cache_folder / project.db.value("SELECT file FROM segments WHERE first_row = 0")
    if damage == "gone":
        first.unlink()
    else:
        first.write_bytes(first.read_bytes()[:20])
    reader = SegmentReader(project, "pixels-x")
    np.testing.assert_array_equal(reader.missing(np.arange(4)), [0, 1])
    with pytest.raises(ProjectError, match="cache"):
        reader.read(np.arange(4))
    with pytest.raises(ProjectError, match="cache"):
        reader.row(0)
    _write(project, 0, 2)
    reader.refresh()
    np.testing.assert_array_equal(reader.read(np.arange(4)), _items(0, 1, 2, 3))


def test_a_reader_of_another_process_sees_new_rows_after_a_refresh(project):
    with Project.open(project.folder, read_only=True) as other:
        reader = SegmentReader(other, "pixels-x")
        assert reader.item_shape is None
        _write(project, 0, 2)
        assert len(reader) == 0
        reader.refresh()
        assert len(reader) == 2
        assert reader.read(np.arange(2)).shape == (2, 2, 3)


def test_reading_works_in_another_thread(project):
    _write(project, 0, 2)
    reader = SegmentReader(project, "pixels-x")
    found: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: found.append(reader.read(np.arange(2))))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(found[0], _items(0, 1))


def test_pickled_content_is_never_loaded(project):
    _write(project, 0, 1)
    (file,) = project.cache_folder.iterdir()
    np.save(file, np.array([{"a": 1}] * 10, dtype=object), allow_pickle=True)
    with pytest.raises(ProjectError, match="cache"):
        SegmentReader(project, "pixels-x").read(np.arange(1))


def test_what_can_not_be_stored_is_a_programmers_error(project):
    with pytest.raises(ValueError, match="kind"):
        SegmentWriter(project, "../pixels", (2,), np.uint8, 0)
    with pytest.raises(ValueError, match="pickling"):
        SegmentWriter(project, "x", (2,), object, 0)
    writer = SegmentWriter(project, "x", (2, 3), np.uint16)
    for items, rows in (
        (_items(1).astype(np.uint8), [1]),
        (_items(1)[:, :1], [1]),
        (_items(1), [1, 2]),
        (_items(1), None),
    ):
        with pytest.raises(ValueError, match=r"fit|row"):
            writer.append(items, rows)


def test_thumbnails_are_grey_or_colour(project):
    grey = np.full((THUMBNAIL_PX, THUMBNAIL_PX), 7, dtype=np.uint8)
    colour = np.full((THUMBNAIL_PX, THUMBNAIL_PX, 3), 9, dtype=np.uint8)
    thumbnails = Thumbnails(project)
    with ThumbnailWriter(project) as writer:
        writer.append(0, grey)
        writer.append(1, colour)
        writer.append(2, grey)
    assert thumbnails.image(2).shape == (THUMBNAIL_PX, THUMBNAIL_PX)
    np.testing.assert_array_equal(thumbnails.image(1), colour)
    assert thumbnails.has(0)
    assert not thumbnails.has(3)
    with pytest.raises(ProjectError, match="cache"):
        thumbnails.image(3)
    assert project.next_row() == 3
