"""Tables of PostgreSQL without a server: urls, names, statements, types and messages."""

from __future__ import annotations

import re
import sys
from datetime import date
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.errors import PySparkException
from pyspark.sql import types as T

from sparkweights.app.spark_errors import expected_failure
from sparkweights.app.tables import outputs
from sparkweights.config.schema import Config
from sparkweights.core.errors import ConfigError
from sparkweights.spec.tables import Table
from sparkweights.storage.jdbc import find_refusal, libpq_parameters, product_of, with_defaults
from sparkweights.storage.names import POSTGRES_BYTES, PostgresName
from sparkweights.storage.postgres import (
    PostgresTable,
    attempt_of,
    block_ranges,
    lock_key,
    refusal_of,
    stage_names,
    stage_prefix,
)
from sparkweights.storage.publish.postgres import PostgresPublication, takes, to_postgres

if TYPE_CHECKING:
    from collections.abc import Sequence

URL = "jdbc:postgresql://db.example:6432/bank"
NAME = PostgresName("lending", "scored")
BASE = {
    "name": "n",
    "columns": {"keys": ["k"], "label": "y", "classes": {"a": 0, "b": 1}, "numeric": ["x"]},
}


def _found(url: str, **options: str) -> dict[str, str]:
    return libpq_parameters({"url": url, **options}, where="tables.scored.options")


@pytest.mark.parametrize(
    ("url", "host", "port", "database"),
    [
        (URL, "db.example", "6432", "bank"),
        ("jdbc:postgresql://db.example/bank", "db.example", "5432", "bank"),
        ("jdbc:postgresql://a,b:6000/bank", "a,b", "5432,6000", "bank"),
        ("jdbc:postgresql://[fe80::1]:6000/bank", "fe80::1", "6000", "bank"),
        ("jdbc:postgresql:bank", "localhost", "5432", "bank"),
        ("jdbc:postgresql:/", "localhost", "5432", None),
        ("jdbc:postgresql://db.example", "db.example", "5432", None),
        ("jdbc:postgresql://db.example/my%20bank?ssl=false", "db.example", "5432", "my bank"),
    ],
)
def test_url_any_of_the_java_driver_names_the_same_server(
    url: str, host: str, port: str, database: str | None
) -> None:
    """Hosts, ports and databases, as the driver's documentation writes them."""
    found = _found(url)
    assert (found["host"], found["port"], found.get("dbname")) == (host, port, database)
    assert found["target_session_attrs"] == "read-write"


def test_url_parameters_have_precedence_over_options_and_are_decoded() -> None:
    """The same user as in Spark; what only Java knows is left out."""
    url = f"{URL}?user=jane&sslrootcert=a%26b%2B1&ApplicationName=risk&prepareThreshold=0"
    found = _found(url, User="joe", sslmode="require", numPartitions="4")
    assert found["user"] == "jane"
    assert found["sslrootcert"] == "a&b+1"
    assert found["application_name"] == "risk"
    assert found["sslmode"] == "require"
    assert set(found) <= set(psycopg.conninfo.conninfo_to_dict(**found)) | {"user"}
    assert not {"numPartitions", "preparethreshold", "url"} & set(found)
    assert _found(URL, user="joe")["user"] == "joe"


@pytest.mark.parametrize(
    ("query", "mode"),
    [("", None), ("?ssl=true", "verify-full"), ("?ssl", "verify-full"), ("?ssl=false", None),
     ("?ssl=true&sslmode=require", "require")],
)  # fmt: skip
def test_url_that_asks_for_encryption_verifies_the_server(query: str, mode: str | None) -> None:
    """As the Java driver does, which otherwise encrypts where the server can."""
    assert _found(URL + query).get("sslmode") == mode


@pytest.mark.parametrize(
    "url", ["", "jdbc:mysql://h/bank?password=hush", "postgresql://h/hush", f"{URL}/hush", "hush"]
)
def test_url_of_another_database_is_refused_without_a_part_of_it(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(ConfigError, match=r"tables\.scored\.options\.url: this is no url") as found:
        _found(url)
    assert "hush" not in str(found.value)


def test_defaults_name_the_driver_and_bound_the_rows_in_memory() -> None:
    """What is stated stays, in whatever case; of an unknown product no driver is known."""
    assert with_defaults({"url": URL})["driver"] == "org.postgresql.Driver"
    stated = {"url": URL, "fetchSize": "5", "DRIVER": "own.Driver"}
    assert with_defaults(stated) == stated
    assert with_defaults({"url": "jdbc:derby:x"}) == {"url": "jdbc:derby:x", "fetchsize": "10000"}
    assert product_of("jdbc:sqlserver://h") == "sqlserver"
    assert product_of(r"C:\data") == ""


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("Lending.Scored", '"lending"."scored"'),
        ('"Lending".scored', '"Lending"."scored"'),
        ('a."b ""c"".d"', '"a"."b ""c"".d"'),
        ("a.b$1", '"a"."b$1"'),
    ],
)
def test_name_any_is_written_as_postgresql_stores_it(text: str, sql: str) -> None:
    """Without quotes in lower case; with quotes as it is."""
    name = PostgresName.parse(text)
    assert name is not None
    assert name.sql == sql
    assert PostgresName.parse(name.sql) == name


