"""The rows of the table of methods, in a CSV file that grows by whole lines."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

from engine.contract.config import ImageContract


@dataclass(frozen=True, slots=True)
class Key:
    """What a row measures."""

    data: str
    amount: str
    method: str
    seed: int
    size_px: int = ImageContract().size_px

    def has(self, word: str) -> bool:
        """Return whether a word names the set, amount, method, seed or size of the row."""
        return word in (self.data, self.amount, self.method, f"seed={self.seed}", str(self.size_px))

    def plain(self) -> dict[str, Any]:
        """Return the fields as a dictionary."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A measured row, or one that failed.

    Attributes:
        val_auroc: On the validation images, by which every choice is made.
        test_low: Lower end of the 95 % interval of ``test_auroc``.
        wall_s: Time of the training, pixels read before and no features kept.
        cpu_s: Processor time of the same, all threads.
        test_s: Wall time of the look at the test images.
        load: Load of the machine, the higher of before and after.
        processor: What it was measured on: seconds of different ones can't be compared.
        version: Commit of the program.
        reason: Why the row failed; empty when measured.
    """

    data: str
    amount: str
    method: str
    seed: int
    size_px: int
    val_auroc: float | None = None
    test_auroc: float | None = None
    test_low: float | None = None
    test_high: float | None = None
    epochs: int | None = None
    wall_s: float | None = None
    cpu_s: float | None = None
    test_s: float | None = None
    load: float | None = None
    processor: str = ""
    version: str = ""
    reason: str = ""

    @classmethod
    def failed(cls, key: Key, reason: str) -> Self:
        """Return the row of a failure."""
        return cls(**key.plain(), reason=" ".join(reason.split())[:300])

    @classmethod
    def from_plain(cls, facts: dict[str, Any]) -> Self:
        """Return a row from its fields."""
        return cls(**facts)

    @property
    def key(self) -> Key:
        """What it measures."""
        return Key(self.data, self.amount, self.method, self.seed, self.size_px)

    @property
    def is_measured(self) -> bool:
        """Whether it holds figures."""
        return self.val_auroc is not None

    def words(self) -> str:
        """Return the row as a line for people."""
        what = f"{self.data}, {self.amount}, {self.method}, {self.size_px} px, seed {self.seed}: "
        if self.val_auroc is None or self.test_auroc is None:
            return what + f"failed: {self.reason}"
        return what + (
            f"validation {self.val_auroc:.4f}, test {self.test_auroc:.4f}, {self.epochs} epochs, "
            f"{self.cpu_s:.0f} s of the processor, {self.wall_s:.0f} s in all"
        )


_COLUMNS: Final = tuple(field.name for field in fields(Row))
_WHOLE: Final = ("seed", "size_px", "epochs")
_TEXT: Final = ("data", "amount", "method", "processor", "version", "reason")


def read_rows(table: Path) -> list[Row]:
    """Return the rows of a table, the last of each key; a line that was cut off doesn't count."""
    if not table.exists():
        return []
    text = table.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    rows = [Row(**_values(line)) for line in csv.DictReader(io.StringIO(whole))]
    return list({row.key: row for row in rows}.values())


def append_row(table: Path, row: Row) -> None:
    """Add a row in one write, after mending a line that an earlier program left half-written."""
    text = table.read_text(encoding="utf-8") if table.exists() else ""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
    if not text:
        writer.writeheader()
    elif not text.endswith("\n"):
        os.truncate(table, len(text[: text.rfind("\n") + 1].encode()))
    writer.writerow({name: _shown(value) for name, value in asdict(row).items()})
    with table.open("ab") as file:
        file.write(stream.getvalue().encode())
        file.flush()
        os.fsync(file.fileno())


def _shown(value: Any) -> Any:
    return f"{value:.5g}" if isinstance(value, float) else value


def _values(line: dict[str, str]) -> dict[str, Any]:
    return {name: _value(name, line[name]) for name in _COLUMNS}


def _value(name: str, text: str) -> Any:
    if name in _TEXT:
        return text
    if not text:
        return None
    return int(text) if name in _WHOLE else float(text)
