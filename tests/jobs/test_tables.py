"""Tables to read: of the catalog, behind a URI, or one night of a table that holds many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from conftest import RUN_DATE, Shop, history

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

NIGHTS = "nights"


@pytest.fixture(scope="module")
def nights(shop: Shop, spark: SparkSession) -> Iterator[str]:
    """Put two nights into one table of the catalog: the shop's own, and a week before."""
    own = spark.read.parquet(str(shop.folder / "data" / "incoming"))
    before = spark.createDataFrame(history(50, seed=8).drop(columns="outcome"), own.schema)
    dated = [df.selectExpr("*", f"date'{day}' as `as_of`")
             for df, day in ((own, RUN_DATE), (before, "2026-02-22"))]  # fmt: skip
    both = dated[0].unionByName(dated[1])
    both.write.partitionBy("as_of").mode("overwrite").saveAsTable(NIGHTS)
    yield NIGHTS
    spark.sql(f"drop table {NIGHTS}")


def _rows(shop: Shop) -> pd.DataFrame:
    table = pd.read_parquet(shop.folder / "out" / "scored")
    return table.drop(columns=["scored_at", "run_id"]).sort_values("loan id").reset_index(drop=True)


def _tonight(location: str, **more: Any) -> dict[str, Any]:
    return {"format": "table", "location": location, "partition": {"as_of": "{run_date}"}, **more}


@pytest.mark.slow
def test_score_a_partition_of_a_catalog_table_equals_its_files(own_shop: Shop, nights: str) -> None:
    """The rows of the run's date, and of no other."""
    before = _rows(own_shop)
    config = own_shop.config(tables__incoming=_tonight(nights))
    assert own_shop.run("score", config, "--quiet") == 0
    pd.testing.assert_frame_equal(_rows(own_shop), before)


def test_score_a_partition_is_read_with_its_own_columns(
    own_shop: Shop, spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    """Spark takes the columns of the oldest night: one that went since would be read as null."""
    place = own_shop.folder / "data" / "by night"
    tonight_df = spark.read.parquet(str(own_shop.folder / "data" / "incoming"))
    nights = {"2026-02-22": tonight_df, RUN_DATE: tonight_df.drop("in.come")}
    for night, df in nights.items():
        df.write.parquet(str(place / f"as_of={night}"))
    incoming = {"location": "data/by night", "partition": {"as_of": "{run_date}"}}
    config = own_shop.config(tables__incoming=incoming)
    before = own_shop.state()
    assert own_shop.run("score", config, "--quiet") == 4
    assert "Table 'incoming' has no column 'in.come'" in capsys.readouterr().err
    assert own_shop.state() == before
    incoming["partition"] = {"as_of": "2026-02-22"}
    assert own_shop.run("score", own_shop.config(tables__incoming=incoming), "--quiet") == 0


def test_score_a_uri_and_a_partition_of_a_folder_equal_its_files(
    own_shop: Shop, nights: str, spark: SparkSession
) -> None:
    """A folder of partitions behind file://, where the value's type is found from its text."""
    before = _rows(own_shop)
    place = own_shop.folder / "data" / "by date"
    # A metastore cannot filter by a name with a space; a folder can.
    dated = spark.table(nights).withColumnRenamed("as_of", "as of")
    dated.write.partitionBy("as of").parquet(str(place))
    incoming = {"location": f"file://{place}", "partition": {"as of": "{run_date}"}}
    assert own_shop.run("score", own_shop.config(tables__incoming=incoming), "--quiet") == 0
    pd.testing.assert_frame_equal(_rows(own_shop), before)


def test_views_lead_to_the_incoming_and_from_the_scored_table(
    own_shop: Shop, nights: str, spark: SparkSession
) -> None:
    """A view is a table to read from; one over the scored folder shows each night as published."""
    scored = own_shop.folder / "out" / "scored"
    before = _rows(own_shop)
    for name, rows in {
        "tonight": f"{nights} where `as_of` = date'{RUN_DATE}'",
        "scored": f"parquet.`{scored}`",
    }.items():
        spark.sql(f"create view {name} as select * from {rows}")  # noqa: S608 (names of our own)
    try:
        assert spark.table("scored").count() == len(before)
        own_shop.table("incoming", history(30, seed=9).drop(columns="outcome"))
        assert own_shop.run("score", own_shop.config(), "--quiet") == 0
        assert spark.table("scored").count() == 30
        incoming = {"format": "table", "location": "tonight"}
        assert own_shop.run("score", own_shop.config(tables__incoming=incoming), "--quiet") == 0
        pd.testing.assert_frame_equal(_rows(own_shop), before)
        assert spark.table("scored").count() == len(before)
    finally:
        spark.sql("drop view tonight")
        spark.sql("drop view scored")


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"location": "lending.nights"}, 4, ["No table at 'lending.nights'", "tables.incoming"]),
        ({"location": "not a name"}, 4, ["tables.incoming", "not a name"]),
        ({"location": "ice.lending.nights"}, 2, ["has no catalog 'ice'", "spark.sql.catalog.ice"]),
        ({"partition": {"as_off": "x"}}, 4, ["no column 'as_off'", "Did you mean 'as_of'?"]),
        ({"partition": {"as_of": "2026-03-02"}}, 4, ["0 rows where as_of = 2026-03-02"]),
        ({"partition": {"as_of": "Sunday"}}, 4, ["'as_of' is date", "no value of that type"]),
        ({"schema": "a int"}, 2, ["tables.incoming.schema", "catalog or a database knows"]),
        ({"format": "parquet", "location": "nowhere://bucket/x"}, 4, ["nowhere://bucket/x"]),
        ({"format": "parquet", "location": "s3a://bucket/x"}, 4, ["s3a://bucket/x"]),
    ],
)
def test_score_from_no_such_table_is_refused_with_a_sentence(
    own_shop: Shop,
    nights: str,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    code: int,
    words: list[str],
) -> None:
    """What, the value, and the next step; the date's rows stay."""
    before = own_shop.state()
    config = own_shop.config(tables__incoming={**_tonight(nights), **changes})
    assert own_shop.run("score", config, "--quiet") == code
    told = capsys.readouterr().err
    for word in words:
        assert word in told
    assert "Traceback" not in told
    assert own_shop.state() == before


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"format": "csv", "location": "out/scored"}, "allowed for output: parquet, orc, table"),
        (
            {"format": "table", "location": "scored"},
            "is no database.table, nor catalog",
        ),
        ({"format": "table", "location": "ice.lending.scored"}, "has no catalog 'ice'"),
        ({"location": "s3a://bucket/scored"}, "is on s3a; a folder is replaced as a whole"),
        ({"location": "out/scored", "partition": {"a": 1}}, "is partitioned by the run"),
    ],
)
def test_what_is_written_lies_on_a_shared_path(
    shop: Shop, capsys: pytest.CaptureFixture[str], output: dict[str, Any], words: str
) -> None:
    """A place where a date cannot be replaced in one step is no place for the scored table."""
    config = shop.config("output.yaml", tables__scored=output)
    assert shop.run("score", config, "--quiet") == 2
    assert words in capsys.readouterr().err
