"""The record of the explain stage, from its result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.core.versions import versions
from sparkweights.records import ImportanceRecord
from sparkweights.records.studies import AreaSummary, ColumnImportance

if TYPE_CHECKING:
    from sparkweights.explain.compare import Explanation


def importance_record(name: str, version: str, explanation: Explanation) -> ImportanceRecord:
    """Return the explain stage's record."""
    return ImportanceRecord(
        name=name,
        model_version=version,
        rows=explanation.rows,
        columns=tuple(
            ColumnImportance(
                column=column.weighted.name,
                rank=column.rank,
                cost=column.weighted.cost,
                standard_error=column.weighted.standard_error,
                share=column.weighted.share,
                unweighted_rank=column.unweighted_rank,
                unweighted_cost=column.unweighted.cost,
                unweighted_standard_error=column.unweighted.standard_error,
                unweighted_share=column.unweighted.share,
                rank_change=column.rank_change,
            )
            for column in explanation.columns
        ),
        areas={
            name: AreaSummary(area.before, area.after, area.interval())
            for name, area in explanation.areas.items()
        },
        coefficients=explanation.coefficients,
        versions=versions(),
    )
