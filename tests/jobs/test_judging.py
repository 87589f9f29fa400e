"""`evaluate` judges a published model again as training did, and segment by segment."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

import pytest
from conftest import RUN_DATE, Shop

from sparkweights import Runner, load_config

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_evaluate_equals_what_training_found_and_segments_add_up(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same test rows, the same numbers; segments of enough rows are measured."""
    config = shop.config("evaluate.yaml", evaluate={"by": ["card type"], "min_rows": 150})
    assert shop.run("evaluate", config, "--quiet", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    version = (shop.folder / "out" / "models" / "current").read_text().strip()
    place = shop.folder / "out" / "models"
    trained = json.loads((place / version / "manifest.json").read_text())["evaluation"]
    found = record["evaluation"]
    assert found["costs"] == pytest.approx(trained["costs"])
    assert found["classes"]["defaulted"]["auc"] == pytest.approx(
        trained["classes"]["defaulted"]["auc"]
    )
    low, high = found["savings_intervals"]["ours"]
    assert low < found["savings"]["ours"] < high
    segments = {one["segment"]["card type"]: one for one in record["segments"]}
    assert set(segments) == {"basic", "gold", "store"}
    assert sum(one["rows"] for one in segments.values()) == found["rows"]
    assert all(one["measured"] == (one["rows"] >= 150) for one in segments.values())
    measured = [one for one in segments.values() if one["measured"]]
    assert all(sum(one["decisions"].values()) == pytest.approx(1) for one in measured)
    stored = json.loads((place / "evaluation" / version / "evaluation.json").read_text())
    assert stored["segments"] == record["segments"]
    assert "Performance by segment" in (place / "evaluation" / version / "report.html").read_text()


@pytest.mark.slow
def test_records_show_their_key_chart_in_a_notebook(shop: Shop, spark: SparkSession) -> None:
    """What a cell displays is a chart with a name and a sentence, and runs nothing."""
    runner = Runner(spark, load_config(shop.config("shown.yaml")), date.fromisoformat(RUN_DATE))
    judged = runner.evaluate()
    for shown, words in (
        (judged, "Cost of the decisions"),
        (judged, "That saves"),
        (runner.score(), "Decisions: how many rows got each?"),
        (runner.monitor("incoming"), "Drift: have the columns changed?"),
    ):
        html = shown._repr_html_()
        assert words in html
        assert html.count("<svg") == 1
        assert 'role="img"' in html
        assert "<script" not in html


def test_evaluate_a_segment_that_is_no_column_exits_4(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """The nearest column is named."""
    config = shop.config("evaluate.yaml", evaluate={"by": ["card tipe"]})
    assert shop.run("evaluate", config, "--quiet") == 4
    assert "Did you mean 'card type'?" in capsys.readouterr().err
