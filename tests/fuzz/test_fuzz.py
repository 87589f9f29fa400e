"""A small share of `make fuzz`: mutated files and costs give a result or one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import configurations
import expressions
import oracle
import pytest
import suites

from sparkweights.core.errors import ConfigError, SparkweightsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("fuzz", "count"),
    [(configurations.fuzz, 60), (suites.fuzz, 12), (expressions.fuzz, 150)],
    ids=["configurations", "suites", "expressions"],
)
def test_fuzz_share_of_the_inputs_is_answered(
    fuzz: Callable[[int, int, Path], list[oracle.Failure]], count: int, tmp_path: Path
) -> None:
    """No traceback, no hang, no secret in a message, and values equal a second evaluator's."""
    assert fuzz(1, count, tmp_path) == []


def test_fuzz_failures_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash, a hang and a leak are failures; a refusal in one sentence is none."""

    def target(given: str) -> None:
        if given == "slow":
            while True:
                pass
        raise {
            "crash": KeyError("x"),
            "leak": ConfigError(f"The password is {oracle.CANARY}."),
            "bug": SparkweightsError("Unknown."),
            "refused": ConfigError("Not allowed."),
        }[given]

    monkeypatch.setattr(oracle, "MAX_SECONDS", 0.05)
    given = ("crash", "leak", "bug", "refused", "slow")
    found = {failure.input for failure in oracle.failures(target, given)}
    assert found == {"crash", "leak", "bug", "slow"}
