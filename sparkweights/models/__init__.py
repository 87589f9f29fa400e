"""Models: the feature plan, and every learner behind one face."""

from sparkweights.models.catalogue import LEARNERS, check_params, learner
from sparkweights.models.features import FeaturePlan, learn_features
from sparkweights.models.learner import Learner

__all__ = ["LEARNERS", "FeaturePlan", "Learner", "check_params", "learn_features", "learner"]
