"""Explanations: which columns a model leans on, in money, and why it was against a row."""

from sparkweights.explain.importance import (
    Importance,
    collect_importance,
    collect_spread,
    ranks,
)
from sparkweights.explain.reasons import ReasonRule, append_reasons, collect_reference, reason_cols

__all__ = [
    "Importance",
    "ReasonRule",
    "append_reasons",
    "collect_importance",
    "collect_reference",
    "collect_spread",
    "ranks",
    "reason_cols",
]
