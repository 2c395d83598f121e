"""A column that holds one class, or one grade, in each cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.contract.import_rules import LabelRule
from engine.data.flags import MINUS_ONE, UNCERTAIN_WORDS, Flag, flag, plain_number
from engine.data.label_names import first_spellings, ordered_classes, require_few
from engine.data.label_notes import unsure_notes
from engine.data.row_labels import RowLabel, SheetLabels
from engine.project.classes import ORDINAL, SINGLE, clean_name, positive_of_two


def read_classes(column: str, cells: Sequence[str | None], rule: LabelRule) -> SheetLabels:
    """Read the one class of each cell; None is a blank one.

    Raises:
        DatasetError: If there are far too many classes, or the rule's order leaves grades out.
    """
    texts = [None if cell is None else clean_name(plain_number(cell)) for cell in cells]
    certain = first_spellings(text for text in texts if text is not None)
    uncertain = _unsure_words(certain)
    for word in uncertain:
        certain.pop(word, None)
    require_few(column, len(certain), sum(text is not None for text in texts))
    stand_in = _stand_in(list(certain.values()), rule.uncertain)
    rows, n_unsure = [], 0
    for text in texts:
        if text is not None and text.casefold() in uncertain:
            n_unsure += 1
            text = stand_in
        rows.append(RowLabel(None if text is None else certain.get(text.casefold(), text)))
    task = ORDINAL if rule.task == ORDINAL else SINGLE
    classes = ordered_classes(certain.values(), rule, task)
    return SheetLabels(task, classes, rows, notes=unsure_notes(n_unsure, stand_in, rule))


def _unsure_words(words: Iterable[str]) -> frozenset[str]:
    """Return which labels say that the reader wasn't sure; ``u`` and -1 only among yes and no."""
    flags = [flag(word) for word in words if word not in (MINUS_ONE, "u")]
    is_yes_or_no = flags and set(flags) <= {Flag.PRESENT, Flag.ABSENT, Flag.UNCERTAIN}
    return UNCERTAIN_WORDS | {MINUS_ONE} if is_yes_or_no else UNCERTAIN_WORDS - {"u"}


def _stand_in(classes: Sequence[str], uncertain: str) -> str | None:
    """Return the class that an uncertain label counts as; None leaves the image unlabelled."""
    if uncertain == "ignore" or len(classes) != 2:
        return None
    positive = positive_of_two(classes)
    return classes[positive if uncertain == "positive" else 1 - positive]
