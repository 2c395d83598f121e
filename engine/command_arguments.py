"""The commands that the arguments of ``radtune-engine`` stand for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from engine.command_line import COLUMNS, read_as_unicode
from engine.contract.commands import (
    AddWeights,
    Audit,
    Combine,
    Command,
    Crossval,
    Deidentify,
    Doctor,
    Evaluate,
    Export,
    ExportLabels,
    InspectFile,
    ListBackbones,
    ListMethods,
    ListRuns,
    ListWeights,
    LrRange,
    MakeSample,
    MakeSplit,
    Predict,
    PrepareImages,
    Pretrain,
    Preview,
    RecommendSetup,
    RefitHead,
    Relabel,
    RemoveWeights,
    Resume,
    Robustness,
    RunAll,
    Scan,
    Search,
    Train,
)
from engine.contract.config import ExperimentConfig, preset_config
from engine.contract.config_edit import (
    ORDINAL_WEIGHT,
    name_of,
    require_effect,
    require_effect_of_search,
    with_settings,
)
from engine.contract.errors import ConfigError
from engine.contract.import_rules import (
    ColumnMapping,
    FramePolicy,
    LabelRule,
    PatientRule,
    SheetFormat,
)
from engine.contract.limits import limits_of
from engine.contract.results import ClassMatch

_AS_IT_IS: Final = "direct_transfer"
_NAMED_OTHERWISE: Final[dict[str, tuple[str, type, str]]] = {
    "robustness": ("images", Robustness, "n_images"),
    "prepare-images": ("size-px", PrepareImages, "size_px"),
    "ensemble": ("views", Combine, "test_time_views"),
}
"""Options of subcommands that are called otherwise than the fields that limit them."""


def command_from(arguments: argparse.Namespace) -> Command:
    """Return the command that parsed arguments stand for.

    Raises:
        ConfigError: If an option's value can't be used.
    """
    a = arguments
    read_as_unicode(a)
    _require_limits(a)
    match a.kind:
        case "run":
            return RunAll(
                source=_path(a.source),
                out=_path(a.out),
                labels=_path_if(a.labels),
                preset=a.preset,
                backbone=a.backbone,
                method=a.method,
                seed=a.seed,
            )
        case "sample":
            return MakeSample(out=_path(a.out), n_images=a.images, seed=a.seed)
        case "inspect":
            return InspectFile(file=_path(a.file), frame=a.frame, png=_path_if(a.png))
        case "preview":
            return Preview(
                source=_path(a.source),
                labels=_path_if(a.labels),
                patient_pattern=a.patient_pattern,
                sheet=_sheet(a),
                columns=_columns(a),
                label_rule=_label_rule(a),
            )
        case "scan":
            return _scan(a)
        case "relabel":
            return Relabel(
                project=_path(a.project),
                labels=_path(a.labels),
                sheet=_sheet(a),
                columns=_columns(a),
                label_rule=_label_rule(a),
            )
        case "export-labels":
            return ExportLabels(project=_path(a.project), out=_path(a.out))
        case "audit":
            return Audit(project=_path(a.project))
        case "deidentify":
            return Deidentify(
                project=_path(a.project), out=_path(a.out), records=_records(a.records)
            )
        case "split":
            return MakeSplit(
                project=_path(a.project), fractions=_fractions(a.fractions), seed=a.seed
            )
        case "train":
            return _train(a)
        case "resume":
            return Resume(project=_path(a.project), run=a.run, anyway=a.anyway)
        case "runs":
            return ListRuns(project=_path(a.project))
        case "evaluate":
            return Evaluate(project=_path(a.project), run=a.run)
        case "robustness":
            return Robustness(
                project=_path(a.project),
                run=a.run,
                split=a.split,
                n_images=a.images,
                corruptions=not a.no_corruptions,
            )
        case "export":
            return Export(
                project=_path(a.project),
                run=a.run,
                out=_path(a.out),
                difference_only=a.difference_only,
            )
        case "predict":
            return Predict(bundle=_path(a.bundle), source=_path(a.source), out=_path(a.out))
        case "backbones":
            return ListBackbones()
        case "weights":
            return _weights(a)
        case "recommend-setup":
            return RecommendSetup(project=_path(a.project), minutes=a.minutes, apply=a.apply)
        case "prepare-images":
            return PrepareImages(project=_path(a.project), size_px=a.size_px)
        case "pretrain":
            return Pretrain(
                projects=tuple(_path(project) for project in a.projects),
                name=a.name,
                backbone=a.backbone,
                epochs=a.epochs,
                seed=a.seed,
            )
        case "search":
            return _search(a)
        case "crossval":
            return Crossval(project=_path(a.project), folds=a.folds, config=_effective(a))
        case "lr-range":
            return LrRange(project=_path(a.project), steps=a.steps, config=_effective(a))
        case "ensemble":
            return Combine(
                project=_path(a.project),
                runs=_names(a.runs),
                crossval=a.crossval or "",
                test_time_views=a.views,
            )
        case "refit-head":
            return RefitHead(project=_path(a.project), backbone=a.backbone, weights=a.weights)
        case "methods":
            return ListMethods()
        case "doctor":
            return Doctor(check=not a.quick)
    raise ValueError(a.kind)


def _require_limits(arguments: argparse.Namespace) -> None:
    """Refuse a value out of range by the option that the user wrote, not by the field's name."""
    if arguments.kind not in _NAMED_OTHERWISE:
        return
    option, command, field = _NAMED_OTHERWISE[arguments.kind]
    value = getattr(arguments, option.replace("-", "_"))
    if problem := limits_of(command)[field].problem(value):
        raise ConfigError(
            f"The option --{option} {problem}.", remedy=f"Choose another value for --{option}."
        )


