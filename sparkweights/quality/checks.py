"""Checks of a row as boolean Columns, so that a bad row can be set aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column


@dataclass(frozen=True)
class RowCheck:
    """One check of a row: its id, as the suite or the product names it, and when a row fails."""

    id: str
    fails: Column


def failed_checks(checks: Sequence[RowCheck]) -> Column:
    """Return the ids of the checks that a row fails, as an array of text; empty where none."""
    if not checks:
        return F.array().cast("array<string>")
    return F.filter(
        F.array(*[F.when(check.fails, F.lit(check.id)) for check in checks]),
        lambda failed: failed.isNotNull(),
    )
