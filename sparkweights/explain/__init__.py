"""Explanations: which columns a model leans on, in money."""

from sparkweights.explain.importance import (
    Importance,
    collect_importance,
    collect_spread,
    ranks,
)

__all__ = ["Importance", "collect_importance", "collect_spread", "ranks"]
