"""Mutated expectation suites: each becomes expectations, or is refused in one sentence."""

from __future__ import annotations

import copy
import json
import random
from typing import TYPE_CHECKING

from oracle import Failure, failures, mutate_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BASE = {
    "name": "incoming",
    "expectations": [
        {"type": "expect_column_values_to_be_between", "severity": "critical", "id": "income",
         "kwargs": {"column": "income", "min_value": 0}},
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "id", "mostly": 0.9}},
        {"type": "expect_column_values_to_be_in_set", "severity": "warning",
         "kwargs": {"column": "branch", "value_set": ["north", "south"],
                    "row_condition": 'col("age") > 3', "condition_parser": "great_expectations"}},
        {"type": "expect_column_values_to_match_regex",
         "kwargs": {"column": "branch", "regex": "n.*"}},
        {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1},
         "meta": {"notes": "any"}},
        {"type": "expect_column_mean_to_be_between", "severity": "info",
         "kwargs": {"column": "income", "max_value": {"$PARAMETER": "top"}}},
        {"type": "expect_compound_columns_to_be_unique", "kwargs": {"column_list": ["id", "age"]}},
        {"type": "expect_column_pair_values_a_to_be_greater_than_b",
         "kwargs": {"column_A": "income", "column_B": "age", "or_equal": True}},
    ],
    "meta": {"great_expectations_version": "1.24"},
}  # fmt: skip
_PIECES = ("{", "}", "[", "]", '"', ",", ":", "NaN", "-Infinity", "1e999", '"\\ud800"', "\\u0000",
           "null", "[" * 5_000, '{"a":' * 5_000, "9" * 6_000, "//", "\x00")  # fmt: skip


def inputs(seed: int, count: int) -> Iterator[bytes]:
    """Yield files: entries of a sound suite changed, then some of their text."""
    rng = random.Random(seed)
    for _ in range(count):
        tree = copy.deepcopy(BASE)
        kept = rng.sample(tree["expectations"], rng.randint(1, 3))  # type: ignore[call-overload]
        tree["expectations"] = kept
        for _ in range(rng.randint(1, 3)):
            mutate_tree(rng, tree)
        text = json.dumps(tree).encode()
        if rng.random() < 0.3:
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(_PIECES).encode() + text[at + rng.randrange(3) :]
        yield text


def fuzz(seed: int, count: int, folder: Path) -> list[Failure]:
    """Load mutated suites, and build the library's expectation of each entry."""
    from sparkweights.quality.library import expectation, quiet_library
    from sparkweights.quality.suite import load_suite

    file = folder / "suite.json"
    with quiet_library() as gx:

        def target(content: bytes) -> None:
            file.write_bytes(content)
            suite = load_suite(file)
            suite.name.encode()
            assert suite.sha
            for entry in suite.expectations:
                expectation(gx, entry)

        return failures(target, inputs(seed, count))
