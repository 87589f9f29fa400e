"""Streams over topics of Kafka; `test_kafka` starts it, with broker and connector."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pandas as pd
import pytest
from conftest import RUN_DATE, Shop
from kafka_broker import LOGIN, PASSWORD
from py4j.java_gateway import JavaMember
from py4j.protocol import STATIC_PREFIX
from test_stream import JSON_STREAM, KEY, ROWS, Streams, arriving

from sparkweights.core.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

PATIENCE = 120  # seconds for one subprocess
ACCESS = {
    "kafka.bootstrap.servers": "${KAFKA_ADDRESS}",
    "kafka.security.protocol": "SASL_PLAINTEXT",
    "kafka.sasl.mechanism": "PLAIN",
    "kafka.sasl.jaas.config": "${KAFKA_LOGIN}",
}


def access() -> dict[str, str]:
    """Return the options of a client of the broker."""
    return {name: os.path.expandvars(value) for name, value in ACCESS.items()}


@dataclass(frozen=True)
class Topics:
    """A lender whose rows and outcomes arrive in topics of their own.

    Attributes
    ----------
    streams
        The lender.
    spark
        The session that writes messages.
    name
        The start of both topics' names.
    """

    streams: Streams
    spark: SparkSession
    name: str

    def send(self, source: str, values: pd.DataFrame | list[str | None]) -> None:
        """Append messages to a topic: one object per row, or texts as they are."""
        if isinstance(values, pd.DataFrame):
            values = values.to_json(
                orient="records", lines=True, double_precision=15
            ).splitlines()  # fmt: skip
        keyed = [(str(number), value) for number, value in enumerate(values)]
        options = access()
        frame_df = self.spark.createDataFrame(keyed, "key string, value string")
        writer = frame_df.write.format("kafka").options(**options)
        writer.option("topic", f"{self.name}-{source}").save()

    def expire(self, source: str) -> None:
        """Delete the messages of a topic, as a broker does when they are old."""
        java: Any = self.spark._jvm
        stated = java.java.util.Properties()
        for name, value in access().items():
            stated.setProperty(name.removeprefix("kafka."), value)
        kafka = java.org.apache.kafka
        name = f"{STATIC_PREFIX}org.apache.kafka.clients.admin.RecordsToDelete"
        before_offset = JavaMember("beforeOffset", None, name, java._gateway_client)
        offsets = java.java.util.HashMap()
        for partition in range(2):
            to_the_end = before_offset(-1)
            offsets.put(kafka.common.TopicPartition(f"{self.name}-{source}", partition), to_the_end)
        admin = kafka.clients.admin.AdminClient.create(stated)
        admin.deleteRecords(offsets).all().get()
        admin.close()

    def stream(self, **options: str) -> dict[str, Any]:
        """Return the section of the configuration; the options are those of both sources."""
        sources = {
            source: {
                **JSON_STREAM[source],
                "format": "kafka",
                "location": f"{self.name}-{source}",
                "options": {**ACCESS, **options},
            }
            for source in ("incoming", "outcomes")
        }
        return {**JSON_STREAM, **sources}

    def run(self, **options: str) -> int:
        """Process the messages that there are."""
        return self.streams.run(stream=self.stream(**options))


def lender(shop: Shop, folder: Path) -> Streams:
    """Return a lender with the shop's model, whose stream has not begun."""
    shutil.copytree(shop.folder / "out" / "models", folder / "out" / "models")
    return Streams(Shop(folder), learns=False)


@pytest.fixture
def topics(shop: Shop, spark: SparkSession, tmp_path: Path) -> Topics:
    """Return two topics that have no message."""
    return Topics(lender(shop, tmp_path / "topics"), spark, f"loans-{uuid4().hex[:8]}")


def put(topics: Topics, files: Streams | None, part: int) -> None:
    """Let half of the loans arrive, and outcomes of some: in topics, and in files if there are."""
    rows = arriving()
    known = [rows[:140], pd.concat([rows[ROWS : ROWS + 100], rows[:20]])][part][[KEY, "outcome"]]
    half = rows[part * ROWS : (part + 1) * ROWS].drop(columns="outcome")
    topics.send("incoming", half)
    topics.send("outcomes", known)
    if files is not None:
        files.put("arriving", part, half)
        files.put("outcomes", part, known)


def rows_of(streams: Streams) -> pd.DataFrame:
    """Return the scored rows without the time and the configuration that they were scored by."""
    return streams.read("scored").drop(columns=["scored_at", "run_id"])


def test_stream_of_topics_is_the_stream_of_files_with_the_same_rows(
    topics: Topics, shop: Shop, tmp_path: Path
) -> None:
    """Messages that are there before the first start count; later ones once, and none twice."""
    files = lender(shop, tmp_path / "files")
    for part in range(2):
        put(topics, files, part)
        assert topics.run() == 0
        assert files.run() == 0
        assert topics.run() == 0  # there is nothing new
        pd.testing.assert_frame_equal(rows_of(topics.streams), rows_of(files))
    assert rows_of(topics.streams)[KEY].tolist() == [*range(2 * ROWS)]
    measures = [KEY, "decision", "realised_cost"]
    found, expected = (one.read("outcomes")[measures] for one in (topics.streams, files))
    pd.testing.assert_frame_equal(found, expected)
    assert len(found) == 240


