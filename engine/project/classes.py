"""Classes of a project, and which of two is the positive one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from engine.contract.errors import DatasetError
from engine.contract.records import ClassSummary
from engine.project.records import RecordStore

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


def is_negative_name(name: str) -> bool:
    """Return whether a class name says that nothing was found: normal, negative, no finding."""
    text = re.sub(r"[\s_.\-]+", " ", unicodedata.normalize("NFKC", name)).strip().casefold()
    return text in _NEGATIVE or _NEGATIVE_START.match(text) is not None


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


class ClassStore(RecordStore):
    """Classes of a project."""

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

    def class_named(self, name: str) -> int | None:
        """Return the id of the class of that name, or of the one that it was merged into."""
        wanted = clean_name(name).casefold()
        rows = self.db.all("SELECT id, name, merged_into FROM classes ORDER BY merged_into NOTNULL")
        merged_into = {row[0]: row[2] for row in rows}
        for class_id, other, _ in rows:
            if other.casefold() == wanted:
                while merged_into[class_id] is not None:
                    class_id = merged_into[class_id]
                return int(class_id)
        return None

    def classes(self) -> tuple[ClassSummary, ...]:
        """Return the classes in the order in which they arrived, merged ones left away.

        Counts are of images that aren't excluded. In use, and so numbered, are classes that have
        such images and aren't left out. One of exactly two classes in use is positive: the one the
        user chose, else by :func:`positive_of_two`.
        """
        rows = self.db.all(
            """
            SELECT c.id, c.name, c.is_positive, c.is_left_out, coalesce(n.images, 0),
                   coalesce(n.patients, 0)
            FROM classes AS c LEFT JOIN (
                SELECT class_id, count(*) AS images, count(DISTINCT patient_id) AS patients
                FROM records WHERE exclusion IS NULL GROUP BY class_id
            ) AS n ON n.class_id = c.id
            WHERE c.merged_into IS NULL ORDER BY c.id
            """
        )
        in_use = [row for row in rows if row[4] and not row[3]]
        index = {row[0]: position for position, row in enumerate(in_use)}
        positive = self._positive_id(in_use)
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

    @staticmethod
    def _positive_id(in_use: list[tuple[int, str, int, int, int, int]]) -> int | None:
        if len(in_use) != 2:
            return None
        chosen = [row[0] for row in in_use if row[2]]
        return chosen[0] if chosen else in_use[positive_of_two([row[1] for row in in_use])][0]
