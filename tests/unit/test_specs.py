"""A configuration that was edited since training is told from the one that trained the model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql.types import StringType, StructField, StructType

from sparkweights.config.load import load_config
from sparkweights.config.resolve import trained_spec, training_spec
from sparkweights.core.errors import ModelError
from sparkweights.records import TrainingRecord
from sparkweights.scoring.schema_checks import require_same_labels, require_same_training
from sparkweights.spec.training import TrainingSpec

MANIFEST = Path(__file__).parents[1] / "golden" / "model_manifest.json"
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


def _spec(folder: Path, **sections: Any) -> TrainingSpec:
    path = folder / "loans.yaml"
    path.write_text(yaml.safe_dump(SETTINGS | sections, sort_keys=False), encoding="utf-8")
    return training_spec(load_config(path), ["id", "y", "income", "branch"])


def _stored(spec: TrainingSpec) -> TrainingSpec:
    """Return a spec as a bundle keeps it: written as JSON and read again."""
    return TrainingSpec.from_dict(json.loads(json.dumps(spec.to_dict())), scratch="elsewhere")


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
    trained = _stored(_spec(tmp_path))
    with pytest.raises(ModelError) as caught:
        require_same_training(_spec(tmp_path, **edited), trained, "v1")
    assert told in caught.value.message
    assert "train with this configuration first" in str(caught.value.hint)


def test_same_training_what_the_model_does_not_follow_from_may_change(tmp_path: Path) -> None:
    """Costs, review, limits and places may change; a key that is new in the product may, too."""
    stored = _spec(tmp_path).to_dict()
    del stored["features"]["categorical"]
    del stored["tune"]
    trained = TrainingSpec.from_dict(stored, scratch="elsewhere")
    costs = {"approve": {"good": 0, "bad": 30}, "decline": {"good": 1, "bad": 0}}
    changes: dict[str, Any] = {"costs": costs, "review": {"cost": 1}, "artifacts": "elsewhere"}
    require_same_training(_spec(tmp_path, **changes), trained, "v1")


def test_same_training_costs_count_where_a_tree_was_pruned_by_them(tmp_path: Path) -> None:
    """Pruning takes the tree that costs least."""
    pruned: dict[str, Any] = {"model": {"kind": "tree", "prune": "gini"}}
    costs = {"approve": {"good": 0, "bad": 30}, "decline": {"good": 1, "bad": 0}}
    trained = _stored(_spec(tmp_path, **pruned))
    with pytest.raises(ModelError, match=r"costs\.approve\.bad 20 \(now 30\)"):
        require_same_training(_spec(tmp_path, **pruned, costs=costs), trained, "v1")


def test_spec_is_the_same_after_it_was_stored(tmp_path: Path) -> None:
    """What a bundle keeps is all that a model follows from."""
    spec = _spec(
        tmp_path,
        review={"cost": "0.1 * income", "capacity": 0.1},
        resample={"method": "under"},
        split={"group": ["branch"]},
        reasons={"against": {"decline": "bad"}},
        costs={"approve": {"good": 0, "bad": "2 * income"}, "decline": {"good": 1, "bad": 0}},
    )
    assert replace(_stored(spec), scratch=spec.scratch) == spec


def test_configuration_stored_by_an_earlier_release_gives_the_same_spec(tmp_path: Path) -> None:
    """Its bundles hold the configuration; it has all that the spec has."""
    path = tmp_path / "loans.yaml"
    spec = _spec(tmp_path)
    record = TrainingRecord.from_dict(json.loads(MANIFEST.read_text(encoding="utf-8")))
    assert record.spec is None
    stated = json.loads(json.dumps(load_config(path).fingerprint()))
    assert trained_spec(replace(record, config=stated), spec.scratch) == spec
    stored = replace(record, spec=_spec(tmp_path, seed=8).to_dict(), config=stated)
    assert trained_spec(stored, spec.scratch).seed == 8  # the stored spec counts


def _require_same_labels(schema: StructType, spec: TrainingSpec, trained: TrainingSpec) -> None:
    require_same_labels(schema, spec.problem.roles, trained.problem.roles, "v1")


def test_same_labels_swapped_values_are_refused_and_new_codes_are_not(tmp_path: Path) -> None:
    """0 meant good: where it means bad, every outcome would be taken for the other one."""
    trained, schema = _spec(tmp_path), StructType([StructField("y", StringType())])
    swapped = {**SETTINGS["columns"], "classes": {"good": 1, "bad": 0}}
    with pytest.raises(ModelError, match=r"1 is 'good'.*it was 'bad'"):
        _require_same_labels(schema, _spec(tmp_path, columns=swapped), trained)
    coded = {**SETTINGS["columns"], "classes": {"good": "g", "bad": "b"}}
    _require_same_labels(schema, _spec(tmp_path, columns=coded), trained)


def test_same_labels_another_column_is_refused_while_the_old_one_is_there(tmp_path: Path) -> None:
    """A new name for the label is fine; a second label is another question."""
    trained = _spec(tmp_path)
    spec = _spec(tmp_path, columns={**SETTINGS["columns"], "label": "later"})
    both = StructType([StructField("y", StringType()), StructField("later", StringType())])
    with pytest.raises(ModelError, match=r"columns\.label: 'later'.*trained on 'y'"):
        _require_same_labels(both, spec, trained)
    _require_same_labels(StructType([both["later"]]), spec, trained)
