"""A learner that is not part of sparkweights."""
