"""The image viewer: windowing, zoom about the cursor, speed-bounding pyramid."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QApplication, QLabel

from gui.widgets.image_pixels import ImagePixels
from gui.widgets.image_view import ImageView

WHOLE = slice(None)


def ramp():
    """12-bit values 0 to 4095, one per column."""
    return np.tile(np.arange(4096, dtype=np.uint16), (64, 1))


def view_of(qtbot, array, **options):
    view = ImageView()
    qtbot.addWidget(view)
    view.resize(402, 330)
    view.show()
    view.set_image(array, **options)
    return view


def middle(view):
    canvas = view.canvas
    return QPoint(canvas.width() // 2, canvas.height() // 2)


def test_the_window_is_that_of_dicom_linear():
    # PS3.3 C.11.2.1.2.1, its example: centre 2048, width 4096 maps 0..4095 onto 0..255.
    shown = ImagePixels(ramp()).render(0, slice(0, 1), WHOLE, (2048.0, 4096.0))[0]
    assert (shown[0], shown[-1]) == (0, 255)
    values = np.array([0, 1000, 2048, 3000, 4095])
    expected = ((values - 2047.5) / 4095 + 0.5) * 255
    assert np.abs(shown[values] - expected).max() <= 0.5


def test_values_outside_the_window_saturate():
    shown = ImagePixels(ramp()).render(0, slice(0, 1), WHOLE, (1000.0, 200.0))[0]
    assert set(shown[:899]) == {0}
    assert set(shown[1101:]) == {255}


def test_a_window_of_one_is_a_step():
    shown = ImagePixels(ramp()).render(0, slice(0, 1), WHOLE, (100.0, 1.0))[0]
    assert shown[99] == 0
    assert shown[100] == 255


def test_inverting_exchanges_dark_and_bright():
    pixels = ImagePixels(ramp())
    plain = pixels.render(0, WHOLE, WHOLE, (2048.0, 4096.0))
    inverted = pixels.render(0, WHOLE, WHOLE, (2048.0, 4096.0), is_inverted=True)
    assert np.array_equal(inverted, 255 - plain)


def test_eight_bits_are_shown_as_they_are():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pixels = ImagePixels(image)
    assert np.array_equal(pixels.render(0, WHOLE, WHOLE, pixels.default_window()), image)


def test_floats_are_windowed_and_holes_are_black():
    image = np.array([[0.0, 0.5, 1.0, np.nan]], dtype=np.float32)
    shown = ImagePixels(image).render(0, WHOLE, WHOLE, (0.5, 1.0))
    assert shown.tolist() == [[0, 128, 255, 0]]


def test_colors_are_untouched_by_the_window():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(ImagePixels(image).render(0, WHOLE, WHOLE, (1.0, 1.0)), image)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 2), dtype=np.uint8),
        np.zeros((4, 4), dtype=np.int64),
        np.zeros((0, 4), dtype=np.uint8),
        np.zeros((4, 4, 3), dtype=np.uint16),
    ],
)
def test_what_is_no_image_is_refused(array):
    with pytest.raises(ValueError, match="image"):
        ImagePixels(array)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_smaller_copies_are_means(kind):
    image = (np.random.default_rng(1).random((8, 10)) * 200).astype(kind)
    expected = image.astype(np.float64).reshape(4, 2, 5, 2).mean(axis=(1, 3))
    assert np.abs(ImagePixels(image).level(1) - expected).max() <= 0.5


@pytest.mark.parametrize(("scale", "level"), [(2.0, 0), (1.0, 0), (0.5, 1), (0.3, 1), (0.1, 3)])
def test_the_copy_in_use_is_never_coarser_than_the_screen(scale, level):
    assert ImagePixels(np.zeros((1024, 1024), dtype=np.uint8)).level_for(scale) == level


def test_dragging_with_the_left_button_changes_the_window(qtbot):
    view = view_of(qtbot, ramp(), window=(2048.0, 4096.0))
    start = middle(view)
    qtbot.mousePress(view.canvas, Qt.MouseButton.LeftButton, pos=start)
    with qtbot.waitSignal(view.window_changed) as changed:
        move(view.canvas, start + QPoint(20, -10), Qt.MouseButton.LeftButton)
    center, width = changed.args
    assert width > 4096.0
    assert center < 2048.0
    assert view.window_level == (center, width)


def move(canvas, point, button):
    none = Qt.KeyboardModifier.NoModifier
    kind = QEvent.Type.MouseMove
    place = QPointF(point)
    event = QMouseEvent(
        kind, place, canvas.mapToGlobal(place), Qt.MouseButton.NoButton, button, none
    )
    QApplication.sendEvent(canvas, event)


def test_the_wheel_zooms_about_the_cursor(qtbot):
    view = view_of(qtbot, np.zeros((1000, 1000), dtype=np.uint8))
    canvas, point = view.canvas, QPointF(300, 100)
    before, scale = canvas._to_image(point), canvas.scale
    event = QWheelEvent(
        point,
        canvas.mapToGlobal(point),
        QPoint(),
        QPoint(0, 240),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(canvas, event)
    after = canvas._to_image(point)
    assert canvas.scale > scale
    assert (after.x(), after.y()) == pytest.approx((before.x(), before.y()), abs=1e-6)


@pytest.mark.parametrize("button", [Qt.MouseButton.MiddleButton, Qt.MouseButton.RightButton])
def test_dragging_with_another_button_moves_the_image(qtbot, button):
    view = view_of(qtbot, ramp(), window=(2048.0, 4096.0))
    start = middle(view)
    before = QPointF(view.canvas._center)
    qtbot.mousePress(view.canvas, button, pos=start)
    move(view.canvas, start + QPoint(10, 0), button)
    assert view.canvas._center.x() == pytest.approx(before.x() - 10 / view.canvas.scale)
    assert view.window_level == (2048.0, 4096.0)


def test_a_double_click_starts_over(qtbot):
    view = view_of(qtbot, ramp(), window=(2048.0, 4096.0))
    scale = view.canvas.scale
    view.set_window(100.0, 50.0)
    view.set_inverted(is_inverted=True)
    qtbot.keyClick(view.canvas, Qt.Key.Key_Plus)
    qtbot.mouseDClick(view.canvas, Qt.MouseButton.LeftButton, pos=middle(view))
    assert view.window_level == (2048.0, 4096.0)
    assert not view.canvas.is_inverted
    assert view.canvas.scale == scale


def test_keys_do_what_the_mouse_does(qtbot):
    view = view_of(qtbot, ramp(), window=(2048.0, 4096.0))
    canvas = view.canvas
    qtbot.keyClick(canvas, Qt.Key.Key_I)
    assert canvas.is_inverted
    qtbot.keyClick(canvas, Qt.Key.Key_1)
    assert canvas.scale * canvas.devicePixelRatioF() == pytest.approx(1.0)
    qtbot.keyClick(canvas, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert view.window_level[1] > 4096.0
    qtbot.keyClick(canvas, Qt.Key.Key_R)
    assert view.window_level == (2048.0, 4096.0)


def test_the_whole_image_stays_in_view_when_the_window_is_resized(qtbot):
    view = view_of(qtbot, np.zeros((100, 200), dtype=np.uint8))
    view.resize(802, 630)
    qtbot.waitUntil(lambda: view.canvas.width() == 800)
    assert view.canvas.scale == pytest.approx(min(800 / 200, view.canvas.height() / 100))


def test_the_line_under_the_image_names_width_and_level(qtbot):
    view = view_of(qtbot, ramp(), window=(1024, 2048))
    texts = [label.text() for label in view.findChildren(QLabel)]
    assert any(text.startswith("W 2048 · L 1024") for text in texts)


def test_the_same_view_is_kept_when_the_picture_is_exchanged(qtbot):
    view = view_of(qtbot, ramp())
    qtbot.keyClick(view.canvas, Qt.Key.Key_Plus)
    scale = view.canvas.scale
    view.set_image(ramp() // 2, keep_view=True)
    assert view.canvas.scale == scale
    view.set_image(ramp())
    assert view.canvas.scale < scale


def test_the_picture_on_screen_is_the_windowed_image(qtbot):
    image = np.full((100, 100), 1000, dtype=np.uint16)
    image[:, 50:] = 3000
    view = view_of(qtbot, image, window=(2000.0, 100.0))
    shown = view.canvas.grab().toImage()
    y = view.canvas.height() // 2
    assert shown.pixelColor(view.canvas.width() // 2 - 40, y).name() == "#000000"
    assert shown.pixelColor(view.canvas.width() // 2 + 40, y).name() == "#ffffff"


def test_no_image_is_black(qtbot):
    view = view_of(qtbot, ramp())
    view.set_image(None)
    view.set_window(1.0, 2.0)
    assert view.canvas.grab().toImage().pixelColor(20, 20).name() == "#000000"
