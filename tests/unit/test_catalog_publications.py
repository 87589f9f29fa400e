"""Publications into tables of a catalog: what they ask it, remove from it, and say when it fails.

The catalog is a fake one, which answers statements of SQL; `tests/jobs` publish into real ones.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import MagicMock

import pytest
from pyspark.errors import AnalysisException
from pyspark.sql import Row
from pyspark.sql.types import DateType, LongType, StructField, StructType

from sparkweights.app import vacuum as app_vacuum
from sparkweights.app.tables import outputs
from sparkweights.app.vacuum import vacuum
from sparkweights.cli.options import make_parser
from sparkweights.config.schema import Config
from sparkweights.core.errors import ConfigError, PublishError, QualityGateError
from sparkweights.core.session_settings import use_settings
from sparkweights.scoring.run import Outputs, ScoringRun
from sparkweights.storage import catalog_table
from sparkweights.storage.catalog_table import CatalogTable, ConflictError, insist
from sparkweights.storage.location import Location
from sparkweights.storage.names import TableName
from sparkweights.storage.publish.catalog import CatalogPublication
from sparkweights.storage.publish.delta import DeltaPublication
from sparkweights.storage.publish.iceberg import IcebergPublication
from sparkweights.storage.scratch import cached
from sparkweights.storage.tables import TableSource, pin_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sparkweights.storage.publish.lakehouse import LakehousePublication
    from sparkweights.storage.publish.table import TablePublication

MARCH_1 = date(2026, 3, 1)
COLUMNS = StructType([StructField("k", LongType()), StructField("run_date", DateType())])
BASE: Mapping[str, Any] = {
    "name": "loans",
    "columns": {"keys": ["k"], "label": "y", "classes": {"a": 0, "b": 1}, "numeric": ["x"]},
}
STAGES: Mapping[type[LakehousePublication], str] = {
    DeltaPublication: "scored__staging_",
    IcebergPublication: "sparkweights_",
}
lakehouses = pytest.mark.parametrize("kind", STAGES)
every_kind = pytest.mark.parametrize("kind", [CatalogPublication, *STAGES])


@dataclass
class Frame:
    """Rows of the catalog."""

    rows: Sequence[Row] | Exception = ()
    schema: StructType = COLUMNS

    def collect(self) -> list[Row]:
        """Return the rows; some catalogs fail only when they are asked for these."""
        if isinstance(self.rows, Exception):
            raise self.rows
        return list(self.rows)


@dataclass
class Catalog:
    """A session and its catalog: pattern of a statement -> the rows of its answer, or an error."""

    answers: dict[str, Sequence[Row] | Exception] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)
    exists: bool = True
    is_late: bool = False  # whether errors are raised when the rows of an answer are asked for

    @property
    def catalog(self) -> Catalog:
        """The catalog of the session."""
        return self

    @property
    def conf(self) -> Mapping[str, str]:
        """The settings of the session."""
        return {"spark.sql.catalogImplementation": "hive"}

    def tableExists(self, _: str) -> bool:
        """Whether the table is there."""
        return self.exists

    def databaseExists(self, _: str) -> bool:
        """Whether the database is there."""
        return True

    def currentCatalog(self) -> str:
        """Return the catalog of names of two parts."""
        return "spark_catalog"

    def refreshTable(self, name: str) -> None:
        """Forget the state of a table, as if by a statement."""
        self.sql(f"REFRESH TABLE {name}")

    def table(self, name: str) -> Frame:
        """Open a table, as if by a statement."""
        return self.sql(f"TABLE {name}")

    def sql(self, statement: str) -> Frame:
        """Answer a statement."""
        self.statements.append(statement)
        self.exists |= statement.startswith("CREATE TABLE")
        for pattern, answer in self.answers.items():
            if re.search(pattern, statement):
                if isinstance(answer, Exception) and not self.is_late:
                    raise answer
                return Frame(answer)
        return Frame(())


@pytest.fixture
def catalog() -> Catalog:
    """Make a catalog with one table, ``lending.scored``."""
    return Catalog()


@pytest.fixture
def publication(catalog: Catalog, tmp_path: Path) -> Callable[..., Any]:
    """Return how a publication is made; each has a name of its own."""

    def made(kind: type[TablePublication], *, runs: str = "runs", **fields: object) -> Any:
        common: dict[str, Any] = {
            "run_id": "r",
            "run_date": MARCH_1,
            "spark": cast("Any", catalog),
            "name": TableName("lending", "scored"),
            "owner": "loans",
            "locks": Location.of(tmp_path / runs),
        }
        return kind(**common | fields)

    return made


def _attempt(age: timedelta) -> str:
    return f"{datetime.now(UTC) - age:%Y%m%dT%H%M%SZ}-0123abcd"


def _fill(catalog: Catalog, *names: str) -> None:
    """Let the catalog hold branches, and tables of these names."""
    rows = [Row(name=name, tableName=name, snapshot_id=1, type="BRANCH") for name in names]
    catalog.answers = {"refs|SHOW TABLES": rows}


def _dropped(catalog: Catalog) -> list[str]:
    """Return what has been dropped since the last question."""
    dropped = [re.findall("`([^`]+)`", each)[-1] for each in catalog.statements if "DROP" in each]
    catalog.statements.clear()
    return dropped


@lakehouses
def test_next_run_removes_the_stage_of_the_run_that_had_its_lock(
    catalog: Catalog, publication: Callable[..., Any], kind: type[TablePublication]
) -> None:
    """That run is dead, however young its stage is; this one is the next to have the lock."""
    killed, following, last = (publication(kind) for _ in range(3))
    with killed.lock():
        pass
    _fill(catalog, "main", killed.stage_name)
    with following.lock():
        assert _dropped(catalog) == [killed.stage_name]
    _fill(catalog, "main", following.stage_name)
    with last.lock():
        assert _dropped(catalog) == [following.stage_name]


@lakehouses
def test_next_run_leaves_the_stage_of_a_run_with_another_lock_for_a_day(
    catalog: Catalog, publication: Callable[..., Any], kind: type[TablePublication]
) -> None:
    """It may be alive: its lock lies in another folder `runs`."""
    live = publication(kind, runs="other")
    old = publication(kind, runs="other", attempt=_attempt(timedelta(hours=25)))
    _fill(catalog, live.stage_name, old.stage_name)
    with live.lock():
        catalog.statements.clear()
        with publication(kind).lock():
            assert _dropped(catalog) == [old.stage_name]


@lakehouses
def test_next_run_leaves_what_somebody_else_has_named(
    catalog: Catalog, publication: Callable[..., Any], kind: type[TablePublication]
) -> None:
    """A name that begins like a stage's, and one that holds one, is none."""
    old = _attempt(timedelta(days=400)).replace("-", "_").lower()
    prefix = STAGES[kind]
    _fill(
        catalog,
        f"{prefix}history",
        f"{prefix}audit_2025",
        f"{prefix}{old}_copy",
        f"{prefix}copy_{old}",
        f"{prefix}20251399t000000z_0123abcd",
        f"x{prefix}{old}",
        old,
        prefix,
    )
    with publication(kind).lock():
        assert _dropped(catalog) == []
    _fill(catalog, f"{prefix}{old}")
    with publication(kind).lock():
        assert _dropped(catalog) == [f"{prefix}{old}"]


