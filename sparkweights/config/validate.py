"""What must hold between the sections of a configuration."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sparkweights.config.column_selection import check_pattern
from sparkweights.config.constraints import check_constraints
from sparkweights.config.distillation import check_distillation
from sparkweights.config.fairness import check_fairness
from sparkweights.config.locations import check_locations
from sparkweights.config.stream import check_stream
from sparkweights.core.errors import ConfigError, did_you_mean, join_names
from sparkweights.costs.expression import names
from sparkweights.costs.matrix import REVIEW
from sparkweights.models.declaration import ClassCount
from sparkweights.models.registry import (
    capabilities,
    check_params,
    kinds_that,
    require_explainable,
)
from sparkweights.probability.settings import CALIBRATIONS, require_prior
from sparkweights.sampling.period import Span
from sparkweights.spec.outputs import UNSCORABLE, scored_columns
from sparkweights.spec.scoring import ESTIMATE, NATURAL
from sparkweights.spec.settings import ColumnsMatching

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkweights.config.schema import Config


def check_consistency(config: Config) -> None:
    """Refuse conflicts between sections.

    Raises
    ------
    ConfigError
        With the key path, the value, what is allowed, and the next step.
    """
    _check_classes(config)
    _check_columns(config)
    _check_names(config)
    _check_choices(config)
    check_locations(config)
    _check_signing(config)
    check_params(config.model.kind, config.model.params)
    _check_reasons(config)
    _check_sizing(config)
    check_constraints(config)
    check_fairness(config)
    _check_tune(config)
    check_distillation(config)
    check_stream(config)


def _check_classes(config: Config) -> None:
    classes = config.columns.classes
    if len(classes) < 2:  # one class needs no decision
        raise ConfigError(
            f"columns.classes: {len(classes)} class given ({join_names(classes)}); at least two "
            "are needed.",
            hint="name every outcome, for instance {repay: 0, default: 1}.",
        )
    values = [value for of_class in config.roles.class_values.values() for value in of_class]
    if len({type(value) for value in values}) > 1:
        raise ConfigError(
            f"columns.classes: values {join_names(map(repr, values))} mix types.",
            hint="write all of them as the label column holds them.",
        )
    twice = [repr(value) for value, n in Counter(values).items() if n > 1]
    if twice:
        raise ConfigError(
            f"columns.classes: value {join_names(twice)} names two classes, or is listed twice.",
            hint="give each class its own values.",
        )


def _check_columns(config: Config) -> None:
    c = config.columns
    if not c.numeric and not c.categorical:
        raise ConfigError(
            "columns: no features; numeric and categorical are both empty.",
            hint="list the columns the model may learn from.",
        )
    for entry in c.numeric:
        if isinstance(entry, ColumnsMatching):
            check_pattern(entry.matching)
    numeric = config.roles.numeric
    roles = {
        "columns.keys": c.keys,
        "columns.label": (c.label,),
        "columns.numeric": numeric,
        "columns.categorical": c.categorical,
        "columns.weight": (c.weight,) if c.weight else (),
        "selection": config.selection.columns if config.selection else (),
    }
    role_of: dict[str, str] = {}
    for role, column_names in roles.items():
        for name in column_names:
            if name in role_of:
                raise ConfigError(
                    f"{role}: column '{name}' is listed under {role_of[name]} already; a column "
                    "has one role (a key, label or weight must not become a feature).",
                    hint="remove it from one of the two.",
                )
            role_of[name] = role
    never = {name.casefold() for name in c.sensitive}  # as Spark, which ignores case
    sensitive = [name for name in (*numeric, *c.categorical) if name.casefold() in never]
    if sensitive and not c.use_sensitive:
        raise ConfigError(
            f"columns.sensitive: {join_names(sensitive)} would become a feature.",
            hint="remove it from the features, or state columns.use_sensitive: true.",
        )


def _check_names(config: Config) -> None:
    matrix = config.matrix
    reserved = {UNSCORABLE: "for rows that get no decision"}
    if config.review is not None:
        reserved[REVIEW] = "for rows that a human looks at"
    for name, purpose in reserved.items():
        if name in matrix.decisions:
            raise ConfigError(
                f"costs.{name}: this name is kept {purpose}.",
                hint="choose another name for the decision.",
            )
    for where, named in (("costs", matrix.decisions), ("columns.classes", matrix.classes)):
        _require_distinct(where, named)
    output_names = {name.casefold() for name in output_columns(config)}
    for where, used in _columns_read(config).items():
        clash = [name for name in used if name.casefold() in output_names]
        if clash:
            raise ConfigError(
                f"{where}: {join_names(clash)} is also the name of a column of the scored table.",
                hint="rename the column where the table is made, or the class or decision that "
                "the scored table's column is named after.",
            )


def _require_distinct(where: str, named: Iterable[str]) -> None:
    by_folded_name: dict[str, str] = {}
    for name in named:
        other = by_folded_name.setdefault(name.casefold(), name)
        if other != name:
            raise ConfigError(
                f"{where}: '{name}' and '{other}' name columns of the scored table, and Spark does "
                "not distinguish upper from lower case.",
                hint="give one of them another name.",
            )


def _columns_read(config: Config) -> dict[str, Iterable[str]]:
    """Return the columns that scoring reads, by configuration key."""
    price = config.review_price
    return {
        "columns.keys": config.roles.keys,
        "columns": config.roles.features,
        "columns.weight": filter(None, [config.roles.weight]),
        "costs": config.matrix.columns,
        "weights.by": config.weights.by,
        "review.cost": () if price is None else [name.name for name in names(price)],
    }


def _check_reasons(config: Config) -> None:
    settings = config.reasons
    if settings is None:
        return
    features, matrix = config.roles.features, config.matrix
    named = all(isinstance(entry, str) for entry in config.columns.numeric)
    checked = [
        ("against", settings.against, matrix.decisions, "decision"),
        ("against", settings.against.values(), matrix.classes, "class"),
        # A range or a pattern names its columns only once the table is known.
        ("texts", settings.texts if named else (), features, "feature"),
        ("prices", settings.prices, matrix.columns, "column of a cost"),
    ]
    for key, given_names, allowed, what in checked:
        for name in given_names:
            if name not in allowed:
                raise ConfigError(
                    f"reasons.{key}: {name!r} is no {what}; allowed: {join_names(allowed)}.",
                    hint=did_you_mean(name, allowed),
                )
    silent = {name.casefold() for name in config.columns.sensitive}
    explained = [name for name in features if name.casefold() not in silent]
    if named and not explained and not settings.sensitive:
        raise ConfigError(
            "reasons.sensitive: false, but every feature is sensitive; no reason is left to give.",
            hint="state reasons.sensitive: true, or use other features.",
        )
    require_explainable(config.model.kind)


def output_columns(config: Config) -> list[str]:
    """Return the columns of the scored table after the keys, in order."""
    top = 0 if config.reasons is None else config.reasons.top
    return scored_columns(config.matrix.classes, config.decisions, top)


def _check_choices(config: Config) -> None:
    for key, value, allowed in (
        ("decision.calibration", config.decision.calibration, CALIBRATIONS),
        ("decision.target_prior", config.decision.target_prior, (NATURAL, ESTIMATE)),
    ):
        if isinstance(value, str) and value not in allowed:
            also = " or {class: share}" if key == "decision.target_prior" else ""
            raise ConfigError(
                f"{key}: {value!r} is not available; available: {join_names(allowed)}{also}.",
                hint=did_you_mean(value, allowed),
            )
    if not isinstance(config.decision.target_prior, str):
        require_prior(
            config.decision.target_prior,
            config.roles.class_names,
            where="decision.target_prior",
        )
    if config.weights.window is not None and config.columns.time is None:
        raise ConfigError(
            f"weights.window: {config.weights.window!r} needs a time column.",
            hint="name a date or timestamp under columns.time.",
        )
    _check_weights(config)
    if config.costs is None and config.weight_spec.by_cost:
        raise ConfigError(
            f"weights.scheme: {config.weights.scheme!r} needs costs, and the file states none.",
            hint="add costs: {decision: {class: cost}}, or choose scheme: balanced.",
        )
    _ = config.review_price  # parsing it checks it
    _check_split(config)
    if config.split.calibrate + config.split.test >= 1:
        raise ConfigError(
            f"split: calibrate {config.split.calibrate} and test {config.split.test} leave no "
            "rows to fit on; together they must stay below 1.",
            hint="for instance {calibrate: 0.2, test: 0.2}.",
        )


def _check_split(config: Config) -> None:
    settings = config.split
    for key in ("gap", "mature"):
        value = getattr(settings, key)
        if value is None:
            continue
        Span.parse(value, where=f"split.{key}")
        if settings.by is None:
            raise ConfigError(
                f"split.{key}: {value!r} needs split.by, which names the time column.",
                hint=f"name a date or timestamp under split.by, or leave split.{key} out.",
            )
    if settings.as_of is not None and settings.mature is None:
        raise ConfigError(
            f"split.as_of: {settings.as_of} states the day of the outcomes; without split.mature "
            "nothing depends on it.",
            hint="add split.mature, the time until an outcome is known, or leave it out.",
        )


def _check_weights(config: Config) -> None:
    _ = config.weight_spec  # building it checks it
    for name in config.weights.manual or ():
        if name not in config.matrix.classes:
            raise ConfigError(
                f"weights.manual: {name!r} is no class; allowed: "
                f"{join_names(config.matrix.classes)}.",
                hint=did_you_mean(name, config.matrix.classes),
            )


def _check_sizing(config: Config) -> None:
    kind, classes = config.model.kind, len(config.matrix.classes)
    can = capabilities(kind)
    if not can.classes.covers(classes):
        raise ConfigError(
            f"model.kind: {kind!r} needs two classes; there are {classes}.",
            hint=f"choose one of {kinds_that(lambda can: can.classes is ClassCount.ANY)}.",
        )
    if config.model.prune != "none" and not can.prunable:
        raise ConfigError(
            f"model.prune: {config.model.prune!r} needs kind "
            f"{kinds_that(lambda can: can.prunable)}; the kind is {kind!r}.",
            hint="leave model.prune out.",
        )
    if config.model.max_leaves is not None and not can.prunable:
        raise ConfigError(
            f"model.max_leaves: {config.model.max_leaves} needs kind "
            f"{kinds_that(lambda can: can.prunable)}; the kind is {kind!r}.",
            hint="leave model.max_leaves out; trees of other kinds have such a limit among params.",
        )
    if config.model.patience is not None and not can.staged.covers(classes):
        raise ConfigError(
            f"model.patience: {config.model.patience} needs kind "
            f"{kinds_that(lambda can: can.staged is ClassCount.ANY)}, or "
            f"{kinds_that(lambda can: can.staged is ClassCount.TWO)} of two classes; the kind is "
            f"{kind!r}, with {classes} classes.",
            hint="leave model.patience out.",
        )


def _check_tune(config: Config) -> None:
    settings = config.tune
    for name, values in settings.params.items():
        for value in values:
            check_params(config.model.kind, {name: value}, where="tune.params")
    if settings.ratio is not None and settings.ratio[0] > settings.ratio[1]:
        raise ConfigError(
            f"tune.ratio: {list(settings.ratio)} runs backwards; the first must not exceed "
            "the last.",
            hint="for instance [1, 50].",
        )
    if settings.group and config.split.by is not None:
        raise ConfigError(
            f"tune.group: {join_names(settings.group)} and split.by: {config.split.by!r} define "
            "folds in two ways; one is allowed.",
            hint="leave one of them out.",
        )


def _check_signing(config: Config) -> None:
    signing = config.signing
    if signing is not None and (signing.key_file is None) == (signing.key_variable is None):
        given = "neither" if signing.key_file is None else "both"
        raise ConfigError(
            f"signing: {given} of key_file and key_variable given; allowed: one of them.",
            hint="name the file, or the variable of the environment, that holds the key.",
        )
