"""The whole main job as a process on real radiographs, beside a reference loop.

``python -m tests.speed.main_job quick`` times Quick on ``cxr_pneumonia``;
``python -m tests.speed.main_job standard`` times Standard on ``nih_cxr`` for three seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.speed.machine import ROOT, data_folder, describe_machine

_DATA = {"quick": "cxr_pneumonia", "standard": "nih_cxr", "thorough": "nih_cxr"}
_SEEDS = {"quick": 1, "standard": 3, "thorough": 1}


def main() -> None:
    """Print one line a run, and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset", choices=sorted(_DATA))
    parser.add_argument("--data", help="name of the data set, instead of the preset's")
    parser.add_argument("--seeds", type=int)
    arguments = parser.parse_args()
    source = data_folder() / (arguments.data or _DATA[arguments.preset])
    print(f"{arguments.preset} on {source.name}: {describe_machine()}")
    runs = [
        _run(source, arguments.preset, seed)
        for seed in range(arguments.seeds or _SEEDS[arguments.preset])
    ]
    reference = _reference_seconds()
    aurocs, seconds = [run["auroc"] for run in runs], [run["wall"] for run in runs]
    mean_auroc, mean_seconds = statistics.mean(aurocs), statistics.mean(seconds)
    print(f"mean test AUROC {mean_auroc:.4f}, mean seconds {mean_seconds:.1f}")
    print(
        f"reference loop (plain fp32, 10 steps of 16): {reference:.1f} s; "
        f"ratio of a run to it {mean_seconds / reference:.2f}"
    )


def _run(source: Path, preset: str, seed: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "engine", "run", str(source), "--json"]
        command += ["--out", f"{folder}/out", "--preset", preset, "--seed", str(seed)]
        started = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        wall = time.perf_counter() - started
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    result = lines[-1]
    [trained] = [line["result"] for line in lines if line["type"] == "RunFinished"]
    print(
        f"seed {seed}: test AUROC {result['auroc']:.4f} ({result['auroc_low']:.3f} to "
        f"{result['auroc_high']:.3f}), validation {trained['val_auroc']:.4f}, "
        f"{trained['epochs']} epochs, whole process {wall:.1f} s",
        flush=True,
    )
    return {"auroc": result["auroc"], "wall": wall}


def _reference_seconds() -> float:
    """Time what a first script would do: fp32, contiguous images, one forward and backward."""
    code = (
        "import time, timm, torch\n"
        "net = timm.create_model('tf_efficientnet_lite0', num_classes=2)\n"
        "opt = torch.optim.AdamW(net.parameters())\n"
        "x, y = torch.rand(16, 3, 224, 224), torch.randint(0, 2, (16,))\n"
        "def step():\n"
        "    opt.zero_grad()\n"
        "    torch.nn.functional.cross_entropy(net(x), y).backward()\n"
        "    opt.step()\n"
        "step()\n"
        "start = time.perf_counter()\n"
        "for _ in range(10): step()\n"
        "print(time.perf_counter() - start)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