@pytest.mark.parametrize(
    "text",
    ["scored", "a.b.c", "a.b; drop table c", "a.", '"a".""', "(select 1) as a", f"a.{'b' * 64}"],
)
def test_name_of_no_table_with_its_schema_is_none(text: str) -> None:
    """Neither a query nor a statement is written to."""
    assert PostgresName.parse(text) is None


@given(st.text("aé_", min_size=1, max_size=40).filter(lambda t: len(t.encode()) <= POSTGRES_BYTES))
def test_stage_names_of_any_table_fit_and_keep_the_attempt(table: str) -> None:
    """PostgreSQL drops what is longer, and two attempts would share one table."""
    attempt = "0123456789ab"
    for name in stage_names(table, attempt):
        assert len(name.encode()) <= POSTGRES_BYTES
        assert name.startswith(stage_prefix(table))
        assert attempt_of(name) == attempt
    assert attempt_of(table) is None
    assert attempt_of("scored__stage_0123456789ab_kept") is None


@given(st.integers(0, 10**7), st.integers(1, 40))
def test_block_ranges_read_each_block_once(blocks: int, limit: int) -> None:
    """Also those that are added at the end, and none twice."""
    ranges = block_ranges(blocks, limit)
    assert 1 <= len(ranges) <= limit
    begun = [int(one.partition("'(")[2].partition(",")[0]) for one in ranges]
    ended = [one.rpartition("'(")[2].partition(",")[0] for one in ranges[:-1]]
    assert begun[0] == 0
    assert begun[1:] == [int(end) for end in ended]
    assert begun == sorted(set(begun))
    assert " AND " not in ranges[-1]


def test_lock_keys_are_numbers_of_postgresql_and_differ_by_date() -> None:
    """The same in every process; Python's own hash is not."""
    keys = {lock_key(f"lending.scored 2026-03-{day:02d}") for day in range(1, 32)}
    assert len(keys) == 31
    assert all(-(2**63) <= key < 2**63 for key in keys)
    assert lock_key("a") == 2461602220120870505  # another release must find the lock of this one


def test_types_of_spark_and_of_postgresql_fit() -> None:
    """What a run makes, it takes again; a narrower type, or one that rounds, it does not."""
    for kind in (
        T.StringType(), T.BooleanType(), T.ShortType(), T.ByteType(), T.IntegerType(), T.LongType(),
        T.FloatType(), T.DoubleType(), T.DateType(), T.TimestampType(), T.TimestampNTZType(),
        T.BinaryType(), T.DecimalType(9, 2), T.ArrayType(T.StringType()),
    ):  # fmt: skip
        own = to_postgres(kind)
        assert own is not None
        assert takes(own, kind)
        assert not takes("uuid", kind)
    assert takes("character varying(9)", T.StringType())
    assert takes("bigint", T.ShortType())
    assert not takes("integer", T.LongType())
    assert not takes("real", T.DoubleType())
    assert not takes("numeric(9,1)", T.DecimalType(9, 2))
    assert not takes("timestamp without time zone", T.TimestampType())
    assert not takes("timestamp(3) with time zone", T.TimestampType())
    assert not takes("text", T.ArrayType(T.StringType()))
    for kind in (T.StructType(), T.MapType(T.StringType(), T.LongType()), T.NullType()):
        assert to_postgres(kind) is None


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("x", T.StructType(), "'x' is struct<>, for which a table of PostgreSQL has no type"),
        ("x" * 64, T.LongType(), "names of PostgreSQL have at most 63 bytes"),
        ("é" * 32, T.LongType(), "names of PostgreSQL have at most 63 bytes"),
    ],
)
def test_column_that_postgresql_cannot_have_is_refused(
    name: str, kind: T.DataType, words: str
) -> None:
    """Of a name that is too long the end would be dropped, and two columns become one."""
    publication = PostgresPublication(
        run_id="r", run_date=date(2026, 3, 1), spark=None, name=NAME, where="tables.scored.options",
        owner="loans",
    )  # fmt: skip
    publication._require_types(T.StructType([T.StructField("é" * 31, T.LongType())]), {})
    with pytest.raises(ConfigError, match=words):
        publication._require_types(T.StructType([T.StructField(name, kind)]), {})


