"""Where images of a project come from, for matching them with a sheet."""

from __future__ import annotations

from engine.project.records import RecordStore


def record_places(project: RecordStore) -> list[tuple[int, int, str, int]]:
    """Return id, source, path and frame of every record."""
    return project.db.all("SELECT id, source_id, path, frame FROM records ORDER BY id")


def file_days(project: RecordStore) -> list[tuple[str, int, str, int | None]]:
    """Return the patient's hash, source, path and day of acquisition of every file."""
    return project.db.all(
        "SELECT p.hash, r.source_id, r.path, r.acquired FROM records AS r "
        "JOIN patients AS p ON p.id = r.patient_id GROUP BY r.source_id, r.path"
    )
