"""Costs: the matrix cost[decision][class], its arithmetic, and its Spark Columns."""
