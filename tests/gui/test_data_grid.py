"""The grid at 100,000 images, and the pure rules of what it shows."""

from __future__ import annotations

import statistics
import threading
import time

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractItemView

from engine.contract.records import ClassSummary, ImageRecord
from gui.itemmodels.image_grid import ImageGrid
from gui.itemmodels.image_query import (
    UNLABELLED,
    FindingIs,
    ImageQuery,
    ImageSelector,
    Reading,
    SearchTexts,
    Shown,
    SortBy,
    values_of,
)
from gui.itemmodels.label_states import Mark, MarkCounts, count_marks
from gui.itemmodels.thumbnail_reader import ThumbnailReader

CLASSES = (
    ClassSummary(id=7, index=0, name="No finding", n_images=1, n_patients=1),
    ClassSummary(id=4, index=1, name="肺炎", n_images=1, n_patients=1),
)


def record(number: int, **changes) -> ImageRecord:
    values = {
        "id": number + 1,
        "row": number,
        "path": f"{number % 7}/image {number:06d}.png",
        "class_id": (7, 4)[number % 2],
        "patient": f"P{number // 3:04d}",
        "patient_id": number // 3,
        "split": None,
        "excluded": None,
        "format": "PNG",
        "modality": "CR",
        "width": 10,
        "height": 10,
        "bits": 8,
    }
    return ImageRecord(**{**values, **changes})


class PlainThumbnails:
    def copies(self, rows):
        return {row: np.full((128, 128), row % 256, np.uint8) for row in rows}


@pytest.fixture(scope="module")
def many():
    return tuple(record(number) for number in range(100_000))


@pytest.fixture
def grid(qtbot):
    grid = ImageGrid()
    qtbot.addWidget(grid)
    grid.resize(850, 600)
    grid.set_thumbnails(PlainThumbnails())  # type: ignore[arg-type]
    grid.show()
    return grid


def shown(records, query, **more):
    by_name = sorted(records, key=lambda r: r.path)
    selector = ImageSelector(
        records=by_name,
        classes=CLASSES,
        texts=SearchTexts(by_name),
        split_names={"test": "Test"},
        **more,
    )
    return [r.id for r in selector.select(query)]


def test_every_filter_narrows_and_all_must_hold():
    records = [
        record(0, split="test", modality="DX"),
        record(1, excluded="Duplicate"),
        record(2, class_id=None),
        record(3, split="test"),
    ]
    assert shown(records, ImageQuery(class_id=4)) == [2, 4]
    assert shown(records, ImageQuery(class_id=UNLABELLED)) == [3]
    assert shown(records, ImageQuery(split="test", modality="DX")) == [1]
    assert shown(records, ImageQuery(shown=Shown.EXCLUDED)) == [2]
    assert shown(records, ImageQuery(shown=Shown.INCLUDED, class_id=4)) == [4]
    assert shown(records, ImageQuery(text="肺炎 TEST")) == [4]
    assert values_of(records, "modality") == ["CR", "DX"]


def test_orders_are_by_name_class_and_patient():
    records = [record(n) for n in (5, 2, 3, 0)]
    assert shown(records, ImageQuery()) == [1, 3, 4, 6]
    assert shown(records, ImageQuery(sort_by=SortBy.CLASS)) == [1, 3, 4, 6]
    assert shown(records, ImageQuery(sort_by=SortBy.PATIENT)) == [1, 3, 4, 6]


def test_words_must_all_occur_in_label_person_study_or_file():
    study = "0123456789abcdef" * 2
    records = [record(0, site="Site 1", view="PA"), record(1, study=study), record(2, split="test")]
    assert shown(records, ImageQuery(text="site pa")) == [1]
    assert shown(records, ImageQuery(text="01234567")) == [2]
    assert shown(records, ImageQuery(text="finding TEST")) == [3]
    assert shown(records, ImageQuery(text="finding pa test")) == []


