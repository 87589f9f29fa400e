"""Tables of the catalog to write: a date is a partition, pointed to its run's folder."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from uuid import uuid4

import pandas as pd
import pytest
from conftest import RUN_DATE, Shop, history
from pages import blocks

from sparkweights import Runner, load_config
from sparkweights.cli.main import main
from sparkweights.core.errors import ConfigError, PublishError
from sparkweights.storage.location import Location
from sparkweights.storage.lock import lock
from sparkweights.storage.names import TableName
from sparkweights.storage.publish.catalog import CatalogPublication

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession


DATED = "(a int, b int, run_date date) using orc"


@pytest.fixture
def lending(spark: SparkSession) -> Iterator[str]:
    """Make a database of one's own."""
    name = f"lending_{uuid4().hex[:8]}"
    spark.sql(f"create database {name}")
    yield name
    spark.sql(f"drop database {name} cascade")


def _outputs(lending: str) -> dict[str, Any]:
    return {
        f"tables__{role}": {"format": "table", "location": f"{lending}.{role}"}
        for role in ("scored", "quarantine")
    }


def _rows(spark: SparkSession, table: str) -> pd.DataFrame:
    own = "scored_at"
    frame = spark.table(table).drop(own).toPandas()
    return frame.sort_values("loan id").reset_index(drop=True)


def _folder(spark: SparkSession, table: str) -> Path:
    """Return where the rows lie that readers see, of one date."""
    (folder,) = {Path(urlparse(file).path).parent for file in spark.table(table).inputFiles()}
    return folder


