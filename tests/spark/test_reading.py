"""Reading tables: a damaged or misread file stops the run, with file, line and column."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from pyspark.sql import functions as F
from pyspark.sql import types as T

from sparkweights.app.spark_errors import expected_failure
from sparkweights.core.columns import MALFORMED_RECORD
from sparkweights.core.errors import InputError
from sparkweights.storage.data_files import verify_files
from sparkweights.storage.publish.column_types import with_published_types
from sparkweights.storage.tables import TableSource, pin_version, read_table

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

CSV, JSON = "id string, x double, note string", "id string, x double"
HEADER = "id,x,note\n"
Files = dict[str, str | bytes]
GOOD = '{"id": "1", "x": 1}\n'


def _read(spark: SparkSession, folder: Path, files: Files, **more: Any) -> DataFrame:
    """Write files, and open them as a run does."""
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
    kind = more.pop("format", "csv")
    schema = more.pop("schema", {"csv": CSV, "json": JSON}.get(kind))
    header = {"header": "true"} if kind == "csv" else {}
    options = {**header, **more.pop("options", {})}
    source = TableSource("incoming", str(folder), kind, schema, options, **more)
    df = read_table(spark, source)
    verify_files(spark, source, df)
    return df


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.csv": HEADER + "1,2,a\n", "b.csv": HEADER + "\n1,2,a\n3\n"}, "file b.csv, line 4:"),
        ({"a.csv": HEADER + "1,2,a,CANARY\n"}, "line 2: it has not the 3 fields"),
        ({"a.csv": HEADER + "1,2,a\n2,3"}, "line 3: it has not the 3 fields"),
        ({"a.csv": HEADER + "1,2,a\n2,3,CAN"}, "last line does not end with a newline"),
        ({"a.csv": HEADER + '1,2,"a\n9,9,b"\n'}, "line 2: it ends inside quotes.*multiLine"),
        ({"a.csv": HEADER + "1,2,a\n2,CANARY,b\n"}, "line 3: .* column 'x' that is no double"),
        ({"a.csv": HEADER + '1,"2,5",a\n'}, "decimal comma in column 'x'.*options.locale"),
        ({"a.csv": "id,y,note\n1,2,a\n"}, "header is 'id, y, note'.*names id, x, note"),
        ({"a.csv": "CANARY,2,a\n"}, "first line names none of the schema's columns"),
        ({"a.csv": HEADER + "1,2,a\n", "b.csv": ""}, "holds 1 empty of 2 files: b.csv"),
        ({"a.json": GOOD + '{"id": "CANARY"}{"id": "2"}\n'}, "line 2: it holds more than one"),
        ({"a.json": GOOD + '{"id": "CANARY", "x'}, "line 2: it is no whole json object"),
        ({"a.json": GOOD + "7\n"}, "line 2: it is no whole json object"),
        ({"a.json": GOOD + '{"id": "CANARY", "x": "1.5"}\n'}, "column 'x' that is no double"),
        ({"a.json": GOOD, "b.json": '{"id": "2", "X": 1}\n'}, "b.json: the key is 'X'.*names 'x'"),
        ({"a.json": '{"id": "2", "z": 1}\n'}, "no record has a key x.*also has z"),
    ],
)
def test_damaged_text_is_refused_with_file_and_line(
    spark: SparkSession, tmp_path: Path, files: Files, words: str
) -> None:
    """Whether or not the run needs the column, and without a value of the record."""
    kind = "json" if "a.json" in files else "csv"
    with pytest.raises(InputError, match=words) as caught:
        _read(spark, tmp_path, files, format=kind)
    assert "CANARY" not in str(caught.value)


def test_sound_text_is_read_as_it_is(spark: SparkSession, tmp_path: Path) -> None:
    """Quotes in values, blank lines, compression, partitions, arrays, and odd names."""
    lines = HEADER + '1,2,5" wide\n\n2,3,"a,""b"""\n'
    zipped = gzip.compress(lines.encode())
    csv = _read(spark, tmp_path / "in[1] {x}*", {"a.csv": lines, "b.csv.gz": zipped})
    _read(spark, tmp_path / "in1 x", {"a.csv": HEADER + "9,9,other\n"})
    assert sorted(row["id"] for row in csv.collect()) == ["1", "1", "2", "2"]
    several = {"multiLine": "true"}
    kept = _read(spark, tmp_path / "m", {"a.csv": HEADER + '1,2,"a\nb"\n'}, options=several)
    assert kept.count() == 1
    array = '[{"id": "1",\n"x": 1},\n{"id": "2", "x": 2}]'
    assert (
        _read(spark, tmp_path / "j", {"a.json": array}, format="json", options=several).count() == 2
    )
    torn = {"d=20260301/a.csv": HEADER + "1,2,a\n", "d=20260302/a.csv": HEADER + "1\n"}
    assert _read(spark, tmp_path / "p", torn, partition={"d": ("20260301",)}).count() == 1
    with pytest.raises(InputError, match="'d' is int, and '2026-03-01' is no value of that type"):
        _read(spark, tmp_path / "p", torn, partition={"d": ("2026-03-01",)})
    days = {f"d={day}/a.csv": HEADER + f"{day},2,a\n" for day in (1, 2, 3)}
    several_days = _read(spark, tmp_path / "q", days, partition={"d": ("1", "3")})
    assert sorted(row["id"] for row in several_days.collect()) == ["1", "3"]


