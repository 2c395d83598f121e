"""Tables of ``project.db`` and how older ones become current."""

from __future__ import annotations

import sqlite3
from typing import Final

APPLICATION_ID: Final = (
    0x52544E45  # "RTNE" in the header of the file, so that others are told apart
)

_VERSION_1: Final = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """
    CREATE TABLE sources (
        id INTEGER PRIMARY KEY,
        root BLOB NOT NULL,
        root_from_project BLOB,
        kind TEXT NOT NULL,
        added REAL NOT NULL
    )
    """,
    """
    CREATE TABLE patients (
        id INTEGER PRIMARY KEY,
        hash TEXT NOT NULL UNIQUE,
        origin TEXT NOT NULL CHECK (origin IN ('patient', 'study', 'file'))
    )
    """,
    """
    CREATE TABLE classes (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        is_positive INTEGER NOT NULL DEFAULT 0,
        is_left_out INTEGER NOT NULL DEFAULT 0,
        merged_into INTEGER REFERENCES classes (id)
    )
    """,
    # Columns that lists and counts read come first; the wide header fields come last.
    """
    CREATE TABLE records (
        id INTEGER PRIMARY KEY,
        source_id INTEGER NOT NULL REFERENCES sources (id),
        row INTEGER NOT NULL UNIQUE,
        class_id INTEGER REFERENCES classes (id),
        patient_id INTEGER NOT NULL REFERENCES patients (id),
        split TEXT CHECK (split IN ('train', 'val', 'test')),
        exclusion TEXT,
        study TEXT,
        frame INTEGER NOT NULL,
        format TEXT NOT NULL,
        modality TEXT NOT NULL,
        photometric TEXT NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        bits INTEGER NOT NULL,
        window_center REAL,
        window_width REAL,
        view TEXT,
        sex TEXT,
        age REAL,
        device TEXT,
        n_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        path TEXT NOT NULL,
        dicom TEXT NOT NULL,
        UNIQUE (source_id, path, frame)
    )
    """,
    "CREATE INDEX records_by_class ON records (class_id, exclusion, patient_id)",
    "CREATE INDEX records_by_patient ON records (patient_id)",
    "CREATE INDEX records_by_split ON records (split, exclusion)",
    """
    CREATE TABLE skipped (
        source_id INTEGER NOT NULL REFERENCES sources (id),
        path TEXT NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (source_id, path)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE label_history (
        id INTEGER PRIMARY KEY,
        batch INTEGER NOT NULL,
        at REAL NOT NULL,
        who TEXT NOT NULL,
        subject TEXT NOT NULL CHECK (subject IN ('record', 'class')),
        subject_id INTEGER NOT NULL,
        field TEXT NOT NULL,
        old,
        new,
        state TEXT NOT NULL DEFAULT 'done' CHECK (state IN ('done', 'undone', 'dropped'))
    )
    """,
    "CREATE INDEX label_history_by_state ON label_history (state, batch)",
    """
    CREATE TABLE split (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        at REAL NOT NULL,
        summary TEXT NOT NULL,
        usable_digest TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        created REAL NOT NULL,
        state TEXT NOT NULL,
        config TEXT NOT NULL,
        preset TEXT NOT NULL,
        backbone TEXT NOT NULL,
        method TEXT NOT NULL,
        data_digest TEXT NOT NULL,
        split_digest TEXT NOT NULL,
        val_auroc REAL,
        epochs INTEGER NOT NULL DEFAULT 0,
        seconds REAL NOT NULL DEFAULT 0,
        error TEXT,
        looks INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE evaluations (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs (id),
        at REAL NOT NULL,
        result TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE segments (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        first_row INTEGER NOT NULL,
        last_row INTEGER NOT NULL,
        n_rows INTEGER NOT NULL,
        rows BLOB,
        file TEXT NOT NULL UNIQUE,
        shape TEXT NOT NULL,
        dtype TEXT NOT NULL
    )
    """,
    "CREATE INDEX segments_by_kind ON segments (kind)",
)

_VERSION_2: Final = (
    "ALTER TABLE sources ADD COLUMN frames TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE skipped ADD COLUMN kind TEXT NOT NULL DEFAULT 'unreadable'",
    "ALTER TABLE records ADD COLUMN site TEXT",
    "ALTER TABLE records ADD COLUMN acquired INTEGER",
    "ALTER TABLE records ADD COLUMN pixel_hash TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE records ADD COLUMN burned_in TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE records ADD COLUMN numbers TEXT NOT NULL DEFAULT '{}'",
    # Findings of a multi-label project: 1 present, 0 absent, NULL unknown.
    """
    CREATE TABLE record_findings (
        record_id INTEGER NOT NULL REFERENCES records (id),
        class_id INTEGER NOT NULL REFERENCES classes (id),
        value INTEGER CHECK (value IN (0, 1)),
        PRIMARY KEY (record_id, class_id)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX record_findings_by_class ON record_findings (class_id, value)",
    "ALTER TABLE classes ADD COLUMN position INTEGER",
    # Patients that a split keeps together though their ids differ.
    """
    CREATE TABLE patient_links (
        patient_id INTEGER PRIMARY KEY REFERENCES patients (id),
        with_patient INTEGER NOT NULL REFERENCES patients (id)
    )
    """,
    """
    CREATE TABLE audits (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        at REAL NOT NULL,
        data_digest TEXT NOT NULL,
        report TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE accepted_findings (
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        at REAL NOT NULL,
        note TEXT NOT NULL,
        PRIMARY KEY (kind, key)
    ) WITHOUT ROWID
    """,
    "ALTER TABLE records ADD COLUMN n_frames INTEGER NOT NULL DEFAULT 0",
    # Imports that haven't ended. Their segments name them; their images wait in ``staged``, which
    # has the columns of ``records`` and so comes after all changes to those.
    "ALTER TABLE segments ADD COLUMN import_id INTEGER",
    """
    CREATE TABLE imports (
        id INTEGER PRIMARY KEY,
        root BLOB NOT NULL UNIQUE,
        made_by TEXT NOT NULL,
        began REAL NOT NULL
    )
    """,
    "CREATE TABLE staged AS SELECT * FROM records LIMIT 0",
    "ALTER TABLE staged ADD COLUMN import_id INTEGER",
    "ALTER TABLE staged ADD COLUMN patient TEXT",
    "ALTER TABLE staged ADD COLUMN is_color INTEGER",
    "ALTER TABLE staged ADD COLUMN notes TEXT",
    "CREATE UNIQUE INDEX staged_by_path ON staged (import_id, path, frame)",
    """
    CREATE TABLE staged_skipped (
        import_id INTEGER NOT NULL,
        path TEXT NOT NULL,
        n_bytes INTEGER,
        mtime_ns INTEGER,
        reason TEXT NOT NULL,
        kind TEXT NOT NULL,
        PRIMARY KEY (import_id, path)
    ) WITHOUT ROWID
    """,
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_VERSION_1, _VERSION_2)
"""Statements that lead from version i to version i + 1."""
SCHEMA_VERSION: Final = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, from_version: int) -> None:
    """Bring the tables to :data:`SCHEMA_VERSION`, inside the caller's transaction."""
    for statements in MIGRATIONS[from_version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
