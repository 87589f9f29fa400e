"""Settings that a stream keeps from its first micro-batch on.

Rows that wait for an outcome are joined by their keys, and hold costs by position of class and
decision; sums of micro-batches are added. With other keys, classes or decisions, both would be
wrong or fail, and after the state that caused it is committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparkweights.core.errors import ConfigError, join_names

if TYPE_CHECKING:
    from collections.abc import Mapping

ARRIVING, REPLAYED = "arriving rows", "a replayed table"  # where rows come from


@dataclass(frozen=True)
class FixedSettings:
    """The settings of a stream that must not change.

    Attributes
    ----------
    rows
        `ARRIVING` or `REPLAYED`: both number their micro-batches from 0.
    keys, time, time_kind
        Columns, and how event time counts.
    classes, decisions
        Names, in index order; review is a decision.
    outcomes
        Whether outcomes come.
    """

    rows: str
    keys: tuple[str, ...]
    time: str | None
    time_kind: str
    classes: tuple[str, ...]
    decisions: tuple[str, ...]
    outcomes: bool

    def require_same(self, begun: FixedSettings) -> None:
        """Refuse to go on with a stream that began with other settings.

        Raises
        ------
        ConfigError
            Naming the first setting that has changed.
        """
        for name, setting in _SETTINGS.items():
            before, now = getattr(begun, name), getattr(self, name)
            if before != now:
                raise ConfigError(
                    f"stream.folder holds a stream that began with another {setting}: "
                    f"{_stated(before)}; now it is {_stated(now)}.",
                    hint="name another stream.folder, or restore the setting.",
                )

    def to_dict(self) -> dict[str, object]:
        """Return it ready for JSON; `from_dict` reads it back."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> FixedSettings:
        """Read what `to_dict` wrote."""
        names = {field: tuple(record[field]) for field in ("keys", "classes", "decisions")}
        return cls(**{**record, **names})


_SETTINGS = {  # field -> how the configuration names it
    "rows": "kind of source",
    "keys": "columns.keys",
    "time": "columns.time",
    "time_kind": "type of columns.time",
    "classes": "columns.classes",
    "decisions": "list of decisions (costs, review)",
    "outcomes": "choice of stream.outcomes",
}


def _stated(value: object) -> str:
    match value:
        case tuple():
            return join_names(value)
        case bool():
            return "stated" if value else "not stated"
        case _:
            return "not stated" if value is None else str(value)
