"""Early stopping: the stages that undone probabilities ask for, in the bundle that scores."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from sparkweights.app.training_checks import warn_of_params
from sparkweights.bundle.bundle import load_bundle
from sparkweights.training.early_stopping import stages_to_keep

if TYPE_CHECKING:
    from conftest import Shop

GREEDY: dict[str, dict[str, Any]] = {
    "boosted_trees": {"maxIter": 20, "maxDepth": 6, "stepSize": 0.6},
    "xgboost": {"n_estimators": 30, "max_depth": 6, "learning_rate": 0.6},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["boosted_trees", "xgboost"])
def test_patience_keeps_the_stages_before_overfitting(shop: Shop, kind: str) -> None:
    """Steep steps overfit soon; the model in the bundle is the one of least held-out loss."""
    config = shop.config(
        f"{kind}.yaml",
        artifacts=f"out/{kind}",
        model={"kind": kind, "params": GREEDY[kind], "patience": 8},
        decision={"base_rate_tolerance": 1.0, "cost_tolerance": 1.0},
    )
    assert shop.run("train", config, "--quiet") == 0
    models = shop.folder / "out" / kind
    assert not list(models.glob("_work*"))
    bundle = load_bundle(models)
    found = json.loads((models / bundle.version / "manifest.json").read_text())["stopping"]
    kept, losses = found["kept"], found["losses"]
    assert kept < len(losses) == (20 if kind == "boosted_trees" else 30)
    assert losses[kept - 1] == min(losses[: kept + 8])
    trees = (
        len(bundle.model.native.treeWeights)
        if kind == "boosted_trees"
        else bundle.model.trees.booster.num_boosted_rounds()
    )
    assert trees == kept
    # Near the entropy of the shares, 0.557; scores that still carry the weights are far above.
    assert losses[kept - 1] < 0.6


def test_stages_to_keep_is_patient_only_so_long() -> None:
    """A later, lower minimum is not reached across the limit; ties keep the earlier."""
    losses = [0.9, 0.5, 0.6, 0.5, 0.6, 0.1]
    assert stages_to_keep(losses, 3) == 2
    assert stages_to_keep(losses, 4) == 6
    assert stages_to_keep([0.3], 1) == 1


def test_long_boosting_is_told_of_once_and_with_the_longest() -> None:
    """Whatever is to be fitted: the largest of what a search tries decides."""

    class Heard:
        texts: ClassVar[list[str]] = []

        def step(self, text: str) -> None:
            """Hear of a step."""

        def warn(self, text: str) -> None:
            self.texts.append(text)

    engine: Any = SimpleNamespace(conf=SimpleNamespace(get=lambda _name, default: default))
    warn_of_params(engine, Heard(), "boosted_trees", {}, {"maxIter": 50})
    assert Heard.texts == []
    tried = {"stepSize": 0.1}, {"maxIter": 150}, {"maxIter": 300}
    warn_of_params(engine, Heard(), "boosted_trees", *tried)
    assert len(Heard.texts) == 1
    assert "300" in Heard.texts[0]


def test_patience_is_refused_where_nothing_is_boosted(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """A logistic model has no stages."""
    config = shop.config("refused.yaml", model={"kind": "logistic", "patience": 5})
    assert shop.run("train", config, "--quiet") == 2
    assert (
        "model.patience: 5 needs kind xgboost, mini_batch, or boosted_trees"
        in capsys.readouterr().err
    )
