"""Score an imbalanced, costly decision on Apache Spark.

The public names, importable from here; they load Spark when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sparkweights.core.about import __version__
from sparkweights.core.extras import missing_extra

if TYPE_CHECKING:
    from sparkweights.app.metrics import collect_evaluation
    from sparkweights.app.runner import Runner
    from sparkweights.config.load import load_config
    from sparkweights.config.schema import Config
    from sparkweights.core.errors import (
        ConfigError,
        DriftError,
        InputError,
        ModelError,
        PublishError,
        QualityGateError,
        SparkweightsError,
    )
    from sparkweights.costs.matrix import CostMatrix
    from sparkweights.costs.policy import DecisionPolicy
    from sparkweights.local.classifier import BundleClassifier, load_classifier
    from sparkweights.probability.corrections import Ledger
    from sparkweights.probability.stages import (
        CalibratorModel,
        CostDecider,
        ExpectedCostEvaluator,
        ProbabilityCalibrator,
        ProbabilityCorrector,
    )
    from sparkweights.scoring.bundle_model import BundleModel, load_bundle
    from sparkweights.weights.estimators import ClassWeigher, CostWeigher, WeigherModel
    from sparkweights.weights.rule import WeightRule

__all__ = [
    "BundleClassifier",
    "BundleModel",
    "CalibratorModel",
    "ClassWeigher",
    "Config",
    "ConfigError",
    "CostDecider",
    "CostMatrix",
    "CostWeigher",
    "DecisionPolicy",
    "DriftError",
    "ExpectedCostEvaluator",
    "InputError",
    "Ledger",
    "ModelError",
    "ProbabilityCalibrator",
    "ProbabilityCorrector",
    "PublishError",
    "QualityGateError",
    "Runner",
    "SparkweightsError",
    "WeigherModel",
    "WeightRule",
    "__version__",
    "collect_evaluation",
    "load_bundle",
    "load_classifier",
    "load_config",
]

_HOMES = {
    "BundleClassifier": "sparkweights.local.classifier",
    "BundleModel": "sparkweights.scoring.bundle_model",
    "CalibratorModel": "sparkweights.probability.stages",
    "ClassWeigher": "sparkweights.weights.estimators",
    "Config": "sparkweights.config.schema",
    "ConfigError": "sparkweights.core.errors",
    "CostDecider": "sparkweights.probability.stages",
    "CostMatrix": "sparkweights.costs.matrix",
    "CostWeigher": "sparkweights.weights.estimators",
    "DecisionPolicy": "sparkweights.costs.policy",
    "DriftError": "sparkweights.core.errors",
    "ExpectedCostEvaluator": "sparkweights.probability.stages",
    "InputError": "sparkweights.core.errors",
    "Ledger": "sparkweights.probability.corrections",
    "ModelError": "sparkweights.core.errors",
    "ProbabilityCalibrator": "sparkweights.probability.stages",
    "ProbabilityCorrector": "sparkweights.probability.stages",
    "PublishError": "sparkweights.core.errors",
    "QualityGateError": "sparkweights.core.errors",
    "Runner": "sparkweights.app.runner",
    "SparkweightsError": "sparkweights.core.errors",
    "WeigherModel": "sparkweights.weights.estimators",
    "WeightRule": "sparkweights.weights.rule",
    "collect_evaluation": "sparkweights.app.metrics",
    "load_bundle": "sparkweights.scoring.bundle_model",
    "load_classifier": "sparkweights.local.classifier",
    "load_config": "sparkweights.config.load",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 (a module's attributes have no common type)
    """Import a public name on first use, so that `--help` does not wait for Spark."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sparkweights' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from None
