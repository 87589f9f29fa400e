"""Quality: Great Expectations suites as part of a pass over the rows, and gates that stop a run."""
