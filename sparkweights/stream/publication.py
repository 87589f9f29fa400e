"""A micro-batch of a stream's tables: published if its keys differ from those of kept rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkweights.core.columns import column
from sparkweights.core.errors import QualityGateError
from sparkweights.storage.publish.folder import BatchPublication

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame


@dataclass(frozen=True, kw_only=True)
class StreamBatch(BatchPublication):
    """One micro-batch of a table of a stream.

    Attributes
    ----------
    kept_df
        Earlier rows that wait for an outcome, or whose outcome came lately, which may not have the
        keys of this micro-batch: outcomes are joined by key. None without any.
    """

    kept_df: DataFrame | None

    def verify_stage(self, staged_df: DataFrame, *, rows: int, keys: Sequence[str]) -> None:
        """Read the staged keys back, and compare them with each other and with the kept ones.

        Raises
        ------
        PublishError
            If the stage does not hold the rows that were written.
        QualityGateError
            If two rows share their keys.
        """
        super().verify_stage(staged_df, rows=rows, keys=keys)
        if self.kept_df is None:
            return
        staged_keys_df = staged_df.select(*map(column, keys))
        repeated = self.kept_df.join(staged_keys_df, list(keys), "left_semi").count()
        if repeated:
            raise QualityGateError(
                f"{repeated} rows of micro-batch {self.batch} have the key {', '.join(keys)} of an "
                "earlier row that waits for an outcome, or had it within stream.wait; in a stream "
                "every row needs its own.",
                hint="let the source send each row once, or add the column that tells its rows "
                "apart to columns.keys.",
            )
