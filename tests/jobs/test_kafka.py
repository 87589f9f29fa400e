"""Topics of Kafka, on a local broker: it takes a session with the connector."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from batteries import ROOT, count_passed
from kafka_broker import JARS as BROKER
from kafka_broker import LOGIN, PASSWORD, USER, serve

JARS = ROOT / "build" / "jars-kafka"


def _skipped_for() -> str:
    """Return why no topic can be read here; empty where one can."""
    if any(not (folder / ".complete").exists() for folder in (JARS, BROKER)):
        return "the connector and the broker are not here; `make jars` brings them"
    return "" if find_spec("pyspark") else "pyspark is not installed"


pytestmark = [pytest.mark.lake, pytest.mark.skipif(bool(_skipped_for()), reason=_skipped_for())]


def test_rows_and_outcomes_may_be_topics() -> None:
    """Each message once, also after a kill; malformed ones, and what is refused."""
    with serve() as address:
        variables = {
            "KAFKA_ADDRESS": address,
            "KAFKA_LOGIN": f'{LOGIN} username="{USER}" password="{PASSWORD}";',
        }
        jars = sorted(JARS.glob("*.jar"))
        assert count_passed(["tests/jobs/kafka.py"], jars, variables=variables) >= 9
