"""Models: the feature plan and the weighted learners of MLlib behind one face."""

from sparkweights.models.features import FeaturePlan, learn_features
from sparkweights.models.learners import LEARNERS, Learner, check_params, learner

__all__ = ["LEARNERS", "FeaturePlan", "Learner", "check_params", "learn_features", "learner"]
