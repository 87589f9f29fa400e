"""How a model is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from sparkweights.spec.problem import DecisionProblem
from sparkweights.spec.settings import (
    Features,
    Model,
    Reasons,
    Resample,
    Section,
    Selection,
    SplitShares,
    Train,
    Tune,
    Weights,
)
from sparkweights.weights.rule import Grouping
from sparkweights.weights.spec import WeightSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.storage.location import AnyLocation

_SECTIONS = (
    "weights",
    "features",
    "model",
    "train",
    "split",
    "tune",
    "resample",
    "selection",
    "reasons",
)
_TRAINED_SECTIONS = ("weights", "resample", "features", "model", "split", "train")
_TRAINED_ROLES = ("keys", "label", "classes", "numeric", "categorical", "weight")


@dataclass(frozen=True)
class TrainingSpec:
    """Everything that determines a trained model, apart from its table.

    Attributes
    ----------
    problem
        What is decided, by which columns, at which costs.
    seed
        Of every draw; rows are drawn by a hash of their keys and this number.
    scratch
        A folder that driver and executors share, for temporary rows of a run. It
        is no part of what a model follows from, and is not stored.
    weights, features, model, train, split, tune
        The sections of the configuration by these names.
    calibration
        The method, or ``auto``.
    base_rate_tolerance, cost_tolerance
        Of the gates behind the evaluation, see `sparkweights.quality.gates`.
    resample, selection, reasons
        The sections of these names; None where the configuration has none.
    outside
        ``drop`` or ``refuse``: labelled rows without a class.
    """

    problem: DecisionProblem
    seed: int
    scratch: AnyLocation
    weights: Weights = Weights()
    features: Features = Features()
    model: Model = Model()
    train: Train = Train()
    split: SplitShares = SplitShares()
    tune: Tune = Tune()
    calibration: str = "auto"
    base_rate_tolerance: float = 0.1
    cost_tolerance: float = 0.15
    resample: Resample | None = None
    selection: Selection | None = None
    reasons: Reasons | None = None
    outside: str = "refuse"

    @property
    def weight_spec(self) -> WeightSpec:
        """The weighting scheme, with the columns that define groups."""
        w = self.weights
        time = self.problem.roles.time if w.window else None
        grouping = Grouping(w.by, time, w.window)
        return WeightSpec(w.scheme, w.power, w.beta, w.manual, w.floor, w.cap, grouping)

    @property
    def unit_columns(self) -> tuple[str, ...]:
        """The columns whose equal values keep rows together in parts, folds and draws."""
        return self.split.group or self.problem.roles.keys

    def with_model(self, **changes: object) -> TrainingSpec:
        """Return the spec with other settings of the model."""
        return replace(self, model=self.model.model_copy(update=changes))

    def stated(self) -> dict[str, object]:
        """Return the settings that determine a model, by configuration key.

        What costs and review are is left out, and which rows are refused: they act in the decision,
        and may change from day to day. Only pruning follows from costs.
        """
        record = self.to_dict()
        del record["features"]["missing"]
        roles = record["problem"]["roles"]
        keys = {
            "seed": record["seed"],
            "columns": {name: roles[name] for name in _TRAINED_ROLES},
            "decision": {"calibration": record["calibration"]},
            **{name: record[name] for name in _TRAINED_SECTIONS},
        }
        if self.model.prune != "none":
            keys["costs"] = record["problem"]["costs"]
        return leaves(keys)

    def to_dict(self) -> dict[str, Any]:
        """Return the spec, ready for JSON; `from_dict` reads it back."""
        sections = {name: getattr(self, name) for name in _SECTIONS}
        return {
            "problem": self.problem.to_dict(),
            "seed": self.seed,
            "calibration": self.calibration,
            "base_rate_tolerance": self.base_rate_tolerance,
            "cost_tolerance": self.cost_tolerance,
            "outside": self.outside,
            **{
                name: None if value is None else value.model_dump(mode="json", by_alias=True)
                for name, value in sections.items()
            },
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], *, scratch: AnyLocation) -> TrainingSpec:
        """Read a spec that `to_dict` wrote.

        A key that the product did not have then has its default.
        """
        return cls(
            problem=DecisionProblem.from_dict(record["problem"]),
            seed=record["seed"],
            scratch=scratch,
            weights=_read(Weights, record.get("weights")) or Weights(),
            features=_read(Features, record.get("features")) or Features(),
            model=_read(Model, record.get("model")) or Model(),
            train=_read(Train, record.get("train")) or Train(),
            split=_read(SplitShares, record.get("split")) or SplitShares(),
            tune=_read(Tune, record.get("tune")) or Tune(),
            calibration=record["calibration"],
            base_rate_tolerance=record["base_rate_tolerance"],
            cost_tolerance=record["cost_tolerance"],
            outside=record.get("outside", "refuse"),
            resample=_read(Resample, record.get("resample")),
            selection=_read(Selection, record.get("selection")),
            reasons=_read(Reasons, record.get("reasons")),
        )


_S = TypeVar("_S", bound=Section)


def _read(section: type[_S], value: object) -> _S | None:
    return None if value is None else section.model_validate(value)


def leaves(value: object, key: str = "") -> dict[str, object]:
    """Return nested settings by dotted key, without null values.

    Examples
    --------
    >>> leaves({"a": {"b": 1, "c": None}, "d": [2]})
    {'a.b': 1, 'd': [2]}
    """
    if not isinstance(value, dict):
        return {} if value is None else {key: value}
    settings: dict[str, object] = {}
    for name, nested in value.items():
        settings |= leaves(nested, f"{key}.{name}" if key else str(name))
    return settings


def training_differences(spec: TrainingSpec, trained: TrainingSpec) -> dict[str, str]:
    """Return each key in which a spec differs from what a model was trained by.

    Returns
    -------
    dict
        ``seed`` -> ``seed 7 (now 8)``.
    """
    before, now = trained.stated(), spec.stated()
    return {
        key: f"{key} {_value(before.get(key))} (now {_value(now.get(key))})"
        for key in dict.fromkeys([*now, *before])
        if before.get(key) != now.get(key)
    }


def _value(value: object) -> str:
    return "not set" if value is None else str(value)
