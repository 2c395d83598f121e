"""The arguments of ``radtune-engine`` and the commands they stand for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from engine.contract.catalog import BACKBONES, METHODS
from engine.contract.commands import (
    AddWeights,
    Command,
    Doctor,
    Evaluate,
    Export,
    Inspect,
    MakeSample,
    MakeSplit,
    Predict,
    Resume,
    RunAll,
    Scan,
    Train,
)
from engine.contract.config import PRESETS, preset_config
from engine.contract.errors import ConfigError
from engine.contract.records import ColumnMapping, PatientRule
from engine.version import VERSION

_DESCRIPTION: Final = (
    "Turn a folder of radiographs into a tested image classifier. Not for clinical use."
)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser; ``kind`` of its result is the subcommand."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="one event a line on standard output, the result last",
    )
    parser = argparse.ArgumentParser(
        prog="radtune-engine", description=_DESCRIPTION, parents=[common]
    )
    parser.add_argument("--version", action="version", version=f"RadTune {VERSION}")
    commands = parser.add_subparsers(dest="kind", required=True, metavar="COMMAND")
    _add_whole_job(commands, common)
    _add_data_jobs(commands, common)
    _add_run_jobs(commands, common)
    _add_bundle_jobs(commands, common)
    worker = commands.add_parser("worker", help="serve the window (used by it alone)")
    worker.add_argument("--role", choices=("data", "run"), required=True)
    return parser


def _add_whole_job(commands: Any, common: argparse.ArgumentParser) -> None:
    run = commands.add_parser(
        "run", parents=[common], help="the whole job: import, split, train, evaluate, export"
    )
    run.add_argument("source", metavar="SOURCE", help="folder of images")
    run.add_argument("--out", required=True, help="folder for project, results and bundle")
    run.add_argument("--labels", help="label sheet (CSV)")
    run.add_argument("--preset", choices=PRESETS, default="quick")
    run.add_argument("--backbone", choices=[card.key for card in BACKBONES])
    run.add_argument("--method", choices=[card.key for card in METHODS])
    run.add_argument("--seed", type=int, default=0)


def _add_data_jobs(commands: Any, common: argparse.ArgumentParser) -> None:
    sample = commands.add_parser("sample", parents=[common], help="write the simulated study")
    sample.add_argument("out", metavar="OUT")
    sample.add_argument("--images", type=int, default=360)
    sample.add_argument("--seed", type=int, default=0)

    inspect = commands.add_parser("inspect", parents=[common], help="look without importing")
    inspect.add_argument("source", metavar="SOURCE")
    inspect.add_argument("--labels")
    inspect.add_argument("--patient-pattern")

    scan = commands.add_parser("scan", parents=[common], help="import images into a project")
    scan.add_argument("source", metavar="SOURCE")
    scan.add_argument("--project", required=True)
    scan.add_argument("--labels", help="label sheet (CSV)")
    for column in ("path", "label", "patient", "split"):
        scan.add_argument(f"--{column}-column", metavar="NAME")
    scan.add_argument("--positive", metavar="CLASS", help="positive class of two")
    scan.add_argument(
        "--patient-pattern", metavar="REGEX", help="patient id searched in the file name"
    )

    split = commands.add_parser("split", parents=[common], help="divide the patients")
    split.add_argument("--project", required=True)
    split.add_argument("--fractions", default="0.7,0.15,0.15", metavar="TRAIN,VAL,TEST")
    split.add_argument("--seed", type=int, default=0)


def _add_run_jobs(commands: Any, common: argparse.ArgumentParser) -> None:
    train = commands.add_parser("train", parents=[common], help="start a run")
    train.add_argument("--project", required=True)
    train.add_argument("--preset", choices=PRESETS, default="standard")
    train.add_argument("--backbone", choices=[card.key for card in BACKBONES])
    train.add_argument("--method", choices=[card.key for card in METHODS])
    train.add_argument("--seed", type=int, default=0)

    resume = commands.add_parser("resume", parents=[common], help="go on with a run")
    evaluate = commands.add_parser("evaluate", parents=[common], help="look at the test set")
    export = commands.add_parser("export", parents=[common], help="write a verified bundle")
    for parser in (resume, evaluate, export):
        parser.add_argument("--project", required=True)
        parser.add_argument("--run", required=True, metavar="ID")
    export.add_argument("--out", required=True, metavar="DIR")


def _add_bundle_jobs(commands: Any, common: argparse.ArgumentParser) -> None:
    predict = commands.add_parser("predict", parents=[common], help="apply a bundle")
    predict.add_argument("source", metavar="SOURCE", help="image or folder of images")
    predict.add_argument("--bundle", required=True)
    predict.add_argument("--out", required=True, metavar="CSV")

    weights = commands.add_parser("add-weights", parents=[common], help="add a weights file")
    weights.add_argument("file", metavar="FILE")
    weights.add_argument("--backbone", choices=[card.key for card in BACKBONES])

    commands.add_parser("doctor", parents=[common], help="what this machine can do")


def command_from(arguments: argparse.Namespace) -> Command:
    """Return the command that parsed arguments stand for.

    Raises:
        ConfigError: If an option's value can't be used.
    """
    a = arguments
    match a.kind:
        case "run":
            return RunAll(
                source=_path(a.source),
                out=_path(a.out),
                labels=_path(a.labels) if a.labels else None,
                preset=a.preset,
                backbone=a.backbone,
                method=a.method,
                seed=a.seed,
            )
        case "sample":
            return MakeSample(out=_path(a.out), n_images=a.images, seed=a.seed)
        case "inspect":
            return Inspect(
                source=_path(a.source),
                labels=_path(a.labels) if a.labels else None,
                patient_pattern=a.patient_pattern,
            )
        case "scan":
            return _scan(a)
        case "split":
            return MakeSplit(
                project=_path(a.project), fractions=_fractions(a.fractions), seed=a.seed
            )
        case "train":
            config = preset_config(a.preset, backbone=a.backbone, method=a.method, seed=a.seed)
            return Train(project=_path(a.project), config=config)
        case "resume":
            return Resume(project=_path(a.project), run=a.run)
        case "evaluate":
            return Evaluate(project=_path(a.project), run=a.run)
        case "export":
            return Export(project=_path(a.project), run=a.run, out=_path(a.out))
        case "predict":
            return Predict(bundle=_path(a.bundle), source=_path(a.source), out=_path(a.out))
        case "add-weights":
            return AddWeights(file=_path(a.file), backbone=a.backbone)
        case "doctor":
            return Doctor()
    raise ValueError(a.kind)


def _scan(a: argparse.Namespace) -> Scan:
    rule = PatientRule()
    if a.patient_pattern:
        rule = PatientRule(source="pattern", pattern=a.patient_pattern)
    elif a.patient_column:
        rule = PatientRule(source="column")
    return Scan(
        source=_path(a.source),
        project=_path(a.project),
        labels=_path(a.labels) if a.labels else None,
        columns=ColumnMapping(
            path=a.path_column, label=a.label_column, patient=a.patient_column, split=a.split_column
        ),
        patient_rule=rule,
        positive=a.positive,
    )


def _path(text: str) -> str:
    return str(Path(text).expanduser().absolute())


def _fractions(text: str) -> tuple[float, float, float]:
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(
            f"The fractions {text!r} are not three numbers.",
            remedy="Write them like 0.7,0.15,0.15.",
        ) from error
    return train, val, test
