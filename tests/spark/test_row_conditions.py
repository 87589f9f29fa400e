"""Conditions as Columns: the reference's rows, the column's own types, and push-down."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from sparkweights.core.errors import ConfigError
from sparkweights.costs.condition import holds, parse_condition
from sparkweights.costs.spark import to_condition
from sparkweights.storage.tables import TableSource, read_table

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

SCHEMA = "`x.y` double, n bigint, f float, m decimal(10,2), t string, d date, e boolean"
ROWS = [
    (1.5, 2, 0.5, Decimal("2.50"), "paid", date(2024, 1, 31), True),
    (math.nan, None, math.nan, Decimal("0.10"), "it's", None, False),
    (None, 9_007_199_254_740_993, 0.1, None, None, date(2024, 2, 1), None),
    (-3.0, 0, -0.5, Decimal("-1.00"), "", date(1999, 12, 31), True),
]
CONDITIONS = [
    "`x.y` > 1",
    "not `x.y` > 1",
    "`x.y` is null or n is null",
    "isnan(`x.y`) or isnan(f)",
    "not isnan(`x.y`)",
    "`x.y` in (1.5, -3)",
    "`x.y` not in (1.5)",
    "n >= 0.5 and n < 3",
    "n between 0 and 2",
    "n = '2'",
    "m = 2.5 or m = 0.1",
    "m not between -1 and 1",
    "f > 0.2",
    "t = 'it''s' or t in ('', 'paid')",
    "t <> 'paid'",
    "d >= '2024-01-31'",
    "e = true",
    "e != true",
    "`x.y` > f",
    "2 * `x.y` + n > 4",
    "n / `x.y` > 1 and min(n, `x.y`) < 2",
    "coalesce(`x.y`, 7) = 7",
]


def test_to_condition_selects_the_rows_that_the_reference_selects(spark: SparkSession) -> None:
    """Every comparison, on null, NaN, dates, decimals and whole numbers."""
    df = spark.createDataFrame(ROWS, SCHEMA).coalesce(1)
    columns = [
        F.coalesce(
            to_condition(parse_condition(text), df.schema, where="c", nan="missing"),
            F.lit(col=False),
        ).alias(str(i))
        for i, text in enumerate(CONDITIONS)
    ]
    names = [field.name for field in df.schema]
    for values, selected in zip(ROWS, df.select(*columns).collect(), strict=True):
        row = {
            name: value.isoformat()
            if isinstance(value, date)
            else float(value)
            if isinstance(value, Decimal)
            else value
            for name, value in zip(names, values, strict=True)
        }
        row["f"] = None if row["f"] is None else float(row["f"])
        expected = [holds(parse_condition(text.replace("'2'", "2")), row) for text in CONDITIONS]
        assert list(selected) == expected


def test_to_condition_with_nan_as_in_sql_agrees_with_sql(spark: SparkSession) -> None:
    """The syntax is a subset of SQL's, and so is the meaning: NaN is above every number."""
    df = spark.createDataFrame(ROWS, SCHEMA).coalesce(1)
    texts = [text for text in CONDITIONS if not text.startswith(("2 *", "n /", "coalesce"))]
    pairs = [
        to_condition(parse_condition(text), df.schema, where="c", nan="largest").eqNullSafe(
            F.expr(text.replace("``", "''"))
        )
        for text in texts
    ]
    rows = df.select(*[pair.alias(str(i)) for i, pair in enumerate(pairs)]).collect()
    different = {texts[i] for row in rows for i, same in enumerate(row) if not same}
    assert not different


def test_to_condition_is_pushed_down_to_the_reader(spark: SparkSession, tmp_path: Path) -> None:
    """A literal has the column's own type, so that a reader can skip what it does not match."""
    spark.createDataFrame(ROWS, SCHEMA).write.parquet(str(tmp_path / "t"))
    for text, pushed in {
        "n >= 1": "GreaterThanOrEqual(n,1)",
        "m < 2.5": "LessThan(m,2.50)",
        "not f >= 2": "LessThan(f,2.0)",
        "t in ('a', 'b')": "In(t, [a,b])",
        "d > '2024-01-01'": "GreaterThan(d,2024-01-01)",
    }.items():
        tree = parse_condition(text)
        source = TableSource(
            "labelled",
            str(tmp_path / "t"),
            "parquet",
            row_filter=lambda schema, tree=tree: to_condition(
                tree, schema, where="c", nan="missing"
            ),
        )
        plan = read_table(spark, source)._jdf.queryExecution().executedPlan().toString()
        assert pushed in plan[plan.index("PushedFilters") :]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("zz > 1", "unknown column 'zz'"),
        ("t > 1", "column 't' is text; it is compared with a number"),
        ("n = 'many'", "column 'n' is number; it is compared with text"),
        ("d > 'soon'", "column 'd' is date; it is compared with text"),
        ("e = 1", "column 'e' is boolean"),
        ("t = n", "text is compared with number"),
        ("isnan(t)", "column 't' is text, not a number"),
        ("1 = 1", "reads no column"),
        ("t + 1 > 2", "column 't'"),
        ("n in (1, 'x')", "column 'n' is number"),
    ],
)
def test_to_condition_refuses_what_does_not_compare(
    spark: SparkSession, text: str, words: str
) -> None:
    """Nothing is cast silently, and nothing fails on a row."""
    schema = spark.createDataFrame([], SCHEMA).schema
    with pytest.raises(ConfigError) as refused:
        to_condition(parse_condition(text), schema, where="tables.x.where", nan="missing")
    assert words in refused.value.message
    assert "tables.x.where" in refused.value.message
