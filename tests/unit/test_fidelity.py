"""Fidelity: rank correlation of cells, and the record with its page and summary."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sparkweights.cli.summary import distill_summary
from sparkweights.evaluation.fidelity import rank_correlation
from sparkweights.records import DistillationRecord
from sparkweights.report import pages_of

FIDELITY: dict[str, Any] = {
    "rows": 900, "mean_difference": 0.02, "divergence": 0.01, "teacher_loss": 0.4,
    "student_loss": 0.42, "equal_decisions": 0.93, "teacher_cost": 60.0, "student_cost": 62.0,
    "teacher_savings": 0.4, "student_savings": 0.38, "rank_correlation": 0.95,
}  # fmt: skip
RECORD: dict[str, Any] = {
    "name": "loans <1>",
    "teacher": {
        "version": "v1", "kind": "boosted_trees", "temperature": 2.0, "hard_share": 0.25,
        "unlabelled_rows": 1200,
    },
    "model_version": "v2",
    "model": {"kind": "tree", "params": {"maxDepth": 5}, "seed": 1},
    "rare_class": "defaulted",
    "overall": FIDELITY,
    "rare": {**FIDELITY, "rows": 90, "equal_decisions": 0.8},
    "segments": [
        {"segment": {"card": "gold"}, "rows": 890, "fidelity": FIDELITY},
        {"segment": {"card": None}, "rows": 10, "fidelity": None},
    ],
    "min_rows": 100,
    "costs": {
        "rows": 900, "before": 60.0, "after": 62.0, "interval": [0.5, 3.5],
        "changed": {"repaid": 40.0, "defaulted": 5.0}, "needed": 10, "scarce": ["defaulted"],
        "verdict": "no difference shown",
    },
    "exports": ["model.sql"],
    "versions": {"spark": "4.3.0"},
}  # fmt: skip


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 3)), min_size=1, max_size=12
    )
)
def test_rank_correlation_equals_scipys_on_the_rows_of_the_cells(
    cells: list[tuple[int, int, int]],
) -> None:
    """Whole weights are repeated rows; NaN where one of the two is constant, as scipy has it."""
    first, second, weight = (np.array(values) for values in zip(*cells, strict=True))
    rows = [np.repeat(values, weight) for values in (first, second)]
    found = rank_correlation(first, second, weight.astype(float))
    if any(len(set(values)) == 1 for values in rows):
        assert math.isnan(found)
    else:
        assert found == pytest.approx(stats.spearmanr(*rows).statistic, abs=1e-9)


def test_retained_savings_are_the_students_over_the_teachers() -> None:
    """None where the teacher saves nothing: no share of it can be kept."""
    record = DistillationRecord.from_dict(RECORD)
    assert record.overall.retained == pytest.approx(0.95)
    assert replace(record.overall, teacher_savings=0.0).retained is None
    assert replace(record.overall, student_savings=None).retained is None
    assert DistillationRecord.from_dict(record.to_dict()) == record


def test_page_and_summary_state_the_same_numbers() -> None:
    """Savings kept, the paired interval, the segments, and classes with too few differences."""
    record = DistillationRecord.from_dict(RECORD)
    page = pages_of(record)["report.html"]
    summary = " ".join(distill_summary(record).split())
    for text in ("it keeps 95.0 % of them", "95 % interval 0.50 to 3.50, paired"):
        assert text in page
        assert text in summary
    for text in ("card gold", "card missing", "loans &lt;1&gt;", "1,200", "boosted trees"):
        assert text in page
    assert "Of defaulted they are fewer than 10" in page
    assert "mean |p_student - p_teacher|" in summary
    nothing = replace(record, overall=replace(record.overall, teacher_savings=None), segments=())
    assert "The teacher saves nothing" in pages_of(nothing)["report.html"]
