"""Quality: Great Expectations suites on a pass over the rows, and the gates that stop a run."""
