"""Who may import whom: import-linter's contracts, and what only a fresh interpreter can tell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TORCH = {"torch", "torchvision", "timm"}
QT = {"PySide6", "shiboken6", "pyqtgraph", "PyQt5", "PyQt6"}

_REPORT = """
import json, sys
before = set(sys.modules)
{statements}
print(json.dumps(sorted(set(sys.modules) - before)))
"""

_IMPORT_ALL = """
import importlib, pkgutil
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
"""


def modules_loaded_by(statements: str) -> set[str]:
    """Run ``statements`` in a fresh interpreter and return the names of what they loaded."""
    done = subprocess.run(
        [sys.executable, "-c", _REPORT.format(statements=statements)],
        cwd=ROOT,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_contract_imports_only_the_standard_library():
    loaded = modules_loaded_by(_IMPORT_ALL.format(package="engine.contract"))
    assert packages(loaded) - sys.stdlib_module_names == {"engine"}
    beyond = {
        name
        for name in loaded
        if name.startswith("engine.") and not (name + ".").startswith("engine.contract.")
    }
    assert beyond == set()


@pytest.mark.parametrize(
    "module",
    [
        "gui.app",
        "engine.__main__",
        "engine.worker",
        "engine.project",
        "engine.data.scan",
        "engine.data.tables",
        "engine.data.dicom",
        "engine.data.images",
        "engine.data.phantoms",
        "engine.splits",
    ],
)
def test_opens_without_torch(module):
    loaded = packages(modules_loaded_by(f"import {module}"))
    assert loaded & TORCH == set()


def test_whole_window_loads_no_torch():
    loaded = packages(modules_loaded_by(_IMPORT_ALL.format(package="gui")))
    assert loaded & TORCH == set()
    assert "PySide6" in loaded


def test_whole_engine_loads_no_qt():
    loaded = packages(modules_loaded_by(_IMPORT_ALL.format(package="engine")))
    assert loaded & (QT | {"gui"}) == set()
    assert "torch" in loaded


def test_import_linter_keeps_its_contracts():
    program = Path(sys.executable).with_name("lint-imports" + (".exe" if os.name == "nt" else ""))
    done = subprocess.run(
        [program, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
