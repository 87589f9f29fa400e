"""Features: encoders, and the plan from a row to its feature vector."""
