"""The pipeline: stages over DataFrames, and the runner that reads, stages and publishes."""

from sparkweights.pipeline.progress import Progress
from sparkweights.pipeline.runner import Runner
from sparkweights.pipeline.session import open_session

__all__ = ["Progress", "Runner", "open_session"]
