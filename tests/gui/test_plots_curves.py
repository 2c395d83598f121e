"""Plots that grow and plots that are set: data, calm redrawing, read-out, files."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QToolButton

from gui.plots.learning_curves import LearningCurves
from gui.plots.metric_curve import MetricCurve
from gui.plots.plot_card import PlotCard
from gui.plots.roc_plot import OperatingPoint, RocCurve, RocPlot
from gui.plots.series import GrowingSeries, peak_decimate
from gui.theme import ThemeChoice, theme
from gui.tokens import DARK, LIGHT


@pytest.fixture
def curves(qtbot):
    plot = LearningCurves()
    qtbot.addWidget(plot)
    plot.resize(500, 300)
    plot.show()
    qtbot.waitExposed(plot)
    return plot


def test_decimation_keeps_every_peak_and_stays_small():
    rng = np.random.default_rng(0)
    x = np.arange(100_003, dtype=np.float64)
    y = rng.random(x.size)
    peaks = [17, 50_000, 100_002]
    y[peaks] = [9.0, -9.0, 8.0]
    shown_x, shown_y = peak_decimate(x, y, 2000)
    assert shown_x.size == shown_y.size <= 2000
    assert np.all(np.diff(shown_x) >= 0)
    assert {9.0, -9.0, 8.0} <= set(shown_y)


def test_few_points_are_not_decimated():
    x = np.arange(5.0)
    shown_x, shown_y = peak_decimate(x, x * 2, 2000)
    assert shown_x.tolist() == x.tolist()
    assert shown_y.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_decimation_ignores_values_that_are_not_numbers():
    y = np.full(5000, np.nan)
    y[100] = 1.0
    _, shown = peak_decimate(np.arange(5000.0), y, 100)
    assert np.nanmax(shown) == 1.0


def test_a_series_keeps_everything_while_it_grows():
    series = GrowingSeries()
    for step in range(10_000):
        series.append(step, step % 7)
    assert len(series) == 10_000
    assert series.x[-1] == 9999
    assert series.y.tolist() == [step % 7 for step in range(10_000)]


def test_the_running_mean_is_exact_from_the_first_value_on():
    series = GrowingSeries(memory=0.5)
    for step, value in enumerate((4.0, 1.0, float("nan"), 1.0)):
        series.append(step, value)
    # Weights 1 | 1:2 | skipped | 1:2:4, newest last.
    assert series.smooth.tolist() == pytest.approx([4.0, 2.0, 2.0, (4 + 2 + 4) / 7])


def test_many_updates_within_a_moment_become_one_redraw(curves, qtbot, monkeypatch):
    qtbot.wait(150)
    calls = []
    monkeypatch.setattr(curves, "redraw", lambda: calls.append(1))
    for step in range(500):
        curves.append_batch(step, 1.0)
    qtbot.wait(250)
    assert len(calls) == 1


def test_a_hidden_plot_draws_only_when_it_is_shown_again(curves, qtbot, monkeypatch):
    qtbot.wait(150)
    calls = []
    monkeypatch.setattr(curves, "redraw", lambda: calls.append(1))
    curves.hide()
    curves.append_batch(1, 1.0)
    qtbot.wait(150)
    assert not calls
    curves.show()
    assert calls == [1]


def test_an_hour_of_updates_is_drawn_with_two_thousand_points(curves):
    curves.start(steps_per_epoch=1000)
    for step in range(72_000):
        curves.append_batch(step, 1.0 / (1 + step))
    curves.redraw()
    x, _ = curves._batch_curve.getData()
    assert 1000 < len(x) <= 2000


def test_batches_are_placed_on_the_axis_of_epochs(curves):
    for step in range(1, 21):
        curves.append_batch(step, 0.5)
    curves.append_epoch(1, 0.5, 0.6, 0.7)
    curves.redraw()
    x, _ = curves._batch_curve.getData()
    assert x[-1] == pytest.approx(1.0)


def test_the_table_of_a_run_has_epochs_and_batches(curves):
    curves.append_batch(1, 0.75)
    curves.append_epoch(1, 0.5, 0.25, 0.875)
    curves.append_epoch(2, 0.5, 0.25)
    rows = list(csv.DictReader(io.StringIO(curves.to_csv())))
    assert [row["kind"] for row in rows] == ["epoch", "epoch", "batch"]
    assert rows[0] == {
        "kind": "epoch",
        "number": "1",
        "train_loss": "0.5",
        "val_loss": "0.25",
        "val_auroc": "0.875",
    }
    assert rows[1]["val_auroc"] == ""
    assert float(rows[2]["train_loss"]) == 0.75


def test_a_new_run_starts_from_nothing(curves):
    curves.append_batch(1, 0.75)
    curves.append_epoch(1, 0.5, 0.25, 0.875)
    curves.start(n_epochs=8)
    curves.redraw()
    assert curves.to_csv().count("\n") == 1
    assert curves.stops() == []


def test_a_logarithmic_axis_leaves_out_zero(curves):
    curves.set_smooth(False)
    curves.set_log(True)
    for step, loss in enumerate((1.0, 0.0, 0.1)):
        curves.append_batch(step, loss)
    curves.redraw()
    _, shown = curves._batch_curve.getData()
    assert np.isnan(shown[1])
    assert shown[2] == pytest.approx(-1.0)


def test_values_are_read_off_with_the_keyboard(curves, qtbot):
    curves.append_epoch(1, 0.5, 0.625)
    curves.append_epoch(2, 0.25, 0.5)
    curves.redraw()
    qtbot.keyClick(curves, Qt.Key.Key_Home)
    assert "epoch 1 · training 0.5000 · validation 0.6250" in curves.accessibleDescription()
    qtbot.keyClick(curves, Qt.Key.Key_Right)
    assert "epoch 2" in curves.accessibleDescription()
    qtbot.keyClick(curves, Qt.Key.Key_Escape)
    assert curves._read_out.isHidden()


def test_plots_take_over_the_colors_of_the_theme(curves):
    theme().set_choice(ThemeChoice.LIGHT)
    assert curves._train_curve.opts["pen"].color().name() == LIGHT.accent
    theme().set_choice(ThemeChoice.DARK)
    assert curves._train_curve.opts["pen"].color().name() == DARK.accent


def test_saved_figures_are_light_and_the_screen_stays_dark(curves):
    theme().set_choice(ThemeChoice.DARK)
    curves.set_print_header("Loss", [("training", "accent")])
    image = curves.to_image()
    assert image.pixelColor(2, 2).name() == LIGHT.panel
    assert image.width() > 2 * curves.width()
    assert curves.tokens is DARK
    root = ElementTree.fromstring(curves.to_svg())
    assert root.tag.endswith("svg")


def test_the_best_epoch_is_the_first_of_the_highest(qtbot):
    curve = MetricCurve("AUROC")
    qtbot.addWidget(curve)
    assert curve.best is None
    for epoch, value in enumerate((0.6, float("nan"), 0.8, 0.8, 0.7), start=1):
        curve.append(epoch, value)
    curve.redraw()
    assert curve.best == (3, 0.8)
    assert curve.read_out(3.0) == "epoch 3 · 0.800 · best"
    assert curve.to_csv().splitlines()[1] == "1,0.6"


def test_roc_marks_the_threshold_and_reads_off_rates(qtbot):
    plot = RocPlot()
    qtbot.addWidget(plot)
    plot.set_curves(
        [RocCurve("a, b", (0.0, 0.25, 1.0), (0.0, 0.75, 1.0), (float("inf"), 0.5, 0.0))]
    )
    plot.set_operating_point(OperatingPoint(0.25, 0.75, 0.5))
    expected = "sensitivity 0.750 · specificity 0.750 · threshold 0.500"
    assert plot.accessibleDescription() == expected
    assert plot.read_out(0.25) == expected
    rows = list(csv.DictReader(io.StringIO(plot.to_csv())))
    assert rows[1] == {"curve": "a, b", "fpr": "0.25", "tpr": "0.75", "threshold": "0.5"}
    plot.set_operating_point(None)


def test_a_curve_with_unequal_lists_is_refused(qtbot):
    plot = RocPlot()
    qtbot.addWidget(plot)
    with pytest.raises(ValueError, match="differ in length"):
        plot.set_curves([RocCurve("x", (0.0, 1.0), (0.0,))])


def test_a_card_switches_log_and_smooth(qtbot):
    curves = LearningCurves()
    card = PlotCard("Loss", curves, explanation="It shows.", legend=[("training", "accent")])
    qtbot.addWidget(card)
    switches = {b.text(): b for b in card.findChildren(QToolButton) if b.isCheckable()}
    switches["log"].click()
    switches["smooth"].click()
    assert curves.is_log
    assert not curves.is_smooth


def numbers_at(plot, side: str) -> list[str]:
    """Return the numbers that an axis really draws, in order."""
    plot.resize(340, 220)
    plot.show()
    plot.redraw()
    axis = plot._item.getAxis(side)
    image = QImage(400, 300, QImage.Format.Format_ARGB32)
    painter = QPainter(image)
    painter.setFont(theme().font("small"))
    _, _, texts = axis.generateDrawSpecs(painter)
    painter.end()
    return sorted(text for _, _, text in texts)


@pytest.mark.parametrize("values", [(0.95, 0.96, 0.965), (0.5, 0.6), (0.999, 1.0), (0.0, 0.4)])
def test_a_measure_has_numbers_at_both_ends_and_none_beyond_one(qtbot, values):
    curve = MetricCurve("AUROC")
    qtbot.addWidget(curve)
    for epoch, value in enumerate(values, start=1):
        curve.append(epoch, value)
    shown = [float(text) for text in numbers_at(curve, "left")]
    assert 0.0 <= shown[0] <= min(values)
    assert max(values) <= shown[-1] <= 1.0


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_roc_axes_are_numbered_from_end_to_end(qtbot, scale):
    theme().set_text_scale(scale)
    plot = RocPlot()
    qtbot.addWidget(plot)
    for side in ("left", "bottom"):
        assert numbers_at(plot, side) == ["0.00", "0.25", "0.50", "0.75", "1.00"]
