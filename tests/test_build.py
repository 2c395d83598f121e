"""What ``packaging/build.py`` and ``packaging/smoke.py`` decide; nothing is built here."""

from __future__ import annotations

import ast
import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "packaging"))

import build  # noqa: E402
import frozen_contents  # noqa: E402
import smoke  # noqa: E402
import smoke_place  # noqa: E402
import smoke_screen  # noqa: E402
from dev_setup import Checkout, SetupError, project_table  # noqa: E402
from frozen_contents import is_excluded, is_left_out  # noqa: E402


def sources(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path: Path) -> set[str]:
    """Return the modules that a source file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize(
    ("packages", "excluded"),
    [
        (("engine",), frozen_contents.UNUSED_MODULES + frozen_contents.WINDOW_MODULES),
        (
            ("gui", "resources", "engine/contract", "engine/project"),
            (
                *frozen_contents.UNUSED_MODULES,
                *frozen_contents.UNUSED_QT,
                *frozen_contents.ENGINE_MODULES,
            ),
        ),
    ],
)
def test_no_program_imports_what_is_left_out_of_it(packages, excluded):
    files = sources(*packages)
    assert files
    wrong = {
        (path.name, module)
        for path in files
        for module in imports(path)
        if is_excluded(module, excluded)
    }
    assert not wrong


AS_IF_LEFT_OUT = """
import importlib, sys
from frozen_contents import is_excluded

class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if is_excluded(name, left_out) else self.finder.find_spec(name, path, target)

left_out = sys.argv[1].split(",")
for name in [name for name in sys.modules if is_excluded(name, left_out)]:
    del sys.modules[name]
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path if hasattr(finder, "find_spec")]
for name in sys.argv[2].split(","):
    importlib.import_module(name)