def _repeat(a: argparse.Namespace) -> Train:
    others = (a.preset, a.backbone, a.method, a.seed, a.finding, a.bundle)
    if any(value is not None for value in others) or a.set or a.match:
        raise ConfigError(
            "A recipe brings all settings of its run, so no other can be given beside it.",
            remedy="Leave out either --recipe or the others.",
        )
    return Train(project=_path(a.project), recipe=_path(a.recipe))


def _train(a: argparse.Namespace) -> Train:
    if a.recipe is not None:
        return _repeat(a)
    config = preset_config(
        a.preset or "standard", backbone=a.backbone, method=a.method, seed=a.seed or 0
    )
    config = with_settings(config, a.set)
    require_effect(config, a.set)
    _require_order(a)
    if a.bundle is not None and config.method.key == _AS_IT_IS:
        _require_own(a)
    if a.match and a.bundle is None:
        raise ConfigError(
            "Classes can only be matched to those of a classifier.",
            remedy="Say which with --bundle, or leave out --match.",
        )
    return Train(
        project=_path(a.project),
        config=config,
        finding=a.finding,
        bundle=_path_if(a.bundle),
        matches=_matches(a.match),
    )


def _require_own(a: argparse.Namespace) -> None:
    """Refuse beside a classifier that is applied as it is what it brings itself."""
    options = {"--backbone": a.backbone, "--preset": a.preset}
    chosen = [option for option, value in options.items() if value is not None]
    chosen += [f"--set {name}" for name in map(name_of, a.set) if _is_of_bundle(name)]
    if chosen:
        raise ConfigError(
            f"A classifier that is applied as it is brings its own network and views, so "
            f"{chosen[0]} has no effect on it.",
            remedy=f"Leave out {chosen[0]}; or leave out --bundle, and a backbone without a "
            "classifier is applied.",
        )


def _is_of_bundle(name: str) -> bool:
    return name.startswith("backbone.") or name == "evaluation.test_time_views"


def _require_order(a: argparse.Namespace) -> None:
    """Refuse to weight the order of classes that have none.

    What else is wrong with the project, the job says.
    """
    if ORDINAL_WEIGHT not in map(name_of, a.set):
        return
    from engine.project.classes import ORDINAL
    from engine.project.store import Project, has_project

    folder = Path(_path(a.project))
    if not has_project(folder):
        return
    with Project.open(folder, read_only=True) as project:
        task = project.task
    if task != ORDINAL:
        raise ConfigError(
            f"The setting {ORDINAL_WEIGHT} has no effect: the classes of this project have no "
            "order.",
            remedy="Leave it out; grades with an order are imported with --task ordinal.",
        )


