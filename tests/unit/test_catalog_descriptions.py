"""Descriptions of tables: what Spark answers for tables of files, of lakehouses, and for views."""

from __future__ import annotations

import pytest

from sparkweights.app.vacuum import OLD_DAYS
from sparkweights.cli.options import make_parser
from sparkweights.core.errors import ConfigError
from sparkweights.storage.catalog_table import TableDescription

COLUMNS = [("k", "bigint"), ("Provider", "string"), ("run_date", "date")]
PARTITIONED = [("# Partition Information", ""), ("# col_name", "data_type"), ("run_date", "date")]
DETAILS = [("", ""), ("# Detailed Table Information", ""), ("Provider", "Delta")]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [*COLUMNS, *PARTITIONED, *DETAILS, ("Location", "s3a://b/t"), ("Num Buckets", "2")],
            TableDescription("delta", "s3a://b/t", ("run_date",), is_bucketed=True),
        ),
        (
            # Partitions by transforms, as an Iceberg table may have, are no columns.
            [*COLUMNS, ("# Partitioning", ""), ("Part 0", "days(run_date)"), *DETAILS],
            TableDescription("delta", "", (), is_bucketed=False),
        ),
        (
            [*COLUMNS, ("", ""), ("# Detailed Table Information", ""), ("Type", "VIEW")],
            TableDescription("", "", (), is_bucketed=False),
        ),
        (
            # Of a partition: the table's own location is in another section.
            [("# Detailed Partition Information", ""), ("Location", "file:/p"), ("", ""),
             ("# Storage Information", ""), ("Location", "file:/t")],
            TableDescription("", "file:/p", (), is_bucketed=False),
        ),
    ],
)  # fmt: skip
def test_description_any_is_read_by_its_sections(
    rows: list[tuple[str, str]], expected: TableDescription
) -> None:
    """A column that is named like a detail is a column."""
    assert TableDescription.parse(rows) == expected


def test_vacuum_waits_for_the_same_days_in_both_interfaces() -> None:
    """A number of days is a whole number."""
    options = ["vacuum", "--config", "c.yaml"]
    assert make_parser().parse_args(options).older_than == OLD_DAYS
    with pytest.raises(ConfigError, match="is no number of days"):
        make_parser().parse_args([*options, "--older-than", "-1"])
    with pytest.raises(ConfigError, match="800000 days are too many"):
        make_parser().parse_args([*options, "--older-than", "800000"])