def test_next_run_leaves_tags_of_iceberg(catalog: Catalog, publication: Callable[..., Any]) -> None:
    """Without its tag, a snapshot that an auditor needs expires."""
    old = _attempt(timedelta(days=400)).replace("-", "_").lower()
    tag = Row(name=f"sparkweights_{old}", snapshot_id=1, type="TAG")
    catalog.answers = {"refs": [tag]}
    with publication(IcebergPublication).lock():
        assert _dropped(catalog) == []


def _describe(catalog: Catalog, kind: type[TablePublication], owner: str | None) -> None:
    """Let the table be one of a kind and of a configuration."""
    catalog.answers = {
        "DESCRIBE": [
            Row("# Partition Information", ""),
            Row("run_date", "date"),
            Row("", ""),
            Row("# Detailed Table Information", ""),
            Row("Provider", kind.formats[0]),
        ],
        "SHOW TBLPROPERTIES": [
            Row(key="made.by", value="cards"),
            *([] if owner is None else [Row(key="sparkweights.owner", value=owner)]),
        ],
    }


@every_kind
def test_table_of_another_configuration_is_refused(
    catalog: Catalog, publication: Callable[..., Any], kind: type[TablePublication]
) -> None:
    """Its dates would be replaced, one by one; and locks of two configurations are two locks."""
    for owner in ("loans", None):
        _describe(catalog, kind, owner)
        publication(kind).require_ready()
    _describe(catalog, kind, "cards")
    with pytest.raises(ConfigError, match=r"'lending.scored' holds rows of .* 'cards'") as caught:
        publication(kind).require_ready()
    assert "UNSET TBLPROPERTIES ('sparkweights.owner')" in str(caught.value.hint)


