"""Starts the window: as little as possible before the first paint, the workers after it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QApplication

from gui.closing import leave
from gui.failures import FailureReporter
from gui.garbage import GarbageCollector
from gui.icons import app_icon
from gui.main_window import MainWindow
from gui.preferences import Preferences
from gui.system_end import SystemEnd
from gui.theme import ThemeChoice, theme
from gui.worker.engine_client import EngineClient

__all__ = ["main", "make_application"]

_SWITCH_S = 0.001
"""How long another Python thread may keep the window's thread waiting: a fifth of the usual."""
_PRINT_FLAG = "--print-first-paint"
_USAGE = """usage: radtune [PROJECT]

Opens RadTune, with a project folder or a folder of images if one is given.
For work without a window see radtune-engine --help.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Open the window and return when it is closed.

    Args:
        argv: Arguments without the program's name; None takes those of the process.

    Returns:
        Exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(arguments):
        sys.stdout.write(_USAGE)
        return 0
    if arguments[:1] == ["--tour"]:
        from gui.tour import main as tour

        return tour(arguments[1:])
    paths = [Path(argument) for argument in arguments if not argument.startswith("-")]
    app = make_application()
    reporter = FailureReporter(app)
    reporter.install()
    preferences = Preferences()
    _apply_preferences(preferences)
    system_end = SystemEnd(app)
    system_end.listen()
    window = MainWindow(EngineClient(), preferences)
    system_end.save_wanted.connect(window.closing.save)
    system_end.end_wanted.connect(window.closing.end)
    reporter.failure_happened.connect(window.show_unexpected, Qt.ConnectionType.QueuedConnection)
    paint = _FirstPaint(window)
    if _PRINT_FLAG in arguments:
        paint.happened.connect(_print_and_quit)
    else:
        paint.happened.connect(window.warm_up)
        if paths:
            paint.happened.connect(lambda: window.open_paths([paths[0].absolute()]))
    window.show()
    code = app.exec()
    system_end.finish()
    return leave(code, window.session)


def make_application() -> QApplication:
    """Return the application object, with name and icon and its own collection of garbage."""
    sys.setswitchinterval(_SWITCH_S)
    QApplication.setApplicationName("RadTune")
    QApplication.setApplicationDisplayName("RadTune")
    QApplication.setOrganizationName("RadTune")
    QApplication.setDesktopFileName("radtune")
    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication(["radtune"])
    app.setWindowIcon(app_icon())
    if app.findChild(GarbageCollector) is None:
        GarbageCollector(app)
    return app


def _apply_preferences(preferences: Preferences) -> None:
    look = theme()
    known = {choice.value for choice in ThemeChoice}
    if preferences.theme_choice in known:
        look.set_choice(ThemeChoice(preferences.theme_choice))
    look.set_text_scale(preferences.text_scale)


class _FirstPaint(QObject):
    """Tells once when the window has painted.

    Signals:
        happened: After the first paint, with the event loop running.
    """

    happened = Signal()

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._is_over = False
        self._window = window
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Wait for the paint event of the window."""
        if not self._is_over and event.type() is QEvent.Type.Paint:
            self._is_over = True
            QTimer.singleShot(0, self, self.happened.emit)
        return super().eventFilter(watched, event)


def _print_and_quit() -> None:
    """Print the seconds since the process began, for ``tests/speed``."""
    sys.stdout.write(f"{_process_age_s():.3f}\n")
    sys.stdout.flush()
    QApplication.quit()


def _process_age_s() -> float:
    """Return how long this process has existed, to about 10 ms."""
    if sys.platform == "linux":
        # Both in time since boot; the wall clock's time of boot is known to whole seconds only.
        stat = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace")
        ticks = int(stat.rpartition(")")[2].split()[19])  # field 22 of proc(5): starttime
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        return now - ticks / os.sysconf("SC_CLK_TCK")
    import psutil

    return time.time() - psutil.Process().create_time()
