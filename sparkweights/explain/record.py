"""The record of the explain stage, as plain values for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkweights.core.versions import versions

if TYPE_CHECKING:
    from sparkweights.explain.compare import Explanation


def importance_record(name: str, version: str, explanation: Explanation) -> dict[str, Any]:
    """Return the explain stage's record."""
    return {
        "name": name,
        "model_version": version,
        "rows": explanation.rows,
        "columns": [
            {
                "column": seen.weighted.name,
                "rank": seen.rank,
                "cost": seen.weighted.cost,
                "standard_error": seen.weighted.standard_error,
                "share": seen.weighted.share,
                "unweighted_rank": seen.unweighted_rank,
                "unweighted_cost": seen.unweighted.cost,
                "unweighted_standard_error": seen.unweighted.standard_error,
                "unweighted_share": seen.unweighted.share,
                "rank_change": seen.rank_change,
            }
            for seen in explanation.columns
        ],
        "areas": {
            name: {
                "unweighted": found.before,
                "weighted": found.after,
                "interval": list(found.interval()),
            }
            for name, found in explanation.areas.items()
        },
        "coefficients": explanation.coefficients,
        "versions": versions(),
    }
