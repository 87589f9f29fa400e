"""The base class of the package's Spark ML stages: bounded Params, checked columns, no pickle.

The whole state of a stage is in its Params, so Spark's JSON metadata saves it, on classic Spark
and through Spark Connect alike.
"""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from pyspark.ml.param import Param, Params
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import functions as F

from sparkweights.core.bounds import Bound
from sparkweights.core.columns import require_columns
from sparkweights.core.errors import ConfigError, InputError, did_you_mean, join_names
from sparkweights.core.invalid_rows import refuse
from sparkweights.core.roles import in_index_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyspark.sql import Column, DataFrame

    from sparkweights.core.roles import ClassValue

_P = ParamSpec("_P")
_StageT = TypeVar("_StageT", bound="Stage")


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


def class_values() -> Param[Any]:
    """Declare the Param ``classes``: class name -> its value in the label column."""

    def check(value: object) -> dict[str, ClassValue]:
        if (
            not isinstance(value, dict)
            or len(value) < 2
            or not all(isinstance(name, str) and name for name in value)
            or not all(isinstance(entry, bool | int | float | str) for entry in value.values())
            or len(set(value.values())) < len(value)
        ):
            raise ConfigError(
                f"Param classes: {value!r}; allowed: each class name with its value in the label "
                "column, two or more.",
                hint="for labels 0 and 1 write classes={'repaid': 0, 'defaulted': 1}.",
            )
        return in_index_order(value)

    return checked("classes", "{class name: its value in the label column}", check)


def handle_invalid(doc: str, *choices: str) -> Param[Any]:
    """Declare the Param ``handleInvalid``, as MLlib's stages have it."""
    return bounded("handleInvalid", doc, Bound(str, choices=choices or ("error", "skip", "keep")))


def by_keyword(
    init: Callable[Concatenate[_StageT, _P], None],
) -> Callable[Concatenate[_StageT, _P], None]:
    """Make a stage's constructor from its signature, which names each Param with its default.

    A Param of default None has no value until it is set.
    """

    @wraps(init)
    def construct(self: _StageT, /, *args: _P.args, **given: _P.kwargs) -> None:
        if args:
            raise TypeError(f"{type(self).__name__} takes Params by keyword only.")
        Stage.__init__(self)
        self._setDefault(**{
            name: parameter.default
            for name, parameter in inspect.signature(init).parameters.items()
            if name != "self" and parameter.default is not None
        })  # fmt: skip
        self.setParams(**given)

    return construct


class Stage(Params, DefaultParamsReadable[Any], DefaultParamsWritable):
    """Params given by keyword at construction, and columns checked before any job.

    Every Param has a setter and a getter with MLlib's names, such as ``setLabelCol`` and
    ``getLabelCol``.

    Raises
    ------
    ConfigError
        If a Param is unknown or its value is not allowed.
    """

    def __init_subclass__(cls) -> None:
        """Add a setter and a getter for each Param that the class declares."""
        super().__init_subclass__()
        for name, param in list(vars(cls).items()):
            if isinstance(param, Param):
                suffix = name[0].upper() + name[1:]
                setattr(cls, f"set{suffix}", _setter(param))
                setattr(cls, f"get{suffix}", _getter(param))

    def setParams(self, **given: object) -> Self:
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

    def require(self, name: str) -> Any:  # noqa: ANN401 (of any Param)
        """Return the value of a Param without which the stage cannot work.

        Raises
        ------
        ConfigError
            If it has none.
        """
        value = self.value(name)
        if value is None:
            raise ConfigError(
                f"{type(self).__name__} needs Param {name}.", hint=self.explainParam(name)
            )
        return value

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

    def append(self, df: DataFrame, added: dict[str, Column], fault: Column) -> DataFrame:
        """Append columns, with invalid rows treated as Param ``handleInvalid`` says.

        Parameters
        ----------
        added
            Name -> the column to add.
        fault
            What a row lacks, as text; null for a valid row. An invalid row is refused when it is
            read (error), left out (skip), or keeps null in the added columns (keep).
        """
        match self.value("handleInvalid"):
            case "skip":
                return df.filter(fault.isNull()).withColumns(added)
            case "keep":
                kept = {name: F.when(fault.isNull(), value) for name, value in added.items()}
                return df.withColumns(kept)
            case _:
                stage = type(self).__name__
                return df.withColumns({
                    name: refuse(value, fault, stage) for name, value in added.items()
                })  # fmt: skip


def _setter(param: Param[Any]) -> Callable[[Stage, object], Stage]:
    def setter(self: Stage, value: object) -> Stage:
        return self.setParams(**{param.name: value})

    setter.__doc__ = f"Set {param.name}: {param.doc}."
    return setter


def _getter(param: Param[Any]) -> Callable[[Stage], Any]:
    def getter(self: Stage) -> Any:  # noqa: ANN401 (of any Param)
        return self.value(param.name)

    getter.__doc__ = f"Return {param.name}: {param.doc}."
    return getter
