"""A table of PostgreSQL, as its server describes and changes it: statements, and no rows.

Spark moves the rows. What Spark cannot do are locks, and several statements in one transaction:
these are sent from the driver's machine, by libpq.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, LiteralString, NamedTuple

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.errors import LockNotAvailable
from psycopg.sql import SQL, Composed, Identifier, Literal

from sparkweights.core.errors import PublishError, without_values
from sparkweights.storage.jdbc import find_refusal, libpq_parameters
from sparkweights.storage.names import POSTGRES_BYTES, PostgresName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import date
    from typing import Self

    from psycopg.rows import TupleRow

DATE = "run_date"
ATTEMPT_CHARACTERS = 12  # of the name of an attempt, in hexadecimal
_WRITING, _STAGE = "writing", "stage"
_OF_ATTEMPT = re.compile(rf"__(?:{_WRITING}|{_STAGE})_([0-9a-f]{{{ATTEMPT_CHARACTERS}}})\Z")
_UNCHANGED = "nothing was published; "
_BLOCK_RANGE = 8192  # blocks that a task reads at least: 64 MiB
_MAX_RANGES = 16  # tasks, each with a connection

# For the length of a session, which holds the locks of a run and is idle while Spark writes: it is
# not ended for that, and a server frees its locks two minutes after its host has vanished.
_SETTINGS = {
    "idle_session_timeout": "0",
    "lock_timeout": "60s",
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "6",
}
# A setting that is newer than the server is left out.
_SET = SQL("SELECT set_config(name, %s, false) FROM pg_catalog.pg_settings WHERE name = %s")
_ACCESS = SQL(
    """
    SELECT c.relkind::text,
           has_schema_privilege(n.oid, 'CREATE'),
           coalesce(pg_has_role(c.relowner, 'USAGE'), true),
           coalesce(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                    AND has_table_privilege(c.oid, 'DELETE'), true)
    FROM pg_catalog.pg_namespace n
    LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = %s
    WHERE n.nspname = %s
    """
)
_COLUMNS = SQL(
    """
    SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = %s AND n.nspname = %s AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
    """
)
_BESIDE = SQL(
    """
    SELECT c.relname FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relkind = 'r' AND starts_with(c.relname, %s)
    """
)
_COMMENT = SQL("SELECT obj_description(to_regclass(%s), 'pg_class')")
_OWNED = re.compile(r"^sparkweights\.owner: (.+)$", re.MULTILINE)  # a line of the comment
_COPY = "INSERT INTO {table} ({columns}, {date}) SELECT {staged}, {day} FROM {stage}"
_BLOCKS = SQL("SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::bigint")


class Access(NamedTuple):
    """What the user may do with a table; all with one that is not there.

    Attributes
    ----------
    kind
        PostgreSQL's letter: ``r`` for a table, ``p`` for one that is partitioned; None where there
        is none of that name.
    may_create
        Whether the user may make tables in its schema.
    is_owner
        Whether the user may add columns.
    may_write
        Whether the user may read, add and remove rows.
    """

    kind: str | None
    may_create: bool
    is_owner: bool
    may_write: bool


@dataclass(frozen=True)
class PostgresTable:
    """A table by its name, on a connection.

    Every method asks the server; its refusal becomes a `PublishError`.
    """

    connection: psycopg.Connection[TupleRow]
    name: PostgresName

    @classmethod
    @contextmanager
    def connect(cls, options: Mapping[str, str], name: PostgresName, where: str) -> Iterator[Self]:
        """Connect to the database of a table, for the length of the context.

        Parameters
        ----------
        options
            Spark's options of the table.
        where
            Their place in the configuration, for messages.

        Raises
        ------
        ConfigError
            If the url is not one of PostgreSQL.
        PublishError
            If the server cannot be reached, or refuses.
        """
        parameters = libpq_parameters(options, where=where)
        try:
            connection = psycopg.connect(make_conninfo(**parameters), autocommit=True)
        except psycopg.Error as error:
            raise refusal_of(error, name) from None
        with closing(connection):
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            table = cls(connection, name)
            for setting, value in _SETTINGS.items():
                table._run(_SET, [value, setting])
            yield table

    def access(self) -> Access | None:
        """Return what the user may do with the table; None where its schema is not there."""
        rows = self._run(_ACCESS, [self.name.table, self.name.schema])
        return Access(*rows[0]) if rows else None

    def columns(self) -> dict[str, str]:
        """Return column -> type, as PostgreSQL writes it; none where the table is not there."""
        return dict(self._run(_COLUMNS, [self.name.table, self.name.schema]))

    def try_lock(self, subject: str) -> bool:
        """Lock a subject until the connection ends; return False where another one has it.

        The subject need not exist. Locks of PostgreSQL are numbers; two subjects share one with a
        probability of 1 in 10^19, and exclude each other then.
        """
        ((locked,),) = self._run(SQL("SELECT pg_try_advisory_lock(%s)"), [lock_key(subject)])
        return bool(locked)

    def unlock(self, subject: str) -> None:
        """Free a lock of this connection."""
        self._run(SQL("SELECT pg_advisory_unlock(%s)"), [lock_key(subject)])

    def create(self, kinds: Mapping[str, str]) -> None:
        """Make a table for staged rows, from column -> type.

        It is not logged: after a crash of the server it is empty, and it is never published then,
        because the run has lost its connection.
        """
        self._run(_statement("CREATE UNLOGGED TABLE {} ({})", self.name, _typed(kinds)))

    def rename(self, table: str) -> None:
        """Give the table another name, once no task writes to it any more.

        A task that Spark has given up may still run: what it has not committed before, it cannot
        commit afterwards.
        """
        self._run(_statement("ALTER TABLE {} RENAME TO {}", self.name, Identifier(table)))

    def drop(self, tables: Sequence[str]) -> None:
        """Drop tables beside the table, as far as they are there."""
        names = SQL(", ").join(_identifier(replace(self.name, table=table)) for table in tables)
        self._run(SQL("DROP TABLE IF EXISTS {}").format(names))

    def beside(self, prefix: str) -> list[str]:
        """Return the tables of its schema whose names begin with a text."""
        return [name for (name,) in self._run(_BESIDE, [self.name.schema, prefix])]

    def block_ranges(self, limit: int | None) -> list[str]:
        """Return conditions, at most so many, that divide the table's rows by where they lie.

        PostgreSQL reads such a range, and nothing else, since its release 14.
        """
        ((blocks,),) = self._run(_BLOCKS, [self.name.sql])
        return block_ranges(int(blocks), limit or _MAX_RANGES)

    def owner(self) -> str | None:
        """Return the configuration whose rows the table holds, by its comment; None for nobody."""
        found = _OWNED.search(self._comment())
        return None if found is None else found[1]

    def _comment(self) -> str:
        ((comment,),) = self._run(_COMMENT, [self.name.sql])
        return comment or ""

    def _set_owner(self, owner: str) -> None:
        """Add the owner to the comment, which the user of the table's role alone may change."""
        access = self.access()
        if self.owner() is None and access is not None and access.is_owner:
            lines = [*filter(None, [self._comment()]), f"sparkweights.owner: {owner}"]
            comment = Literal("\n".join(lines))
            self._run(_statement("COMMENT ON TABLE {} IS {}", self.name, comment))

    def replace_date(self, stage: str, run_date: date, owner: str) -> None:
        """Replace the rows of a date by those of a staging table, in one transaction.

        The table is made where it is not there, and gets the columns that it lacks, and the name of
        its owner. The staging table is dropped.
        """
        staged = replace(self, name=replace(self.name, table=stage))
        with self._refusals(), self.connection.transaction():
            kinds = staged.columns()
            self._adapt(kinds)
            self._set_owner(owner)
            pairs = matching(kinds, self.columns())
            names = {
                "table": _identifier(self.name),
                "stage": _identifier(staged.name),
                "columns": SQL(", ").join(map(Identifier, pairs.values())),
                "staged": SQL(", ").join(map(Identifier, pairs)),
                "date": Identifier(DATE),
                "day": Literal(run_date),  # no parameter: with one, a % in a name would be another
            }
            self._run(SQL("DELETE FROM {table} WHERE {date} = {day}").format(**names))
            self._run(SQL(_COPY).format(**names))
            staged.drop([stage])

    def _adapt(self, kinds: Mapping[str, str]) -> None:
        """Make the table, or add the columns that it lacks, until the transaction ends."""
        if len(matching(kinds, self.columns())) == len(kinds):
            return
        # Another date may be adding the same; after it, nothing is missing any more.
        changing = lock_key(f"columns of {self.name}")
        self._run(SQL("SELECT pg_advisory_xact_lock(%s)"), [changing])
        existing = self.columns()
        if not existing:
            dated = _typed({**kinds, DATE: "date"})
            self._run(_statement("CREATE TABLE {} ({})", self.name, dated))
            self._run(_statement("CREATE INDEX ON {} ({})", self.name, Identifier(DATE)))
            return
        present = matching(kinds, existing)
        for column, kind in kinds.items():
            if column not in present:
                added = _typed({column: kind})
                self._run(_statement("ALTER TABLE {} ADD COLUMN {}", self.name, added))

    def _run(self, statement: SQL | Composed, parameters: Sequence[object] = ()) -> list[TupleRow]:
        """Run a statement, and return its rows if it has any."""
        with self._refusals():
            cursor = self.connection.execute(statement, parameters or None)
            return [] if cursor.description is None else cursor.fetchall()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise refusal_of(error, self.name) from None