"""


@pytest.mark.parametrize(
    ("left_out", "loaded"),
    [
        (
            (
                *frozen_contents.UNUSED_MODULES,
                *frozen_contents.UNUSED_QT,
                *frozen_contents.ENGINE_MODULES,
            ),
            ("gui.app", "gui.pages", "pyqtgraph"),
        ),
        (
            frozen_contents.UNUSED_MODULES + frozen_contents.WINDOW_MODULES,
            ("engine.jobs.training", "engine.export.predictor", "engine.evaluate.plots", "timm"),
        ),
    ],
    ids=["window", "engine"],
)
def test_program_loads_without_what_is_left_out_of_it(left_out, loaded):
    path = os.pathsep.join(str(folder) for folder in (ROOT, ROOT / "packaging"))
    command = [sys.executable, "-c", AS_IF_LEFT_OUT, ",".join(left_out), ",".join(loaded)]
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_module_is_excluded_with_what_lies_in_it_but_not_by_the_start_of_its_name():
    assert is_excluded("torch", ["torch"])
    assert is_excluded("torch.nn", ["torch"])
    assert not is_excluded("torchvision", ["torch"])
    assert not is_excluded("engine.project.store", ["engine.data", "engine.run"])


def test_engine_calls_nothing_that_needs_the_libraries_left_out():
    # torch.compile needs triton, torch.linalg on a GPU cuSOLVER, recurrent networks cuDNN's adv.
    needy = ("torch.compile", "torch.linalg", "nn.LSTM", "nn.GRU", "nn.RNN")
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources("engine"))
    assert [word for word in needy if word in text] == []


@pytest.mark.parametrize(
    "name",
    [
        "torch/lib/libtorch_cuda_linalg.so",
        "nvidia/cu13/lib/libcusolver.so.12",
        "nvidia/cu13/lib/libcusolverMg.so.12",
        "nvidia/cudnn/lib/libcudnn_adv.so.9",
        "nvidia/cu13/lib/libnvrtc.alt.so.13",
        "nvidia/cu13/lib/libnvrtc-builtins.alt.so.13.0",
        "libcusolver.so.12",
        "PySide6/Qt/plugins/platforms/libqvnc.so",
        "PySide6/plugins/tls/qschannelbackend.dll",
        "radtune-0.1.0.dist-info/direct_url.json",
        "huggingface_hub-2.4.0.dist-info/METADATA",
    ],
)
def test_files_that_nothing_asks_for_are_left_out(name):
    assert is_left_out(name)


@pytest.mark.parametrize(
    "name",
    [
        # Linked to torch's own libraries: without one of them torch does not load.
        "torch/lib/libtorch_cuda.so",
        "nvidia/cu13/lib/libcublasLt.so.13",
        "nvidia/cu13/lib/libcufft.so.12",
        "nvidia/cu13/lib/libcufile.so.0",
        "nvidia/cu13/lib/libcupti.so.13",
        "nvidia/cu13/lib/libcusparse.so.12",
        "nvidia/cusparselt/lib/libcusparseLt.so.0",
        "nvidia/nccl/lib/libnccl.so.2",
        "nvidia/nvshmem/lib/libnvshmem_host.so.3",
        # Opened by cuDNN for convolutions.
        "nvidia/cudnn/lib/libcudnn_cnn.so.9",
        "nvidia/cudnn/lib/libcudnn_graph.so.9",
        "nvidia/cu13/lib/libnvrtc-builtins.so.13.0",
        # Linked to torch_cuda.dll on Windows.
        "torch\\lib\\cusolver64_12.dll",
        "torch\\lib\\torch_cuda.dll",
        # A window on Linux, on Windows, on macOS and on none.
        "PySide6/Qt/plugins/platforms/libqxcb.so",
        "PySide6/Qt/plugins/platforms/libqwayland.so",
        "PySide6/Qt/plugins/platforms/libqoffscreen.so",
        "PySide6\\plugins\\platforms\\qwindows.dll",
        "PySide6/Qt/plugins/platforms/libqcocoa.dylib",
        "PySide6/Qt/plugins/imageformats/libqsvg.so",
        # Codecs are found by these.
        "pylibjpeg_openjpeg-2.6.0.dist-info/entry_points.txt",
        "pyjpegls-1.5.1.dist-info/entry_points.txt",
    ],
)
def test_what_torch_qt_and_the_codecs_load_is_kept(name):
    assert not is_left_out(name)


def test_every_left_out_file_has_a_reason():
    assert all(left_out.reason for left_out in frozen_contents.LEFT_OUT_FILES)


def test_metadata_of_every_codec_plugin_travels():
    # pydicom finds these by their metadata; the spec takes along that of every dependency.
    names = set(project_table(Checkout(ROOT))["dependencies"])
    assert names >= {"pydicom", "pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls"}


def test_spec_is_python_and_names_nothing_that_is_missing():
    tree = ast.parse((ROOT / "packaging" / "radtune.spec").read_text(encoding="utf-8"))
    names = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "frozen_contents"
        for alias in node.names
    }
    assert names
    assert [name for name in names if not hasattr(frozen_contents, name)] == []
    hooks = {path.name for path in (ROOT / "packaging" / "hooks").iterdir()}
    assert hooks >= {"matplotlib_folder.py", "hook-PySide6.QtGui.py"}


def test_programs_have_the_names_that_their_system_wants():
    app = Path("dist") / "RadTune"
    assert build.programs(app, "posix") == (app / "radtune", app / "radtune-engine")
    assert build.programs(app, "nt") == (app / "radtune.exe", app / "radtune-engine.exe")


def test_size_counts_each_file_once_under_its_package(tmp_path):
    files = {
        "radtune": 10,
        "_internal/base.zip": 1,
        "_internal/torch/lib/libtorch.so": 100,
        "_internal/torch/version.py": 5,
        "_internal/nvidia/cudnn/lib/libcudnn.so.9": 30,
        "_internal/nvidia/nccl/lib/libnccl.so.2": 20,
    }
    for name, n_bytes in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(n_bytes))
    found = build.sizes(tmp_path)
    assert found == {
        "radtune": 10, "libraries": 1, "torch": 105, "nvidia/cudnn": 30, "nvidia/nccl": 20,
    }  # fmt: skip
    assert found.total() == sum(files.values())


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_size_does_not_count_links(tmp_path):
    (tmp_path / "_internal").mkdir()
    (tmp_path / "_internal" / "liba.so.1").write_bytes(bytes(7))
    (tmp_path / "_internal" / "liba.so").symlink_to("liba.so.1")
    assert build.sizes(tmp_path).total() == 7


def test_index_of_other_torch_builds_counts_only_when_cuda_is_wanted():
    env = {"RADTUNE_TORCH_INDEX": "https://example.org/whl", "PATH": "/bin"}
    assert build.setup_environment(env, cuda=True) == env
    assert build.setup_environment(env, cuda=False) == {"PATH": "/bin"}


def checkout_with_python(tmp_path: Path, script: str) -> Checkout:
    """Return a checkout whose interpreter is a shell script."""
    checkout = Checkout(tmp_path, windows=False)
    checkout.python.parent.mkdir(parents=True)
    checkout.python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    checkout.python.chmod(0o755)
    return checkout


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_cuda_build_is_refused_when_torch_has_none(tmp_path):
    checkout = checkout_with_python(tmp_path, "echo 2.14.1+cpu")
    with pytest.raises(SetupError, match="RADTUNE_TORCH_INDEX"):
        build.describe_torch(checkout, cuda=True)
    assert build.describe_torch(checkout, cuda=False) == "torch 2.14.1+cpu, CPU only"


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_failed_build_shows_the_last_lines(tmp_path):
    checkout = checkout_with_python(tmp_path, "echo something is wrong; exit 3")
    with pytest.raises(SetupError, match="something is wrong"):
        build.run_pyinstaller(checkout)


def test_tried_programs_see_a_new_user_without_a_development_environment(tmp_path):
    env = {"PATH": "/bin", "PYTHONPATH": "/x", "VIRTUAL_ENV": "/y", "LD_LIBRARY_PATH": "/z",
           "RADTUNE_WEIGHTS": "/w", "HOME": "/home/somebody", "QT_QPA_PLATFORM": "xcb"}  # fmt: skip
    clean = smoke_place.clean_environment(env, tmp_path)
    assert clean["PATH"] == "/bin"
    assert not clean.keys() & {"PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "RADTUNE_WEIGHTS",
                               "QT_QPA_PLATFORM"}  # fmt: skip
    homes = {clean[name] for name in clean if name not in ("PATH",)}
    assert all(Path(home).is_relative_to(tmp_path) for home in homes)


def engine_saying(text: str, status: int = 0) -> list[str]:
    return [sys.executable, "-c", f"import sys; print({text!r}); sys.exit({status})"]


def test_result_of_an_engine_command_is_its_last_line():
    said = '{"type": "job_started"}\n{"type": "result", "n_images": 3}'
    assert smoke.ask(engine_saying(said), {}) == {"type": "result", "n_images": 3}


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ('Warning: something\n{"type": "result"}', 0),
        ('{"type": "result"}', 1),
        ('{"type": "error", "message": "no"}', 1),
        ('{"type": "job_started"}', 0),
    ],
)
def test_engine_command_that_breaks_the_stream_or_fails_is_noticed(said, status):
    with pytest.raises(smoke.SmokeError):
        smoke.ask(engine_saying(said, status), {})


def test_smoke_asks_for_a_build_where_there_is_none(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(smoke, "ROOT", tmp_path)  # no .venv there, so it stays in this process
    assert smoke.main([str(tmp_path / "RadTune"), "--out", str(tmp_path / "out")]) == 1
    assert "build first" in capsys.readouterr().err


def test_message_to_a_window_is_as_large_as_the_x_library_reads():
    # Xlib copies a whole XEvent, a union padded to 24 longs, whatever the kind of event.
    assert ctypes.sizeof(smoke_screen.ClientMessage) >= 24 * ctypes.sizeof(ctypes.c_long)