def _search(a: argparse.Namespace) -> Search:
    config, methods, backbones = _settings(a), _names(a.methods), _names(a.backbones)
    if a.set:
        from engine.jobs.candidates import DEFAULT_METHODS  # which loads torch

        config = require_effect_of_search(
            a.set, config, methods=methods or DEFAULT_METHODS, backbones=backbones
        )
        _require_order(a)
    return Search(
        project=_path(a.project),
        minutes=a.minutes,
        config=config,
        backbones=backbones,
        methods=methods,
    )


def _weights(a: argparse.Namespace) -> Command:
    if a.action == "list":
        return ListWeights()
    if a.action == "remove":
        return RemoveWeights(id=a.id)
    return AddWeights(
        file=_path(a.file), backbone=a.backbone, check_only=a.check, allow_partial=a.partial
    )


def _settings(a: argparse.Namespace) -> ExperimentConfig:
    """Return the settings of a command that starts from a preset."""
    backbone, method = getattr(a, "backbone", None), getattr(a, "method", None)
    config = preset_config(a.preset, backbone=backbone, method=method, seed=a.seed)
    return with_settings(config, a.set)


def _scan(a: argparse.Namespace) -> Scan:
    rule = PatientRule()
    if a.patient_pattern:
        rule = PatientRule(source="pattern", pattern=a.patient_pattern)
    elif a.patient_column:
        rule = PatientRule(source="column")
    return Scan(
        source=_path(a.source),
        project=_path(a.project),
        labels=_path_if(a.labels),
        labels_from=a.labels_from,
        sheet=_sheet(a),
        columns=_columns(a),
        label_rule=_label_rule(a),
        frames=_frames(a.frames, a.axis),
        patient_rule=rule,
        positive=a.positive,
        size_px=a.size_px,
    )


def _sheet(a: argparse.Namespace) -> SheetFormat:
    return SheetFormat(
        separator={"\\t": "\t", "tab": "\t"}.get(a.separator, a.separator),
        encoding=a.encoding,
        worksheet=a.worksheet,
        header_row=a.header_row,
    )


def _columns(a: argparse.Namespace) -> ColumnMapping:
    return ColumnMapping(
        labels=_names(a.label_columns),
        join=a.join,
        **{column: getattr(a, f"{column}_column") for column in COLUMNS},
    )


def _label_rule(a: argparse.Namespace) -> LabelRule:
    return LabelRule(
        task=a.task,
        separator=a.finding_separator,
        uncertain=a.uncertain,
        blank=a.blank,
        order=_names(a.grades),
    )


def _effective(a: argparse.Namespace) -> ExperimentConfig:
    """Return the settings of a command that keeps to one method."""
    config = _settings(a)
    require_effect(config, a.set)
    _require_order(a)
    return config


def _matches(texts: list[str]) -> tuple[ClassMatch, ...]:
    pairs = [text.partition("=") for text in texts]
    if wrong := next((text for text, pair in zip(texts, pairs, strict=True) if not pair[1]), None):
        raise ConfigError(
            f"{wrong!r} is not a pair of classes.", remedy="Write it like pneumonia=opacity."
        )
    return tuple(ClassMatch(theirs=theirs.strip(), own=own.strip()) for theirs, _, own in pairs)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()


def _frames(text: str, axis: str) -> FramePolicy:
    which, _, step = text.partition(":")
    if which not in ("middle", "every", "all") or (step and not step.isdecimal()):
        raise ConfigError(
            f"The frames {text!r} can't be used.", remedy="Write middle, all, or every:10."
        )
    return FramePolicy(frames=which, step=int(step or FramePolicy().step), axis=axis)


def _records(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(
            f"The records {text!r} are not whole numbers.", remedy="Write them like 3,17,18."
        ) from error


def _path_if(text: str | None) -> str | None:
    return None if text is None else _path(text)


def _path(text: str) -> str:
    if not text.strip():  # as a shell gives it where a variable isn't set
        raise ConfigError(
            "A path is empty.", remedy="Write the path of a file or folder; '.' is this folder."
        )
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
