"""The arguments of ``radtune-engine``; ``engine.command_arguments`` says what they stand for."""

from __future__ import annotations

import argparse
import os
from typing import Any, Final, NoReturn

from engine.contract.backbones import BACKBONES
from engine.contract.config import PRESETS, BackboneConfig
from engine.contract.errors import ConfigError, EngineError
from engine.contract.methods import METHODS
from engine.version import VERSION

_DESCRIPTION: Final = (
    "Turn a folder of radiographs into a tested image classifier. Not for clinical use."
)
PATHS: Final = frozenset("source out labels file png project projects recipe bundle".split())
"""Arguments that are paths, by their names in what is parsed."""


class UsageError(EngineError):
    """Arguments that the parser can't read.

    Attributes:
        usage: How the command is called, ending with a line break.
    """

    def __init__(self, message: str, *, remedy: str, usage: str) -> None:
        super().__init__(message, remedy=remedy)
        self.usage = usage


class _Parser(argparse.ArgumentParser):
    """Raises what it would print, since a program that asked for JSON can't read the latter."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(
            f"{message[:1].upper()}{message[1:]}.",
            remedy=f"{self.prog} --help says what it takes.",
            usage=self.format_usage(),
        )


def read_as_unicode(arguments: argparse.Namespace) -> None:
    """Read texts of arguments as UTF-8 where the system's locale knows less; paths stay bytes.

    Python hands over what it can't decode as surrogates, with which a file opens but nothing can be
    written.

    Raises:
        ConfigError: If a text isn't UTF-8 either.
    """
    for name, value in vars(arguments).items():
        if isinstance(value, str) and name not in PATHS:
            setattr(arguments, name, _as_unicode(value))
        elif isinstance(value, list) and name not in PATHS:
            setattr(arguments, name, [_as_unicode(text) for text in value])


def _as_unicode(text: str) -> str:
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        return text
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError as error:
        raise ConfigError(
            f"{text!a} is not written in Unicode.",
            remedy="Set the terminal to UTF-8, for example with LC_ALL=C.UTF-8.",
        ) from error


def make_parser() -> argparse.ArgumentParser:
    """Return the parser; ``kind`` of its result is the subcommand.

    It raises :class:`UsageError` where others end the program.
    """
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="one event a line on standard output, the result last",
    )
    parser = _Parser(prog="radtune-engine", description=_DESCRIPTION, parents=[common])
    parser.add_argument("--version", action="version", version=f"RadTune {VERSION}")
    commands = parser.add_subparsers(dest="kind", required=True, metavar="COMMAND")
    _add_whole_job(commands, common)
    _add_data_jobs(commands, common)
    _add_run_jobs(commands, common)
    _add_bundle_jobs(commands, common)
    worker = commands.add_parser("worker", help="serve the window (used by it alone)")
    worker.add_argument("--role", choices=("data", "run", "decode", "check"), required=True)
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

    inspect = commands.add_parser("inspect", parents=[common], help="what one file is and holds")
    inspect.add_argument("file", metavar="FILE")
    inspect.add_argument("--frame", type=int, help="frame from 0; else the middle one")
    inspect.add_argument("--png", metavar="OUT", help="write what a reader sees")

    preview = commands.add_parser("preview", parents=[common], help="look without importing")
    preview.add_argument("source", metavar="SOURCE")
    preview.add_argument("--labels", help="label sheet (CSV or Excel)")
    preview.add_argument("--patient-pattern", metavar="REGEX")
    _add_sheet_format(preview)
    _add_columns(preview)

    scan = commands.add_parser("scan", parents=[common], help="import images into a project")
    scan.add_argument("source", metavar="SOURCE", help="folder, DICOMDIR, label sheet or one file")
    scan.add_argument("--project", required=True)
    scan.add_argument("--labels", help="label sheet (CSV or Excel)")
    scan.add_argument(
        "--labels-from",
        choices=("auto", "sheet", "folders"),
        default="auto",
        help="where the classes come from",
    )
    scan.add_argument("--positive", metavar="CLASS", help="positive class of two")
    scan.add_argument(
        "--size-px", type=int, metavar="PX", help="side of the images for networks (default: 224)"
    )
    scan.add_argument(
        "--patient-pattern", metavar="REGEX", help="patient id searched in the file name"
    )
    scan.add_argument(
        "--frames",
        default="middle",
        metavar="WHICH",
        help="of files with several: middle, all, or every:N",
    )
    scan.add_argument(
        "--axis", choices=("axial", "coronal", "sagittal"), default="axial", help="of volumes"
    )
    _add_sheet_format(scan)
    _add_columns(scan)

    relabel = commands.add_parser("relabel", parents=[common], help="change labels from a sheet")
    relabel.add_argument("--project", required=True)
    relabel.add_argument("--labels", required=True, help="label sheet (CSV or Excel)")
    _add_sheet_format(relabel)
    _add_columns(relabel)

    export = commands.add_parser("export-labels", parents=[common], help="write the label sheet")
    export.add_argument("--project", required=True)
    export.add_argument("--out", required=True, metavar="CSV")

    audit = commands.add_parser("audit", parents=[common], help="look for what ruins classifiers")
    audit.add_argument("--project", required=True)

    deidentify = commands.add_parser(
        "deidentify", parents=[common], help="copy DICOM originals without identifiers"
    )
    deidentify.add_argument("--project", required=True)
    deidentify.add_argument("--out", required=True, metavar="DIR")
    deidentify.add_argument("--records", metavar="IDS", help="like 3,17,18; else all in use")

    split = commands.add_parser("split", parents=[common], help="divide the patients")
    split.add_argument("--project", required=True)
    split.add_argument("--fractions", default="0.7,0.15,0.15", metavar="TRAIN,VAL,TEST")
    split.add_argument("--seed", type=int, default=0)


def _add_sheet_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--separator", metavar="CHARACTER", help="between the cells of the sheet")
    parser.add_argument("--encoding", help="of the sheet, such as utf-8 or gb18030")
    parser.add_argument("--worksheet", metavar="NAME", help="of a workbook")
    parser.add_argument(
        "--header-row", type=int, metavar="N", help="row of the column names, from 1; 0: none"
    )


COLUMNS: Final = "path label patient split study date site scanner sex age view frame".split()


def _add_columns(parser: argparse.ArgumentParser) -> None:
    for column in COLUMNS:
        parser.add_argument(f"--{column}-column", metavar="NAME")
    parser.add_argument(
        "--label-columns", metavar="A,B,…", help="a column of 0 and 1 for each class"
    )
    parser.add_argument(
        "--join",
        choices=("auto", "path", "sop_uid", "patient_date"),
        default="auto",
        help="what a row is matched by",
    )
    parser.add_argument(
        "--task",
        choices=("auto", "single", "multi", "ordinal"),
        default="auto",
        help="one class, several findings, or a grade for each image",
    )
    parser.add_argument("--finding-separator", default="|", help="between findings of one cell")
    parser.add_argument(
        "--uncertain",
        choices=("ignore", "negative", "positive"),
        default="ignore",
        help="what uncertain findings count as",
    )
    parser.add_argument(
        "--blank",
        choices=("auto", "absent", "unknown"),
        default="auto",
        help="what a blank 0/1 cell counts as",
    )
    parser.add_argument("--grades", metavar="LOW,…,HIGH", help="order of the grades")


def _add_run_jobs(commands: Any, common: argparse.ArgumentParser) -> None:
    train = commands.add_parser("train", parents=[common], help="start a run")
    train.add_argument("--project", required=True)
    train.add_argument("--preset", choices=PRESETS, help="else standard")
    train.add_argument("--backbone", choices=[card.key for card in BACKBONES])
    train.add_argument("--method", choices=[card.key for card in METHODS])
    train.add_argument("--seed", type=int, help="of every random choice, else 0")
    train.add_argument(
        "--recipe", metavar="FILE", help="repeat a run from the recipe.json in its folder"
    )
    train.add_argument(
        "--finding", metavar="NAME", help="the one to learn, of several an image, or 'all'"
    )
    train.add_argument(
        "--bundle", metavar="DIR", help="with direct_transfer: the classifier to apply as it is"
    )
    train.add_argument(
        "--match",
        action="append",
        default=[],
        metavar="THEIRS=MINE",
        help="a class of that classifier and the one of yours that it stands for; can be repeated",
    )
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STAGE.FIELD=VALUE",
        help="change a setting, such as optimizer.learning_rate=0.001; can be repeated",
    )

    resume = commands.add_parser("resume", parents=[common], help="go on with a run")
    resume.add_argument(
        "--anyway",
        action="store_true",
        help="go on although versions or images outside the split have changed",
    )
    runs = commands.add_parser("runs", parents=[common], help="the run history, with IDs")
    runs.add_argument("--project", required=True)
    evaluate = commands.add_parser("evaluate", parents=[common], help="look at the test set")
    export = commands.add_parser("export", parents=[common], help="write a verified bundle")
    robustness = commands.add_parser(
        "robustness", parents=[common], help="worst-case changes and degraded images"
    )
    robustness.add_argument(
        "--split", choices=("val", "test"), default="val", help="test counts as a look at it"
    )
    robustness.add_argument("--images", type=int, default=200, metavar="N", help="at most so many")
    robustness.add_argument("--no-corruptions", action="store_true", help="worst cases alone")
    for parser in (resume, evaluate, robustness, export):
        parser.add_argument("--project", required=True)
        parser.add_argument("--run", required=True, metavar="ID")
    export.add_argument("--out", required=True, metavar="DIR")
    export.add_argument(
        "--difference-only",
        action="store_true",
        help="only what differs from the pre-trained weights, to be read where those are",
    )


def _add_bundle_jobs(commands: Any, common: argparse.ArgumentParser) -> None:
    predict = commands.add_parser("predict", parents=[common], help="apply a bundle")
    predict.add_argument("source", metavar="SOURCE", help="image or folder of images")
    predict.add_argument("--bundle", required=True)
    predict.add_argument("--out", required=True, metavar="CSV")

    _add_catalog_jobs(commands, common)

    recommend = commands.add_parser(
        "recommend-setup", parents=[common], help="what to try first with a project, and why"
    )
    recommend.add_argument("--project", required=True)
    recommend.add_argument("--minutes", type=float, help="most time that training may take")
    recommend.add_argument(
        "--apply", action="store_true", help="prepare the images at the recommended size"
    )

    prepare = commands.add_parser(
        "prepare-images", parents=[common], help="prepare the images at another size"
    )
    prepare.add_argument("--project", required=True)
    prepare.add_argument("--size-px", type=int, required=True, help="side of the square image")

    pretrain = commands.add_parser(
        "pretrain", parents=[common], help="train one backbone on several projects"
    )
    pretrain.add_argument("--projects", required=True, nargs="+", metavar="PROJECT")
    pretrain.add_argument("--name", required=True, help="of the new backbone")
    pretrain.add_argument("--backbone", default=BackboneConfig().key, metavar="KEY")
    pretrain.add_argument("--epochs", type=int, default=6, help="passes over the images")
    pretrain.add_argument("--seed", type=int, default=0)

    _add_searches(commands, common)
    refit = commands.add_parser(
        "refit-head", parents=[common], help="how good the present labels are for a linear probe"
    )
    refit.add_argument("--project", required=True)
    refit.add_argument("--backbone", default=BackboneConfig().key, metavar="KEY")
    refit.add_argument(
        "--weights",
        default=BackboneConfig().weights,
        metavar="WEIGHTS",
        help="'pretrained' (the default), or 'file:ID' as 'weights list' shows it",
    )

    commands.add_parser("methods", parents=[common], help="the ways to adapt a network")
    doctor = commands.add_parser(
        "doctor", parents=[common], help="check that devices compute; what this machine can do"
    )
    doctor.add_argument("--quick", action="store_true", help="list the devices without checks")


def _add_catalog_jobs(commands: Any, common: argparse.ArgumentParser) -> None:
    commands.add_parser("backbones", parents=[common], help="the networks to choose from")
    weights = commands.add_parser(
        "weights", parents=[common], help="pre-trained weights from files"
    )
    actions = weights.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", parents=[common], help="add a file, or a folder of files")
    add.add_argument("file", metavar="FILE_OR_FOLDER")
    add.add_argument("--backbone", choices=[card.key for card in BACKBONES])
    add.add_argument("--partial", action="store_true", help="add it too if a part is missing")
    add.add_argument("--check", action="store_true", help="only say how well it fits")
    actions.add_parser("list", parents=[common], help="the weights that were added")
    remove = actions.add_parser("remove", parents=[common], help="delete added weights")
    remove.add_argument("id", metavar="ID", help="as 'weights list' shows it")


def _add_searches(commands: Any, common: argparse.ArgumentParser) -> None:
    search = commands.add_parser(
        "search", parents=[common], help="look for the best settings within a time"
    )
    search.add_argument("--minutes", type=float, required=True, help="time to spend")
    search.add_argument("--backbones", metavar="A,B,…", help="else all whose weights are here")
    search.add_argument("--methods", metavar="A,B,…", help="else the usual ones")
    crossval = commands.add_parser(
        "crossval", parents=[common], help="measure settings without the test images"
    )
    crossval.add_argument("--folds", type=int, default=5, metavar="K")
    lr_range = commands.add_parser(
        "lr-range", parents=[common], help="find a learning rate by raising it"
    )
    lr_range.add_argument("--steps", type=int, default=120, help="updates to make")
    for parser in (search, crossval, lr_range):
        parser.add_argument("--project", required=True)
        parser.add_argument("--preset", choices=PRESETS, default="standard")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="STAGE.FIELD=VALUE",
            help="change a setting; can be repeated",
        )
    for parser in (crossval, lr_range):
        parser.add_argument("--backbone", metavar="KEY")
        parser.add_argument("--method", metavar="KEY")
    ensemble = commands.add_parser(
        "ensemble", parents=[common], help="make a run that averages others"
    )
    ensemble.add_argument("--project", required=True)
    members = ensemble.add_mutually_exclusive_group(required=True)
    members.add_argument("--runs", metavar="A,B,…", help="finished runs")
    members.add_argument("--crossval", metavar="ID", help="the folds of a cross-validation")
    ensemble.add_argument(
        "--views", type=int, default=1, metavar="N", help="moved copies averaged for each image"
    )
