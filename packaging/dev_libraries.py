"""Find the system libraries that Qt needs on Linux, and install them or name them.

Qt's wheels bring Qt itself, but not the libraries of the desktop: a server or a container often
lacks some, and Qt then ends without saying which. ``ldd`` says.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from dev_setup import Checkout, say

# The parts of Qt that every window needs, and those that put it on a real screen.
_ANY_WINDOW = (
    "QtGui.abi3.so",
    "QtWidgets.abi3.so",
    "QtSvg.abi3.so",
    "Qt/plugins/platforms/libqoffscreen.so",
)
_ON_X11 = "Qt/plugins/platforms/libqxcb.so"
_ON_WAYLAND = "Qt/plugins/platforms/libqwayland.so"

_DEBIAN_PACKAGES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libGLX.so.0": "libglx0",
    "libOpenGL.so.0": "libopengl0",
    "libX11.so.6": "libx11-6",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libwayland-client.so.0": "libwayland-client0",
    "libwayland-cursor.so.0": "libwayland-cursor0",
    "libwayland-egl.so.1": "libwayland-egl1",
    "libxcb.so.1": "libxcb1",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-util.so.1": "libxcb-util1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}  # fmt: skip
_FONT_PACKAGES = {
    "apt-get": "fonts-dejavu-core",
    "dnf": "dejavu-sans-fonts",
    "zypper": "dejavu-fonts",
}
_FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts")


def missing_libraries(ldd_output: str) -> list[str]:
    """Return the libraries that ``ldd`` did not find, without repeats, sorted."""
    return sorted(set(re.findall(r"^\s*(\S+) => not found", ldd_output, flags=re.MULTILINE)))


def install_line(manager: str | None, libraries: Iterable[str], *, fonts: bool) -> str:
    """Return what to type to install ``libraries`` (and a font).

    Args:
        manager: The package manager's program, None if it is none that we know.
        libraries: File names as ``ldd`` gives them.
        fonts: Whether a font is needed as well.
    """
    libraries = list(libraries)
    if manager == "apt-get":
        return "sudo apt-get install " + " ".join(debian_packages(libraries, fonts=fonts))
    if manager in ("dnf", "zypper"):
        # Both find a package by the library that it provides.
        names = [f"'{library}()(64bit)'" for library in libraries]
        names += [_FONT_PACKAGES[manager]] if fonts else []
        flag = "--capability " if manager == "zypper" else ""
        return f"sudo {manager} install {flag}" + " ".join(names)
    names = [*libraries, *(["a TrueType font such as DejaVu Sans"] if fonts else [])]
    return "(with your system's package manager) " + " ".join(names)


def debian_packages(libraries: Iterable[str], *, fonts: bool) -> list[str]:
    """Return the Debian and Ubuntu packages that hold ``libraries`` (and a font)."""
    names = {_DEBIAN_PACKAGES.get(library, library) for library in libraries}
    return sorted(names | ({_FONT_PACKAGES["apt-get"]} if fonts else set()))


def package_manager() -> str | None:
    """Return the system's package manager, None if it is none that we know."""
    return next((name for name in ("apt-get", "dnf", "zypper") if shutil.which(name)), None)


def has_fonts() -> bool:
    """Return whether the system has any font that Qt can draw text with."""
    return any(
        next(Path(folder).expanduser().rglob(pattern), None) is not None
        for folder in _FONT_FOLDERS
        for pattern in ("*.tt[fc]", "*.otf")
    )


def missing_for_qt(checkout: Checkout, env: Mapping[str, str], *, screen: bool) -> list[str]:
    """Return the libraries that Qt would not find.

    Args:
        checkout: Where PySide6 is installed.
        env: The environment; a Wayland session needs libraries of its own.
        screen: Whether a real screen is used; an offscreen window needs fewer.
    """
    if sys.platform != "linux" or shutil.which("ldd") is None:
        return []
    parts = list(_ANY_WINDOW)
    if screen:
        parts += [_ON_X11, *([_ON_WAYLAND] if env.get("WAYLAND_DISPLAY") else [])]
    files = [
        str(folder / "PySide6" / part) for folder in checkout.site_packages() for part in parts
    ]
    found = subprocess.run(
        ["ldd", *files], capture_output=True, text=True, errors="replace", check=False
    )
    return missing_libraries(found.stdout)


def provide(checkout: Checkout, env: Mapping[str, str], *, screen: bool) -> str | None:
    """Install what Qt lacks where that is possible without asking.

    Returns:
        The line to type for what is still missing; None when nothing is.
    """
    if sys.platform != "linux":
        return None
    missing, fonts = missing_for_qt(checkout, env, screen=screen), not has_fonts()
    if (missing or fonts) and _may_install():
        packages = debian_packages(missing, fonts=fonts)
        say("Installing the system libraries that Qt needs: " + " ".join(packages))
        _apt_get_install(packages, env)
        missing, fonts = missing_for_qt(checkout, env, screen=screen), not has_fonts()
    return install_line(package_manager(), missing, fonts=fonts) if missing or fonts else None


def provide_venv(env: Mapping[str, str]) -> None:
    """Install what Debian leaves out of its Python to make environments, where that is possible."""
    if importlib.util.find_spec("ensurepip") is None and _may_install():
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        say(f"Installing {package}, which makes environments")
        _apt_get_install([package], env)
        importlib.invalidate_caches()


def _may_install() -> bool:
    return sys.platform == "linux" and package_manager() == "apt-get" and os.geteuid() == 0


def _apt_get_install(packages: list[str], env: Mapping[str, str]) -> None:
    """Try to install; what came of it is seen by looking for the libraries again."""
    quiet = {**env, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "-q", "--no-install-recommends", *packages]
    for command in (["apt-get", "update", "-q"], install):
        done = subprocess.run(
            command, env=quiet, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", check=False,
        )  # fmt: skip
        if done.returncode:
            say(f"{' '.join(command[:2])} failed: {done.stderr.strip()[-500:]}")
