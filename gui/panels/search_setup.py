"""What the search page can do, what each needs to be told, and about how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from engine.contract.commands import Combine, Crossval, LrRange, Search
from engine.contract.config import BackboneConfig, ExperimentConfig, preset_config
from engine.contract.config_io import from_plain
from engine.contract.errors import ConfigError
from engine.contract.methods import method_card
from engine.contract.records import RunSummary
from engine.contract.searching import ENSEMBLE, CrossvalResult
from engine.contract.seen_before import SeenBefore
from engine.contract.training_time import lr_range_seconds, training_seconds
from gui.itemmodels.run_words import (
    backbone_name,
    method_name,
    network_text,
    number_text,
    weights_text,
    when_text,
    with_weights,
)
from gui.itemmodels.seen_words import (
    choice_text,
    crossval_text,
    folds_mark_text,
    folds_text,
    mark_text,
    member_text,
)
from gui.messages import time_text
from gui.next_run import chosen_name
from gui.panels.train_estimate import pace_here, rough_text
from gui.seen_before import seen_by_backbone, seen_by_choice
from gui.session import Session
from gui.widgets.adaptive_row import AdaptiveRow
from gui.widgets.number_input import NumberInput
from gui.widgets.painting import set_role

__all__ = ["SearchSetup", "Work", "networks_text"]

_HEAD_ONLY: Final = "linear_probe"
_NAME: Final = Qt.ItemDataRole.UserRole
_MAX_LINES: Final = 7
_FIT_S: Final = 2.0
"""A decision layer on images that have been described."""
_START_S: Final = 2.0
"""A network that is loaded."""
Command = Search | Crossval | LrRange | Combine


class Work(StrEnum):
    """What can be done; the kind of its job."""

    SEARCH = "search"
    CROSSVAL = "crossval"
    RATE = "lr_range"
    COMBINE = "ensemble"


class SearchSetup(QStackedWidget):
    """A form for each kind of work, and the command that it makes.

    Signals:
        changed: Something was entered.
    """

    changed = Signal()

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._work = Work.SEARCH
        self.minutes = NumberInput(1, 1440, 30, unit=self.tr("min"))
        self.backbones = QComboBox()
        self.methods = QComboBox()
        self.folds = NumberInput(2, 20, 5)
        self.views = NumberInput(1, 16, 1)
        self.members = QListWidget()
        self._runs: dict[str, RunSummary] = {}
        self._folds: dict[str, SeenBefore | None] = {}
        self._settings = {work: QLabel() for work in (Work.CROSSVAL, Work.RATE)}
        self._pages = {
            Work.SEARCH: self._search_page(),
            Work.CROSSVAL: self._crossval_page(),
            Work.RATE: self._rate_page(),
            Work.COMBINE: self._combine_page(),
        }
        for page in self._pages.values():
            self.addWidget(page)
        self._connect()
        self.refresh()

    @property
    def work(self) -> Work:
        """What the shown form is for."""
        return self._work

    def set_work(self, work: Work) -> None:
        """Show the form of another kind of work."""
        self._work = work
        self.setCurrentWidget(self._pages[work])
        for page in self._pages.values():  # a stack is as high as its highest page otherwise
            page.setVisible(page is self._pages[work])
        self.setFixedHeight(self._pages[work].sizeHint().height())
        self.changed.emit()

    def refresh(self) -> None:
        """Show the present choices and finished runs."""
        config = self._session.config
        backbone = with_weights(
            config.backbone.key, chosen_name(self._session.device, config.backbone)
        )
        text = f"{backbone}, {method_name(config.method.key)}"
        for label in self._settings.values():
            label.setText(text)
        self._fill(
            self.backbones,
            self.tr("All whose weights are here"),
            self.tr("Only {0}").format(backbone_name(config.backbone.key)),
        )
        self._fill(
            self.methods,
            self.tr("The usual ones"),
            self.tr("Only {0}").format(method_name(config.method.key)),
        )

    def set_members(self, runs: Sequence[RunSummary], crossvals: Sequence[CrossvalResult]) -> None:
        """Offer these finished runs and cross-validations, keeping what was marked."""
        marked = set(self.marked())
        self._runs = {run.id: run for run in runs}
        self.members.blockSignals(True)
        self.members.clear()
        for run in runs:
            if not run.is_stale and run.method != ENSEMBLE:
                text = self.tr("{0} · {1} · AUROC {2}").format(
                    when_text(run.created), network_text(run), number_text(run.val_auroc)
                )
                if mark := mark_text(run):
                    text = f"{text} · {mark}"
                self._offer(run.id, text, is_marked=run.id in marked)
        self._folds = {}
        self._crossvals = {found.id: found for found in crossvals}
        for found in crossvals:
            backbone = _backbone_of(found)
            seen = self._folds[found.id] = seen_by_backbone(self._session, backbone)
            text = self.tr("The {0} networks of a cross-validation · {1} · AUROC {2}").format(
                found.n_folds,
                networks_text(self._session.device, found),
                number_text(found.auroc.value),
            )
            if mark := folds_mark_text(seen):
                text = f"{text} · {mark}"
            self._offer(found.id, text, is_marked=found.id in marked)
        lines = min(max(2, self.members.count()), _MAX_LINES)
        self.members.setFixedHeight(lines * (self.fontMetrics().height() + 12) + 8)
        self.members.blockSignals(False)
        self.set_work(self._work)

    def marked(self) -> list[str]:
        """Return the ids that are marked to be combined."""
        items = [self.members.item(row) for row in range(self.members.count())]
        return [
            str(item.data(_NAME)) for item in items if item.checkState() == Qt.CheckState.Checked
        ]

    def caution(self) -> str:
        """Return why the result will be or may be too good, or nothing."""
        match self._work:
            case Work.CROSSVAL:
                return crossval_text(seen_by_choice(self._session))
            case Work.RATE:
                return choice_text(seen_by_choice(self._session))
            case Work.COMBINE:
                marked = self.marked()
                runs = (member_text(self._runs[name]) for name in marked if name in self._runs)
                folds = (folds_text(self._folds.get(name)) for name in marked)
                return next(filter(None, (*runs, *folds)), "")
        return ""

    def problem(self) -> str:
        """Return why the work can't be started as it is, or nothing."""
        config = self._session.config
        card = method_card(config.method.key)
        if self._work is Work.RATE and card is not None and not card.has_passes:
            return self.tr(
                "{0} makes no passes over the images and has no learning rate. Choose another "
                "method on the Model page first."
            ).format(method_name(config.method.key))
        if self._work is Work.COMBINE:
            if self.members.count() == 0:
                return self.tr(
                    "Nothing can be combined yet: it takes finished runs, or a cross-validation."
                )
            chosen = self.marked()
            n_crossvals = sum(name.startswith("crossval-") for name in chosen)
            if n_crossvals and len(chosen) > 1:
                return self.tr("Mark either runs or one cross-validation.")
            if not chosen or (not n_crossvals and len(chosen) + self.views.value() < 3):
                return self.tr(
                    "Mark at least two runs, or one cross-validation; one run is enough with more "
                    "than one copy of each image."
                )
        return ""

    def command(self) -> Command:
        """Return what the form asks for.

        Raises:
            ValueError: If no project is open.
        """
        if self._session.folder is None:
            raise ValueError("no project is open")
        project, config = str(self._session.folder), self._session.config
        match self._work:
            case Work.SEARCH:
                return Search(
                    project=project,
                    minutes=float(self.minutes.value()),
                    config=self._starting_settings(),
                    backbones=(config.backbone.key,) if self.backbones.currentIndex() else (),
                    methods=(config.method.key,) if self.methods.currentIndex() else (),
                )
            case Work.CROSSVAL:
                return Crossval(project=project, config=config, folds=self.folds.value())
            case Work.RATE:
                return LrRange(project=project, config=config)
            case Work.COMBINE:
                chosen = self.marked()
                views = self.views.value()
                if chosen and chosen[0].startswith("crossval-"):
                    return Combine(project=project, crossval=chosen[0], test_time_views=views)
                return Combine(project=project, runs=tuple(chosen), test_time_views=views)

    def cost(self) -> str:
        """Return about how long the work takes, in a sentence."""
        config = self._session.config
        n_train, n_val = self._counts()
        if not n_train:
            return ""
        match self._work:
            case Work.SEARCH:
                return self._search_cost(n_train, n_val)
            case Work.CROSSVAL:
                n_folds = self.folds.value()
                rest = (n_train + n_val) * (n_folds - 1) / n_folds
                pace = pace_here(self._session, config)
                one = training_seconds(config, round(0.85 * rest), round(0.15 * rest), pace)
                if config.method.key == _HEAD_ONLY:  # each image is described once for all parts
                    one = (n_train + n_val) * pace.look_s / n_folds + _FIT_S
                text = self.tr("About {0} at most. The test images are not looked at.")
                return text.format(rough_text(one * n_folds))
            case Work.RATE:
                steps = LrRange(project="", config=config).steps
                pace = pace_here(self._session, config)
                seconds = lr_range_seconds(config, n_train, steps, pace)
                return self.tr("About {0}. Nothing is changed by it.").format(rough_text(seconds))
            case Work.COMBINE:
                text = self.tr(
                    "About {0}. Applying a combined run takes as long as all of its networks, "
                    "with every copy of an image, together."
                )
                return text.format(rough_text(self._combining_s(n_train, n_val)))

    def _combining_s(self, n_train: int, n_val: int) -> float:
        """Return how long predicting takes: validation, or of folds what was held out anew."""
        views, seconds = self.views.value(), 0.0
        for name in self.marked():
            run, n_looks = self._runs.get(name), n_val * views
            config = self._session.config
            if run is not None:
                config = replace(config, backbone=BackboneConfig(key=run.backbone))
            else:
                found = self._crossvals[name]
                config = from_plain(ExperimentConfig, found.config)
                is_kept = views == config.evaluation.test_time_views
                n_looks = 0 if is_kept else (n_train + n_val) * views
            seconds += _START_S + n_looks * pace_here(self._session, config).look_s
        return seconds

    def _search_cost(self, n_train: int, n_val: int) -> str:
        config = self._starting_settings()
        one = training_seconds(config, n_train, n_val, pace_here(self._session, config))
        seconds = 60.0 * self.minutes.value()
        text = self.tr(
            "It takes {0} and no longer. One training on all images takes about {1} at most with "
            "{2}; most are cut short when they show early that they aren't good."
        )
        backbone = backbone_name(config.backbone.key)
        return text.format(time_text(seconds), rough_text(one), backbone)

    def _starting_settings(self) -> ExperimentConfig:
        config = self._session.config
        if config.method.key != _HEAD_ONLY:
            return config
        return preset_config("standard", backbone=config.backbone.key, seed=config.seed)

    def _counts(self) -> tuple[int, int]:
        facts = self._session.advice.facts
        if self._session.snapshot.split is None or facts is None:
            return 0, 0
        return facts.total, facts.n_val

    def _search_page(self) -> QWidget:
        return _form(
            (self.tr("Time to spend"), self.minutes),
            (self.tr("Backbones"), self.backbones),
            (self.tr("Methods"), self.methods),
        )

    def _crossval_page(self) -> QWidget:
        self.folds.setToolTip(
            self.tr("Each part is held out once. More parts: a little more exact, and slower.")
        )
        return _form(
            (self.tr("Settings"), self._settings[Work.CROSSVAL]), (self.tr("Parts"), self.folds)
        )

    def _rate_page(self) -> QWidget:
        return _form((self.tr("Settings"), self._settings[Work.RATE]))

    def _combine_page(self) -> QWidget:
        self.members.setAccessibleName(self.tr("Runs to combine"))
        self.views.setToolTip(
            self.tr(
                "Besides the image itself, slightly moved copies of it are judged and averaged "
                "(test-time augmentation). Often a little better, and so many times as slow."
            )
        )
        form = _form((self.tr("Copies of each image"), self.views))
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.members)
        column.addWidget(form)
        return page

    def _connect(self) -> None:
        for number in (self.minutes, self.folds, self.views):
            number.valueChanged.connect(self.changed)
        for box in (self.backbones, self.methods):
            box.currentIndexChanged.connect(self.changed)
        self.members.itemChanged.connect(self.changed)

    def _offer(self, name: str, text: str, *, is_marked: bool) -> None:
        item = QListWidgetItem(text)
        item.setData(_NAME, name)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(Qt.CheckState.Checked if is_marked else Qt.CheckState.Unchecked)
        self.members.addItem(item)

    @staticmethod
    def _fill(box: QComboBox, *texts: str) -> None:
        if [box.itemText(i) for i in range(box.count())] == list(texts):
            return
        chosen = max(0, box.currentIndex())
        box.blockSignals(True)
        box.clear()
        box.addItems(texts)
        box.setCurrentIndex(chosen)
        box.blockSignals(False)


def networks_text(device: dict[str, Any], found: CrossvalResult) -> str:
    """Return backbone and method of a cross-validation, with the weights where not built in.

    Args:
        device: What the engine said of this computer.
        found: The cross-validation.
    """
    backbone = _backbone_of(found)
    weights = chosen_name(device, backbone) or weights_text(backbone.weights)
    return f"{with_weights(found.backbone, weights)}, {method_name(found.method)}"


def _backbone_of(found: CrossvalResult) -> BackboneConfig:
    """Return which weights the networks of a cross-validation began from."""
    try:
        config: ExperimentConfig = from_plain(ExperimentConfig, found.config)
    except ConfigError:  # of another version
        return BackboneConfig(key=found.backbone)
    return config.backbone


def _form(*rows: tuple[str, QWidget]) -> QWidget:
    """Return labelled fields side by side, or below each other where there is no room."""
    page = AdaptiveRow(spacing_px=24)
    for text, field in rows:
        label = QLabel(text)
        set_role(label, "secondary")
        label.setBuddy(field)
        pair = QWidget()
        row = QHBoxLayout(pair)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(12)
        row.addWidget(label)
        row.addWidget(field)
        row.addStretch(1)
        page.add(pair)
    return page
