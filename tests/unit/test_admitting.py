"""A configuration that was edited since training is told from the one that trained the model."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pyspark.sql.types import StringType, StructField, StructType

from sparkweights.config.load import load_config
from sparkweights.core.errors import ModelError
from sparkweights.scoring.schema_checks import require_same_labels, require_same_training

if TYPE_CHECKING:
    from pathlib import Path

    from sparkweights.config.schema import Config

SETTINGS: dict[str, Any] = {
    "name": "loans",
    "seed": 7,
    "columns": {
        "keys": ["id"],
        "label": "y",
        "classes": {"good": 0, "bad": 1},
        "numeric": ["income"],
        "categorical": ["branch"],
    },
    "costs": {"approve": {"good": 0, "bad": 20}, "decline": {"good": 1, "bad": 0}},
    "weights": {"scheme": "balanced"},
    "model": {"kind": "logistic", "params": {"regParam": 0.1}},
}


def _config(folder: Path, **sections: Any) -> Config:
    path = folder / "loans.yaml"
    path.write_text(yaml.safe_dump(SETTINGS | sections, sort_keys=False), encoding="utf-8")
    return load_config(path)


def _bundle(folder: Path, **sections: Any) -> Any:
    stated = json.loads(json.dumps(_config(folder, **sections).fingerprint()))
    return SimpleNamespace(version="v1", manifest={"config": stated})


@pytest.mark.parametrize(
    ("edited", "told"),
    [
        ({"seed": 8}, "seed 7 (now 8)"),
        ({"features": {"categorical": "target"}}, "features.categorical onehot (now target)"),
        ({"decision": {"calibration": "sigmoid"}}, "(now sigmoid)"),
        ({"weights": {"scheme": "none"}}, "weights.scheme balanced (now none)"),
        (
            {"model": {"kind": "logistic", "params": {"maxIter": 5}}},
            "model.params.maxIter not set (now 5), model.params.regParam 0.1 (now not set)",
        ),
        ({"resample": {"method": "under"}}, "resample.method not set (now under)"),
        ({"split": {"test": 0.3}}, "split.test 0.2 (now 0.3)"),
    ],
)
def test_same_training_edited_key_is_refused_with_both_values(
    tmp_path: Path, edited: dict[str, Any], told: str
) -> None:
    """The key, what the model was trained with, what the file says now, and the next step."""
    bundle = _bundle(tmp_path)
    with pytest.raises(ModelError) as caught:
        require_same_training(_config(tmp_path, **edited), bundle)
    assert told in caught.value.message
    assert "train with this configuration first" in str(caught.value.hint)


def test_same_training_what_the_model_does_not_follow_from_may_change(tmp_path: Path) -> None:
    """Costs, review, limits and places may change; a key that is new in the product may, too."""
    bundle = _bundle(tmp_path)
    del bundle.manifest["config"]["features"]["categorical"]
    costs = {"approve": {"good": 0, "bad": 30}, "decline": {"good": 1, "bad": 0}}
    changes: dict[str, Any] = {"costs": costs, "review": {"cost": 1}, "artifacts": "elsewhere"}
    require_same_training(_config(tmp_path, **changes), bundle)


def test_same_labels_swapped_values_are_refused_and_new_codes_are_not(tmp_path: Path) -> None:
    """0 meant good: where it means bad, every outcome would be taken for the other one."""
    bundle, schema = _bundle(tmp_path), StructType([StructField("y", StringType())])
    swapped = {**SETTINGS["columns"], "classes": {"good": 1, "bad": 0}}
    with pytest.raises(ModelError, match=r"1 is 'good'.*it was 'bad'"):
        require_same_labels(schema, _config(tmp_path, columns=swapped), bundle)
    coded = {**SETTINGS["columns"], "classes": {"good": "g", "bad": "b"}}
    require_same_labels(schema, _config(tmp_path, columns=coded), bundle)


def test_same_labels_another_column_is_refused_while_the_old_one_is_there(tmp_path: Path) -> None:
    """A new name for the label is fine; a second label is another question."""
    bundle = _bundle(tmp_path)
    config = _config(tmp_path, columns={**SETTINGS["columns"], "label": "later"})
    both = StructType([StructField("y", StringType()), StructField("later", StringType())])
    with pytest.raises(ModelError, match=r"columns\.label: 'later'.*trained on 'y'"):
        require_same_labels(both, config, bundle)
    require_same_labels(StructType([both["later"]]), config, bundle)
