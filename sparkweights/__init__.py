"""Score an imbalanced, costly decision on Apache Spark.

The public names, importable from here; they load Spark when first touched.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sparkweights.core.about import __version__

if TYPE_CHECKING:
    from sparkweights.app.runner import Runner
    from sparkweights.config.load import load_config
    from sparkweights.config.schema import Config
    from sparkweights.core.errors import SparkweightsError
    from sparkweights.costs.matrix import CostMatrix
    from sparkweights.probability.corrections import Ledger
    from sparkweights.probability.stages import (
        CostDecider,
        ExpectedCostEvaluator,
        ProbabilityCorrector,
    )
    from sparkweights.weights.estimators import ClassWeigher, CostWeigher

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
    "__version__",
    "load_config",
]

_HOMES = {
    "ClassWeigher": "sparkweights.weights.estimators",
    "Config": "sparkweights.config.schema",
    "CostDecider": "sparkweights.probability.stages",
    "CostMatrix": "sparkweights.costs.matrix",
    "CostWeigher": "sparkweights.weights.estimators",
    "ExpectedCostEvaluator": "sparkweights.probability.stages",
    "Ledger": "sparkweights.probability.corrections",
    "ProbabilityCorrector": "sparkweights.probability.stages",
    "Runner": "sparkweights.app.runner",
    "SparkweightsError": "sparkweights.core.errors",
    "load_config": "sparkweights.config.load",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 (a module's attributes have no common type)
    """Import a public name on first use, so that `--help` does not wait for Spark."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sparkweights' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
