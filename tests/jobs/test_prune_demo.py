"""On the demo's clients: a deep tree, pruned, is smaller and no dearer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sparkweights.cli.main import main
from sparkweights.records.training import PruningCandidate
from sparkweights.training.pruning import one_standard_error

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Shop


def _trained(demo: Path, name: str, **model: Any) -> dict[str, Any]:
    record = yaml.safe_load((demo / "credit_card.yaml").read_text(encoding="utf-8"))
    record |= {
        "artifacts": f"out/{name}",
        "model": {"kind": "tree", "params": {"maxDepth": 10}, **model},
    }
    config = demo / f"{name}.yaml"
    config.write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
    assert main(["train", "--config", str(config), "--quiet"]) == 0
    models = demo / "out" / name
    version = (models / "current").read_text(encoding="utf-8").strip()
    assert not list(models.glob("_work*"))
    manifest: dict[str, Any] = json.loads((models / version / "manifest.json").read_text("utf-8"))
    return manifest


@pytest.mark.slow  # grows two deep trees
def test_pruned_tree_has_fewer_than_half_the_leaves_and_costs_no_more(demo: Path) -> None:
    """Grown to depth 10 with cost weights; pruned by gini, chosen by money on held-out rows."""
    whole, small = _trained(demo, "tree"), _trained(demo, "pruned", prune="gini")
    assert whole["pruning"] is None
    tried, chosen = small["pruning"]["candidates"], small["pruning"]["chosen"]
    assert chosen["leaves"] < tried[0]["leaves"] / 2
    assert small["evaluation"]["costs"]["ours"] <= whole["evaluation"]["costs"]["ours"]
    alphas = [entry["ccp_alpha"] for entry in tried]
    assert alphas == sorted(alphas)
    assert tried[-1]["leaves"] == 1
    # The root alone decides by limit only, whoever the client is.
    assert tried[-1]["cost"] > chosen["cost"]


def test_one_standard_error_takes_the_smallest_of_the_good() -> None:
    """Within the error of its own difference; the best itself where nothing smaller is."""
    best, near, far = (
        PruningCandidate(0.0, 9, 5.0, 0.0),
        PruningCandidate(0.1, 4, 5.1, 0.2),
        PruningCandidate(0.2, 2, 5.3, 0.1),
    )
    assert one_standard_error([best, near, far]) is near
    assert one_standard_error([best, far]) is best


@pytest.mark.slow
def test_pruning_error_is_that_of_the_difference_from_the_cheapest(own_shop: Shop) -> None:
    """The cheapest differs from itself by 0, without error; the chosen one by at most its own."""
    config = own_shop.config(model={"kind": "tree", "params": {"maxDepth": 4}, "prune": "gini"})
    assert own_shop.run("train", config, "--quiet") == 0
    models = own_shop.folder / "out" / "models"
    version = max(path.parent.name for path in models.glob("*/manifest.json"))
    found = json.loads((models / version / "manifest.json").read_text("utf-8"))["pruning"]
    best = min(found["candidates"], key=lambda tried: tried["cost"])
    assert best["standard_error"] == 0
    assert found["chosen"]["cost"] - best["cost"] <= found["chosen"]["standard_error"]
    assert max(tried["standard_error"] for tried in found["candidates"]) > 0