def test_malformed_records_become_rows_with_the_record(spark: SparkSession, tmp_path: Path) -> None:
    """Where the quarantine takes them, a short line is a row that says what was read."""
    files: Files = {"a.csv": HEADER + "1,2,a\n2,3\n3,many,c\n"}
    df = _read(spark, tmp_path, files, malformed="quarantine")
    records = {row["id"]: row[MALFORMED_RECORD] for row in df.collect()}
    assert records == {"1": None, "2": "2,3", "3": "3,many,c"}
    others = {"malformed": "quarantine", "row_filter": lambda _: F.col("id") == "9"}
    assert {row["id"] for row in _read(spark, tmp_path, files, **others).collect()} == {"2", "3"}
    forged: Files = {"a.csv": HEADER + '1,2,"a\n9,9,b"\n'}
    with pytest.raises(InputError, match="ends inside quotes"):
        _read(spark, tmp_path, forged, malformed="quarantine")


def test_table_that_only_the_server_of_spark_sees_is_verified_by_it(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty file is refused, and no other one is taken for it."""
    monkeypatch.setattr(TableSource, "has_visible_files", False)
    content = HEADER + "1,2,a\n"
    for name in ("a", "b c%[1]"):
        df = _read(spark, tmp_path / "whole", {f"{name}.csv": content})
    assert df.count() == 2
    with pytest.raises(InputError, match=r"holds 1 empty of 2 files: b\.csv"):
        _read(spark, tmp_path / "in part", {"a.csv": content, "b.csv": ""})


@pytest.mark.parametrize("kind", ["parquet", "orc"])
def test_damaged_columnar_files_are_refused(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    """Empty, cut off, or without a column that the schema names."""
    folder = tmp_path / kind
    spark.range(5).coalesce(1).write.format(kind).save(str(folder))
    (good,) = folder.glob(f"part-*.{kind}")
    with pytest.raises(InputError, match="no file holds z"):
        _read(spark, folder, {}, format=kind, schema="id bigint, z double")
    content = good.read_bytes()
    with pytest.raises(InputError, match=f"1 empty of 2 files: z.{kind}"):
        _read(spark, folder, {f"z.{kind}": b""}, format=kind)
    df = _read(spark, folder, {}, format=kind, ignore_empty_files=True)
    assert df.count() == 5
    # Spark takes the columns from either file, so that opening the table or reading it fails.
    with pytest.raises(Exception, match=r"cannot be read|FAILED_READ_FILE") as caught:
        _read(spark, folder, {f"z.{kind}": content[: len(content) // 2]}, format=kind).collect()
    assert isinstance(expected_failure(caught.value) or caught.value, InputError)


def test_types_that_spark_cannot_read_are_told_by_column(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Nanoseconds, and files that cannot be merged."""
    (tmp_path / "n").mkdir()
    moment = pd.Series(pd.to_datetime(["2026-01-01"])).astype("datetime64[ns]")
    pd.DataFrame({"id": [1], "opened": moment}).to_parquet(tmp_path / "n" / "a.parquet")
    with pytest.raises(InputError, match=r"column 'opened' holds .*coerce_timestamps='us'"):
        _read(spark, tmp_path / "n", {}, format="parquet")
    (tmp_path / "m").mkdir()
    for name, value in (("a", 1), ("b", "x")):
        pd.DataFrame({"id": [1], "x": [value]}).to_parquet(tmp_path / "m" / f"{name}.parquet")
    with pytest.raises(InputError, match="column 'x' has another type in one file"):
        _read(spark, tmp_path / "m", {}, format="parquet", options={"mergeSchema": "true"})


def test_keys_keep_the_type_of_the_published_table(spark: SparkSession) -> None:
    """A cast that loses nothing is made; another is refused with the number of values."""
    whole = T.StructType([T.StructField("k", T.LongType())])
    keys_df = spark.createDataFrame([(1.0,), (2.0,), (float("nan"),)], "k double")
    cast_df = with_published_types(keys_df, whole, ["k"])
    assert [row["k"] for row in cast_df.collect()] == [1, 2, None]
    assert cast_df.schema["k"].dataType == T.LongType()
    with pytest.raises(InputError, match=r"'k' is double, and bigint .*\(1 values would change"):
        with_published_types(spark.createDataFrame([(1.5,), (2.0,)], "k double"), whole, ["k"])
    with pytest.raises(InputError, match=r"'k' is string, and bigint .*\(1 values would change"):
        with_published_types(spark.createDataFrame([("007",), ("7",)], "k string"), whole, ["k"])
    as_text = with_published_types(
        keys_df.filter(~F.isnan("k")), T.StructType([T.StructField("k", T.StringType())]), ["k"]
    )
    assert [row["k"] for row in as_text.collect()] == ["1", "2"]


def test_table_of_a_database_is_read_in_partitions(spark: SparkSession) -> None:
    """The reader's options divide the rows by a column; the condition is the configuration's."""
    url = "jdbc:derby:memory:lending;create=true"
    loans_df = spark.range(100).selectExpr("id as LOAN_ID", "id % 7 as BRANCH")
    loans_df.write.jdbc(url, "LOANS", "overwrite")
    options = {
        "url": url,
        "partitionColumn": "LOAN_ID",
        "lowerBound": "0",
        "upperBound": "100",
        "numPartitions": "4",
    }
    source = TableSource(
        "incoming", "APP.LOANS", "jdbc", options=options, partition={"BRANCH": (3,)}
    )
    df = read_table(spark, pin_version(spark, source))
    rows = df.withColumn("part", F.spark_partition_id()).collect()
    assert sorted(row["LOAN_ID"] for row in rows) == list(range(3, 100, 7))
    assert {row["part"] for row in rows} == {0, 1, 2, 3}
