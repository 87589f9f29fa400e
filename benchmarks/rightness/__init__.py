"""Statistics against known truth: each module is one case, with its simulations at full size.

A case module defines ``run(open_session, *, quick)`` and returns figures and bars, in the form of
`benchmarks.harness`. ``open_session`` starts the shared Spark session; cases that need no Spark do
not call it. Draws are from fixed seeds, so that a rerun prints the same figures.
"""
