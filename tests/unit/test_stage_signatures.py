"""The constructors of the stages name their Params: completion, help() and defaults."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import sparkweights
from sparkweights import (
    CalibratorModel,
    ClassWeigher,
    CostDecider,
    CostMatrix,
    CostWeigher,
    ExpectedCostEvaluator,
    ProbabilityCalibrator,
    ProbabilityCorrector,
    WeigherModel,
)
from sparkweights.core.errors import ConfigError

STAGES: list[type[Any]] = [
    CalibratorModel, ClassWeigher, CostDecider, CostWeigher, ExpectedCostEvaluator,
    ProbabilityCalibrator, ProbabilityCorrector, WeigherModel,
]  # fmt: skip
each_stage = pytest.mark.parametrize("stage", STAGES)
COSTS = {"approve": {"repaid": 0, "defaulted": 9}, "decline": {"repaid": 1, "defaulted": 0}}


@each_stage
def test_signature_names_each_param_with_its_default(stage: type[Any]) -> None:
    """What help() shows is what a stage without arguments has; nothing else can be given."""
    shown = dict(inspect.signature(stage).parameters)
    made = stage()
    assert set(shown) == {param.name for param in made.params}
    assert all(parameter.kind == parameter.KEYWORD_ONLY for parameter in shown.values())
    for name, parameter in shown.items():
        default = parameter.default
        assert made.value(name) == (list(default) if isinstance(default, tuple) else default)
        assert not made.isSet(name)
    with pytest.raises(TypeError, match="by keyword only"):
        stage("label")


@each_stage
def test_docstring_tells_of_each_param(stage: type[Any]) -> None:
    """Of the stages that a user makes; a model's Params come from its estimator."""
    if stage in {CalibratorModel, WeigherModel}:
        assert all(param.doc for param in stage().params)
        return
    listed = stage.__doc__.split("Parameters", 1)[1]
    assert not [name for name in inspect.signature(stage).parameters if name not in listed]


@each_stage
def test_setters_and_getters_have_mllibs_names(stage: type[Any]) -> None:
    """They chain, check the value, and say what they set."""
    made = stage()
    for param in made.params:
        suffix = param.name[0].upper() + param.name[1:]
        assert getattr(made, f"get{suffix}")() == made.value(param.name)
        assert param.name in getattr(stage, f"set{suffix}").__doc__
    assert made.setHandleInvalid("skip") is made
    assert made.getHandleInvalid() == "skip"
    assert stage().getHandleInvalid() == "error"
    with pytest.raises(ConfigError, match="handleInvalid: 'drop'; allowed: one of error, skip"):
        made.setHandleInvalid("drop")


def test_every_stage_handles_invalid_rows() -> None:
    """No public stage leaves a row that it cannot use to chance."""
    public = [getattr(sparkweights, name) for name in sparkweights.__all__]
    stages = {one for one in public if hasattr(one, "setParams")}
    assert stages == set(STAGES)
    assert all(hasattr(stage, "handleInvalid") for stage in stages)


@pytest.mark.parametrize(
    "stage", [CostDecider, CostWeigher, ExpectedCostEvaluator, CalibratorModel]
)
def test_classes_are_one_mapping_in_the_order_of_the_label(stage: type[Any]) -> None:
    """MLlib's vector has the class of label 0 first, however the mapping was written."""
    made = stage(classes={"defaulted": 1, "repaid": 0})
    assert list(made.getClasses().items()) == [("repaid", 0), ("defaulted", 1)]
    declared = {"yes": "Y", "no": "N"}
    assert list(stage(classes=declared).getClasses()) == ["yes", "no"]
    for wrong in (["repaid", "defaulted"], {"repaid": 0}, {"a": 0, "b": 0}, {"a": 0, "b": None}):
        with pytest.raises(ConfigError, match="each class name with its value in the label"):
            stage(classes=wrong)


def test_costs_are_a_matrix_or_a_mapping() -> None:
    """A matrix means the same in every stage, whatever the order of its classes."""
    matrix = CostMatrix.parse(COSTS, ["defaulted", "repaid"])
    for stage in (CostDecider, ExpectedCostEvaluator):
        made = stage(costs=matrix, classes={"repaid": 0, "defaulted": 1})
        assert made.policy().matrix == CostMatrix.parse(COSTS, ["repaid", "defaulted"])
    with pytest.raises(ConfigError, match="costs: a list; allowed: a CostMatrix, or a mapping"):
        CostDecider(costs=[[0, 9], [1, 0]])


def test_a_stage_without_classes_says_what_it_needs() -> None:
    """Before any job, with what the Param is."""
    with pytest.raises(ConfigError, match=r"CostDecider needs Param classes.*value in the label"):
        CostDecider(costs=COSTS).policy()
