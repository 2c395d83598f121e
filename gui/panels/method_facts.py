"""What a method has to say about the network it made: how much stayed, what was added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from PySide6.QtCore import QCoreApplication, QLocale
from PySide6.QtWidgets import QLabel, QWidget

from engine.contract.events import COMPLETED, STOPPED
from engine.contract.records import RunSummary
from gui.itemmodels.run_words import number_text, percent_text, run_title
from gui.session import Session
from gui.widgets.card import Card
from gui.widgets.painting import set_role
from gui.widgets.share_bars import Share, ShareBars

__all__ = ["MethodFactsCard", "RunFactsCard"]


class MethodFactsCard(Card):
    """Facts of a finished run (``RunFinished.result["method_facts"]``) as a picture and a line."""

    def __init__(self, *, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._bars = ShareBars()
        self._line = QLabel()
        self._line.setWordWrap(True)
        set_role(self._line, "secondary")
        self.body.addWidget(self._bars)
        self.body.addWidget(self._line)
        self.hide()

    @property
    def bars(self) -> ShareBars:
        """The picture."""
        return self._bars

    @property
    def text(self) -> str:
        """The line below it."""
        return self._line.text()

    def set_facts(self, facts: Mapping[str, Any]) -> bool:
        """Show facts and return whether there were any that people should see."""
        untouched, moved = facts.get("untouched"), facts.get("moved")
        added = facts.get("added")
        as_it_is = [facts[name] for name in ("direct_use", "likeness", "seen") if name in facts]
        if untouched:
            self._show_untouched(untouched, facts)
        elif moved:
            self._show_moved(moved, facts)
        elif added:
            self.set_title(self.tr("Weights that were trained"))
            self._bars.hide()
            text = self.tr(
                "{0} weights were learned beside the pre-trained ones, {1} as many as there are; "
                "they are now part of the network."
            )
            n_weights = QLocale().toString(int(added["weights"]))
            self._line.setText(text.format(n_weights, _percent(added["share"])))
        elif as_it_is:
            self.set_title(self.tr("Whether it can be used as it is"))
            self._bars.hide()
            self._line.setText(" ".join(map(str, as_it_is)))
        return bool(untouched or moved or added or as_it_is)

    def _show_untouched(self, untouched: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        self.set_title(self.tr("Weights that stayed exactly as pre-trained"))
        layers: Sequence[Mapping[str, Any]] = untouched["layers"]
        rows = [self._layer(layer, number == 1) for number, layer in enumerate(layers, start=1)]
        overall, of_trained = float(untouched["share"]), untouched.get("share_of_trained")
        frozen = ""
        if of_trained is None or all(layer["trained"] for layer in layers):
            rows.append(Share(self.tr("All"), overall, _percent(overall)))
        else:
            rows.append(Share(self.tr("All that were trained"), of_trained, _percent(of_trained)))
            frozen = self.tr("With the stages that were frozen, {0} of all weights stayed.")
        self._bars.set_shares(rows)
        self._bars.setAccessibleName(self.title)
        self._bars.show()
        lines = (self._strength(facts), frozen.format(_percent(overall)))
        self._line.setText(" ".join(line for line in lines if line))

    def _show_moved(self, moved: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Show distances in figures alone: of bars as long as the norm one would see nothing."""
        self.set_title(self.tr("Distance from the pre-trained weights, in percent of their norm"))
        rows = []
        for number, layer in enumerate(moved["layers"], start=1):
            text = _decimal(layer["distance"]) if layer["trained"] else self.tr("not trained")
            rows.append(Share(self._name(layer["name"], number == 1), None, text))
        if (of_trained := moved["distance_of_trained"]) is not None:
            rows.append(Share(self.tr("All that were trained"), None, _decimal(of_trained)))
        self._bars.set_shares(rows)
        self._bars.setAccessibleName(self.title)
        self._bars.show()
        self._line.setText(self._strength(facts))

    def _layer(self, layer: Mapping[str, Any], is_first: bool) -> Share:
        """Return the row of a layer group; what was frozen could not change, so it has no share."""
        name = self._name(layer["name"], is_first)
        if not layer.get("trained", True):
            return Share(name, None, self.tr("not trained"))
        share = layer["untouched"] / max(1, layer["weights"])
        return Share(name, share, _percent(share))

    def _name(self, name: str, is_first: bool) -> str:
        stage = self.tr("Stage %s") % name.rpartition(" ")[2]
        return self.tr("%s, next to the image") % stage if is_first else stage

    def _strength(self, facts: Mapping[str, Any]) -> str:
        strength = QLocale().toString(float(facts.get("strength") or 0.0), "g", 3)
        tried = facts.get("tried") or ()
        if not tried:
            return self.tr("The pull towards the pre-trained weights was set to {0}.").format(
                strength
            )
        locale = QLocale()
        found = ", ".join(
            self.tr("{0}: {1}").format(locale.toString(float(s), "g", 3), number_text(float(a)))
            for s, a in tried
        )
        text = self.tr(
            "A pull of {0} was chosen: the strongest that was as good on validation as the best. "
            "AUROC after a short training with each: {1}."
        )
        return text.format(strength, found)


class RunFactsCard(MethodFactsCard):
    """The same of a run of the history, read from its folder."""

    def __init__(self, session: Session, *, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._session = session
        self._run = ""

    def show_run(self, run: RunSummary | None) -> None:
        """Show what is kept of a finished run; nothing of any other."""
        is_kept = run is not None and run.state in (COMPLETED, STOPPED)
        wanted = run.id if run is not None and is_kept else ""
        if wanted == self._run:
            return
        self._run = wanted
        self.hide()
        if run is not None and wanted:
            self.set_secondary(run_title(run))
            self._session.background.do(partial(self._read, run), self._take)

    def _read(self, run: RunSummary) -> tuple[str, dict[str, Any]]:
        facts = self._session.method_facts(run.id)
        if run.method == "l2_sp":  # earlier versions counted here what had got no gradient
            facts.pop("untouched", None)
        return run.id, facts

    def _take(self, read: tuple[str, dict[str, Any]]) -> None:
        run, facts = read
        if run == self._run:  # another may have been chosen meanwhile
            self.setVisible(self.set_facts(facts))


def _percent(share: float) -> str:
    """Return a share in percents, with a decimal where whole ones would say none or all."""
    if share in (0.0, 1.0) or 0.01 <= share <= 0.99:
        return percent_text(share)
    return _decimal(share)


def _decimal(share: float) -> str:
    """Return a share in percents with a decimal."""
    return QCoreApplication.translate("MethodFactsCard", "%s\u00a0%%") % (
        QLocale().toString(100.0 * share, "f", 1)
    )
