"""Evaluation of a whole suite as part of another pass over the rows.

A row that passes every expectation costs one flag. The other rows carry the list of the conditions
that they match, and rows are counted by that list; the counts of every expectation follow from
these few counts. They are passed to Great Expectations, whose own code gives the verdicts. An
expectation that cannot be written as a Column is run by the library itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, reduce
from itertools import groupby
from operator import or_
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql import types as T

from sparkweights.core.engine_errors import SPARK_ERRORS
from sparkweights.core.spark_releases import has_approx_top_k
from sparkweights.costs.spark import to_condition
from sparkweights.quality.conditions import row_condition, unexpected_rows
from sparkweights.quality.docs import write_docs
from sparkweights.quality.entries import UNEXPECTED_ROWS
from sparkweights.quality.library import (
    evaluate,
    expectation,
    failed_with,
    open_batch,
    quiet_library,
    quoted_names,
    result_of,
    run_natively,
    with_plain_names,
)
from sparkweights.quality.needs import Need, Request, sort_needs
from sparkweights.quality.suite import CheckReport, Suite

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

    from sparkweights.quality.library import MetricId, Native
    from sparkweights.quality.needs import Repeated
    from sparkweights.storage.location import Location

_CONDITIONS = ("counts", "unexpected", "repeated")  # parts of a need that select rows themselves
MAX_PATTERNS = 1_000  # lists of matched conditions; if there are more, a query counts the rows


@dataclass(frozen=True)
class CompiledSuite:
    """A suite as Columns over one table's schema.

    Attributes
    ----------
    suite
        As its file states it.
    table
        The table's name, for the report.
    requests, needs
        Per expectation, the library's and what it asks for; None where the library runs it.
    engine
        The library's execution engine, on a table without rows.
    """

    suite: Suite
    table: str
    requests: tuple[Request, ...]
    needs: tuple[Need | None, ...]
    engine: Native

    @cached_property
    def matched_conditions(self) -> Column:
        """The positions of the conditions that a row matches, as text; null where there are none.

        Compute it once as a column: rows are counted and failed checks are named from it.
        """
        conditions = list(self._conditions.values())
        if not conditions:
            return F.lit(None).cast("string")
        positions = [F.when(condition, F.lit(str(i))) for i, condition in enumerate(conditions)]
        return F.when(_any(conditions), F.concat_ws(",", *positions))

    @cached_property
    def critical(self) -> Column:
        """Whether a row fails a critical expectation, so that it is quarantined.

        It is never null. Spark must not push it down to the reader of a file, and does not: some
        writers, such as pyarrow, leave NaN out of a page's maximum, so the reader would skip pages
        that hold rows to quarantine.
        """
        return self.failing(self.quarantining)

    @cached_property
    def quarantining(self) -> frozenset[str]:
        """Ids of the critical expectations that a row decides, so that it can be set aside."""
        return frozenset(id_ for ids in self._critical for id_ in ids)

    def failing(self, ids: Collection[str]) -> Column:
        """Return whether a row fails one of these critical expectations, as `critical` does."""
        conditions = zip(self._conditions.values(), self._critical, strict=True)
        return _any(
            [condition for condition, owners in conditions if not set(owners).isdisjoint(ids)]
        )

    def failed(self, matched: Column) -> Column:
        """Return the ids of the critical expectations that a row fails, as an array of text.

        Parameters
        ----------
        matched
            The value of `matched_conditions`.
        """
        nothing = F.array().cast("array<string>")
        if not self.quarantining:
            return nothing
        # One literal, because every step of an expression is a call to the JVM.
        ids = F.from_json(F.lit(json.dumps(self._critical)), "array<array<string>>")
        positions = F.split(matched, ",").cast("array<int>")
        return F.coalesce(
            F.flatten(F.transform(positions, lambda position: F.get(ids, position))), nothing
        )

    @cached_property
    def _critical(self) -> list[list[str]]:
        """Ids of the critical expectations that each condition belongs to."""
        ids: dict[MetricId, list[str]] = {id_: [] for id_ in self._conditions}
        for entry, need in zip(self.suite.expectations, self.needs, strict=True):
            of_table = self.suite.mostly == "table" and (entry["kwargs"].get("mostly") or 1) < 1
            if (
                need is not None
                and need.by_row
                and entry["severity"] == "critical"
                and not of_table
            ):
                for id_ in need.unexpected:
                    ids[id_].append(entry["id"])
        return list(ids.values())

    def measures(self, matched: Column | None = None) -> list[Column]:
        """Return the aggregates to add to a pass over the rows; `report` reads them by name.

        Parameters
        ----------
        matched
            The value of `matched_conditions`, computed once per row. Give it where the aggregates
            are observed, because each observed aggregate costs time on every row. None in a
            query, where Spark compiles the aggregates to fast code; Spark 4.0 has no other way.
        """
        if matched is None or not has_approx_top_k():
            return self._queried
        if not self._conditions:
            return self._totals
        patterns = _patterns(matched).alias(self._name("patterns"))
        return [*self._totals, patterns, F.count(matched).alias(self._name("matched"))]

    @cached_property
    def _totals(self) -> list[Column]:
        measures = [F.count(F.lit(1)).alias(self._name("rows"))]
        return measures + [
            aggregate.alias(self._name(i)) for i, aggregate in enumerate(self._light.values())
        ]

    @cached_property
    def _queried(self) -> list[Column]:
        counts = map(F.count_if, self._conditions.values())
        return self._totals + [
            count.alias(self._name(f"count {i}")) for i, count in enumerate(counts)
        ]

    def _name(self, what: object) -> str:
        return f"{self.table}: {what}"

    def report(self, df: DataFrame, measured: Mapping[str, Any]) -> CheckReport:
        """Return a suite's report from the aggregates of a pass over a table; see `outcomes`."""
        return _report(self.suite, self.table, self.outcomes(df, measured))

    def outcomes(self, df: DataFrame, measured: Mapping[str, Any]) -> list[Native]:
        """Return the library's results from the aggregates of a pass over a table.

        Rows are read again only for what a pass cannot include: one query for aggregates that keep
        many values, one per set of columns that must be unique, and the library's own queries.

        Parameters
        ----------
        df
            The table.
        measured
            Values of `measures` by name.
        """
        with quiet_library() as gx:
            metrics = self._metrics(df, measured)
            metrics |= self._collect_heavy(df) | self._collect_repeated(df)
            outcomes, left = [], []
            for position, need in enumerate(self.needs):
                outcome = None if need is None else _evaluate(need, metrics, self.engine)
                if outcome is None:
                    left.append(position)
                else:
                    outcomes.append(outcome)
            return outcomes + self._run_natively(gx, df, left)

    def _run_natively(self, gx: Native, df: DataFrame, positions: list[int]) -> list[Native]:
        """Return the results of the library's own run of expectations, on the rows they are about.

        SQL of a suite is never run: its conditions are applied before, as Columns.
        """
        outcomes = [
            failed_with(self.requests[position].native, "the condition cannot be applied")
            for position in positions
            if self._is_sql(position)
        ]
        left = [position for position in positions if not self._is_sql(position)]
        left.sort(key=lambda position: self.requests[position].scope)
        for _, group in groupby(left, key=lambda position: self.requests[position].scope):
            scoped = list(group)
            condition = self.requests[scoped[0]].condition
            rows_df, names = with_plain_names(df if condition is None else df.filter(condition))
            natives = [expectation(gx, self.suite.expectations[one], names) for one in scoped]
            batch = open_batch(gx, rows_df, self.table)
            outcomes += run_natively(gx, batch, natives, self.suite.name)
        return outcomes

    def _is_sql(self, position: int) -> bool:
        return bool(self.suite.expectations[position]["type"] == UNEXPECTED_ROWS)

    def run_alone(self, df: DataFrame, position: int) -> list[Native]:
        """Return the result of one expectation, or the error that it alone causes."""
        need = self.needs[position]
        with quiet_library() as gx:
            if need is None or not self._is_sql(position):
                return self._run_natively(gx, df, [position])
            entries = (self.suite.expectations[position],)
            alone = replace(
                self,
                suite=replace(self.suite, expectations=entries),
                requests=(self.requests[position],),
                needs=(need,),
            )
            try:
                return alone.outcomes(df, _collect(df, alone))
            except SPARK_ERRORS as error:
                return [failed_with(need.native, str(error))]

    def _gather(self, part: str) -> dict[MetricId, Any]:
        """Return a part of every need whose metrics are those of all rows, or are conditions."""
        return {
            id_: entry
            for need in self.needs
            if need is not None and (need.condition is None or part in _CONDITIONS)
            for id_, entry in getattr(need, part).items()
        }

    @cached_property
    def _conditions(self) -> dict[MetricId, Column]:
        return {**self._gather("counts"), **self._gather("unexpected")}

    @cached_property
    def _light(self) -> dict[MetricId, Column]:
        return self._gather("light")

    def _metrics(self, df: DataFrame, measured: Mapping[str, Any]) -> dict[MetricId, object]:
        rows = measured[self._name("rows")]
        metrics = {id_: measured[self._name(i)] for i, id_ in enumerate(self._light)}
        metrics |= {id_: rows for need in self.needs if need is not None for id_ in need.rows}
        metrics |= self._counts(df, measured)
        for need in filter(None, self.needs):
            metrics |= {id_: rows - metrics[passed] for id_, passed in need.kept.items()}
        # The library sums where this module counts, and a sum over no rows is null.
        for need in filter(None, self.needs):
            if not need.count_rows(rows, metrics):
                metrics |= {
                    id_: None
                    for id_ in (*need.counts, *need.unexpected)
                    if str(id_[0]).startswith("column_values.")
                }
        return metrics

    def _counts(self, df: DataFrame, measured: Mapping[str, Any]) -> dict[MetricId, int]:
        """Return in how many rows each condition holds."""
        conditions = self._conditions
        patterns = measured.get(self._name("patterns"))
        if patterns is not None:
            complete = [entry for entry in patterns if entry["item"]]
            if sum(entry["count"] for entry in complete) == measured[self._name("matched")]:
                totals = [0] * len(conditions)
                for entry in complete:
                    for position in entry["item"].split(","):
                        totals[int(position)] += entry["count"]
                return dict(zip(conditions, totals, strict=True))
            measured = _collect(df, self)
        return {id_: measured[self._name(f"count {i}")] for i, id_ in enumerate(conditions)}

    def _collect_heavy(self, df: DataFrame) -> dict[MetricId, object]:
        """Return aggregates that keep many values, and those of rows that a condition selects.

        One query for all rows, and one per row condition.
        """
        aggregates = {"": self._gather("heavy")}
        conditions: dict[str, Column] = {}
        for need in filter(None, self.needs):
            if need.condition is not None:
                conditions[need.scope] = need.condition
                aggregates.setdefault(need.scope, {}).update(need.light | need.heavy)
        values: dict[MetricId, object] = {}
        for scope, scoped in aggregates.items():
            rows_df = df.filter(conditions[scope]) if scope else df
            values |= _collect_aggregates(rows_df, scoped)
        return values

    def _collect_repeated(self, df: DataFrame) -> dict[MetricId, int]:
        counts = {}
        for id_, repeated in self._gather("repeated").items():
            try:
                counts[id_] = _count_repeated(df, repeated)
            except SPARK_ERRORS:
                continue  # the library's own run will report the error
        return counts


