"""Models: the feature plan, and every learner behind one face."""

from sparkweights.models.catalogue import (
    AUTO,
    LEARNERS,
    check_params,
    learner,
    require_explainable,
)
from sparkweights.models.constraints import Constraints
from sparkweights.models.features import FeaturePlan
from sparkweights.models.learner import Learner, StagedLearner
from sparkweights.models.learning import learn_features

__all__ = [
    "AUTO",
    "LEARNERS",
    "Constraints",
    "FeaturePlan",
    "Learner",
    "StagedLearner",
    "check_params",
    "learn_features",
    "learner",
    "require_explainable",
]