def test_findings_filter_by_value_and_order_by_the_first_present():
    values = [{7: 0, 4: 1}, {7: 1, 4: None}, {}, {7: 0, 4: 0}, {7: None}]
    records = [record(n, class_id=None, findings=found) for n, found in enumerate(values)]

    def found(query):
        return shown(records, query, is_multi=True)

    assert found(ImageQuery(finding=FindingIs(4, Mark.PRESENT))) == [1]
    assert found(ImageQuery(finding=FindingIs(7, Mark.ABSENT))) == [1, 4]
    assert found(ImageQuery(finding=FindingIs(4, Mark.UNKNOWN))) == [2, 3, 5]
    assert found(ImageQuery(finding=Reading.CLEAR)) == [4]
    assert found(ImageQuery(finding=Reading.UNREAD)) == [3, 5]
    assert found(ImageQuery(text="肺炎")) == [1]
    assert found(ImageQuery(sort_by=SortBy.CLASS)) == [2, 1, 4, 3, 5]


def test_most_doubtful_labels_come_first_then_the_others_by_name():
    records = [record(n) for n in range(5)]
    query = ImageQuery(sort_by=SortBy.SUSPICION)
    assert shown(records, query, suspects=(4, 2)) == [4, 2, 1, 3, 5]


def test_what_is_not_known_can_be_asked_for_too():
    records = [record(0, site="Site 2"), record(1), record(2, site="Site 1")]
    assert values_of(records, "site") == ["Site 1", "Site 2", ""]
    assert shown(records, ImageQuery(site="")) == [2]
    assert shown(records, ImageQuery(site="Site 1")) == [3]


def test_marks_are_counted_over_all_images():
    shared = {7: 1, 4: None}
    records = [record(n, findings=shared) for n in range(3)] + [record(3, findings={7: 0})]
    counts = count_marks(records, CLASSES)
    assert counts[7] == MarkCounts(n_present=3, n_absent=1, n_unknown=0)
    assert counts[4] == MarkCounts(n_present=0, n_absent=0, n_unknown=4)
    assert (counts[7].common, counts[4].common) == (Mark.MIXED, Mark.UNKNOWN)


@pytest.mark.parametrize("is_multi", [False, True])
def test_filters_and_orders_of_them_answer_within_a_fifth_of_a_second(many, is_multi):
    selector = ImageSelector(
        records=many,
        classes=CLASSES,
        texts=SearchTexts(many),
        suspects=range(0, 100_000, 3),
        is_multi=is_multi,
    )
    selector.texts.of_all()  # put together in the background
    for query in (
        ImageQuery(text="image png"),
        ImageQuery(text="肺炎 0123"),
        ImageQuery(class_id=4, shown=Shown.INCLUDED),
        ImageQuery(finding=FindingIs(4, Mark.UNKNOWN)),
        *(ImageQuery(sort_by=order) for order in SortBy),
    ):
        start = time.thread_time()
        selector.select(query)
        assert time.thread_time() - start < 0.2, query


def test_a_hundred_thousand_images_are_listed_within_a_second(grid, many):
    start = time.process_time()
    selector = ImageSelector(records=many, classes=CLASSES, texts=SearchTexts(many))
    grid.set_images(selector.select(ImageQuery()), CLASSES)
    grid.grab()
    assert time.process_time() - start < 1.0


