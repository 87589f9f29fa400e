"""A formula as an ONNX model in double precision, for any runtime of the format."""

from __future__ import annotations

import math
from functools import cached_property, partial, reduce
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from sparkweights.core.errors import ModelError
from sparkweights.export.formula import TEXT, describe
from sparkweights.export.terms import Apply, Case, Constant, Term, Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx import NodeProto

    from sparkweights.export.formula import ScoringFormula

# Texts can be compared since 19; runtimes of 2023 and later know it.
OPERATORS, FORMAT = 19, 9
# Numbers can be NaN where they are missing; of a text, ONNX has no such value.
MISSING_TEXT = "\N{SYMBOL FOR NULL}"
_OPERATIONS = {
    "+": "Add",
    "*": "Mul",
    "-": "Sub",
    "<": "Less",
    "<=": "LessOrEqual",
    "=": "Equal",
    "and": "And",
    "exp": "Exp",
    "log": "Log",
}
_ROWS = "rows"


def to_onnx(formula: ScoringFormula) -> bytes:
    """Return a formula as a model in ONNX's own operators.

    Each column is an input of its own: a tensor of one value per row, of doubles in which NaN is
    missing, or of texts in which `MISSING_TEXT` is. Each output is such a tensor, too. The model's
    properties hold the version of the bundle, and `MISSING_TEXT` as ``missing_text``.

    Raises
    ------
    ModelError
        If a category of the model is `MISSING_TEXT`.
    """
    graph = _Graph(formula.inputs)
    for name, term in formula.steps.items():
        graph.values[Value(name)] = graph.add(term)
    outputs = [graph.output(name) for name in formula.outputs]
    inputs = [
        _column(name, TensorProto.STRING if kind == TEXT else TensorProto.DOUBLE)
        for name, kind in formula.inputs.items()
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "sparkweights", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPERATORS)],
        ir_version=FORMAT,
        producer_name="sparkweights",
        doc_string=describe(formula),
    )
    helper.set_model_props(model, {"version": formula.version, "missing_text": MISSING_TEXT})
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _column(name: str, kind: int) -> TensorProto:
    return helper.make_tensor_value_info(name, kind, [_ROWS])


class _Result(NamedTuple):
    """A tensor of the graph: its name, and whether it holds texts."""

    name: str
    is_text: bool = False


class _Graph:
    """Nodes as they are added; a term that occurs again is computed once."""

    def __init__(self, inputs: Mapping[str, str]) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.values: dict[Term, _Result] = {
            Value(name): _Result(name, kind == TEXT) for name, kind in inputs.items()
        }
        self._shape = self._node("Shape", next(iter(inputs)))

    def add(self, term: Term) -> _Result:
        """Add what computes a term."""
        if term not in self.values:
            self.values[term] = self._added(term)
        return self.values[term]

    def output(self, name: str) -> TensorProto:
        """Add an output: a step, with a value for each row also where it is a constant."""
        result = self.values[Value(name)]
        self.nodes.append(helper.make_node("Expand", [result.name, self._shape], [name]))
        return _column(name, TensorProto.STRING if result.is_text else TensorProto.DOUBLE)

    def _added(self, term: Term) -> _Result:
        match term:
            case Constant(value):
                return self._constant(math.nan if value is None else value)
            case Case(branches, otherwise):
                result = self.add(otherwise)
                for condition, chosen in reversed(branches):
                    parts = (self.add(condition).name, self.add(chosen).name, result.name)
                    result = _Result(self._node("Where", *parts), result.is_text)
                return result
            case Apply(function, arguments):
                return self._apply(function, [self.add(argument) for argument in arguments])
            case _:
                raise TypeError(type(term).__name__)

    def _constant(self, value: float | str) -> _Result:
        if value == MISSING_TEXT:
            raise ModelError(
                f"The model has the category '{MISSING_TEXT}', which stands for a missing text in "
                "exports to ONNX.",
                hint="leave onnx out of distill.export, or rename the category.",
            )
        return self._initial(value)

    def _initial(self, value: float | str) -> _Result:
        """Add a constant."""
        name = f"__constant_{len(self.constants)}"
        array = np.array(value, dtype=object if isinstance(value, str) else np.float64)
        self.constants.append(numpy_helper.from_array(array, name))
        return _Result(name, isinstance(value, str))

    def _apply(self, function: str, arguments: list[_Result]) -> _Result:
        names = [argument.name for argument in arguments]
        match function:
            case "missing":
                return self._is_missing(arguments[0])
            case "coalesce":
                *first, last = arguments
                for one in reversed(first):
                    parts = (self._is_missing(one).name, last.name, one.name)
                    last = _Result(self._node("Where", *parts), last.is_text)
                return last
            case "/":
                is_zero = self._node("Equal", names[1], self.add(Constant(0.0)).name)
                missing = self.add(Constant(None)).name
                return _Result(self._node("Where", is_zero, missing, self._node("Div", *names)))
            case "exp" | "log":
                return _Result(self._node(_OPERATIONS[function], *names))
            case _:  # of two or more
                join = partial(self._node, _OPERATIONS[function])
                return _Result(reduce(join, names))

    def _is_missing(self, result: _Result) -> _Result:
        if not result.is_text:
            return _Result(self._node("IsNaN", result.name))
        return _Result(self._node("Equal", result.name, self._missing_text))

    @cached_property
    def _missing_text(self) -> str:
        """The constant that a missing text equals."""
        return self._initial(MISSING_TEXT).name

    def _node(self, operation: str, *inputs: str) -> str:
        name = f"__{operation.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [name]))
        return name