def _collect_aggregates(
    df: DataFrame, aggregates: Mapping[MetricId, Column]
) -> dict[MetricId, object]:
    """Return the values of aggregates, in one query; none where it fails."""
    if not aggregates:
        return {}
    try:
        row = df.agg(
            *[aggregate.alias(f"h{i}") for i, aggregate in enumerate(aggregates.values())]
        ).first()
    except SPARK_ERRORS:
        return {}  # the library's own run will report the error
    assert row is not None  # noqa: S101 (an aggregate without groups always has its row)
    return dict(zip(aggregates, row, strict=True))


def _any(conditions: Sequence[Column]) -> Column:
    """Return whether any condition holds; one that is null does not.

    Conditions that cannot be null are compiled to far less code than Spark's null, true and false.
    """
    return reduce(
        or_, [F.coalesce(condition, F.lit(col=False)) for condition in conditions], F.lit(col=False)
    )


def _patterns(matched: Column) -> Column:
    """Return an aggregate: the number of rows by list of matched conditions.

    The sketch behind it is exact as long as it never holds more lists than it tracks. Otherwise it
    leaves lists out, and counts do not add up to all rows that match a condition.
    """
    return F.call_function("approx_top_k", matched, F.lit(MAX_PATTERNS), F.lit(10 * MAX_PATTERNS))