@every_kind
@pytest.mark.parametrize(("owner", "stated"), [("loans", 0), (None, 1)])
def test_table_of_nobody_gets_its_owner_with_its_first_stage(
    catalog: Catalog,
    publication: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    kind: type[TablePublication],
    owner: str | None,
    stated: int,
) -> None:
    """One that a run makes has it from the start."""
    monkeypatch.setattr(kind, "write_rows", lambda *_: None)
    property_ = "TBLPROPERTIES ('sparkweights.owner' = 'loans'"
    df = MagicMock(schema=StructType([COLUMNS["k"]]))
    df.sparkSession.version = "4.1.4"
    _describe(catalog, kind, owner)
    publication(kind).write_stage(df)
    assert sum(property_ in each for each in catalog.statements) == stated
    catalog.exists = False
    catalog.statements.clear()
    publication(kind).write_stage(df)
    (made,) = (each for each in catalog.statements if each.startswith("CREATE TABLE"))
    assert property_ in made


@pytest.fixture
def attempts(tmp_path: Path) -> Callable[..., list[str]]:
    """Return how attempts of a date get a folder each, by their age; the names are returned."""

    def made(*ages: timedelta) -> list[str]:
        names = [_attempt(age) for age in ages]
        for name in names:
            (tmp_path / "_runs" / "run_date=2026-03-01" / name).mkdir(parents=True)
        return names

    return made


@pytest.mark.parametrize(
    ("named", "removable"),
    [
        ("{latest}", []),  # a week is not over since it has replaced the others
        ("{latest}/", []),
        ("{middle}", ["{oldest}"]),  # the latest one failed, or waits for its publication
        ("", ["{oldest}", "{middle}"]),  # nothing was published
        ("elsewhere/of/a/user", []),
        ("0", []),
    ],
)
def test_vacuum_leaves_a_folder_that_a_query_may_still_read(
    catalog: Catalog,
    publication: Callable[..., Any],
    attempts: Callable[..., list[str]],
    tmp_path: Path,
    named: str,
    removable: list[str],
) -> None:
    """Its age counts from when a later run replaced it, not from when its own run began."""
    days = timedelta(days=1)
    names = dict(
        zip(("oldest", "middle", "latest"), attempts(90 * days, 30 * days, days), strict=True)
    )
    details = Row("# Detailed Table Information", "")
    root = tmp_path.as_uri()
    catalog.answers = {
        "SHOW PARTITIONS": [Row("run_date=2026-03-01")] if named else [],
        "DESCRIBE .* PARTITION": [details, Row("Location", f"{root}/{named.format(**names)}")],
        "DESCRIBE": [details, Row("Location", root)],
    }
    found = publication(CatalogPublication).unnamed_folders(datetime.now(UTC) - 7 * days)
    assert sorted(each.name for each in found) == sorted(name.format(**names) for name in removable)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return a configuration of one table of the catalog, with a file that a killed run left."""
    (tmp_path / "runs").mkdir()
    partial = tmp_path / "runs" / "_0.partial"
    partial.write_text("{")
    os.utime(partial, (0, 0))
    return Config(
        **BASE,
        runs=str(tmp_path / "runs"),
        artifacts=str(tmp_path / "models"),
        tables={
            "scored": {"format": "table", "location": "lending.scored"},
            "quarantine": {"format": "parquet", "location": str(tmp_path / "quarantine")},
        },
    )


def _locate(catalog: Catalog, root: str, owner: str = "loans") -> None:
    """Let the table's files be somewhere, where no partition names any."""
    location = [Row("# Detailed Table Information", ""), Row("Location", root)]
    catalog.answers = {
        "SHOW PARTITIONS": [],
        "DESCRIBE": [*location, Row("Provider", "parquet")],
        "SHOW TBLPROPERTIES": [Row(key="sparkweights.owner", value=owner)],
    }


