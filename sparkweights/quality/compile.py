"""A whole suite on a pass over the rows that is made anyway.

A row of which every expectation approves pays for one flag. The few others carry what was found
about them, and rows are counted by what was found; from these few counts follow the counts of every
expectation. They are handed back to Great Expectations, whose own code gives the verdicts. What is
no Column is left to its own run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql import types as T

from sparkweights.core.columns import column
from sparkweights.quality.library import (
    expectation,
    judge,
    open_batch,
    quiet_library,
    result_of,
    run_natively,
    write_docs,
)
from sparkweights.quality.needs import ENGINE_ERRORS, Need, sort_needs
from sparkweights.quality.suite import CheckReport, Suite

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

    from sparkweights.quality.needs import Repeated
    from sparkweights.storage.location import Location

MAX_PATTERNS = 1_000  # of what is found about a row; if some are missing, rows are counted anew


@dataclass(frozen=True)
class CompiledSuite:
    """A suite as Columns over one table's schema.

    Attributes
    ----------
    suite
        As its file states it.
    table
        The table's name, for the report.
    natives, needs
        Per expectation, the library's and what it asks for; None where the library runs it.
    engine
        The library's, on a table without rows.
    """

    suite: Suite
    table: str
    natives: tuple[Any, ...]
    needs: tuple[Need | None, ...]
    engine: Any

    @cached_property
    def found(self) -> Column:
        """What was found about a row: the places of the conditions that hold, as text, or null.

        It is worth a column of its own, from which rows are counted and checks are named.
        """
        conditions = list(self._conditions.values())
        if not conditions:
            return F.lit(None).cast("string")
        places = [F.when(one, F.lit(str(i))) for i, one in enumerate(conditions)]
        return F.when(_any(conditions), F.concat_ws(",", *places))

    @cached_property
    def critical(self) -> Column:
        """Whether a row fails a critical expectation, so that it is to be set aside.

        It is never null, and Spark does not hand it to the reader of a file. It must not: where
        a writer leaves NaN out of a page's largest value, as pyarrow does, the reader skips pages
        that hold rows to set aside.
        """
        return self.failing(self.quarantining)

    @cached_property
    def quarantining(self) -> frozenset[str]:
        """Ids of the critical expectations that a row decides, so that it can be set aside."""
        return frozenset(id_ for ids in self._critical for id_ in ids)

    def failing(self, ids: Collection[str]) -> Column:
        """Return whether a row fails one of these critical expectations, as `critical` does."""
        conditions = zip(self._conditions.values(), self._critical, strict=True)
        return _any([one for one, own in conditions if not set(own).isdisjoint(ids)])

    def failed(self, found: Column) -> Column:
        """Return the ids of the critical expectations that a row fails, as an array of text.

        Parameters
        ----------
        found
            The value of `found`.
        """
        nothing = F.array().cast("array<string>")
        if not self.quarantining:
            return nothing
        # One literal, as every step of an expression is a call to the engine.
        ids = F.from_json(F.lit(json.dumps(self._critical)), "array<array<string>>")
        places = F.split(found, ",").cast("array<int>")
        return F.coalesce(F.flatten(F.transform(places, lambda place: F.get(ids, place))), nothing)

    @cached_property
    def _critical(self) -> list[list[str]]:
        """Ids of the critical expectations that judge by each condition."""
        ids: dict[Any, list[str]] = {id_: [] for id_ in self._conditions}
        for entry, need in zip(self.suite.expectations, self.needs, strict=True):
            if need is not None and need.by_row and entry["severity"] == "critical":
                for id_ in need.judged:
                    ids[id_].append(entry["id"])
        return list(ids.values())

    def measures(self, found: Column | None = None) -> list[Column]:
        """Return the aggregates that ride on a pass over the rows; `report` reads them by name.

        Parameters
        ----------
        found
            The value of `found`, made once per row, where the aggregates are observed: every one
            of them would cost each row then. None in a query, which compiles them well.
        """
        if found is None:
            return self._queried
        if not self._conditions:
            return self._totals
        patterns = _patterns(found).alias(self._name("patterns"))
        return [*self._totals, patterns, F.count(found).alias(self._name("found"))]

    @cached_property
    def _totals(self) -> list[Column]:
        measures = [F.count(F.lit(1)).alias(self._name("rows"))]
        return measures + [one.alias(self._name(i)) for i, one in enumerate(self._light.values())]

    @cached_property
    def _queried(self) -> list[Column]:
        counts = map(F.count_if, self._conditions.values())
        return self._totals + [one.alias(self._name(f"count {i}")) for i, one in enumerate(counts)]

    def _name(self, what: object) -> str:
        return f"{self.table}: {what}"

    def report(self, df: DataFrame, measured: Mapping[str, Any]) -> CheckReport:
        """Judge a table by what was measured on a pass over it; see `outcomes`."""
        return _report(self.suite, self.table, self.outcomes(df, measured))

    def outcomes(self, df: DataFrame, measured: Mapping[str, Any]) -> list[Any]:
        """Return the library's results, by what was measured on a pass over a table.

        Rows are read again only for what cannot ride on a pass: one query for aggregates that keep
        many values, one per set of columns that must be unique, and the library's own.

        Parameters
        ----------
        df
            The table.
        measured
            Values of `measures` by name.
        """
        with quiet_library() as gx:
            found = self._found(df, measured)
            found |= self._collect_heavy(df) | self._collect_repeated(df)
            outcomes, left = [], []
            for native, need in zip(self.natives, self.needs, strict=True):
                own = None if need is None else _judged_by(need, found, self.engine)
                if own is None:
                    left.append(native)
                else:
                    outcomes.append(own)
            if left:
                batch = open_batch(gx, df, self.table)
                outcomes += run_natively(gx, batch, left, self.suite.name)
        return outcomes

    def _gather(self, part: str) -> dict[Any, Any]:
        return {
            id_: one
            for need in self.needs
            if need is not None
            for id_, one in getattr(need, part).items()
        }

    @cached_property
    def _conditions(self) -> dict[Any, Column]:
        return {**self._gather("counted"), **self._gather("judged")}

    @cached_property
    def _light(self) -> dict[Any, Column]:
        return self._gather("light")

    def _found(self, df: DataFrame, measured: Mapping[str, Any]) -> dict[Any, Any]:
        rows = measured[self._name("rows")]
        found = {id_: measured[self._name(i)] for i, id_ in enumerate(self._light)}
        found |= {id_: rows for need in self.needs if need is not None for id_ in need.rows}
        found |= self._counts(df, measured)
        for need in filter(None, self.needs):
            found |= {id_: rows - found[passed] for id_, passed in need.kept.items()}
        if not rows:
            # The library sums where we count, and a sum over no rows is null.
            found |= {
                id_: None for id_ in self._conditions if str(id_[0]).startswith("column_values.")
            }
        return found

    def _counts(self, df: DataFrame, measured: Mapping[str, Any]) -> dict[Any, int]:
        """Return in how many rows each condition holds."""
        conditions = self._conditions
        patterns = measured.get(self._name("patterns"))
        if patterns is not None:
            told = [entry for entry in patterns if entry["item"]]
            if sum(entry["count"] for entry in told) == measured[self._name("found")]:
                totals = [0] * len(conditions)
                for entry in told:
                    for place in entry["item"].split(","):
                        totals[int(place)] += entry["count"]
                return dict(zip(conditions, totals, strict=True))
            measured = _collect(df, self)
        return {id_: measured[self._name(f"count {i}")] for i, id_ in enumerate(conditions)}

    def _collect_heavy(self, df: DataFrame) -> dict[Any, Any]:
        wanted = self._gather("heavy")
        if not wanted:
            return {}
        try:
            row = df.agg(*[one.alias(f"h{i}") for i, one in enumerate(wanted.values())]).first()
        except ENGINE_ERRORS:
            return {}  # the library's own run will say why
        assert row is not None  # noqa: S101 (an aggregate without groups always has its row)
        return dict(zip(wanted, row, strict=True))

    def _collect_repeated(self, df: DataFrame) -> dict[Any, Any]:
        found = {}
        for id_, repeated in self._gather("repeated").items():
            try:
                found[id_] = _count_repeated(df, repeated)
            except ENGINE_ERRORS:
                continue  # as above
        return found


def _any(conditions: Sequence[Column]) -> Column:
    """Return whether any condition holds; one that is null does not.

    Conditions that cannot be null are compiled to far less code than Spark's null, true and false.
    """
    return reduce(or_, [F.coalesce(one, F.lit(col=False)) for one in conditions], F.lit(col=False))


def _patterns(found: Column) -> Column:
    """Return an aggregate: rows by what was found about them.

    The sketch behind it is exact as long as it never holds more patterns than it tracks. Beyond, it
    leaves patterns out, and counts do not add up to all rows of which something was found.
    """
    return F.call_function("approx_top_k", found, F.lit(MAX_PATTERNS), F.lit(10 * MAX_PATTERNS))


def compile_suite(df: DataFrame, suite: Suite, *, table: str) -> CompiledSuite:
    """Turn a suite into Columns over a table's schema; no row is read.

    Raises
    ------
    ConfigError
        If an expectation is not one that Great Expectations knows, or its kwargs are wrong.
    """
    # The library takes a second for fifty expectations; a session asks for the same ones often.
    entries = json.dumps(suite.expectations, default=str)
    return _compiled(df.sparkSession, df.schema.json(), suite.name, entries, table)


@lru_cache(maxsize=8)
def _compiled(
    spark: SparkSession, schema: str, name: str, entries: str, table: str
) -> CompiledSuite:
    suite = Suite(name, tuple(json.loads(entries)))
    # Columns need the schema alone, so the library plans on a table without rows.
    df = spark.createDataFrame([], T.StructType.fromJson(json.loads(schema)))
    with quiet_library() as gx:
        natives = tuple(expectation(gx, entry) for entry in suite.expectations)
        engine = open_batch(gx, df, table).data.execution_engine
        return CompiledSuite(suite, table, natives, tuple(sort_needs(df, engine, natives)), engine)


def run_suite(
    df: DataFrame, suite: Suite, *, table: str, docs: Location | None = None
) -> CheckReport:
    """Check a table on one pass of its own.

    Parameters
    ----------
    table
        Its name, for the report.
    docs
        A folder for Great Expectations' Data Docs of the results.

    Raises
    ------
    ConfigError
        If an expectation is not one that Great Expectations knows, or its kwargs are wrong.
    """
    compiled = compile_suite(df, suite, table=table)
    outcomes = _run(df, compiled)
    if docs is not None:
        with quiet_library() as gx:
            natives = compiled.natives
            write_docs(gx, natives, outcomes, name=suite.name, table=table, docs=docs)
    return _report(suite, table, outcomes)


def _run(df: DataFrame, compiled: CompiledSuite) -> list[Any]:
    """Return the library's results, of a pass over the table."""
    try:
        measured = _collect(df, compiled)
    except ENGINE_ERRORS:
        # One query answers for all or for none; alone, each expectation tells its own error.
        with quiet_library() as gx:
            batch = open_batch(gx, df, compiled.table)
            return [
                outcome
                for native in compiled.natives
                for outcome in run_natively(gx, batch, [native], compiled.suite.name)
            ]
    return compiled.outcomes(df, measured)


