"""The record of the explain stage, from what it found."""

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
                column=seen.weighted.name,
                rank=seen.rank,
                cost=seen.weighted.cost,
                standard_error=seen.weighted.standard_error,
                share=seen.weighted.share,
                unweighted_rank=seen.unweighted_rank,
                unweighted_cost=seen.unweighted.cost,
                unweighted_standard_error=seen.unweighted.standard_error,
                unweighted_share=seen.unweighted.share,
                rank_change=seen.rank_change,
            )
            for seen in explanation.columns
        ),
        areas={
            name: AreaSummary(found.before, found.after, found.interval())
            for name, found in explanation.areas.items()
        },
        coefficients=explanation.coefficients,
        versions=versions(),
    )
