"""Models: the feature plan, and every learner behind one face."""
