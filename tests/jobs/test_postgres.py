"""Tables of PostgreSQL, in a process of their own: it takes a server, and a session's driver."""

from __future__ import annotations

import json

import postgres_server
import pytest
from batteries import ROOT, count_passed

DRIVERS = sorted((ROOT / "build" / "jars").glob("postgresql-*.jar"))


def _skipped_for() -> str:
    """Return why no table of PostgreSQL can be tested here; empty where it can."""
    if not DRIVERS:
        return "the driver is not here; `make jars` brings it"
    if postgres_server.programs() is None:
        return "the server is not here; Debian's package postgresql brings it"
    return ""


@pytest.mark.lake
@pytest.mark.skipif(bool(_skipped_for()), reason=_skipped_for())
def test_table_of_postgresql_passes_the_battery_and_its_own() -> None:
    """The claims of every sink, those of PostgreSQL alone, and runs that are killed."""
    files = [f"tests/jobs/{name}.py" for name in ("lakehouse", "postgres", "killed")]
    with postgres_server.serve() as options:
        variables = {postgres_server.VARIABLE: json.dumps(options)}
        passed = count_passed(files, DRIVERS[-1:], "-k", "postgres", variables=variables)
    assert passed >= 18
