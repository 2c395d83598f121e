"""What can be asked of a worker; each command is one job.

Paths are strings, absolute when they come from the window. ``kind`` names a command on the wire
and in ``JobStarted`` / ``JobFinished``. The commands are defined in a module for each family and
imported from here.
"""

from __future__ import annotations

from typing import Final

from engine.contract.commands.catalog import (
    AddWeights,
    Doctor,
    ListBackbones,
    ListMethods,
    ListWeights,
    RecommendSetup,
    RemoveWeights,
)
from engine.contract.commands.data import (
    Audit,
    Deidentify,
    ExportLabels,
    InspectFile,
    MakeSample,
    MakeSplit,
    PrepareImages,
    Preview,
    Relabel,
    Scan,
    ViewImage,
)
from engine.contract.commands.results import Evaluate, Export, ListRuns, Predict, Robustness
from engine.contract.commands.searching import Combine, Crossval, LrRange, Search
from engine.contract.commands.training import Pretrain, RefitHead, Resume, RunAll, Train

__all__ = [
    "COMMAND_KINDS",
    "DATA_KINDS",
    "KIND_OF",
    "RESUMABLE_KINDS",
    "RUN_KINDS",
    "AddWeights",
    "Audit",
    "Combine",
    "Command",
    "Crossval",
    "Deidentify",
    "Doctor",
    "Evaluate",
    "Export",
    "ExportLabels",
    "InspectFile",
    "ListBackbones",
    "ListMethods",
    "ListRuns",
    "ListWeights",
    "LrRange",
    "MakeSample",
    "MakeSplit",
    "Predict",
    "PrepareImages",
    "Pretrain",
    "Preview",
    "RecommendSetup",
    "RefitHead",
    "Relabel",
    "RemoveWeights",
    "Resume",
    "Robustness",
    "RunAll",
    "Scan",
    "Search",
    "Train",
    "ViewImage",
]

Command = (
    MakeSample
    | Preview
    | InspectFile
    | Scan
    | Relabel
    | ExportLabels
    | Audit
    | Deidentify
    | MakeSplit
    | Train
    | Resume
    | ListRuns
    | Evaluate
    | Robustness
    | Export
    | Predict
    | RunAll
    | ViewImage
    | AddWeights
    | ListWeights
    | RemoveWeights
    | ListBackbones
    | RecommendSetup
    | PrepareImages
    | Pretrain
    | Crossval
    | Search
    | LrRange
    | Combine
    | RefitHead
    | ListMethods
    | Doctor
)

COMMAND_KINDS: Final[dict[str, type[Command]]] = {
    "sample": MakeSample,
    "preview": Preview,
    "inspect": InspectFile,
    "scan": Scan,
    "relabel": Relabel,
    "export_labels": ExportLabels,
    "audit": Audit,
    "deidentify": Deidentify,
    "split": MakeSplit,
    "train": Train,
    "resume": Resume,
    "runs": ListRuns,
    "evaluate": Evaluate,
    "robustness": Robustness,
    "export": Export,
    "predict": Predict,
    "run": RunAll,
    "view": ViewImage,
    "add_weights": AddWeights,
    "list_weights": ListWeights,
    "remove_weights": RemoveWeights,
    "backbones": ListBackbones,
    "recommend_setup": RecommendSetup,
    "prepare_images": PrepareImages,
    "pretrain": Pretrain,
    "crossval": Crossval,
    "search": Search,
    "lr_range": LrRange,
    "ensemble": Combine,
    "refit_head": RefitHead,
    "methods": ListMethods,
    "doctor": Doctor,
}
KIND_OF: Final = {command: kind for kind, command in COMMAND_KINDS.items()}
DATA_KINDS: Final = frozenset(
    {
        "sample",
        "preview",
        "inspect",
        "scan",
        "relabel",
        "export_labels",
        "deidentify",
        "split",
        "view",
        "prepare_images",
    }
)
"""Kinds that need no torch: they go to the data worker, all others to the run worker."""
RUN_KINDS: Final = frozenset({"train", "resume"})
"""Kinds that answer with the events of a run."""
RESUMABLE_KINDS: Final = frozenset({"crossval", "pretrain", "run", "search"})
"""Kinds of jobs that go on where they were interrupted when they are asked for again."""