def test_vacuum_says_what_it_could_not_remove(
    catalog: Catalog,
    config: Config,
    attempts: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A storage that refuses to remove files says nothing; they are looked for afterwards."""
    (name,) = attempts(timedelta(days=30))
    _locate(catalog, tmp_path.as_uri())
    monkeypatch.setattr(Location, "remove", lambda _: None)
    result = vacuum(cast("Any", catalog), config, remove=True)
    removed = {one.path.rpartition("/")[2]: one.removed for one in result.record.leftovers}
    assert removed == {name: False, "_0.partial": True}
    assert isinstance(result.failure, PublishError)
    assert f"1 leftovers could not be removed: {tmp_path}" in result.failure.message
    main = import_module("sparkweights.cli.main")
    monkeypatch.setattr(main, "_runner", MagicMock())
    monkeypatch.setattr(app_vacuum, "vacuum", lambda *_, **__: result)
    options = make_parser().parse_args(["vacuum", "--config", "c.yaml", "--remove"])
    with pytest.raises(PublishError, match="could not be removed"):
        main._vacuum(options, MagicMock())
    printed = capsys.readouterr().out
    assert "Removed 1 leftovers, 1 bytes" in printed
    assert "1 leftovers could not be removed" in printed


@pytest.mark.parametrize(
    ("root", "owner", "exit_code", "words"),
    [
        ("nosuch://bucket/scored", "loans", 2, "nosuch, which cannot be opened here"),
        ("dbfs:/user/scored", "loans", 2, "dbfs, which only Spark can open"),
        ("hdfs://cluster/scored", "loans", 6, "in tables.scored cannot be listed here: no libhdfs"),
        ("file:/scored", "cards", 2, "holds rows of the configuration 'cards'"),
    ],
)
def test_vacuum_that_cannot_open_a_table_says_so_and_does_the_rest(
    catalog: Catalog,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    root: str,
    owner: str,
    exit_code: int,
    words: str,
) -> None:
    """Nothing found would say that nothing is there."""
    opened = Location.of

    def refuse(named: str) -> Location:
        if named.startswith("hdfs:"):
            raise OSError("no libhdfs")
        return opened(named)

    monkeypatch.setattr(Location, "of", refuse)
    _locate(catalog, root, owner)
    result = vacuum(cast("Any", catalog), config, remove=True)
    assert result.failure is not None
    assert result.failure.exit_code == exit_code
    (failure,) = result.record.failures
    assert words in failure
    assert [one.removed for one in result.record.leftovers] == [True]


def test_vacuum_leaves_a_date_that_a_run_is_writing_and_does_the_rest(
    catalog: Catalog, config: Config, attempts: Callable[..., list[str]], tmp_path: Path
) -> None:
    """It may be about to publish one of the folders."""
    (name,) = attempts(timedelta(days=30))
    _locate(catalog, tmp_path.as_uri())
    of_date = outputs(cast("Any", catalog), config, "r", MARCH_1).scored
    with of_date.lock():
        result = vacuum(cast("Any", catalog), config, remove=True)
    assert [one.path.rpartition("/")[2] for one in result.record.leftovers] == ["_0.partial"]
    assert isinstance(result.failure, PublishError)
    assert "Another run is writing 'lending.scored' of 2026-03-01" in result.failure.message
    result = vacuum(cast("Any", catalog), config, remove=True)
    assert [one.path.rpartition("/")[2] for one in result.record.leftovers] == [name]


@pytest.mark.parametrize("conflicts", [0, 3, 4])
def test_step_is_taken_again_where_another_writer_was_faster(
    monkeypatch: pytest.MonkeyPatch, conflicts: int
) -> None:
    """Three times; then the run ends."""
    monkeypatch.setattr(catalog_table, "_PAUSES", (0.0, 0.0, 0.0))
    left = iter([True] * conflicts)
    taken = list[int]()

    def step() -> None:
        if next(left, False):
            raise ConflictError("Table 'a.b' was changed.", hint="run again.")
        taken.append(1)

    with pytest.raises(ConflictError) if conflicts > 3 else nullcontext():
        insist(step)
    assert taken == [1] * (conflicts <= 3)


@dataclass
class Raced(Catalog):
    """A catalog in which another run makes the table, or adds columns, just before this one."""

    columns: StructType = COLUMNS
    coming: StructType = COLUMNS

    def sql(self, statement: str) -> Frame:
        """Answer a statement; refuse one that changes the table."""
        if statement.startswith(("CREATE TABLE", "ALTER TABLE")):
            self.exists, self.columns = True, self.coming
            raise AnalysisException("ALREADY_EXISTS")
        return Frame((), self.columns)


def test_table_or_column_that_another_run_has_just_made_is_taken_as_it_is(
    publication: Callable[..., Any],
) -> None:
    """Runs of two dates both find it missing; what neither of them made is an error."""
    wider = StructType([*COLUMNS, StructField("x", LongType())])
    catalog = cast("Any", Raced(exists=False, coming=wider))
    publication(CatalogPublication, spark=catalog)._make(COLUMNS)
    catalog.columns = COLUMNS
    table = CatalogTable(catalog, TableName("lending", "scored"))
    table.add_columns(wider)
    with pytest.raises(PublishError, match="ALREADY_EXISTS"):
        table.add_columns(StructType([*wider, StructField("y", LongType())]))


def test_one_table_has_one_lock_however_its_name_is_written() -> None:
    """Catalogs that ignore case are the most; the session's own does."""
    names = ["main.Lending.SCORED", "MAIN.lending.`Scored`"]
    first, second = (cast("TableName", TableName.parse(name)) for name in names)
    assert first.file == second.file == "main.lending.scored"


def test_one_table_under_two_spellings_is_refused(catalog: Catalog) -> None:
    """The quarantine would replace the scored rows."""
    scored, quarantine = "main.Lending.scored", "main.lending.SCORED"
    config = Config(
        **BASE,
        tables={
            "scored": {"format": "table", "location": scored},
            "quarantine": {"format": "table", "location": quarantine},
        },
    )
    with pytest.raises(ConfigError, match=r"tables.scored and tables.quarantine are both"):
        outputs(cast("Any", catalog), config, "r", MARCH_1)


@pytest.mark.parametrize("as_of", [None, 7])
def test_table_is_read_in_its_present_state(catalog: Catalog, as_of: int | None) -> None:
    """A long session has seen it before, and remembers the files of that day."""
    source = TableSource("incoming", "lake.lending.loans", "table", as_of=as_of)
    for refusal in ({}, {"REFRESH": AnalysisException("[TABLE_OR_VIEW_NOT_FOUND] x")}):
        catalog.answers = refusal
        catalog.statements.clear()
        assert pin_version(cast("Any", catalog), source) == source
        assert catalog.statements[0] == "REFRESH TABLE lake.lending.loans"
    catalog.statements.clear()
    folder = replace(source, format="parquet")
    assert pin_version(cast("Any", catalog), folder) == folder
    assert catalog.statements == []


QUESTIONS: Mapping[str, Callable[[CatalogTable], object]] = {
    "DESCRIBE": CatalogTable.describe,
    "SHOW PARTITIONS": lambda table: table.partition_location("PARTITION (run_date = '1')"),
    "SHOW TBLPROPERTIES": lambda table: table.property("x"),
    "refs": CatalogTable.branches,
}


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("question", QUESTIONS)
def test_catalog_that_fails_is_told_in_a_sentence(
    catalog: Catalog, question: str, *, is_late: bool
) -> None:
    """Also one that fails when the rows of its answer are asked for."""
    catalog.answers = {question: AnalysisException("[INTERNAL] The metastore is away.")}
    catalog.is_late = is_late
    table = CatalogTable(cast("Any", catalog), TableName("lending", "scored"))
    with pytest.raises(PublishError, match=r"about table 'lending.scored' failed: \[INTERNAL\]"):
        QUESTIONS[question](table)


def _publish(outputs_: Outputs) -> None:
    values: dict[str, Any] = {each.name: MagicMock() for each in fields(ScoringRun)}
    ScoringRun(**values | {"outputs": outputs_})._publish(MagicMock(), [])


@pytest.mark.parametrize(
    "error",
    [
        PublishError("The catalog is away.", hint="nothing was published."),
        AnalysisException("[COMMIT_STATE_UNKNOWN] The catalog is away."),
        ConnectionRefusedError("The catalog is away."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_publication_that_fails_says_what_is_known_to_be_replaced(error: Exception) -> None:
    """An error may come after the commit, or instead of its answer."""
    failing = MagicMock(publish=MagicMock(side_effect=error))
    for into, known, unknown in (
        (Outputs(MagicMock(), failing), "scored table was not", "the quarantine of the date may"),
        (Outputs(failing, MagicMock()), "quarantine of the date WAS", "its scored_at tells"),
    ):
        with pytest.raises(PublishError, match="The catalog is away") as caught:
            _publish(into)
        hint = str(caught.value.hint)
        assert known in hint
        assert unknown in hint
        assert "nothing was published" not in hint


AWAY = (ConnectionRefusedError("Java is away."), AnalysisException("[INTERNAL] It is away."))
away = pytest.mark.parametrize("error", AWAY, ids=lambda error: type(error).__name__)


@every_kind
@away
def test_stage_that_cannot_be_removed_is_no_error(
    catalog: Catalog,
    publication: Callable[..., Any],
    kind: type[TablePublication],
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would take the place of the error that stopped the run, and of its exit code."""
    _describe(catalog, kind, "loans")
    own = publication(kind)
    if kind is CatalogPublication:
        own.write_rows(MagicMock(schema=StructType([COLUMNS["k"]])), [])
    catalog.answers = {"": error}
    monkeypatch.setattr(Catalog, "tableExists", lambda catalog, _: bool(catalog.sql("")))
    none_df = MagicMock()
    none_df.write.format().mode().save.side_effect = error
    monkeypatch.setattr(Catalog, "createDataFrame", lambda *_: none_df, raising=False)
    own.discard()


@away
def test_cache_that_cannot_be_emptied_leaves_the_error_of_its_use(error: Exception) -> None:
    """The process of Java may have ended."""
    df = MagicMock()
    df.persist().unpersist.side_effect = error
    with pytest.raises(QualityGateError), cached(df):
        raise QualityGateError("Two rows share their key.")


@away
def test_setting_that_cannot_be_put_back_leaves_the_error_of_its_use(error: Exception) -> None:
    """The session may have ended."""
    session = MagicMock()
    session.conf.get.return_value = None
    session.conf.unset.side_effect = error
    with pytest.raises(QualityGateError), use_settings(session, {"x": "1"}):
        raise QualityGateError("Two rows share their key.")


@pytest.mark.parametrize(
    ("metadata", "number"),
    [
        ((None, "a text", "[1]", "7", '{"run_date": "2026-03-01"}'), 1000),  # of other writers
        (('{"run_date": "2026-03-01", "transaction": 999}',), 1000),
        (('{"run_date": "2026-03-01", "transaction": 5000}', None), 5001),
        (('{"run_date": "2026-03-02", "transaction": 5000}',), 1000),  # another transaction
        (('{"run_date": "2026-03-01", "transaction": "x"}',), 1000),
    ],
)
def test_attempt_has_a_greater_number_than_the_commits_of_its_date(
    catalog: Catalog,
    publication: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    metadata: Sequence[str | None],
    number: int,
) -> None:
    """Delta would skip it in silence, where this machine's clock is behind that of an earlier run.

    What is committed while the attempt writes is later.
    """
    written = MagicMock()
    monkeypatch.setattr(DeltaPublication, "to_columns", lambda *_: written)
    monkeypatch.setattr(DeltaPublication, "is_of_date", None)
    catalog.answers = {"HISTORY": [Row(userMetadata=each) for each in metadata]}
    own = publication(DeltaPublication, began=1000)
    own.write_rows(MagicMock(schema=StructType([COLUMNS["k"]])), [])
    later = '{"run_date": "2026-03-01", "transaction": 9000}'
    catalog.answers = {"HISTORY": [Row(userMetadata=later)]}
    with pytest.raises(PublishError, match="by the clock of its machine"):
        own.publish()
    options = written.writeTo().options.call_args.kwargs
    assert options["txnVersion"] == str(number)
    assert json.loads(options["userMetadata"])["transaction"] == number
    catalog.answers = {"HISTORY": [Row(userMetadata=options["userMetadata"])]}
    own.publish()
