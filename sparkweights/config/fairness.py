"""What must hold between a configuration's groups of people, its columns and its decisions."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError, did_you_mean, join_names

if TYPE_CHECKING:
    from sparkweights.config.schema import Config


def check_fairness(config: Config) -> None:
    """Refuse groups that cannot be compared.

    Raises
    ------
    ConfigError
        With the key path, the value, what is allowed, and the next step.
    """
    settings = config.fairness
    if settings is None:
        return
    named = settings.columns or config.columns.sensitive
    if not named:
        raise ConfigError(
            "fairness.columns: no column is named, and columns.sensitive is empty.",
            hint="name the columns whose groups are to be compared.",
        )
    if settings.favourable is not None and settings.favourable not in config.matrix.decisions:
        raise ConfigError(
            f"fairness.favourable: {settings.favourable!r} is no decision; allowed: "
            f"{join_names(config.matrix.decisions)}.",
            hint=did_you_mean(settings.favourable, config.matrix.decisions),
        )
    if excluded := [name for name in named if name in {*config.columns.keys, config.columns.label}]:
        raise ConfigError(
            f"fairness.columns: {join_names(excluded)} is a key or the label; its values are no "
            "groups of people.",
            hint="remove it.",
        )
    for key in ("ranges", "reference"):
        for name in getattr(settings, key):
            if name not in named:
                raise ConfigError(
                    f"fairness.{key}: {name!r} is not among the columns that are compared; "
                    f"allowed: {join_names(named)}.",
                    hint=did_you_mean(name, named) or f"name {name!r} under fairness.columns.",
                )
    for name, edges in settings.ranges.items():
        if any(high <= low for low, high in pairwise(edges)):
            raise ConfigError(
                f"fairness.ranges.{name}: {list(edges)}; edges must ascend.",
                hint="for instance [25, 40, 60].",
            )
