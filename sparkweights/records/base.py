"""What all records share: checked fields, plain values in and out, and a version.

A record is a frozen dataclass whose fields are checked when it is made, by Python or from JSON, so
that what is written can always be read. A number that the rows do not determine is None, in memory
as in JSON: NaN and infinity become None on the way in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar, Self, TypeVar, cast, dataclass_transform

from pydantic import (
    BeforeValidator,
    ConfigDict,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
)
from pydantic.dataclasses import dataclass

from sparkweights.core.errors import InputError, SparkweightsError

VERSION = 1  # of the layout of all records; files of the releases before state none
_VERSION_KEY = "record_version"
_CONFIG = ConfigDict(validate_by_name=True, validate_by_alias=True)
_Made = TypeVar("_Made", bound=type)
_T = TypeVar("_T")


def _plain(value: object) -> object:
    """Return nested values as JSON has them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple, frozenset)):
        return [_plain(entry) for entry in value]
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


Measure = Annotated[float | None, BeforeValidator(_plain)]
"""A number; None where the rows do not determine one."""

Interval = tuple[Measure, Measure]
"""The ends of a 95 % interval; None where there is no bound."""

Plain = Annotated[Mapping[str, object], BeforeValidator(_plain)]
"""A mapping that somebody else reads, kept as JSON has it."""

Shares = Mapping[str, float]
"""Class name -> a share of the rows."""


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def part(made: _Made) -> _Made:
    """Make a class a frozen dataclass whose fields are checked."""
    return cast("_Made", dataclass(frozen=True, config=_CONFIG)(made))


@part
class Part:
    """A part of a record, with conversion to and from plain values."""

    failure: ClassVar[type[SparkweightsError]] = InputError

    @classmethod
    def from_dict(cls, stated: Mapping[str, object]) -> Self:
        """Read what `to_dict` gave, or what an older release wrote.

        Raises
        ------
        SparkweightsError
            If a value is missing or of another type.
        """
        try:
            return _adapter(cls).validate_python(dict(stated))
        except ValidationError as error:
            first = error.errors()[0]
            position = ".".join(map(str, first["loc"])) or "the whole"
            raise cls.failure(
                f"{cls.__name__} cannot be read: {position}: {first['msg']}.",
                hint="restore the file from a copy, or write it anew.",
            ) from None

    def to_dict(self) -> dict[str, object]:
        """Return plain values, ready for JSON."""
        values: dict[str, object] = _adapter(type(self)).dump_python(
            self, mode="json", by_alias=True
        )
        return values

    def absent(self) -> Collection[str]:
        """Return the keys that are left out, because they do not apply."""
        return ()

    @model_serializer(mode="wrap")
    def _present(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        absent = self.absent()
        return {name: value for name, value in handler(self).items() if name not in absent}


@part
class Record(Part):
    """The record of a stage.

    Attributes
    ----------
    record_version
        Of the layout.
    """

    record_version: int = field(default=VERSION, kw_only=True)

    @classmethod
    def from_dict(cls, stated: Mapping[str, object]) -> Self:
        """Read what `to_dict` gave, or what an older release wrote.

        Raises
        ------
        SparkweightsError
            If it is of an unknown version, or a value is missing or of another type.
        """
        version = stated.get(_VERSION_KEY, VERSION)
        if version != VERSION:
            raise cls.failure(
                f"{cls.__name__} is of version {version!r}; this release reads version {VERSION} "
                "and records without one, which older releases wrote.",
                hint="use the release of sparkweights that wrote it, or run the stage again.",
            )
        return super().from_dict(stated)

    def table_rows(self) -> list[dict[str, object]] | None:
        """Return the rows of the record that are written as a table as well, if there are any."""
        return None


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}  # made once: a schema takes milliseconds


def _adapter(kind: type[_T]) -> TypeAdapter[_T]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    adapter: TypeAdapter[_T] = _ADAPTERS[kind]
    return adapter


def stated_text(text: str, key: str) -> str | None:
    """Return what a record states under a key; None where the text is no record."""
    try:
        record = json.loads(text)
    except ValueError:
        return None
    value = record.get(key) if isinstance(record, dict) else None
    return None if value is None else str(value)


def segment_words(segment: Mapping[str, str | None]) -> str:
    """Return a segment's columns and values in words.

    Examples
    --------
    >>> segment_words({"branch": "north", "card": None})
    'branch north, card missing'
    """
    return ", ".join(
        f"{name} {'missing' if value is None else value}" for name, value in segment.items()
    )