def compile_suite(df: DataFrame, suite: Suite, *, table: str) -> CompiledSuite:
    """Turn a suite into Columns over a table's schema; no row is read.

    Raises
    ------
    ConfigError
        If an expectation is not one that Great Expectations knows, its kwargs are wrong, or its
        condition does not fit the table's columns.
    """
    # The library takes a second for fifty expectations; a session asks for the same ones often.
    entries = json.dumps(suite.expectations, default=str)
    compiled = _compiled(df.sparkSession, df.schema.json(), suite.name, entries, table)
    return replace(compiled, suite=replace(compiled.suite, mostly=suite.mostly))


@lru_cache(maxsize=8)
def _compiled(
    spark: SparkSession, schema: str, name: str, entries: str, table: str
) -> CompiledSuite:
    suite = Suite(name, tuple(json.loads(entries)))
    # Columns need only the schema, so the library plans on a table without rows.
    df = spark.createDataFrame([], T.StructType.fromJson(json.loads(schema)))
    with quiet_library() as gx:
        names = quoted_names(df.columns)
        requests = tuple(
            _request(entry, expectation(gx, entry, names), df.schema)
            for entry in suite.expectations
        )
        engine = open_batch(gx, df, table).data.execution_engine
        needs = tuple(sort_needs(df, engine, requests))
        return CompiledSuite(suite, table, requests, needs, engine)


