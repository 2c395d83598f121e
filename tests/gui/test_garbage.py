"""Garbage is collected where Qt's objects may be destroyed, and nowhere else."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

from PySide6.QtWidgets import QWidget

ROOT = Path(__file__).resolve().parents[2]

# A widget of its own class in a cycle, over and over, while another thread makes garbage.
_TWO_THREADS = """
import os, threading, time
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget
from gui.app import make_application
app = make_application()
class Label(QLabel): pass
class Window(QWidget):
    def paintEvent(self, event): super().paintEvent(event)
def litter():
    while True:
        lists = [[] for _ in range(100)]
        for one in lists: one.append(one)
        time.sleep(0)
threading.Thread(target=litter, daemon=True).start()
end = time.monotonic() + 4
while time.monotonic() < end:
    window = Window()
    layout = QVBoxLayout(window)
    for k in range(30): layout.addWidget(Label(str(k)))
    window.cycle = window
    window.show()
    app.processEvents()
    window.hide()
os._exit(0)
"""


def test_other_threads_collect_nothing(qtbot):
    collected_in: list[threading.Thread] = []

    def note(phase: str, info: dict[str, int]) -> None:
        del info
        if phase == "start":
            collected_in.append(threading.current_thread())

    def litter() -> None:
        for _ in range(100_000):
            one: list[object] = []
            one.append(one)

    gc.callbacks.append(note)
    try:
        thread = threading.Thread(target=litter)
        thread.start()
        thread.join()
        qtbot.waitUntil(lambda: bool(collected_in), timeout=5_000)
    finally:
        gc.callbacks.remove(note)
    assert set(collected_in) == {threading.main_thread()}


def test_cycles_with_widgets_go_all_the_same(qtbot):
    gone: list[bool] = []

    def litter_until_one_is_gone() -> bool:
        widget = QWidget()
        vars(widget)["cycle"] = widget
        widget.destroyed.connect(lambda: gone.append(True))
        return bool(gone)

    qtbot.waitUntil(litter_until_one_is_gone, timeout=20_000)


def test_a_window_survives_a_thread_that_makes_garbage():
    done = subprocess.run(
        [sys.executable, "-c", _TWO_THREADS],
        cwd=ROOT,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
