"""Publish into a Delta table: the rows of a staging table replace the date, in one commit.

Delta shows every commit at once. So a run writes its rows into a staging table beside the table,
where they are verified, and copies them by one commit, which also adds new columns.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from sparkweights.core.errors import PublishError
from sparkweights.storage.catalog_table import CatalogTable, insist, sql_text
from sparkweights.storage.publish.lakehouse import LakehousePublication
from sparkweights.storage.publish.table import DATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame
    from pyspark.sql import types as T

# Parquet files of Delta hold no such names, unless the table maps its columns' names.
_MAPPED_CHARACTERS = frozenset(" ,;{}()\n\t=")
_RECENT_COMMITS = 100  # in which a commit of this moment, or of minutes ago, is looked up


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _parse(metadata: str | None) -> Mapping[str, object]:
    """Return what a commit states of its run; nothing for a commit of another writer."""
    try:
        stated = json.loads(metadata or "")
    except ValueError:
        return {}
    return stated if isinstance(stated, dict) else {}


@dataclass(frozen=True, kw_only=True)
class DeltaPublication(LakehousePublication):
    """One date of a Delta table.

    Attributes
    ----------
    began
        When the attempt began, in milliseconds of this machine's clock.
    """

    formats: ClassVar[tuple[str, ...]] = ("delta",)

    began: int = field(default_factory=_milliseconds)

    @property
    def stage_prefix(self) -> str:
        """What the names of the table's staging tables begin with."""
        return f"{self.name.table}__staging_"

    def _stage(self, name: str) -> CatalogTable:
        return CatalogTable(self.spark, replace(self.name, table=name))

    def properties(self, schema: T.StructType) -> Mapping[str, str]:
        """Return the properties of a table that is made for these columns."""
        if _MAPPED_CHARACTERS.isdisjoint("".join(schema.names)):
            return {}
        return {"delta.columnMapping.mode": "name"}

    def write_rows(self, df: DataFrame, partition_by: Sequence[str]) -> None:
        """Write the rows into the staging table.

        It is made before: of rows that make a table, nothing can be observed.
        """
        _ = self._transaction  # an attempt that begins while this one writes has a greater number
        stage = self._stage(self.stage_name)
        stage.create(df.schema, self.format, [], self.properties(df.schema))
        df.writeTo(stage.name.sql).options(**self.options).append()

    def staged(self) -> DataFrame:
        """Return the rows of the staging table."""
        return self.table.ask(self.spark.table, self._stage(self.stage_name).name.sql)

    def commit(self) -> None:
        """Replace the date's rows by those of the staging table.

        Raises
        ------
        PublishError
            If Delta refuses or skips the commit, and the old rows stay; or if the table's history
            cannot be read, which says that it did neither.
        """
        insist(self._commit)
        if not self._is_in_history():
            raise PublishError(
                f"Table '{self.name}' did not take the commit of {DATE} {self.run_date}: a later "
                "attempt of the date, by the clock of its machine, was published during this one.",
                hint="run the date again, if its rows are not the ones you expect.",
            )

    def _commit(self) -> None:
        """Send the commit; Delta skips one that it has taken already."""
        writer = self.to_columns(self.staged()).writeTo(self.name.sql)
        writer = writer.options(**{**self.options, **self._commit_options})
        self.table.ask(writer.overwrite, self.is_of_date)

    def _is_in_history(self) -> bool:
        """Whether the table's history has the commit of this attempt."""
        try:
            return self._metadata in self._recent_metadata()
        except PublishError:
            raise PublishError(
                f"Table '{self.name}' WAS committed for {DATE} {self.run_date}, unless a later "
                "attempt of the date was first; its history, which tells, cannot be read.",
                hint="see DESCRIBE HISTORY, or run the date again, which replaces its rows.",
            ) from None

    def _recent_metadata(self) -> list[str | None]:
        """Return what each of the latest commits states of itself."""
        rows = self.table.rows(f"DESCRIBE HISTORY {self.name.sql} LIMIT {_RECENT_COMMITS}")
        return [row["userMetadata"] for row in rows]

    @cached_property
    def _transaction(self) -> int:
        """The number of the attempt, greater than those of earlier ones.

        Delta skips the commit of an attempt that a later one of the same date has overtaken. The
        number is the time, and greater than those of the date's commits: the clock of the machine
        that wrote them may be ahead of this one.
        """
        commits = [_parse(metadata) for metadata in self._recent_metadata()]
        numbers = [each.get("transaction") for each in commits if each.get(DATE) == self._date]
        return max([self.began, *(1 + number for number in numbers if isinstance(number, int))])

    @property
    def _date(self) -> str:
        return self.run_date.isoformat()

    @property
    def _commit_options(self) -> dict[str, str]:
        return {
            "mergeSchema": "true",
            "txnAppId": f"sparkweights/{self._date}",
            "txnVersion": str(self._transaction),
            "userMetadata": self._metadata,
        }

    @cached_property
    def _metadata(self) -> str:
        """What the table's history says of the commit."""
        stated = {"run_id": self.run_id, "attempt": self.attempt, DATE: self._date}
        return json.dumps({**stated, "transaction": self._transaction})

    def list_names(self) -> list[str]:
        """Return the names of tables beside the table, the staging tables among them."""
        pattern = sql_text(f"{self.stage_prefix}*")
        rows = self.table.rows(f"SHOW TABLES IN {self.name.database_sql} LIKE {pattern}")
        return [row["tableName"] for row in rows]

    def remove_stage(self, name: str) -> None:
        """Drop a staging table, if it is there."""
        self.table.run(f"DROP TABLE IF EXISTS {self._stage(name).name.sql}")
