"""Classes of a project, and which of two is the positive one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from engine.contract.errors import DatasetError
from engine.contract.records import ClassSummary
from engine.project.records import ProjectCounts, RecordStore

_NEGATIVE: Final = frozenset(
    (
        *("normal", "normals", "negative", "neg", "no", "none", "nothing", "healthy", "control"),
        *("controls", "0", "benign", "absent", "absence", "false", "clear", "unremarkable"),
        *("nofinding", "nofindings", "正常", "阴性", "陰性", "健康", "良性", "对照", "對照"),
    )
)
_NEGATIVE_START: Final = re.compile(
    # "non-small-cell" and "non-Hodgkin" are diseases.
    r"(no|not|without|absence of|normal|negative|non(?! small| hodgkin))\b"
    r"|无|無|未见|未見|非(?!小细胞|小細胞|霍奇金)"
)


_NO_FINDING: Final = frozenset(
    "normal normals negative none nothing healthy nofinding nofindings unremarkable 正常 健康 "
    "阴性 陰性 无 無".split()
)
_NO_FINDING_PATTERN: Final = re.compile(
    r"(no|without|absence of)( \w+)? (findings?|abnormality|abnormalities|disease|pathology|"
    r"lesions?)|normal (study|exam|image|finding)|[无無未](见|見)?(明显|明顯)?(异常|異常|病变|病變)"
)


def is_negative_name(name: str) -> bool:
    """Return whether a class name says that nothing was found: normal, negative, no finding."""
    text = re.sub(r"[\s_.\-]+", " ", unicodedata.normalize("NFKC", name)).strip().casefold()
    return text in _NEGATIVE or _NEGATIVE_START.match(text) is not None


def is_absence_of_all(name: str) -> bool:
    """Return whether a finding's name says that there is none: "No Finding", "normal".

    Narrower than :func:`is_negative_name`: "no effusion" and "non-calcified nodule" say something
    on one finding alone.
    """
    text = re.sub(r"[\s_.\-]+", " ", unicodedata.normalize("NFKC", name)).strip().casefold()
    return text in _NO_FINDING or _NO_FINDING_PATTERN.fullmatch(text) is not None


def positive_of_two(names: Sequence[str]) -> int:
    """Return which of two classes is the positive one when the user hasn't said so.

    It is the one not named normal, negative, no finding and the like; if both or neither are
    named so, the last.
    """
    first, last = (is_negative_name(name) for name in names)
    return 0 if last and not first else 1


def clean_name(name: str) -> str:
    """Return a class name with single blanks and composed accents.

    Raises:
        DatasetError: If nothing is left.
    """
    text = " ".join(unicodedata.normalize("NFC", name).split())
    if not text:
        raise DatasetError("A class needs a name.", remedy="Type a name for the class.")
    return text


SINGLE, MULTI, ORDINAL = "single", "multi", "ordinal"
TASKS: Final = (SINGLE, MULTI, ORDINAL)


class ClassStore(RecordStore):
    """Classes of a project, and what they are: classes, findings or grades."""

    @property
    def task(self) -> str:
        """What an image has: ``single`` class, ``multi`` findings, or an ``ordinal`` grade."""
        return self._meta("task") or SINGLE

    def set_task(self, task: str) -> None:
        """Say what an image has, before there are labels of another kind.

        Raises:
            DatasetError: If labels would have to become findings, or the reverse.
            ValueError: If there is no such task.
        """
        if task not in TASKS:
            raise ValueError(f"no such task: {task}")
        if task == self.task:
            return
        with self.transaction():
            if MULTI in (task, self.task) and self._has_labels():
                kinds = {True: "several findings", False: "one class"}
                raise DatasetError(
                    f"The images of this project have {kinds[self.task == MULTI]} each; labels "
                    f"with {kinds[task == MULTI]} an image don't fit.",
                    remedy="Import them into a new project.",
                )
            self._set_meta("task", task)
            self.note_data_change()

    def _has_labels(self) -> bool:
        labelled = "SELECT 1 FROM records WHERE class_id IS NOT NULL LIMIT 1"
        found = "SELECT 1 FROM record_findings LIMIT 1"
        return self.db.value(labelled) is not None or self.db.value(found) is not None

    @property
    def chosen_finding(self) -> int | None:
        """The one finding that a project with several is to learn; None learns all at once."""
        text = self._meta("chosen_finding")
        if self.task != MULTI or not text:
            return None
        return self._present_class(int(text))

    def choose_finding(self, class_id: int | None) -> None:
        """Choose the one finding that runs learn, or all of them.

        Args:
            class_id: The finding: present or absent, images of which it is unknown left out. None
                learns all at once.

        Raises:
            ValueError: If there is no such finding, or the project has one class an image.
        """
        if self.task != MULTI:
            raise ValueError(f"not in a project whose task is {self.task}")
        if class_id is not None and class_id not in {summary.id for summary in self.classes()}:
            raise ValueError(f"there is no finding {class_id}")
        with self.transaction():
            self._set_meta("chosen_finding", "" if class_id is None else str(class_id))
            self.note_data_change()

    def add_class(self, name: str) -> int:
        """Return the row id of a class, adding it if it is new.

        Upper and lower case don't make two classes. A class that the user has merged into another
        leads to that other one, so a later import follows the decision.

        Raises:
            DatasetError: If the name is empty.
        """
        name = clean_name(name)
        with self.transaction():
            found = self.class_named(name)
            if found is not None:
                return found
            cursor = self.db.execute("INSERT INTO classes (name) VALUES (?)", (name,))
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def place_classes(self, class_ids: Sequence[int]) -> None:
        """Put classes into an order as an import does; it is no step of the history."""
        with self.transaction():
            self.db.execute_many(
                "UPDATE classes SET position = ? WHERE id = ?", list(enumerate(class_ids))
            )
            self.note_data_change()

    def class_named(self, name: str) -> int | None:
        """Return the id of the class of that name, or of the one that it was merged into."""
        wanted = clean_name(name).casefold()
        rows = self.db.all("SELECT id, name FROM classes ORDER BY merged_into NOTNULL")
        for class_id, other in rows:
            if other.casefold() == wanted:
                return self._present_class(class_id)
        return None

    def _present_class(self, class_id: int) -> int | None:
        """Return a class itself, or the one that it was merged into."""
        merged_into = dict(self.db.all("SELECT id, merged_into FROM classes"))
        while merged_into.get(class_id) is not None:
            class_id = merged_into[class_id]
        return class_id if class_id in merged_into else None

    def classes(self) -> tuple[ClassSummary, ...]:
        """Return the classes in their order, else as they arrived, merged ones left away.

        Counts are of images that aren't excluded; of findings, of images that show them. In use,
        and so numbered, are classes that have such images and aren't left out. One of exactly two
        classes in use is positive: the one the user chose, else by :func:`positive_of_two`. Of
        findings it is the one chosen to be learned.
        """
        rows = self.db.all(
            f"""
            SELECT c.id, c.name, c.is_positive, c.is_left_out, coalesce(n.images, 0),
                   coalesce(n.patients, 0)
            FROM classes AS c LEFT JOIN ({_FINDING_COUNTS if self.task == MULTI else _CLASS_COUNTS})
                AS n ON n.class_id = c.id
            WHERE c.merged_into IS NULL ORDER BY c.position IS NULL, c.position, c.id
            """
        )
        in_use = [row for row in rows if row[4] and not row[3]]
        index = {row[0]: position for position, row in enumerate(in_use)}
        positive = self.chosen_finding if self.task == MULTI else self._positive_id(in_use)
        return tuple(
            ClassSummary(
                id=class_id,
                name=name,
                index=index.get(class_id),
                n_images=n_images,
                n_patients=n_patients,
                is_positive=class_id == positive,
                is_left_out=bool(is_left_out),
            )
            for class_id, name, _, is_left_out, n_images, n_patients in rows
        )

    def counts(self) -> ProjectCounts:
        """Return how much the project holds; unlabelled means that no finding is known either."""
        counts = super().counts()
        if self.task != MULTI:
            return counts
        return replace(counts, n_unlabelled=int(self.db.value(_UNREAD)))

    @staticmethod
    def _positive_id(in_use: list[tuple[int, str, int, int, int, int]]) -> int | None:
        if len(in_use) != 2:
            return None
        chosen = [row[0] for row in in_use if row[2]]
        return chosen[0] if chosen else in_use[positive_of_two([row[1] for row in in_use])][0]


_CLASS_COUNTS: Final = """
    SELECT class_id, count(*) AS images, count(DISTINCT patient_id) AS patients
    FROM records WHERE exclusion IS NULL GROUP BY class_id
"""
_FINDING_COUNTS: Final = """
    SELECT f.class_id, count(*) AS images, count(DISTINCT r.patient_id) AS patients
    FROM record_findings AS f JOIN records AS r ON r.id = f.record_id
    WHERE f.value = 1 AND r.exclusion IS NULL GROUP BY f.class_id
"""
_UNREAD: Final = """
    SELECT count(*) FROM records AS r WHERE exclusion IS NULL AND NOT EXISTS (
        SELECT 1 FROM record_findings AS f WHERE f.record_id = r.id AND f.value IS NOT NULL
    )
"""