def _request(entry: Mapping[str, Any], native: Native, schema: T.StructType) -> Request:
    """Return an expectation with its conditions as Columns; NaN is a number in them, as in SQL."""
    kwargs, where = entry["kwargs"], f"expectation '{entry['id']}'"
    if entry["type"] == UNEXPECTED_ROWS:
        tree = unexpected_rows(kwargs["unexpected_rows_query"])
        rows = to_condition(tree, schema, where=where, nan="largest")
        return Request(native, unexpected_rows=rows)
    if kwargs.get("row_condition") is None:
        return Request(native)
    tree = row_condition(kwargs["row_condition"], kwargs.get("condition_parser"))
    condition = to_condition(tree, schema, where=where, nan="largest")
    return Request(native, repr(tree), condition)


def run_suite(
    df: DataFrame, suite: Suite, *, table: str, docs: Location | None = None
) -> CheckReport:
    """Check a table in one separate pass.

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
            write_docs(gx, suite, outcomes, table=table, docs=docs)
    return _report(suite, table, outcomes)


def _run(df: DataFrame, compiled: CompiledSuite) -> list[Native]:
    """Return the library's results after a pass over the table."""
    try:
        measured = _collect(df, compiled)
    except SPARK_ERRORS:
        # An error ends the query for all expectations; run alone, each one reports its own error.
        return [
            outcome
            for position in range(len(compiled.requests))
            for outcome in compiled.run_alone(df, position)
        ]
    return compiled.outcomes(df, measured)


def _collect(df: DataFrame, compiled: CompiledSuite) -> dict[str, Any]:
    """Return the aggregates of the compiled suite, from a separate query."""
    row = df.agg(*compiled.measures()).first()
    assert row is not None  # noqa: S101 (an aggregate without groups always has its row)
    return row.asDict()


def _evaluate(need: Need, metrics: Mapping[MetricId, object], engine: Native) -> Native | None:
    if any(id_ not in metrics for id_ in need.ids):
        return None
    values = {id_[:-1]: metrics[id_] for id_ in need.ids}  # without the scope
    return evaluate(need.native, {**need.known, **values}, engine)


def _count_repeated(df: DataFrame, repeated: Repeated) -> int:
    """Return how many rows share their values with another, in one query."""
    groups_df = df.filter(repeated.kept).groupBy(*repeated.columns).count()
    row = groups_df.agg(F.sum(F.when(F.col("count") > 1, F.col("count")))).first()
    return 0 if row is None or row[0] is None else int(row[0])


def _report(suite: Suite, table: str, outcomes: list[Native]) -> CheckReport:
    results = tuple(sorted(map(result_of, outcomes), key=lambda result: result.id))
    success = all(result.success or result.severity != "critical" for result in results)
    return CheckReport(suite.name, suite.sha, table, success, results)