def test_score_into_the_catalog_equals_the_folder_and_replaces_its_date_alone(
    own_shop: Shop, spark: SparkSession, lending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row for row what a folder gets; another date stays; the old rows' folder is not touched."""
    table = f"{lending}.scored"
    config = own_shop.config(**_outputs(lending))
    bad = history(400, seed=2).drop(columns="outcome")
    bad.loc[:4, "late payments"] = -1
    own_shop.table("incoming", bad)
    assert own_shop.run("score", own_shop.config("folders.yaml"), "--quiet") == 0
    assert own_shop.run("score", config, "--quiet") == 0
    by_folder = pd.read_parquet(own_shop.folder / "out" / "scored").drop(columns="scored_at")
    by_folder = by_folder.sort_values("loan id").reset_index(drop=True)
    first = _rows(spark, table)
    assert len(first) == 395
    same = [name for name in by_folder if name not in {"run_id", "run_date", "decision"}]
    pd.testing.assert_frame_equal(first[same], by_folder[same])
    assert list(first["decision"]) == list(by_folder["decision"].astype(str))
    assert set(first["run_date"]) == {date.fromisoformat(RUN_DATE)}
    aside = _rows(spark, f"{lending}.quarantine")
    assert list(aside["loan id"]) == [0, 1, 2, 3, 4]
    old = _folder(spark, table)
    later = Runner(spark, load_config(config), date(2026, 3, 2))
    own_shop.table("incoming", bad.tail(30))
    later.score()
    own_shop.table("incoming", bad.tail(50))
    assert own_shop.run("score", config, "--quiet") == 0
    shares = dict(spark.table(table).groupBy("run_date").count().collect())
    assert shares == {date.fromisoformat(RUN_DATE): 50, date(2026, 3, 2): 30}
    # The quarantine of the date has no rows any more, and the old rows are one statement away.
    assert spark.table(f"{lending}.quarantine").count() == 0
    change = f"alter table {table} partition (run_date = date'{RUN_DATE}')"
    spark.sql(f"{change} set location '{old}'")
    dated_df = spark.table(table).filter(f"run_date = date'{RUN_DATE}'")
    assert dated_df.count() == 395
    _require_vacuumed(own_shop, spark, lending, config, capsys)


def _require_vacuumed(
    own_shop: Shop,
    spark: SparkSession,
    lending: str,
    config: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Require that what no partition names is listed, then removed: one attempt of each table."""
    partial = own_shop.folder / "out" / "runs" / "_0123.partial"
    partial.write_text("half of a rec", encoding="utf-8")
    vacuum = ["vacuum", "--config", str(config), "--quiet", "--json"]
    capsys.readouterr()
    assert main(vacuum) == 0  # nothing is a week old
    assert json.loads(capsys.readouterr().out)["leftovers"] == []
    found = list[set[str]]()
    for options in (["--older-than", "0"], ["--older-than", "0", "--remove"]):
        assert main([*vacuum, *options]) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["removed"] == (len(found) == 1)
        found.append({one["path"] for one in record["leftovers"]})
    assert found[0] == found[1]
    assert len(found[0]) == 3
    assert str(partial) in found[0]
    assert not any(Path(path).exists() for path in found[0])
    assert spark.table(f"{lending}.scored").count() == 425
    assert spark.table(f"{lending}.quarantine").count() == 0


@pytest.mark.slow
def test_score_a_failed_run_changes_no_row_of_the_catalog(
    own_shop: Shop, spark: SparkSession, lending: str
) -> None:
    """A gate stops the run: readers see the old rows, and its stage takes no room any more."""
    config = own_shop.config(**_outputs(lending))
    assert own_shop.run("score", config, "--quiet") == 0
    before = _rows(spark, f"{lending}.scored")
    live = _folder(spark, f"{lending}.scored")
    twice = history(60, seed=4).drop(columns="outcome").assign(fresh=1)
    twice.loc[5, "loan id"] = twice.loc[6, "loan id"]
    own_shop.table("incoming", twice)
    assert own_shop.run("score", config, "--quiet") == 3
    pd.testing.assert_frame_equal(_rows(spark, f"{lending}.scored"), before)
    assert "fresh" not in spark.table(f"{lending}.quarantine").columns
    (dead,) = [place for place in live.parent.iterdir() if place != live]
    assert spark.read.parquet(str(dead)).count() == 0
    own_shop.table("incoming", twice.drop(index=5))
    assert own_shop.run("score", config, "--quiet") == 0
    assert len(_rows(spark, f"{lending}.scored")) == 59


@pytest.mark.slow
def test_score_that_replaced_the_quarantine_alone_says_so(
    own_shop: Shop,
    spark: SparkSession,
    lending: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The catalog goes away between the two: the scored rows are the old ones; a rerun heals."""
    config = own_shop.config(**_outputs(lending))
    assert own_shop.run("score", config, "--quiet") == 0
    before = _rows(spark, f"{lending}.scored")
    own_shop.table("incoming", history(50, seed=4).drop(columns="outcome"))
    publish = CatalogPublication.publish

    def lost(own: CatalogPublication) -> None:
        if own.name.table == "scored":
            raise PublishError("The catalog is away.", hint="nothing was published.")
        publish(own)

    with monkeypatch.context() as patch:
        patch.setattr(CatalogPublication, "publish", lost)
        assert own_shop.run("score", config, "--quiet") == 6
    told = capsys.readouterr().err
    assert "The catalog is away." in told
    assert "nothing was" not in told
    assert "the quarantine of the date WAS replaced; whether the scored table was" in told
    pd.testing.assert_frame_equal(_rows(spark, f"{lending}.scored"), before)
    assert own_shop.run("score", config) == 0
    assert "ended while it published: readers may see its quarantine" in capsys.readouterr().err
    assert len(_rows(spark, f"{lending}.scored")) == 50


@pytest.mark.slow
def test_quarantine_of_the_catalog_takes_new_columns_and_refuses_other_types(
    own_shop: Shop,
    spark: SparkSession,
    lending: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """A column that the incoming table gains is null for older dates; one that changed stops.

    The table is one that a user made, elsewhere, at a place with a space.
    """
    place = tmp_path / "some where"
    spark.sql(
        f"CREATE TABLE {lending}.quarantine (`loan id` BIGINT) USING PARQUET "
        f"PARTITIONED BY (RUN_DATE DATE) LOCATION '{place}'"
    )
    config = own_shop.config(**_outputs(lending))
    rows = history(40, seed=4).drop(columns="outcome")
    rows.loc[0, "late payments"] = -1
    own_shop.table("incoming", rows)
    assert own_shop.run("score", config, "--quiet") == 0
    assert list(place.rglob("*.parquet"))
    nested = spark.createDataFrame(rows).selectExpr(
        "*", "named_struct('a b', array(7)) as `new, column`"
    )
    nested.write.mode("overwrite").parquet(str(own_shop.folder / "data" / "incoming"))
    Runner(spark, load_config(config), date(2026, 3, 2)).score()
    aside = spark.table(f"{lending}.quarantine").toPandas().set_index("RUN_DATE")
    assert aside["new, column"].isna().tolist().count(True) == 1
    assert aside.loc[date(2026, 3, 2), "new, column"]["a b"] == [7]
    before = _rows(spark, f"{lending}.scored")
    own_shop.table("retyped", rows.assign(age=rows["age"].astype(str)))
    retyped = own_shop.config(**_outputs(lending), tables__incoming__location="data/retyped")
    for verb in ("score", "run"):  # which trains no model for a night that cannot end
        models = sorted((own_shop.folder / "out" / "models").iterdir())
        capsys.readouterr()
        assert own_shop.run(verb, retyped, "--quiet") == 6
        told = capsys.readouterr().err
        assert f"'age' of table '{lending}.quarantine' is bigint; the run writes string" in told
        assert sorted((own_shop.folder / "out" / "models").iterdir()) == models
    pd.testing.assert_frame_equal(_rows(spark, f"{lending}.scored"), before)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("(a int) using parquet", "parquet, partitioned by nothing"),
        (DATED.replace("orc", "csv") + " partitioned by (run_date)", "is csv"),
        (f"{DATED} partitioned by (run_date, a)", "partitioned by run_date, a"),
        (f"{DATED} partitioned by (run_date) tblproperties ('sparkweights.owner' = 'cards')",
         "holds rows of the configuration 'cards'"),
        (f"{DATED} partitioned by (run_date) clustered by (a) into 2 buckets", "not bucketed"),
        (None, "no database 'nowhere'"),
    ],
)  # fmt: skip
def test_score_into_no_such_table_is_refused_with_a_sentence(
    own_shop: Shop,
    spark: SparkSession,
    lending: str,
    capsys: pytest.CaptureFixture[str],
    made: str | None,
    words: str,
) -> None:
    """What stands in the way is told before the table is read."""
    location = "nowhere.mine" if made is None else f"{lending}.mine"
    if made is not None:
        spark.sql(f"create table {location} {made}")
    config = own_shop.config(tables__scored={"format": "table", "location": location})
    assert own_shop.run("score", config, "--quiet") == 2
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told


def test_run_beside_a_live_one_on_a_table_is_refused(
    own_shop: Shop, lending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """However the table's name is written."""
    config = own_shop.config(**_outputs(lending))
    runs = Location.of(own_shop.folder / "out" / "runs")
    with lock(runs / "_locks" / f"{lending}.scored" / f"run_date={RUN_DATE}" / "_lock", "it"):
        assert own_shop.run("score", config, "--quiet") == 6
    assert f"Another run is writing '{lending}.scored'" in capsys.readouterr().err


def test_catalog_that_forgets_is_no_place_for_a_table(tmp_path: Path) -> None:
    """Without a metastore the rows would stay and nobody could find them."""

    class Forgetful:
        class conf:  # noqa: N801 (as the session names it)
            @staticmethod
            def get(_: str, *default: None) -> str | None:
                return default[0] if default else "in-memory"  # as Spark's, where none was set

    own = CatalogPublication(
        run_id="r",
        run_date=date(2026, 3, 1),
        spark=Forgetful(),
        name=TableName("a", "b"),
        owner="loans",
        locks=Location.of(tmp_path),
    )
    with pytest.raises(ConfigError, match="forgets its tables") as caught:
        own.require_ready()
    assert "catalogImplementation=hive" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("lending.scored", TableName("lending", "scored")),
        ("spark_catalog.Lending.SCORED", TableName("lending", "scored")),
        ("`a.b`.`c``d`", TableName("a.b", "c`d")),
        ("scored", None),
        ("lake.Lending.scored", TableName("Lending", "scored", "lake")),
        ("a.b.c.d", None),
        ("lending.123", None),
        ("lending.scored; drop", None),
        ("lending.`sco`red`", None),
    ],
)
def test_table_names_are_read_as_the_catalog_reads_them(text: str, name: TableName | None) -> None:
    """One table has one name here, so that two roles or two runs cannot meet in it unseen."""
    found = TableName.parse(text)
    assert found == name
    if found is not None:
        assert TableName.parse(found.sql) == found


def test_documented_statements_make_a_view_and_a_table(
    shop: Shop, spark: SparkSession, lending: str, tmp_path: Path
) -> None:
    """They run as they are, but for their places and their database."""
    for block in blocks("sql"):
        text = block.text.replace("/data/out", f"{shop.folder}/out").replace(
            "lending.", f"{lending}."
        )
        text = text.replace("s3a://bucket", tmp_path.as_uri())
        spark.sql(text.replace("scored_loans", f"{lending}.scored_loans"))
    assert spark.table(f"{lending}.scored_loans").count() == 400
    assert spark.table(f"{lending}.scored").columns == ["loan_id", "run_date"]
