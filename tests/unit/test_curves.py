"""Areas from a histogram equal scikit-learn on the rows behind it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from sparkweights.evaluate import area_under_roc, average_precision


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20))
def test_areas_equal_scikit_learn_on_the_expanded_rows(bins: list[tuple[int, int]]) -> None:
    """A bin of n rows is n rows of the same score."""
    positives, negatives = [p for p, _ in bins], [n for _, n in bins]
    if not sum(positives) or not sum(negatives):
        return
    scores = np.arange(len(bins)) / len(bins)
    truth = np.concatenate([np.repeat([1, 0], pair) for pair in bins])
    score = np.concatenate([np.repeat(s, p + n) for s, (p, n) in zip(scores, bins, strict=True)])
    assert area_under_roc(list(scores), positives, negatives) == pytest.approx(
        roc_auc_score(truth, score)
    )
    assert average_precision(list(scores), positives, negatives) == pytest.approx(
        average_precision_score(truth, score)
    )
