"""The page that applies an exported classifier to new images; it needs no project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QLocale, QSignalBlocker, Qt
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QGridLayout,
    QLabel,
    QPushButton,
    QWidget,
)

from engine.contract.commands import Predict
from engine.contract.config_io import from_plain
from engine.contract.events import COMPLETED, Event, JobFinished, JobProgressed
from engine.contract.results import PredictionResult
from gui.itemmodels.run_words import backbone_name, number_text
from gui.messages import left_text
from gui.panels.apply_bundle import (
    BundleSummary,
    find_bundles,
    free_path,
    read_summary,
    source_of,
)
from gui.panels.apply_result import ApplyResult
from gui.panels.panel import Panel
from gui.panels.scroll_body import scroll_body
from gui.session import Session
from gui.widgets.buttons import make_button
from gui.widgets.card import Card
from gui.widgets.drop_area import DropArea, DropTarget
from gui.widgets.elided_label import ElidedLabel
from gui.widgets.message_bar import MessageKind
from gui.widgets.painting import set_role
from gui.widgets.progress_row import ProgressRow
from gui.worker.engine_thread import EngineThread

__all__ = ["ApplyPanel"]


class ApplyPanel(Panel):
    """Choose a bundle, drop images, get a table."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent=parent)
        self.header.set_title(self.tr("Apply"))
        self.header.set_subtitle(self.tr("An exported classifier on new images"))
        self._bundles: list[BundleSummary] = []
        self._others: list[BundleSummary] = []
        self._bundle: BundleSummary | None = None
        self._source: Path | None = None
        self._out: Path | None = None
        self._job: EngineThread | None = None
        self._taken_export: Path | None = None
        self._is_canceling = False
        self._has_result = False
        self._cancel = self.header.add_button(self.tr("Cancel"))
        self._apply = self.header.add_button(self.tr("Apply"), icon="apply", is_primary=True)
        self._cancel.clicked.connect(self._on_cancel)
        self._apply.clicked.connect(self.apply)
        self._build()
        target = DropTarget(self)  # the whole page takes drops, also beside the dashed area
        target.paths_dropped.connect(self.take_paths)
        session.project_changed.connect(self._on_project)
        session.snapshot_changed.connect(self.find_bundles)
        self.find_bundles()

    def on_shown(self) -> None:
        """Look for bundles that were written since."""
        self.find_bundles()

    @property
    def result(self) -> ApplyResult:
        """The view of the predictions."""
        return self._view

    @property
    def bundle(self) -> BundleSummary | None:
        """The chosen bundle."""
        return self._bundle

    @property
    def out(self) -> Path | None:
        """Where the table will be written."""
        return self._out

    def find_bundles(self) -> None:
        """List the project's bundles; one that was just exported is chosen."""
        self._bundles = find_bundles(self.session.folder)
        known = [*self._bundles, *self._others]
        new = Path(self.session.exported_bundle) if self.session.exported_bundle else None
        is_known = new is None or any(b.folder == new for b in known)
        if new is not None and not is_known and (summary := read_summary(new)) is not None:
            self._others.append(summary)
            known.append(summary)
        if new is not None and new != self._taken_export:
            self._taken_export = new
            self._bundle = next((b for b in known if b.folder == new), self._bundle)
        folders = [b.folder for b in known]
        if self._bundle is None or self._bundle.folder not in folders:
            self._bundle = known[0] if known else None
        with QSignalBlocker(self._combo):
            self._combo.clear()
            for summary in known:
                self._combo.addItem(summary.name, summary.folder)
            if self._bundle is not None:
                self._combo.setCurrentIndex(folders.index(self._bundle.folder))
        self._refresh()

    def take_bundle(self, folder: Path) -> None:
        """Use a bundle from anywhere."""
        summary = read_summary(folder)
        if summary is None:
            self.show_message(
                MessageKind.ERROR,
                self.tr("This folder is not a classifier exported by RadTune."),
                self.tr("Choose the folder that holds bundle.json."),
            )
            return
        self._bundle = summary
        if all(b.folder != folder for b in (*self._bundles, *self._others)):
            self._others.append(summary)
        self.find_bundles()

    def take_paths(self, paths: list[Path]) -> None:
        """Take what was dropped: images to apply to, or a bundle."""
        if self._job is not None or not paths:
            return
        if len(paths) == 1 and (paths[0] / "bundle.json").is_file():
            self.take_bundle(paths[0])
            return
        source, is_more = source_of(paths)
        if is_more:
            self.show_message(
                MessageKind.INFO,
                self.tr("The folder that holds these images was taken, with everything in it."),
                self.tr("To apply to one image alone, drop that one."),
            )
        self._source = source
        folder = source.parent if self.session.folder is None else self.session.folder.parent
        self._out = free_path(folder, self.tr("%s predictions") % source.stem, ".csv")
        self._has_result = False
        self._refresh()

    def take_out(self, path: Path) -> None:
        """Write the table elsewhere."""
        self._out = path if path.suffix else path.with_suffix(".csv")
        self._refresh()

    def apply(self) -> None:
        """Apply the bundle to the images."""
        if self._bundle is None or self._source is None or self._out is None or self._job:
            return
        command = Predict(
            bundle=str(self._bundle.folder), source=str(self._source), out=str(self._out)
        )
        self._is_canceling = False
        self._progress.set_label(self.tr("Applying…"))
        self._progress.set_progress(None)
        self._job = self.session.jobs.start(command, self._on_finished, self._on_event)
        self._refresh()

    def _build(self) -> None:
        column = scroll_body(self).column
        column.addWidget(self._build_choices())
        self._progress = ProgressRow()
        self._progress_card = Card()
        self._progress_card.body.addWidget(self._progress)
        column.addWidget(self._progress_card)
        self._drop = DropArea(
            self.tr("Drop images or a folder here"),
            self.tr("DICOM, PNG, JPEG, TIFF and BMP. The images are read, never changed."),
        )
        self._drop.paths_dropped.connect(self.take_paths)
        self._drop.add_button(self.tr("Choose a folder…"), icon="folder").clicked.connect(
            self.ask_folder
        )
        self._drop.add_button(self.tr("Choose an image…")).clicked.connect(self.ask_file)
        self._view = ApplyResult()
        column.addWidget(self._drop, 1000)
        column.addWidget(self._view, 1000)
        line = QLabel(self.tr("For research and teaching. Not for clinical use."))
        set_role(line, "secondary")
        column.addWidget(line)
        column.addStretch(1)
        self._clinical = line

    def _build_choices(self) -> Card:
        self._combo = QComboBox()
        self._combo.setMinimumContentsLength(20)
        self._combo.setPlaceholderText(self.tr("No classifier yet"))
        self._combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self._combo.activated.connect(self._on_combo)
        self._facts = QLabel()
        self._facts.setWordWrap(True)
        set_role(self._facts, "secondary")
        self._source_label = ElidedLabel(mode=Qt.TextElideMode.ElideMiddle)
        self._out_label = ElidedLabel(mode=Qt.TextElideMode.ElideMiddle)
        other = make_button(self.tr("Other bundle…"))
        other.clicked.connect(self.ask_bundle)
        self._change_source = make_button(self.tr("Other images…"))
        self._change_source.clicked.connect(self.ask_folder)
        self._change_out = make_button(self.tr("Elsewhere…"))
        self._change_out.clicked.connect(self.ask_out)
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        rows: tuple[tuple[str, QWidget, QPushButton], ...] = (
            (self.tr("Classifier"), self._combo, other),
            (self.tr("Images"), self._source_label, self._change_source),
            (self.tr("Table"), self._out_label, self._change_out),
        )
        for place, (text, widget, button) in enumerate(rows):
            label = QLabel(text)
            set_role(label, "secondary")
            label.setBuddy(widget)
            widget.setAccessibleName(text)
            grid.addWidget(label, 2 * place, 0)
            grid.addWidget(widget, 2 * place, 1)
            grid.addWidget(button, 2 * place, 2)
        grid.addWidget(self._facts, 1, 1, 1, 2)
        card = Card()
        card.body.addLayout(grid)
        self._other = other
        return card

    def ask_bundle(self) -> None:
        """Ask for the folder of a bundle."""
        self._ask(self.tr("Choose a classifier"), self.take_bundle, is_folder=True)

    def ask_folder(self) -> None:
        """Ask for a folder of images."""
        self._ask(
            self.tr("Choose a folder of images"), lambda p: self.take_paths([p]), is_folder=True
        )

    def ask_file(self) -> None:
        """Ask for one image."""
        self._ask(self.tr("Choose an image"), lambda p: self.take_paths([p]), is_folder=False)

    def ask_out(self) -> None:
        """Ask where the table shall be written."""
        dialog = self._dialog(self.tr("Write the table to"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter(self.tr("Table (*.csv)"))
        dialog.setDefaultSuffix("csv")
        if self._out is not None:
            dialog.setDirectory(str(self._out.parent))
            dialog.selectFile(self._out.name)
        dialog.fileSelected.connect(lambda name: self.take_out(Path(name)))
        dialog.open()

    def _ask(self, title: str, take: Callable[[Path], None], *, is_folder: bool) -> None:
        dialog = self._dialog(title)
        kinds = QFileDialog.FileMode
        dialog.setFileMode(kinds.Directory if is_folder else kinds.ExistingFile)
        dialog.fileSelected.connect(lambda name: take(Path(name)))
        dialog.open()

    def _dialog(self, title: str) -> QFileDialog:
        dialog = QFileDialog(self, title)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        return dialog

    def _on_project(self) -> None:
        self._bundle = None
        self._has_result = False
        self.find_bundles()

    def _on_combo(self, place: int) -> None:
        folder = self._combo.itemData(place)
        known = (*self._bundles, *self._others)
        self._bundle = next((b for b in known if b.folder == folder), self._bundle)
        self._refresh()

    def _on_cancel(self) -> None:
        if self._job is not None:
            self._is_canceling = True
            self._job.request("cancel")
            self._refresh()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, JobProgressed):
            fraction = event.done / event.total if event.total else None
            left = left_text(event.seconds_left)
            counts = ""
            if event.total:
                locale = QLocale()
                counts = self.tr("{0} of {1}").format(
                    locale.toString(event.done), locale.toString(event.total)
                )
            self._progress.set_label(event.stage)
            self._progress.set_progress(fraction, " · ".join(p for p in (counts, left) if p))

    def _on_finished(self, finished: JobFinished) -> None:
        self._job = None
        if finished.outcome == COMPLETED:
            result: PredictionResult = from_plain(PredictionResult, finished.result)
            self._view.set_result(result, self._threshold_text())
            self._has_result = True
        else:
            self.show_failure(finished)
        self._refresh()

    def _refresh(self) -> None:
        bundle, is_busy = self._bundle, self._job is not None
        self._combo.setEnabled(self._combo.count() > 0 and not is_busy)
        self._facts.setText(self._bundle_text())
        self._show_path(self._source_label, self._source, self.tr("none chosen yet"))
        self._show_path(self._out_label, self._out, self.tr("a CSV file beside the images"))
        self._change_source.setEnabled(not is_busy)
        self._change_out.setEnabled(self._out is not None and not is_busy)
        self._other.setEnabled(not is_busy)
        self._apply.setEnabled(bundle is not None and self._source is not None and not is_busy)
        self._apply.setText(self.tr("Applying…") if is_busy else self.tr("Apply"))
        self._cancel.setVisible(is_busy)
        self._cancel.setEnabled(not self._is_canceling)
        self._cancel.setText(self.tr("Canceling…") if self._is_canceling else self.tr("Cancel"))
        self._progress_card.setVisible(is_busy)
        self._view.setVisible(self._has_result and not is_busy)
        self._drop.setVisible(not self._has_result and not is_busy)
        self._clinical.setVisible(not self._view.isVisibleTo(self))

    def _show_path(self, label: ElidedLabel, path: Path | None, otherwise: str) -> None:
        label.setText(str(path) if path is not None else otherwise)
        set_role(label, "" if path is not None else "secondary")

    def _bundle_text(self) -> str:
        bundle = self._bundle
        if bundle is None:
            return self.tr(
                "There is no exported classifier here yet. Export one on the Evaluate page, or "
                "choose a bundle from another computer."
            )
        several = self.tr("any of %s") if bundle.thresholds else "%s"
        parts = [several % ", ".join(bundle.classes)]
        if bundle.backbone:
            parts.append(backbone_name(bundle.backbone))
        if bundle.auroc is not None:
            parts.append(self.tr("AUROC on its test set {0}").format(number_text(bundle.auroc)))
        text = " · ".join(parts) + "."
        return f"{text} {self._threshold_text()}".strip()

    def _threshold_text(self) -> str:
        bundle = self._bundle
        if bundle is None:
            return ""
        if bundle.thresholds:
            return self.tr("Each finding counts as present from its own threshold on.")
        if bundle.threshold is None or bundle.positive is None:
            return self.tr("The most probable class is the answer.")
        text = self.tr("An image counts as {0} from a probability of {1} on.")
        return text.format(bundle.positive, number_text(bundle.threshold, 2))