def lock_key(subject: str) -> int:
    """Return the number that stands for a subject of a lock."""
    digest = hashlib.sha256(f"sparkweights {subject}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def stage_prefix(table: str) -> str:
    """Return what the names of a table's staging tables begin with.

    PostgreSQL drops the end of a long name, where attempts differ.
    """
    kept = table.encode()[: POSTGRES_BYTES - len(f"__{_WRITING}_") - ATTEMPT_CHARACTERS]
    return f"{kept.decode(errors='ignore')}__"


def stage_names(table: str, attempt: str) -> tuple[str, str]:
    """Return the names of an attempt's staging table: while it is written, and afterwards.

    Examples
    --------
    >>> stage_names("scored", "0123456789ab")
    ('scored__writing_0123456789ab', 'scored__stage_0123456789ab')
    """
    prefix = stage_prefix(table)
    return f"{prefix}{_WRITING}_{attempt}", f"{prefix}{_STAGE}_{attempt}"


def attempt_of(stage: str) -> str | None:
    """Return the attempt that a staging table is named after; None for another table."""
    match = _OF_ATTEMPT.search(stage)
    return None if match is None else match[1]


def block_ranges(blocks: int, limit: int) -> list[str]:
    """Return conditions that divide the rows of a table of so many blocks.

    Examples
    --------
    >>> block_ranges(10, 4)
    ["ctid >= '(0,0)'"]
    """
    count = max(1, min(limit, blocks // _BLOCK_RANGE))
    bounds = [blocks * i // count for i in range(count)]
    begun = [f"ctid >= '({begin},0)'" for begin in bounds]
    ended = [f" AND ctid < '({end},0)'" for end in bounds[1:]]
    return [begin + end for begin, end in zip(begun, [*ended, ""], strict=True)]


def matching(written: Iterable[str], existing: Collection[str]) -> dict[str, str]:
    """Return written column -> the column of a table that takes it, whatever case its name has.

    Examples
    --------
    >>> matching(["Loan", "p"], ["loan"])
    {'Loan': 'loan'}
    """
    folded = {name.casefold(): name for name in existing}
    pairs = {name: name if name in existing else folded.get(name.casefold()) for name in written}
    return {name: column for name, column in pairs.items() if column is not None}


def refusal_of(error: psycopg.Error, name: PostgresName) -> PublishError:
    """Return the sentence for what a server, or the way to it, refuses; it holds no value."""
    subject = f"Table '{name}' of PostgreSQL cannot be written"
    known = find_refusal(str(error))
    if isinstance(error, LockNotAvailable):
        return PublishError(
            f"{subject}: another session has locked it for more than a minute.",
            hint=f"{_UNCHANGED}wait for it to end, then run again.",
        )
    if known is not None:
        return PublishError(f"{subject}: {known.reason}.", hint=_UNCHANGED + known.hint)
    if error.sqlstate is None:
        return PublishError(
            f"{subject}: the connection to its server ended.",
            hint=f"{_UNCHANGED}see the server's log, then run again.",
        )
    column = "" if error.diag.column_name is None else f", column '{error.diag.column_name}'"
    message = without_values(error.diag.message_primary or "").rstrip(".")
    return PublishError(
        f"{subject}: {message} (SQLSTATE {error.sqlstate}{column}).",
        hint=f"{_UNCHANGED}see the server's log.",
    )


def _statement(
    text: LiteralString, name: PostgresName, part: Identifier | Literal | Composed
) -> Composed:
    return SQL(text).format(_identifier(name), part)


def _identifier(name: PostgresName) -> Identifier:
    return Identifier(name.schema, name.table)


def _typed(kinds: Mapping[str, str]) -> Composed:
    """Return columns with their types, which are the server's words or our own."""
    columns = [SQL("{} {}").format(Identifier(name), SQL(kind)) for name, kind in kinds.items()]
    return SQL(", ").join(columns)
