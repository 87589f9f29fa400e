"""The base class of the package's Spark ML stages: bounded Params, checked columns, no pickle.

The whole state of a stage is in its Params, so Spark's JSON metadata saves it, on classic Spark
and through Spark Connect alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pyspark.ml.param import Param, Params
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable

from sparkweights.core.bounds import Bound
from sparkweights.core.columns import require_columns
from sparkweights.core.errors import ConfigError, InputError, did_you_mean, join_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pyspark.sql import DataFrame


def bounded(name: str, doc: str, bound: Bound) -> Param[Any]:
    """Declare a Param with the values it accepts, which its doc and its errors state."""

    def convert(value: object) -> object:
        if not bound.admits(value):
            raise ConfigError(f"Param {name}: {value!r}; allowed: {bound}.")
        if bound.type is float and isinstance(value, (int, float)):
            return float(value)
        return value

    return Param(Params._dummy(), name, f"{doc} ({bound})", typeConverter=convert)  # noqa: SLF001 (how MLlib declares Params)


def checked(name: str, doc: str, check: Callable[[Any], object]) -> Param[Any]:
    """Declare a Param whose value is a list or a mapping; ``check`` returns it or raises."""
    return Param(Params._dummy(), name, doc, typeConverter=check)  # noqa: SLF001 (how MLlib declares Params)


def column_name(name: str, doc: str) -> Param[Any]:
    """Declare a Param that names a column."""
    return bounded(name, doc, Bound(str))


def texts(name: str) -> Callable[[object], list[str]]:
    """Return a check for a list of texts."""

    def check(value: object) -> list[str]:
        if not isinstance(value, list | tuple) or not all(
            isinstance(item, str) and item for item in value
        ):
            raise ConfigError(f"Param {name}: {value!r}; allowed: a list of column names.")
        return list(value)

    return check


class Stage(Params, DefaultParamsReadable[Any], DefaultParamsWritable):
    """Params given by keyword at construction, and columns checked before any job.

    Raises
    ------
    ConfigError
        If a Param is unknown or its value is not allowed.
    """

    defaults: ClassVar[Mapping[str, object]] = {}

    def __init__(self, **given: object) -> None:
        super().__init__()
        self._setDefault(**self.defaults)
        self.set_params(**given)

    def set_params(self, **given: object) -> Self:
        """Set Params by name; a Param given as None is not changed."""
        names = [param.name for param in self.params]
        for name in given:
            if name not in names:
                raise ConfigError(
                    f"{type(self).__name__} has no Param '{name}'; allowed: {join_names(names)}.",
                    hint=did_you_mean(name, names),
                )
        self._set(**{name: value for name, value in given.items() if value is not None})
        return self

    def value(self, name: str) -> Any:  # noqa: ANN401 (of any Param)
        """Return a Param's value, its default, or None where it has neither."""
        param = self.getParam(name)
        return self.getOrDefault(param) if self.isDefined(param) else None

    def check_frame(self, df: DataFrame, reads: Iterable[str], adds: Iterable[str]) -> None:
        """Refuse a DataFrame that lacks a column, holds it twice, or has one to be added.

        Raises
        ------
        InputError
            Naming the stage and the column.
        """
        stage = type(self).__name__
        require_columns(df.schema, dict.fromkeys(reads), table=f"input of {stage}")
        present = {name.casefold() for name in df.columns}
        for name in adds:
            if name.casefold() in present:
                raise InputError(
                    f"{stage} would add column '{name}', which its input has already.",
                    hint="drop or rename that column, or choose another output column.",
                )
