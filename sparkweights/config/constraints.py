"""What must hold between a configuration's constraints on a model, its columns and its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError, did_you_mean, join_names
from sparkweights.models.registry import capabilities, kinds_that

if TYPE_CHECKING:
    from sparkweights.config.schema import Config


def check_constraints(config: Config) -> None:
    """Refuse constraints or an imputation that the learner or the columns do not support.

    Raises
    ------
    ConfigError
        With the key path, the value, what is allowed, and the next step.
    """
    _check_learner(config)
    _check_columns(config)
    _check_weights(config)


def _check_learner(config: Config) -> None:
    model, roles = config.model, config.roles
    can = capabilities(model.kind)
    if config.features.impute == "none" and not can.native_missing:
        raise ConfigError(
            f"features.impute: 'none' needs kind {kinds_that(lambda can: can.native_missing)}, "
            f"which handles missing values; the kind is {model.kind!r}.",
            hint="leave features.impute out: numbers are imputed by their median, with a flag.",
        )
    for key in ("monotone", "interactions"):
        if getattr(model, key) and not can.constrainable:
            possible = kinds_that(lambda can: can.constrainable)
            raise ConfigError(
                f"model.{key}: needs kind {possible}; the kind is {model.kind!r}.",
                hint=f"choose kind: {possible}, or leave model.{key} out.",
            )
    if model.monotone and len(roles.class_names) > 2:  # binary or not
        raise ConfigError(
            f"model.monotone: needs two classes; there are {len(roles.class_names)}.",
            hint="leave model.monotone out.",
        )


def _check_columns(config: Config) -> None:
    model, roles = config.model, config.roles
    if model.monotone and config.features.numeric == "binned":
        raise ConfigError(
            "model.monotone: features.numeric 'binned' does not keep the order of values; "
            "allowed: auto, plain, quantile.",
            hint="leave features.numeric out.",
        )
    if disordered := [name for name in model.monotone if name in roles.categorical]:
        raise ConfigError(
            f"model.monotone: {join_names(disordered)} is a category; only a numeric column has a "
            "direction.",
            hint="leave it out of model.monotone.",
        )
    if not all(isinstance(selection, str) for selection in config.columns.numeric):
        return  # a range or a pattern names its columns only once the table is known
    for key, named, allowed in (
        ("monotone", model.monotone, roles.numeric),
        ("interactions", [name for group in model.interactions for name in group], roles.features),
    ):
        for name in named:
            if name not in allowed:
                raise ConfigError(
                    f"model.{key}: {name!r} is no feature; allowed: {join_names(allowed)}.",
                    hint=did_you_mean(name, allowed),
                )


def _check_weights(config: Config) -> None:
    by_row = [name for name in config.model.monotone if name in config.matrix.columns]
    if by_row and config.weight_spec.per_row:
        raise ConfigError(
            f"model.monotone: {join_names(by_row)} is part of the costs, and weights.scheme "
            f"{config.weights.scheme!r} differs by it: inverting such weights may reverse its "
            "effect.",
            hint="choose weights that are constant by class, for instance scheme: balanced.",
        )