class _Server:
    """Records statements, and answers those about columns, the comment and the user's rights."""

    def __init__(self, tables: dict[str, dict[str, str]]) -> None:
        self.tables = tables
        self.statements = list[str]()
        self.answer: list[tuple[object, ...]] | None = None
        self.comment: str | None = None

    def execute(
        self, statement: psycopg.sql.Composable, parameters: Sequence[str] | None
    ) -> _Server:
        text = " ".join(statement.as_string(None).split())
        self.answer = None
        if "format_type" in text:
            self.answer = list(self.tables.get((parameters or [""])[0], {}).items())
        elif "obj_description" in text:
            self.answer = [(self.comment,)]
        elif "relkind" in text:
            self.answer = [("r", True, True, True)]
        elif "advisory" not in text:
            self.statements.append(text)
            for column in re.findall(r'(?:[(,]|COLUMN) ?("[^"]+") (?:bigint|text|date)', text):
                self.tables.setdefault("scored", {})[column.strip('"')] = "of the statement"
        return self

    @property
    def description(self) -> object:
        return self.answer

    def fetchall(self) -> list[tuple[object, ...]] | None:
        return self.answer

    def transaction(self) -> _Server:
        return self

    def __enter__(self) -> None:
        self.statements.append("BEGIN")

    def __exit__(self, *_: object) -> None:
        self.statements.append("COMMIT")


COMMENT = 'COMMENT ON TABLE "lending"."scored"'


@pytest.mark.parametrize(
    ("comment", "written"),
    [
        ("for the auditors", [f"{COMMENT} IS 'for the auditors sparkweights.owner: loans'"]),
        ("for the auditors\nsparkweights.owner: cards", []),
    ],
)
def test_comment_of_a_table_keeps_what_people_wrote(comment: str, written: list[str]) -> None:
    """The owner is a line of its own, which is written once."""
    server = _Server({"s": {"p": "text"}, "scored": {"p": "text", "run_date": "date"}})
    server.comment = comment
    PostgresTable(server, NAME).replace_date("s", date(2026, 3, 1), "loans")
    assert [text for text in server.statements if text.startswith("COMMENT")] == written


@pytest.mark.parametrize(
    ("existing", "changes", "columns"),
    [
        (
            {},
            ['CREATE TABLE "lending"."scored" ("Loan" bigint, "p" text, "run_date" date)',
             'CREATE INDEX ON "lending"."scored" ("run_date")'],
            '"Loan", "p"',
        ),
        (
            {"loan": "bigint", "run_date": "date"},
            ['ALTER TABLE "lending"."scored" ADD COLUMN "p" text'],
            '"loan", "p"',
        ),
        ({"p": "text", "loan": "bigint", "run_date": "date", "old": "text"}, [], '"loan", "p"'),
    ],
)  # fmt: skip
def test_date_is_replaced_in_one_transaction(
    existing: dict[str, str], changes: list[str], columns: str
) -> None:
    """The table is made or gets its new columns there; columns are matched by name."""
    staged = {"Loan": "bigint", "p": "text"}
    server = _Server({"s": staged, "scored": existing})
    PostgresTable(server, NAME).replace_date("s", date(2026, 3, 1), "loans")
    begin, *found, delete, copy, drop, commit = server.statements
    assert (begin, commit) == ("BEGIN", "COMMIT")
    assert found == [*changes, f"{COMMENT} IS 'sparkweights.owner: loans'"]
    day = "'2026-03-01'::date"
    assert delete.removeprefix('DELETE FROM "lending"."scored" ') == f'WHERE "run_date" = {day}'
    assert drop == 'DROP TABLE IF EXISTS "lending"."s"'
    head, tail = 'INSERT INTO "lending"."scored"', 'FROM "lending"."s"'
    assert copy == f'{head} ({columns}, "run_date") SELECT "Loan", "p", {day} {tail}'


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('FATAL: password authentication failed for user "jane"', "refuses the user"),
        ("The server requested SCRAM-based authentication, but no password", "refuses the user"),
        ("Connection to 127.0.0.1:1 refused. Check that the hostname", "cannot be reached"),
        ('connection to server at "h", port 1 failed: Connection refused', "cannot be reached"),
        ("failed to resolve host 'h': [Errno -2] Name or service not known", "cannot be reached"),
        ('ERROR: relation "loans" does not exist', "no such table"),
        ('FATAL: database "bank" does not exist', "no such database"),
        ("java.lang.ClassNotFoundException: org.postgresql.Driver", "no JDBC driver"),
        ("java.sql.SQLException: No suitable driver", "no JDBC driver"),
        ("ERROR: permission denied for table loans", "has not the right"),
    ],
)
def test_message_of_a_driver_has_a_sentence(message: str, reason: str) -> None:
    """Of Java and of libpq; it repeats neither user nor host."""
    refusal = find_refusal(message)
    assert refusal is not None
    assert reason in refusal.reason
    assert not {"jane", "127.0.0.1", "loans"} & set(refusal.reason.split())
    assert find_refusal("something else") is None


