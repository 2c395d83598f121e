"""Replaces PyInstaller's hook: plugins that are left out do not bring their libraries along."""

from pathlib import Path

from PyInstaller.utils.hooks.qt import add_qt6_dependencies

from frozen_contents import is_left_out

hiddenimports, binaries, datas = add_qt6_dependencies(__file__)
binaries = [
    (source, folder)
    for source, folder in binaries
    if not is_left_out(f"{folder}/{Path(source).name}")
]
