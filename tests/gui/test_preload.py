"""What is made ahead, and in which thread."""

from __future__ import annotations

import threading
from importlib import import_module

import pytest

from gui.preload import Preloader


@pytest.fixture
def imports(monkeypatch) -> list[tuple[str, bool]]:
    """Return a list that fills with what is imported, and whether in this thread."""
    seen: list[tuple[str, bool]] = []
    real = import_module

    def note(name: str) -> object:
        seen.append((name, threading.current_thread() is threading.main_thread()))
        return real(name)

    monkeypatch.setattr("gui.preload.import_module", note)
    return seen


def test_qts_classes_are_made_in_this_thread_before_another_imports_what_uses_them(qtbot, imports):
    built: list[int] = []
    preloader = Preloader(lambda: None, [lambda: built.append(1)])
    preloader.start()
    qtbot.waitUntil(lambda: bool(built), timeout=30_000)
    of_qt = [is_here for name, is_here in imports if name.startswith("PySide6")]
    assert of_qt and all(of_qt)
    names = [name for name, _ in imports]
    users = [k for k, name in enumerate(names) if name.startswith(("gui.", "pyqtgraph"))]
    assert max(names.index(name) for name in names if name.startswith("PySide6")) < min(users)
    assert not any(imports[k][1] for k in users)


def test_stopping_at_once_imports_no_page(qtbot, imports):
    preloader = Preloader(lambda: None, [lambda: None])
    preloader.start()
    preloader.stop()
    qtbot.wait(100)
    assert not [name for name, _ in imports if name.startswith("gui.")]
