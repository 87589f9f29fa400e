"""A process that runs verbs on a session of its own, one per line of its input; see `s3`."""

from __future__ import annotations

import shlex
import sys

from pyspark.sql import SparkSession

from sparkweights.cli.main import main


def serve(database: str, warehouse: str) -> None:
    """Make the database, then run each line, and answer with its exit code."""
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.sql.catalogImplementation", "hive")
        .config("spark.hadoop.javax.jdo.option.ConnectionURL", "jdbc:derby:memory:it;create=true")
        .getOrCreate()
    )
    spark.sql(f"create database {database} location '{warehouse}'")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        code = main(shlex.split(line))
        sys.stdout.write(f"exit {code}\n")  # below what the verb has printed
        sys.stdout.flush()


if __name__ == "__main__":
    serve(*sys.argv[1:])