def test_painting_takes_no_longer_the_more_images_there_are(grid, many):
    """How long is measured by ``tests.speed.grid``."""
    medians = []
    for images in (many[:1000], many):
        grid.set_images(images, CLASSES)
        bar, times = grid.verticalScrollBar(), []
        for step in range(60):
            bar.setValue(step * 40 + (step % 5) * bar.maximum() // 5)
            start = time.thread_time()
            grid.viewport().repaint()
            times.append(time.thread_time() - start)
        medians.append(statistics.median(times))
    assert medians[1] < 3 * medians[0]


class CountingThumbnails(PlainThumbnails):
    def __init__(self):
        self.read = []

    def copies(self, rows):
        self.read += rows
        return super().copies(rows)


def test_only_the_images_near_the_view_are_read(qtbot, grid, many):
    thumbnails = CountingThumbnails()
    grid.set_thumbnails(thumbnails)
    grid.set_images(many, CLASSES)
    grid.viewport().repaint()
    qtbot.waitUntil(lambda: len(set(thumbnails.read)) > 60)
    qtbot.wait(50)
    assert len(set(thumbnails.read)) < 250


def test_the_next_page_is_read_before_it_is_seen(qtbot, grid, many):
    thumbnails = CountingThumbnails()
    grid.set_thumbnails(thumbnails)
    grid.set_images(many, CLASSES)
    grid.viewport().repaint()
    n_columns = grid.viewport().width() // grid.gridSize().width()
    n_rows = grid.viewport().height() // grid.gridSize().height() + 1
    next_page = {many[k].row for k in range(n_columns * n_rows, 2 * n_columns * n_rows)}
    qtbot.waitUntil(lambda: next_page <= set(thumbnails.read))


def test_nothing_is_read_ahead_while_the_window_paints(qtbot, monkeypatch):
    monkeypatch.setattr("gui.itemmodels.thumbnail_reader._PATIENCE_S", 5.0)

    class Noting(PlainThumbnails):
        def copies(self, rows):
            read.append((list(rows), is_painting.is_set()))
            return super().copies(rows)

    read: list[tuple[list[int], bool]] = []
    is_painting = threading.Event()
    reader = ThumbnailReader()
    reader.set_thumbnails(Noting())  # type: ignore[arg-type]
    with reader.painting():
        is_painting.set()
        reader.want([7], ahead=range(100, 500))
        assert reader.picture(7) is not None
        time.sleep(0.05)
        is_painting.clear()
    qtbot.waitUntil(lambda: sum(len(rows) for rows, _ in read) == 401)
    assert [rows for rows, was_painting in read if was_painting] == [[7]]


def test_a_disk_that_does_not_answer_stops_no_painting_and_its_pictures_follow(qtbot, grid, many):
    answers = threading.Event()

    class Slow(PlainThumbnails):
        def copies(self, rows):
            answers.wait(10)
            return super().copies(rows)

    grid.set_thumbnails(Slow())
    grid.set_images(many[252:300], CLASSES)
    grid.viewport().repaint()
    begin = time.monotonic()
    middle = grid.gridSize().width() // 2
    before = grid.viewport().grab().toImage().pixelColor(middle, middle)
    assert time.monotonic() - begin < 5  # the disk takes ten
    answers.set()
    qtbot.waitUntil(lambda: grid.viewport().grab().toImage().pixelColor(middle, middle) != before)
    after = grid.viewport().grab().toImage().pixelColor(middle, middle)
    assert (after.red(), after.green(), after.blue()) == (252, 252, 252)


def test_thumbnails_of_a_project_that_was_left_are_not_shown(qtbot):
    answers = threading.Event()

    class Left(PlainThumbnails):
        def copies(self, rows):
            answers.wait(10)
            return {row: np.full((128, 128), 9, np.uint8) for row in rows}

    reader = ThumbnailReader()
    reader.set_thumbnails(Left())  # type: ignore[arg-type]
    with reader.painting():
        assert reader.picture(3) is None
    reader.set_thumbnails(PlainThumbnails())  # type: ignore[arg-type]
    answers.set()
    shades = []

    def has_come():
        with reader.painting():
            pixels = reader.picture(3)
        shades.extend([] if pixels is None else [int(pixels[0, 0])])
        return bool(shades)

    qtbot.waitUntil(has_come)
    assert shades == [3]


def test_columns_fill_the_width(grid, many):
    grid.set_images(many[:100], CLASSES)
    for width in (400, 850, 1203):
        grid.resize(width, 600)
        room = grid.viewport().width()
        cell = grid.gridSize().width()
        assert room - (room // cell) * cell < cell / 4


def test_arrow_keys_move_by_image_and_by_row(qtbot, grid, many):
    grid.set_images(many[:100], CLASSES)
    n_columns = grid.viewport().width() // grid.gridSize().width()
    grid.setFocus()
    qtbot.keyClick(grid, Qt.Key.Key_Right)
    assert grid.currentIndex().row() == 1
    qtbot.keyClick(grid, Qt.Key.Key_Down)
    assert grid.currentIndex().row() == 1 + n_columns
    qtbot.keyClick(grid, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    assert len(grid.selected_ids()) > 1


def test_images_cannot_be_renamed_in_the_grid(qtbot, grid, many):
    grid.set_images(many[:10], CLASSES)
    grid.setFocus()
    qtbot.keyClick(grid, Qt.Key.Key_F2)
    assert grid.state() is QAbstractItemView.State.NoState


def test_missing_thumbnails_leave_an_empty_card(grid, many):
    from engine.contract.errors import ProjectError

    class Broken:
        def copies(self, rows):
            raise ProjectError("Not in the cache.", remedy="Import again.")

    grid.set_thumbnails(Broken())
    grid.set_images(many[:10], CLASSES)
    assert not grid.grab().isNull()
