"""Publish into an Iceberg table: a branch is written and verified, and becomes the table's state.

Readers of the table read its branch ``main``. A run writes into a branch of its own, whose snapshot
``main`` then takes over in one step, without a copy of the rows. Branches share the table's
columns: a column that is new is there, and null, before the date is published.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pyspark.sql import functions as F

from sparkweights.core.roles import quoted
from sparkweights.storage.catalog_table import ConflictError, insist, sql_text
from sparkweights.storage.publish.lakehouse import LakehousePublication
from sparkweights.storage.publish.table import DATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame

logger = logging.getLogger(__name__)

_COPIES = 3  # of the rows, where the table changes during each
_WRITE_OPTIONS = {
    # By default rows are shuffled by partition before they are written: those of one date would be
    # written by one task.
    "distribution-mode": "none",
    "fanout-enabled": "true",
}


@dataclass(frozen=True, kw_only=True)
class IcebergPublication(LakehousePublication):
    """One date of an Iceberg table."""

    formats: ClassVar[tuple[str, ...]] = ("iceberg",)

    @property
    def stage_prefix(self) -> str:
        """What the names of runs' branches begin with."""
        return "sparkweights_"

    @property
    def _branch(self) -> str:
        """The branch, as Spark reads and writes it."""
        return f"{self.name.sql}.{quoted('branch_' + self.stage_name)}"

    def write_rows(self, df: DataFrame, partition_by: Sequence[str]) -> None:
        """Replace the date's rows in the branch."""
        insist(lambda: self.table.add_columns(df.schema))
        insist(self._make_branch)
        insist(lambda: self.table.write(lambda: self._overwrite(df)))

    def _make_branch(self) -> None:
        """Let the branch begin at the present state of the table."""
        self.table.refresh()
        branch = quoted(self.stage_name)
        self.table.run(f"ALTER TABLE {self.name.sql} CREATE OR REPLACE BRANCH {branch}")

    def _overwrite(self, df: DataFrame) -> None:
        options = {
            **_WRITE_OPTIONS,
            **self.options,
            "snapshot-property.run_id": self.run_id,
            f"snapshot-property.{DATE}": self.run_date.isoformat(),
        }
        self.table.refresh()
        writer = self.to_columns(df).writeTo(self._branch).options(**options)
        # A condition, as opposed to the partitions that the rows are in: no rows empty the date.
        writer.overwrite(self.is_of_date)

    def staged(self) -> DataFrame:
        """Return the date's rows in the branch."""
        self.table.refresh()
        return self.table.ask(self.spark.table, self._branch).filter(self.is_of_date)

    def commit(self) -> None:
        """Let the branch ``main`` take over the snapshot of the run's branch.

        Where ``main`` has changed since the branch was made, as by a compaction, the verified rows
        are copied to a new branch of it.

        Raises
        ------
        PublishError
            If a later attempt has staged the date as well, or ``main`` changes again and again, and
            the old rows stay; or if the catalog does not answer, after the commit or before.
        """
        for _ in range(_COPIES):
            try:
                insist(self._fast_forward)
            except ConflictError as conflict:
                self._copy_stage(conflict)
            else:
                return
        insist(self._fast_forward)

    def _fast_forward(self) -> None:
        table = sql_text(f"{quoted(self.name.database)}.{quoted(self.name.table)}")
        self.table.run(
            f"CALL {quoted(self.name.catalog)}.system.fast_forward(table => {table}, "
            f"branch => 'main', to => {sql_text(self.stage_name)})"
        )

    def _copy_stage(self, conflict: ConflictError) -> None:
        """Stage the verified rows again, on the present state of the table."""
        staged = self.table.branches().get(self.stage_name)
        if staged is None or staged != self._latest_attempt():
            raise conflict
        logger.warning("%s The rows of %s are staged again.", conflict.message, self.run_date)
        # A snapshot stays readable without its branch.
        read = self.spark.read.option("versionAsOf", staged).table
        rows_df = self.table.ask(read, self.name.sql).filter(self.is_of_date)
        insist(self._make_branch)
        insist(lambda: self.table.ask(self._overwrite, rows_df))

    def _latest_attempt(self) -> int | None:
        """Return the snapshot of the attempt that staged the date last, published or not."""
        snapshots_df = self.table.ask(self.spark.table, f"{self.name.sql}.snapshots")
        of_date_df = snapshots_df.filter(F.col("summary")[DATE] == self.run_date.isoformat())
        row = self.table.ask(of_date_df.orderBy(F.desc("committed_at")).first)
        return None if row is None else int(row["snapshot_id"])

    def list_names(self) -> list[str]:
        """Return the names of the table's branches; tags are none."""
        return list(self.table.branches())

    def remove_stage(self, name: str) -> None:
        """Drop a branch, if it is there."""
        drop = f"ALTER TABLE {self.name.sql} DROP BRANCH IF EXISTS {quoted(name)}"
        insist(lambda: self.table.run(drop))
