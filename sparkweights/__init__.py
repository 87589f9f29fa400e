"""Score an imbalanced, costly decision on Apache Spark.

The public names, importable from here; they load Spark when first touched.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparkweights.config import Config, load_config
    from sparkweights.costs import CostMatrix
    from sparkweights.decision import (
        CostDecider,
        ExpectedCostEvaluator,
        Ledger,
        ProbabilityCorrector,
    )
    from sparkweights.errors import SparkweightsError
    from sparkweights.pipeline import Runner
    from sparkweights.weights import ClassWeigher, CostWeigher

__version__ = "0.1.0"
__all__ = [
    "ClassWeigher",
    "Config",
    "CostDecider",
    "CostMatrix",
    "CostWeigher",
    "ExpectedCostEvaluator",
    "Ledger",
    "ProbabilityCorrector",
    "Runner",
    "SparkweightsError",
    "load_config",
]

_HOMES = {
    "ClassWeigher": "sparkweights.weights",
    "Config": "sparkweights.config",
    "CostDecider": "sparkweights.decision",
    "CostMatrix": "sparkweights.costs",
    "CostWeigher": "sparkweights.weights",
    "ExpectedCostEvaluator": "sparkweights.decision",
    "Ledger": "sparkweights.decision",
    "ProbabilityCorrector": "sparkweights.decision",
    "Runner": "sparkweights.pipeline",
    "SparkweightsError": "sparkweights.errors",
    "load_config": "sparkweights.config",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 (a module's attributes have no common type)
    """Import a public name on first use, so that `--help` does not wait for Spark."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sparkweights' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