def test_secret_of_a_topic_is_in_no_file_of_the_stream(
    topics: Topics, capfd: pytest.CaptureFixture[str]
) -> None:
    """Records, state, metrics and Spark's checkpoint; and it is not printed."""
    put(topics, None, 0)
    assert topics.run() == 0
    files = [file for file in topics.streams.folder.rglob("*") if file.is_file()]
    assert any("checkpoint" in file.parts for file in files)
    assert not [file for file in files if PASSWORD.encode() in file.read_bytes()]
    assert PASSWORD not in "".join(capfd.readouterr())


def test_malformed_messages_are_set_aside_as_text(
    topics: Topics, capsys: pytest.CaptureFixture[str]
) -> None:
    """One is no object, one is truncated, one has a text for a number; two are empty."""
    put(topics, None, 0)
    malformed = ["none", '{"loan id": 7', '{"loan id": 8, "amount": "many"}']
    topics.send("incoming", [*malformed, "", None])
    topics.send("outcomes", ["none", '{"loan id": "many", "outcome": "bad"}'])
    assert topics.run() == 0
    aside = topics.streams.read("quarantine")
    assert sorted(aside["malformed_record"].dropna()) == sorted(malformed)
    checks = Counter(check for failed in aside["failed_checks"] for check in failed)
    assert checks == {"record is readable": 3, "keys are present": 2}
    assert rows_of(topics.streams)[KEY].tolist() == [*range(ROWS)]
    assert "2 outcomes of micro-batch 0 are no records of" in capsys.readouterr().err
    assert len(topics.streams.read("outcomes")) == 140


def test_stream_of_one_topic_takes_malformed_and_expired_messages(topics: Topics) -> None:
    """Its rows are read as they are, without a second source; a micro-batch may have none."""
    stated = topics.stream(failOnDataLoss="false")
    alone = {name: value for name, value in stated.items() if name != "outcomes"}
    topics.send("incoming", arriving()[:ROWS].drop(columns="outcome"))
    topics.send("incoming", ["none"])
    assert topics.streams.run(stream=alone) == 0
    assert topics.streams.read("quarantine")["malformed_record"].tolist() == ["none"]
    topics.send("incoming", arriving()[ROWS:].drop(columns="outcome"))
    topics.expire("incoming")
    assert topics.streams.run(stream=alone) == 0
    assert topics.streams.state()["batch"] == 1
    assert rows_of(topics.streams)[KEY].tolist() == [*range(ROWS)]


def test_stream_of_topics_that_is_killed_scores_each_message_once(
    topics: Topics, shop: Shop, tmp_path: Path
) -> None:
    """SIGKILL in the second of several micro-batches; then as without an interruption."""
    for part in range(2):
        put(topics, None, part)
    bounds = {"maxOffsetsPerTrigger": "120"}
    config = topics.streams.config(stream=topics.stream(**bounds))
    process = subprocess.Popen(
        [sys.executable, "-m", "sparkweights", "stream", "--config", str(config),
         "--run-date", RUN_DATE],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "micro-batch 0:" in line:
            time.sleep(0.5)
            process.send_signal(signal.SIGKILL)
            break
    process.stderr.read()
    assert process.wait(PATIENCE) == -signal.SIGKILL, "".join(said)
    assert len(topics.streams.read("scored")) < 2 * ROWS
    assert topics.run(**bounds) == 0
    whole = Topics(lender(shop, tmp_path / "whole"), topics.spark, topics.name)
    assert whole.run(**bounds) == 0
    assert whole.streams.state()["batch"] > 1
    assert topics.streams.state() == whole.streams.state()
    pd.testing.assert_frame_equal(rows_of(topics.streams), rows_of(whole.streams))
    assert rows_of(whole.streams)[KEY].tolist() == [*range(2 * ROWS)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "a topic is not there"),
        (
            {"kafka.sasl.jaas.config": f'{LOGIN} username="bank" password="wrong";'},
            "does not take the login",
        ),
        (
            {
                "kafka.bootstrap.servers": "127.0.0.1:9",
                "kafka.request.timeout.ms": "500",
                "kafka.default.api.timeout.ms": "500",
            },
            "no broker of Kafka answers",
        ),
    ],
)
def test_topic_that_cannot_be_read_ends_in_one_sentence(
    topics: Topics, capsys: pytest.CaptureFixture[str], options: dict[str, str], words: str
) -> None:
    """The metrics say it as well; nothing was committed."""
    assert topics.run(**options) == InputError.exit_code
    assert words in capsys.readouterr().err.splitlines()[-1]
    metrics = topics.streams.record("metrics.json")
    assert (metrics["status"], metrics["batch"]) == ("stopped", -1)
    assert words in metrics["reason"]


def test_messages_that_expired_before_they_were_scored_stop_the_stream(
    topics: Topics, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are missing in no silence; one start may go on without them."""
    put(topics, None, 0)
    assert topics.run() == 0
    put(topics, None, 1)
    topics.expire("incoming")
    assert topics.run() == InputError.exit_code
    assert "no longer there" in capsys.readouterr().err.splitlines()[-1]
    topics.send("incoming", arriving()[ROWS : ROWS + 50].drop(columns="outcome"))
    assert topics.run() == InputError.exit_code
    assert topics.run(failOnDataLoss="false") == 0
    assert rows_of(topics.streams)[KEY].tolist() == [*range(ROWS + 50)]
