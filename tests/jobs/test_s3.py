"""Object stores, against a local server of S3: it takes a session with the connector."""

from __future__ import annotations

import pytest
from batteries import count_passed
from s3_server import JARS, SETTINGS, serve, skipped_for

pytestmark = [pytest.mark.lake, pytest.mark.skipif(bool(skipped_for()), reason=skipped_for())]


def test_everything_of_a_lender_may_be_on_s3() -> None:
    """Models, records, suites, work rows and tables; locks, and what is refused."""
    jars = sorted(JARS.glob("*.jar"))
    with serve() as variables:
        passed = count_passed(["tests/jobs/s3.py"], jars, settings=SETTINGS, variables=variables)
    assert passed >= 17
