"""Plots of a run as files, for those who work without the window."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names

from engine.contract.results import EvaluationResult

_CHINESE_FONTS: Final = (
    "Microsoft YaHei",
    "PingFang SC",
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "SimHei",
)
_LONGEST_NAME: Final = 40
_BLUE, _ORANGE, _GREY = "#0b66c3", "#a85b00", "#566273"


def write_plots(result: EvaluationResult, history: Path, folder: Path) -> None:
    """Write ``roc``, ``confusion`` and, if epochs were trained, ``learning_curves`` as PNG and SVG.

    Of several findings at once each has a confusion matrix: ``confusion 1``, ``confusion 2``… in
    their order.

    Args:
        result: What the plots show.
        history: The run's ``history.csv``; may be absent.
        folder: Where the files go; made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with rc_context({"font.family": _fonts()}):
        _save(_roc(result), folder / "roc")
        if result.findings:
            for number, found in enumerate(result.findings, 1):
                _save(_confusion(found.result), folder / f"confusion {number}")
        else:
            _save(_confusion(result), folder / "confusion")
        if history.is_file():
            _save(_learning_curves(history), folder / "learning_curves")


def _fonts() -> list[str]:
    """Return matplotlib's own font and, for class names, the Chinese fonts that are installed."""
    installed = set(get_font_names())
    return ["DejaVu Sans", *(name for name in _CHINESE_FONTS if name in installed)]


def _roc(result: EvaluationResult) -> Figure:
    figure, axes = _figure("ROC on test", "1 - specificity", "Sensitivity")
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle="--")
    colours = [_BLUE, _ORANGE, "#13795b", "#7b4fb5", "#b3261e", "#8a6100"]
    own = {found.name: f" {found.result.auroc:.3f}" for found in result.findings}
    for index, (name, curve) in enumerate(result.roc.items()):
        label = _literal(name) + own.get(name, "")
        axes.plot(curve.fpr, curve.tpr, color=colours[index % len(colours)], label=label)
    mean = "Mean AUROC" if result.findings else "AUROC"
    axes.legend(
        title=f"{mean} {result.auroc:.3f} ({result.auroc_low:.3f} to {result.auroc_high:.3f})",
        loc="lower right",
        frameon=False,
    )
    axes.set_aspect("equal")
    return figure


def _confusion(result: EvaluationResult) -> Figure:
    figure, axes = _figure("Confusion on test", "Prediction", "Reference")
    shares = [[n / max(1, sum(row)) for n in row] for row in result.confusion]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for y, row in enumerate(result.confusion):
        for x, n in enumerate(row):
            colour = "white" if shares[y][x] > 0.6 else "black"
            axes.text(x, y, str(n), ha="center", va="center", color=colour)
    ticks = range(len(result.classes))
    names = [_literal(name) for name in result.classes]
    axes.set_xticks(ticks, names, rotation=30, ha="right")
    axes.set_yticks(ticks, names)
    axes.grid(visible=False)
    return figure


def _learning_curves(history: Path) -> Figure:
    with history.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    epochs = [int(row["epoch"]) for row in rows]
    figure, axes = _figure("Learning curves", "Epoch", "Loss")
    axes.plot(epochs, [float(r["train_loss"]) for r in rows], color=_BLUE, label="Training loss")
    axes.plot(epochs, [float(r["val_loss"]) for r in rows], color=_ORANGE, label="Validation loss")
    right = axes.twinx()
    aurocs = [float(r["val_auroc"]) for r in rows]
    right.plot(epochs, aurocs, color=_GREY, linestyle=":", label="Validation AUROC")
    right.set_ylabel("AUROC")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _literal(name: str) -> str:
    """Return a class name as text that is drawn as it is.

    Dollar signs would begin a formula, and a leading underscore would hide a curve's label.
    """
    shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
    return ("\u200b" + shown if shown.startswith("_") else shown).replace("$", r"\$")


def _figure(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    axes.grid(color="#d7dde5", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, stem: Path) -> None:
    with warnings.catch_warnings():
        # Fonts differ between machines; a letter that none has is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(stem.with_suffix(".png"), dpi=150)
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
