"""Spark Connect with a server of another user, which does not share the disk of its client."""

from __future__ import annotations

import connect_server
import pytest
import s3_server
from batteries import count_passed

REASON = s3_server.skipped_for() or connect_server.skipped_for()
pytestmark = [pytest.mark.lake, pytest.mark.skipif(bool(REASON), reason=REASON)]


def test_job_runs_whole_on_a_server_that_sees_no_file_of_its_client() -> None:
    """With models, records and tables on S3; a folder of the client is refused."""
    jars = sorted(s3_server.JARS.glob("*.jar"))
    with (
        s3_server.serve() as variables,
        connect_server.serve(jars, s3_server.SETTINGS, variables) as address,
    ):
        passed = count_passed(
            ["tests/jobs/connected_elsewhere.py"],
            [],
            variables={**variables, "SPARKWEIGHTS_TEST_REMOTE": address},
        )
    assert passed == 7
