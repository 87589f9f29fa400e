"""The pass over rows counts what pandas counts, whatever the groups are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pyspark.sql import functions as F

from sparkweights.evaluation import fairness_cells
from sparkweights.evaluation.fairness_cells import Grouping, collect_cells

if TYPE_CHECKING:
    import pytest
    from pyspark.sql import SparkSession

ROWS = 900


def _frame() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    return pd.DataFrame({
        "sex of": rng.choice(["f", "m", None], ROWS, p=[0.4, 0.5, 0.1]),
        "age": rng.integers(18, 80, ROWS),
        "code": rng.choice([1.0, 2.0, 10.0, np.nan], ROWS),
        "town": rng.choice([f"t{i:02d}" for i in range(60)], ROWS, p=np.arange(1, 61) / 1830),
        "yes": rng.choice([True, False, None], ROWS, p=[0.6, 0.3, 0.1]),
        "right": rng.choice([True, False, None], ROWS),
        "w": rng.integers(0, 4, ROWS).astype(float),
    })  # fmt: skip


def test_collect_cells_are_the_rows_of_each_group(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text, few numbers, stated ranges and quartiles; null and NaN are missing; weights count."""
    frame = _frame()
    df = spark.createDataFrame(frame)
    told = {"favourable": F.col("yes"), "positive": F.col("right"), "weight": F.col("w")}
    names = [Grouping("sex of"), Grouping("age"), Grouping("code"), Grouping("town")]
    found = collect_cells(df, names, **told)
    assert found is not None
    kept = frame[frame["yes"].notna()]
    rows = {
        column: {group: cells.rows.sum() for group, cells in groups.items()}
        for column, groups in found.items()
    }
    assert list(rows["sex of"]) == ["f", "m", "missing"]
    assert list(rows["code"]) == ["1", "2", "10", "missing"]
    assert rows["code"]["missing"] == kept["code"].isna().sum()
    assert len(rows["town"]) == 51
    assert all(sum(own.values()) == len(kept) for own in rows.values())
    assert len(rows["age"]) == 4
    assert max(rows["age"].values()) < 0.3 * len(kept)
    women = kept[kept["sex of"] == "f"]
    cells = found["sex of"]["f"]
    for d, yes in enumerate((False, True)):
        for y, right in enumerate((False, True, None)):
            same = women["right"].isna() if right is None else women["right"] == right
            own = women.loc[(women["yes"] == yes) & same, "w"]
            assert cells.rows[d, y] == len(own)
            assert cells.weight[d, y] == own.sum()
            assert cells.square[d, y] == (own**2).sum()
    by_age = collect_cells(df, [Grouping("age", (25, 40))], **told)
    assert by_age is not None
    assert {group: cells.rows.sum() for group, cells in by_age["age"].items()} == {
        "below 25": (kept["age"] < 25).sum(),
        "25 to below 40": kept["age"].between(25, 39).sum(),
        "40 and above": (kept["age"] >= 40).sum(),
    }
    monkeypatch.setattr(fairness_cells, "MAX_CELLS", 10)
    assert collect_cells(df, names, **told) is None
