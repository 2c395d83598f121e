"""What the label columns of a sheet say: one class, several findings, or a grade for each row."""

from __future__ import annotations

from engine.contract.import_rules import ColumnMapping, LabelRule
from engine.data.class_column import read_classes
from engine.data.findings_column import are_several, parts_of, read_findings
from engine.data.flag_columns import FlagColumns
from engine.data.flags import cell_value
from engine.data.row_labels import RowLabel, SheetLabels
from engine.data.tables import Table
from engine.project.classes import MULTI, SINGLE


def read_labels(table: Table, mapping: ColumnMapping, rule: LabelRule) -> SheetLabels:
    """Read the label column, or the 0/1 columns, of a sheet.

    Raises:
        DatasetError: If the columns don't hold what the rule says, there are far too many classes,
            or the rule's order leaves grades out.
    """
    if mapping.labels:
        return FlagColumns(table, mapping.labels, rule).read()
    if mapping.label is None:
        return SheetLabels(SINGLE, (), [RowLabel()] * len(table.rows))
    cells = [cell_value(cell) for cell in table.values(mapping.label)]
    separator = rule.separator.strip() or rule.separator
    parts = [parts_of(cell, separator) for cell in cells]
    is_multi = rule.task == MULTI or (rule.task == "auto" and are_several(parts))
    return (
        read_findings(mapping.label, parts, rule)
        if is_multi
        else read_classes(mapping.label, cells, rule)
    )
