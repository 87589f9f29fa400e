"""A small share of `make fuzz`: mutated files and costs give a result or one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "fuzz"


@pytest.mark.parametrize(
    ("module", "count"), [("configurations", 60), ("suites", 12), ("expressions", 150)]
)
def test_fuzz_share_of_the_inputs_is_answered(
    module: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback, no hang, no secret in a message, and values equal a second evaluator's."""
    monkeypatch.syspath_prepend(str(FUZZ))
    __import__(module)
    assert sys.modules[module].fuzz(1, count, tmp_path) == []


def test_fuzz_failures_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash, a hang and a leak are failures; a refusal in one sentence is none."""
    monkeypatch.syspath_prepend(str(FUZZ))
    import oracle

    from sparkweights.core.errors import ConfigError, SparkweightsError

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
