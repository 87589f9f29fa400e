"""Tables of databases: how Spark and libpq reach them, and what refuses it; no Spark."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, unquote

from sparkweights.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

POSTGRES = "postgresql"
_DRIVERS = {POSTGRES: "org.postgresql.Driver"}
# Some drivers, among them PostgreSQL's, otherwise hold all rows of a task in memory.
_FETCHED_ROWS = "10000"
_CONNECT_SECONDS = "10"  # as the Java driver waits for a server

_POSTGRES_URL = re.compile(
    rf"jdbc:{POSTGRES}:(?://(?P<hosts>[^/?]*))?/?(?P<database>[^/?]*)(?:\?(?P<query>.*))?"
)
_HOST = re.compile(r"(?:\[(?P<address>[^\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>\d+))?")
# Parameter of the Java driver, in lower case -> that of libpq. Others are of Java alone.
_LIBPQ = {
    "user": "user",
    "password": "password",
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
    "sslcert": "sslcert",
    "sslkey": "sslkey",
    "sslpassword": "sslpassword",
    "applicationname": "application_name",
    "connecttimeout": "connect_timeout",
    "gssencmode": "gssencmode",
    "channelbinding": "channel_binding",
    "options": "options",
}


class Refusal(NamedTuple):
    """Why a database, or the way to it, refuses."""

    reason: str
    hint: str


# What a message says -> the refusal. Messages quote users and values, and are never repeated.
_REFUSALS = {
    r"No suitable driver|ClassNotFoundException|DATA_SOURCE_NOT_FOUND": Refusal(
        "Spark has no JDBC driver for it",
        "add the driver to the job, for PostgreSQL spark-submit --packages "
        "org.postgresql:postgresql:42.7.14.",
    ),
    r"authentication failed|no password|password is|role .* does not exist|Access denied": Refusal(
        "the database refuses the user or the password",
        "correct the options user and password; ${NAME} reads a password from the environment.",
    ),
    r"no pg_hba.conf entry": Refusal(
        "the database allows no connection of this user from this host",
        "have an entry added to its pg_hba.conf; the driver and the executors connect.",
    ),
    r"database .* does not exist": Refusal(
        "its server has no such database", "correct the database in the option url."
    ),
    r"(?:relation|schema) .* does not exist|[Tt]able .* (?:does not exist|doesn't exist|not found)"
    r"|ORA-00942|Invalid object name": Refusal(
        "there is no such table", "correct the location, as schema.table."
    ),
    r"permission denied": Refusal(
        "the user has not the right to it", "GRANT it, or name another user."
    ),
    r"[Cc]onnection (?:to .* )?refused|connection attempt failed|UnknownHost|[Nn]ame or service"
    r"|resolve host|translate host|timed out|[Tt]imeout expired|Network is unreachable"
    r"|No route to host|No such file": Refusal(
        "its server cannot be reached",
        "correct the host and the port in the option url, or start the server.",
    ),
    r"SSL|certificate": Refusal(
        "no encrypted connection can be made", "correct sslmode and sslrootcert in the option url."
    ),
    r"too many clients|remaining connection slots": Refusal(
        "its server has no connection left",
        "bound the connections of the job by the option numPartitions.",
    ),
}


def find_refusal(message: str) -> Refusal | None:
    """Return what a driver's message, of Java or of libpq, says in English; None if unknown.

    Examples
    --------
    >>> find_refusal('FATAL: password authentication failed for user "jane"').reason
    'the database refuses the user or the password'
    """
    return next((it for text, it in _REFUSALS.items() if re.search(text, message)), None)


def product_of(url: str) -> str:
    """Return the database product that a JDBC url names; empty for another text.

    Examples
    --------
    >>> product_of("jdbc:postgresql://host/bank?password=x")
    'postgresql'
    """
    match = re.match(r"jdbc:([a-z0-9]+)", url)
    return match[1] if match else ""


def option_of(options: Mapping[str, str], name: str, default: str = "") -> str:
    """Return an option of Spark's reader or writer, which ignores case in its name."""
    given = {key.casefold(): text for key, text in options.items()}
    return given.get(name.casefold(), default)


def with_defaults(options: Mapping[str, str]) -> dict[str, str]:
    """Return Spark's options with the driver's class, and a bound on the rows in memory."""
    stated = {"fetchsize": _FETCHED_ROWS}
    if driver := _DRIVERS.get(product_of(option_of(options, "url"))):
        # A driver that came with the job, and not with Spark, is found by its name alone.
        stated["driver"] = driver
    given = {key.casefold() for key in options}
    return {key: text for key, text in stated.items() if key not in given} | dict(options)


def libpq_parameters(options: Mapping[str, str], *, where: str) -> dict[str, str]:
    """Return Spark's options of a PostgreSQL table as parameters of libpq.

    As in the Java driver, the url has precedence over options. Of several hosts, the one that takes
    writes is used.

    Parameters
    ----------
    where
        The options' place in the configuration, for messages; they show no part of a url.

    Raises
    ------
    ConfigError
        If the url is not one of PostgreSQL.
    """
    match = _POSTGRES_URL.fullmatch(option_of(options, "url"))
    hosts = [] if match is None else list(map(_HOST.fullmatch, (match["hosts"] or "").split(",")))
    if match is None or None in hosts:
        raise ConfigError(
            f"{where}.url: this is no url of PostgreSQL.",
            hint="write it as jdbc:postgresql://host:5432/database.",
        )
    stated = {key.casefold(): text for key, text in options.items()}
    query = parse_qsl(match["query"] or "", keep_blank_values=True)
    stated |= {key.casefold(): text for key, text in query}
    found = {own: stated[key] for key, own in _LIBPQ.items() if stated.get(key)}
    if "sslmode" not in found and stated.get("ssl", "false") in {"", "true"}:
        found["sslmode"] = "verify-full"
    if match["database"]:
        found["dbname"] = unquote(match["database"])
    return {
        "connect_timeout": _CONNECT_SECONDS,
        "application_name": "sparkweights",
        "target_session_attrs": "read-write",
        "host": ",".join((it["address"] or it["name"] or "localhost") for it in hosts if it),
        "port": ",".join((it["port"] or "5432") for it in hosts if it),
        **found,
    }
