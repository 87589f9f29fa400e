"""Mutated configurations: each is loaded, or refused in one sentence."""

from __future__ import annotations

import copy
import json
import random
from datetime import date
from typing import TYPE_CHECKING, Any

import yaml
from oracle import CANARY, TEXTS, Failure, failures, mutate_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COLUMNS = ("id", "month", "income", "loan", "branch", "age", "outcome", "loan.amount")
BASE: dict[str, Any] = {
    "name": "loans",
    "seed": 7,
    "tables": {
        "labelled": {
            "format": "csv",
            "location": f"s3a://key:{CANARY}@lake/history",
            "schema": "id bigint, income double",
            "options": {"header": "true", "password": CANARY},
        },
        "incoming": {"location": "in/{run_date}", "partition": {"country": "NO", "part": 3}},
        "scored": {"format": "parquet", "location": "out/scored", "options": {"url": CANARY}},
        "quarantine": {"format": "table", "location": "lending.quarantine"},
    },
    "artifacts": "out/models",
    "runs": "out/runs",
    "columns": {
        "keys": ["id"],
        "label": "outcome",
        "classes": {"repaid": 0, "defaulted": 1},
        "numeric": ["income", {"from": "loan", "to": "branch"}, {"matching": "loan.+"}],
        "categorical": ["branch"],
        "sensitive": ["age"],
        "use_sensitive": False,
        "weight": None,
        "time": "month",
    },
    "costs": {
        "approve": {"repaid": 0, "defaulted": "0.75 * loan"},
        "decline": {"repaid": "max(50, 0.1 * `loan.amount`)", "defaulted": 0},
    },
    "review": {"cost": "10 + 0.01 * loan", "capacity": 0.05},
    "reasons": {"against": {"decline": "defaulted"}, "top": 3, "prices": {"loan": "Size"}},
    "weights": {"scheme": "cost_balanced", "cap": 50, "floor": 0.01, "by": ["branch"]},
    "resample": {"method": "under", "ratio": 0.5},
    "features": {"numeric": "auto", "categorical": "onehot", "impute": "auto"},
    "model": {"kind": "boosted_trees", "params": {"maxIter": 60, "stepSize": 0.1}, "patience": 9},
    "tune": {"ratio": [1, 50], "points": 9, "params": {"maxDepth": [3, 5]}, "folds": 3},
    "promote": "if_better",
    "decision": {"calibration": "auto", "target_prior": {"repaid": 0.9, "defaulted": 0.1}},
    "split": {"by": "month", "calibrate": 0.2, "test": 0.2, "gap": "1 month", "mature": 3},
    "train": {"refit": "auto", "folds": 5},
    "checks": {"incoming": "suite.json", "max_quarantined": 0.02, "allow_empty": False},
    "evaluate": {"by": ["branch"], "min_rows": 100, "backtest": {"origins": 4, "share": 0.5}},
    "fairness": {"columns": ["age"], "ranges": {"age": [25, 40]}, "favourable": "approve"},
    "monitor": {"psi": 0.2, "shift": 0.2, "decided": "taken"},
}
_OPTIONAL = ("review", "reasons", "resample", "tune", "decision", "split", "fairness", "costs",
             "weights", "model", "evaluate", "monitor", "checks", "features", "train")  # fmt: skip
_PIECES = (
    "!!bool maybe", '!!int ""', "!!float x", "!!null y", "!!set {a}", "!!omap [a]", "!!binary x",
    "!!timestamp z", "!!python/object/apply:os.system [x]", "!x", "! y", "&a", "*a", "*b", "<<: *a",
    "&a [*a]", "[" * 40, "{" * 40, "]" * 3, "? [a]", "- ", ": ", "#", "%YAML 9.9", "---", "...",
    "\x00", "\x07", "\ufeff", '"\\ud800"', '"\\x1b[31m"', "\t", "'", '"', "|", ">", "9" * 5_000,
    "1e999", "@", "`", "\r", "\x85", "\u2028", "{run_date}",
)  # fmt: skip


def inputs(seed: int, count: int) -> Iterator[bytes]:
    """Yield files: values of a sound configuration replaced, then some of their text."""
    rng = random.Random(seed)
    for _ in range(count):
        tree = copy.deepcopy(BASE)
        for name in rng.sample(_OPTIONAL, rng.randrange(len(_OPTIONAL))):  # fewer rules meet
            del tree[name]
        if rng.random() < 0.7:
            for _ in range(rng.randint(1, 3)):
                mutate_tree(rng, tree)
            yield _dump(tree)
            continue
        text = yaml.safe_dump(tree, sort_keys=False).encode()
        for _ in range(rng.randint(1, 3)):
            text = _mutate_text(rng, text)
        yield text


def _dump(tree: object) -> bytes:
    """Return a tree as JSON, which is YAML, and ten times as fast to write."""
    text = json.dumps(tree, ensure_ascii=False, indent=1)
    text = text.replace("Infinity", ".inf").replace("NaN", ".nan")
    return text.encode("utf-8", "surrogatepass")


def _mutate_text(rng: random.Random, text: bytes) -> bytes:
    at, behind = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    lines = text.splitlines(keepends=True) or [b""]
    match rng.randrange(6):
        case 0:
            return text[:at] + text[behind if behind - at < 80 else at + 1 :]
        case 1:
            return text[:at]
        case 2:
            line = rng.randrange(len(lines))
            return b"".join([*lines[:line], *lines[max(0, line - 3) : line + 1], *lines[line:]])
        case 3:
            return text[:at] + bytes([rng.randrange(256)]) + text[at + rng.randrange(2) :]
        case 4:
            value = text.find(b": ", at) + 2
            return text[:value] + rng.choice(_PIECES).encode() + b" " + text[value:]
        case _:
            piece = rng.choice([*_PIECES, *TEXTS]).encode("utf-8", "surrogatepass")
            return text[:at] + piece + text[at:]


def fuzz(seed: int, count: int, folder: Path) -> list[Failure]:
    """Load mutated configurations, and follow those that load to where Spark would be needed."""
    from sparkweights.app.tables import table_source
    from sparkweights.config.load import load_config
    from sparkweights.config.resolve import scoring_spec, training_spec
    from sparkweights.storage.files import as_json

    file = folder / "configuration.yaml"

    def target(content: bytes) -> None:
        file.write_bytes(content)
        config = load_config(file)
        record = config.fingerprint()
        as_json(record).encode()
        for table in record["tables"].values():
            values = table["options"].values() if table else ()
            assert CANARY not in str(list(values)), "a record holds the value of an option"
        spec = training_spec(config, COLUMNS)
        as_json(spec.to_dict()).encode()
        scoring_spec(config, spec)
        for role in ("labelled", "incoming"):
            if getattr(config.tables, role) is not None:
                table_source(config, role, date(2026, 3, 1))

    return failures(target, inputs(seed, count))