def _collect(df: DataFrame, compiled: CompiledSuite) -> dict[str, Any]:
    """Return what rides on a pass over the rows, in a query of its own."""
    row = df.agg(*compiled.measures()).first()
    assert row is not None  # noqa: S101 (an aggregate without groups always has its row)
    return row.asDict()


def _judged_by(need: Need, found: Mapping[Any, Any], engine: Any) -> Any | None:  # noqa: ANN401 (untyped library)
    if any(id_ not in found for id_ in need.ids):
        return None
    return judge(need.native, {**need.known, **{id_: found[id_] for id_ in need.ids}}, engine)


def _count_repeated(df: DataFrame, repeated: Repeated) -> int:
    """Return how many rows share their values with another, in one query."""
    groups_df = df.filter(repeated.kept).groupBy(*map(column, repeated.columns)).count()
    row = groups_df.agg(F.sum(F.when(F.col("count") > 1, F.col("count")))).first()
    return 0 if row is None or row[0] is None else int(row[0])


def _report(suite: Suite, table: str, outcomes: list[Any]) -> CheckReport:
    results = tuple(sorted(map(result_of, outcomes), key=lambda result: result.id))
    success = all(result.success or result.severity != "critical" for result in results)
    return CheckReport(suite.name, suite.sha, table, success, results)
