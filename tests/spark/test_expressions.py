"""Cost Columns mean exactly what the language says."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from sparkweights.core.errors import ConfigError
from sparkweights.costs.expression import (
    Call,
    Expression,
    Name,
    Number,
    Operation,
    evaluate,
    parse,
    render,
)
from sparkweights.costs.matrix import CostMatrix
from sparkweights.costs.spark import check_costs, to_column

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.usefixtures("generated_code")

COLUMNS = ["a", "loan.amount", "c d", "tick`ed"]
VALUES = [None, math.nan, 0.0, -0.5, 1.0, 3.25, -7.0, 1e6, 1e200, -1e200]


def _random_tree(rng: random.Random, depth: int) -> Expression:
    if depth == 0 or rng.random() < 0.2:
        if rng.random() < 0.4:
            return Number(rng.choice([0.0, 1.0, -2.5, 0.75]))
        return Name(rng.choice(COLUMNS), 1)
    if rng.random() < 0.6:
        left, right = _random_tree(rng, depth - 1), _random_tree(rng, depth - 1)
        return Operation(rng.choice("+-*/"), left, right)
    count = rng.randint(2, 3)
    arguments = tuple(_random_tree(rng, depth - 1) for _ in range(count))
    return Call(rng.choice(["min", "max", "coalesce"]), arguments)


def test_to_column_random_trees_equal_the_reference_evaluation(spark: SparkSession) -> None:
    """On every mix of null, NaN, zero and negative values, Spark and the reference agree."""
    rng = random.Random(11)
    rows = [tuple(rng.choice(VALUES) for _ in COLUMNS) for _ in range(60)]
    trees = [_random_tree(rng, 3) for _ in range(40)]
    schema = ", ".join(f"`{name.replace('`', '``')}` double" for name in COLUMNS)
    df = spark.createDataFrame(rows, schema)
    found = df.select(*[to_column(tree).alias(f"t{i}") for i, tree in enumerate(trees)]).collect()
    for values, row in zip(rows, found, strict=True):
        named = dict(zip(COLUMNS, values, strict=True))
        for i, tree in enumerate(trees):
            expected = evaluate(tree, named)
            if expected is None:
                assert row[i] is None, render(tree)
            elif math.isnan(expected):
                assert math.isnan(row[i]), render(tree)
            else:
                assert row[i] == expected, render(tree)


def test_to_column_whole_numbers_do_not_overflow(spark: SparkSession) -> None:
    """Prices are doubles: the largest bigint squared is a number, not an ANSI error."""
    df = spark.createDataFrame([(2**62,)], "a bigint")
    row = df.select(to_column(parse("a * a")).alias("x")).first()
    assert row is not None
    assert row["x"] == pytest.approx(float(2**124))


def test_to_column_decimal_column_divides_without_error(spark: SparkSession) -> None:
    """Decimals enter as doubles and division by zero is missing, also under ANSI mode."""
    df = spark.range(1).select(F.lit("2.50").cast("decimal(9,2)").alias("a"))
    row = df.select(to_column(parse("a / (a - 2.5)")).alias("x")).first()
    assert row is not None
    assert row["x"] is None


def test_check_costs_text_column_is_refused_with_the_cell(spark: SparkSession) -> None:
    """A cost over a text column is refused before any job, naming the cell."""
    matrix = CostMatrix.parse({"a": {"x": 0, "y": "card"}, "b": {"x": 1, "y": 0}}, ["x", "y"])
    schema = spark.createDataFrame([("gold",)], "card string").schema
    with pytest.raises(ConfigError, match=r"costs\.a\.y: column 'card'.*is text"):
        check_costs(matrix, schema)
