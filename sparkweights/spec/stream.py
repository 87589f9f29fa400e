"""Settings of a stream: its sources, how long outcomes take, the window, and the learner."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictFloat, StrictInt

from sparkweights.spec.settings import Positive, Section, Text
from sparkweights.spec.tables import Source


class StreamSource(Source):
    """A source that rows arrive in.

    Attributes
    ----------
    format
        Files that are added to a folder; ``table``, a table of the catalog that can be read as a
        stream: no view, and none of Hive's own formats; ``kafka``, a topic whose values are JSON
        objects, where Spark has the connector; or ``rate``, Spark's generator of the columns
        ``timestamp`` and ``value``, for load tests.
    location
        The folder, the table's name, the topic, or any text for ``rate``.
    schema_ddl
        Columns and types; required for csv, json and kafka. Of Parquet and ORC files they are read
        from the files that are there when the stream starts; state them where the first file comes
        later.
    options
        Options of Spark's reader, such as ``maxFilesPerTrigger``, which bounds a micro-batch.
        ``${NAME}`` is read from the environment. Of ``kafka``, ``kafka.bootstrap.servers`` is
        required, ``maxOffsetsPerTrigger`` bounds a micro-batch, and ``startingOffsets`` is
        ``earliest`` by default.
    """

    format: Literal["parquet", "orc", "csv", "json", "table", "kafka", "rate"] = "parquet"

    @property
    def scheme(self) -> str:
        """The storage scheme; the format where the location is no place of files."""
        return self.format if self.format in {"kafka", "rate"} else super().scheme


class StreamWindow(Section):
    """Which rows with outcome the priors and the weights follow from; one of the three keys.

    Attributes
    ----------
    rows
        The latest rows, at least so many.
    span
        Rows of so much event time before the latest row with outcome, as ``90 days`` or, where time
        is a number, a number.
    half_life
        Exponential forgetting: a row counts half as much when so many more have come.
    scores
        How many of the latest scored rows tell, without outcomes, whether the class shares have
        moved since.
    """

    rows: Annotated[StrictInt, Field(ge=100)] | None = None
    span: StrictInt | StrictFloat | Text | None = None
    half_life: Annotated[StrictInt, Field(ge=50)] | None = None
    scores: Annotated[StrictInt, Field(ge=100)] = 2_000


class StreamLearner(Section):
    """How a ``mini_batch`` model learns from the outcomes of each micro-batch.

    Attributes
    ----------
    learning_rate
        Of the steps.
    batch_rows
        Rows of a step.
    passes
        How often a micro-batch is passed over.
    """

    learning_rate: Positive = 0.01
    batch_rows: Annotated[StrictInt, Field(ge=1)] = 64
    passes: Annotated[StrictInt, Field(ge=1)] = 1


class Stream(Section):
    """Scoring and learning in micro-batches; see the page on streams.

    Attributes
    ----------
    incoming
        Rows to score, with the columns of ``tables.incoming`` and ``columns.time``.
    outcomes
        The keys of rows and their ``columns.label``, once it is known. Without it the model
        stays as it is, and its class shares follow the latest scores alone.
    folder
        Folder of the scored and quarantined rows, the state, the checkpoint and the metrics.
    wait
        How long after a row's event time its outcome may still come; older rows are let go
        without one. As ``90 days`` or, where time is a number, a number.
    window
        Which rows with outcome the priors and the weights follow from.
    learn
        How a ``mini_batch`` model learns; null keeps the model as it is, as any other kind is.
    prior
        ``window``: decisions are for the class shares of the window, moved on by the latest
        scores. ``model``: for ``decision.target_prior``.
    on_drift
        ``hold``: from a drift on, the model stays as it is until a new one is published, while
        prior and weights go on. ``learn``: it goes on learning.
    every
        Time between micro-batches, as ``30 seconds`` or ``1 minute``. By default the stream
        processes what there is and ends.
    backfill_rows
        Rows of a micro-batch of ``stream --backfill``.
    """

    incoming: StreamSource
    outcomes: StreamSource | None = None
    folder: Text = "stream"
    wait: StrictInt | StrictFloat | Text | None = None
    window: StreamWindow = StreamWindow(rows=5_000)
    learn: StreamLearner | None = StreamLearner()
    prior: Literal["window", "model"] = "window"
    on_drift: Literal["hold", "learn"] = "hold"
    every: Text | None = None
    backfill_rows: Annotated[StrictInt, Field(ge=1)] = 1_000