def test_refusal_holds_no_value_and_is_an_error_of_the_output() -> None:
    """PostgreSQL quotes values in its messages."""
    error = refusal_of(psycopg.errors.StringDataRightTruncation("value 'Jane' too long"), NAME)
    assert "Jane" not in str(error)
    assert "Table 'lending.scored' of PostgreSQL cannot be written" in error.message
    assert "SQLSTATE 22001" in error.message
    assert error.exit_code == 6
    ended = refusal_of(psycopg.OperationalError("server closed the connection"), NAME)
    assert "connection to its server ended" in ended.message
    locked = refusal_of(psycopg.errors.LockNotAvailable("lock timeout"), NAME)
    assert "more than a minute" in locked.message


def test_failures_of_tasks_that_a_database_causes_have_their_sentence() -> None:
    """A batch that was refused is quoted by the driver with its values, and not by us."""
    batch = "java.sql.BatchUpdateException: Batch entry 0 INSERT INTO t VALUES ('Jane') was aborted"
    refused = expected_failure(PySparkException(f"Job aborted: {batch}"))
    assert refused is not None
    assert refused.exit_code == 6
    assert "Jane" not in str(refused)
    ended = expected_failure(PySparkException("PSQLException: An I/O error while sending 'Jane'"))
    assert ended is not None
    assert ended.exit_code == 1
    assert "Jane" not in str(ended)


DATABASE = {"format": "jdbc", "location": "lending.scored", "options": {"url": URL}}


@pytest.mark.parametrize(
    ("role", "changes", "words"),
    [
        ("incoming", {"options": {}}, r"options\.url: missing"),
        ("incoming", {"options": {"url": URL, "dbTable": "x"}}, r"stated by tables\.incoming\.loc"),
        ("incoming", {"schema": "k int"}, "a catalog or a database knows"),
        ("incoming", {"as_of": 3}, "as_of: 3 is for a table of a catalog"),
        ("scored", {"location": "scored"}, "no schema.table of PostgreSQL"),
        ("scored", {"options": {"url": "jdbc:mysql://h/x?p=hush"}}, "url: mysql; of the databases"),
        ("scored", {"options": {"url": "hush"}}, "url: no url of jdbc; of the databases"),
    ],
)
def test_settings_of_a_database_are_checked(
    role: str, changes: dict[str, object], words: str
) -> None:
    """Before a session starts, and without a part of the url."""
    with pytest.raises(ConfigError, match=words) as found:
        Config(**BASE, tables={role: {**DATABASE, **changes}})
    assert "hush" not in str(found.value)


def test_table_of_a_database_that_is_written_is_separate() -> None:
    """Two spellings of one name are one table."""
    other = {**DATABASE, "location": "LENDING.Scored"}
    with pytest.raises(ConfigError, match=r"tables\.scored and tables\.quarantine are both"):
        Config(**BASE, tables={"scored": DATABASE, "quarantine": other})
    secret = {**DATABASE, "options": {"url": "${BANK_URL}"}}
    config = Config(**BASE, tables={"scored": secret, "incoming": other})
    assert config.table("scored").scheme == "jdbc"
    assert Table(**DATABASE).format == "jdbc"


def test_table_of_a_database_without_the_extra_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a row is read, with the command that installs it."""
    aside = {"location": "aside"}
    config = Config(**BASE, tables={"scored": DATABASE, "quarantine": aside})
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"tables\.scored of format jdbc needs the psycopg") as it:
        outputs(None, config, "r", date(2026, 3, 1))
    assert "pip install 'sparkweights[postgres]'" in str(it.value)
