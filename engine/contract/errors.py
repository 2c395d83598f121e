"""Errors meant for users: what happened, and what to do next.

A programmer's mistake is a ``ValueError`` or a ``TypeError``; everything a user can cause or meet
is an :class:`EngineError`. Messages name no patient and no absolute path that could.
"""

from __future__ import annotations


class EngineError(Exception):
    """Something a user should know about, with the next step.

    Attributes:
        message: What happened, as one or two plain sentences.
        remedy: What to do next, as one plain sentence.
    """

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class ConfigError(EngineError):
    """A setting is unknown or outside its limits."""


class DatasetError(EngineError):
    """The images or labels can't be used as they are."""


class UnreadableImageError(DatasetError):
    """One file can't be read as an image; the others are not affected."""


class NotAnImageError(UnreadableImageError):
    """A sound file that holds no image, such as a structured report: nothing is wrong with it."""


class ProjectError(EngineError):
    """A project folder can't be made, opened, locked or written."""


class ProjectBusyError(ProjectError):
    """Another program is writing to the project just now."""


class StorageError(EngineError):
    """The disk is full, read-only or gone."""


class ReadOnlyError(StorageError):
    """Nothing can be written to a folder that was to be opened for writing."""


class DamagedFileError(StorageError):
    """A file was torn or changed; to wait and read it again doesn't help."""


class WeightsError(EngineError):
    """A weights file can't be recognised, is unsafe, or doesn't fit the backbone."""


class BundleError(EngineError):
    """An exported classifier is incomplete, changed, or from a newer version."""


class RunError(EngineError):
    """A run can't start, go on, or be found."""
