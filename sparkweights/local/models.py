"""Fitted models in numpy, read from the files that the learners write.

Each function here opens the models of one kind, which names it in its `LearnerDeclaration`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csc_array, csr_array
from scipy.special import expit, softmax

from sparkweights.core.errors import ModelError, SparkweightsError, join_names
from sparkweights.models.registry import declaration, kinds
from sparkweights.trees.nodes import MLlibNode, group_by_tree, to_flat_trees
from sparkweights.trees.xgboost_json import open_booster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xgboost import Booster

    from sparkweights.local.columns import Array
    from sparkweights.trees.flat_trees import FlatTree


class LocalModel(Protocol):
    """A fitted model as a function of feature vectors."""

    def probabilities(self, rows: Array) -> Array:
        """Return ``[row, class]``: weighted probabilities of ``[row, position]``."""


@dataclass(frozen=True)
class SavedModel:
    """The files of a fitted model, as its learner wrote them.

    Attributes
    ----------
    contents
        Path in the model's folder -> bytes.
    classes
        How many classes the model has.
    """

    contents: Mapping[str, bytes]
    classes: int

    def below(self, folder: str) -> SavedModel:
        """Return the files of a folder."""
        files = {
            name.removeprefix(f"{folder}/"): content
            for name, content in self.contents.items()
            if name.startswith(f"{folder}/")
        }
        return SavedModel(files, self.classes)

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises
        ------
        ModelError
            If it is missing.
        """
        if name not in self.contents:
            raise ModelError(
                f"The model lacks the file '{name}'; it has {join_names(self.contents)}.",
                hint="score with sparkweights.load_bundle, or train again.",
            )
        return self.contents[name]

    def table(self, folder: str) -> pa.Table:
        """Return a table that Spark wrote into a folder as Parquet.

        Raises
        ------
        ModelError
            If there is none.
        """
        parts = [
            content
            for name, content in sorted(self.below(folder).contents.items())
            if name.endswith(".parquet") and not name.startswith((".", "_"))
        ]
        if not parts:
            raise ModelError(
                f"The model has no Parquet file in its folder '{folder}'; it has "
                f"{join_names(self.contents)}.",
                hint="score with sparkweights.load_bundle, or train again.",
            )
        return pa.concat_tables([pq.read_table(pa.BufferReader(part)) for part in parts])


def open_model(kind: str, saved: SavedModel) -> LocalModel:
    """Open the files of a fitted model.

    Raises
    ------
    ModelError
        If models of this kind cannot be opened without Spark, or the files are not those of one.
    ConfigError
        If the library of the learner is missing.
    """
    opening = {
        name: reader for name in kinds() if (reader := declaration(name).local_reader) is not None
    }
    if kind not in opening:
        raise ModelError(
            f"Models of kind '{kind}' cannot be opened without Spark; available for: "
            f"{join_names(opening)}.",
            hint="score with sparkweights.load_bundle.",
        )
    declaration(kind).require_extra()
    module, _, name = opening[kind].partition(":")
    reader = getattr(import_module(module), name)
    try:
        model: LocalModel = reader(saved)
    except SparkweightsError:
        raise
    except (LookupError, TypeError, ValueError, pa.ArrowException) as error:
        raise ModelError(
            f"The files of the model of kind '{kind}' have a form that sparkweights does not know "
            f"({type(error).__name__}).",
            hint="update sparkweights, or score with sparkweights.load_bundle.",
        ) from error
    return model


@dataclass(frozen=True)
class LocalLogistic:
    """A logistic regression; ``[class, position]``, of two classes the second alone."""

    slopes: Array
    intercepts: Array

    def probabilities(self, rows: Array) -> Array:
        """Return ``[row, class]``."""
        margin = rows @ self.slopes.T + self.intercepts
        return (
            _binary(margin[:, 0]) if len(self.slopes) == 1 else np.asarray(softmax(margin, axis=1))
        )


@dataclass(frozen=True)
class LocalBoosting:
    """Sums of trees: of two classes one, half the log odds of the second; of more one per class.

    Attributes
    ----------
    sums
        The trees of each sum.
    """

    sums: tuple[tuple[FlatTree, ...], ...]

    def probabilities(self, rows: Array) -> Array:
        """Return ``[row, class]``; of many classes, each against the rest, divided by the sum."""
        margins = [sum(tree.value[tree.leaf(rows)] for tree in trees) for trees in self.sums]
        if len(margins) == 1:
            return _binary(2 * np.asarray(margins[0]))
        return _normalised(np.stack([expit(2 * margin) for margin in margins], axis=1))


@dataclass(frozen=True)
class LocalShares:
    """Trees of class shares: one, or a forest, whose probabilities are the mean over its trees.

    Attributes
    ----------
    trees
        ``[tree][class]``: a tree with the shares of one class; the classes share the nodes.
    """

    trees: tuple[tuple[FlatTree, ...], ...]

    def probabilities(self, rows: Array) -> Array:
        """Return ``[row, class]``."""
        total = np.zeros((len(rows), len(self.trees[0])))
        for by_class in self.trees:
            total += np.stack([tree.value for tree in by_class], axis=1)[by_class[0].leaf(rows)]
        return _normalised(total)


@dataclass(frozen=True)
class LocalBooster:
    """XGBoost's trees, evaluated by its library in float32."""

    booster: Booster
    classes: int

    def probabilities(self, rows: Array) -> Array:
        """Return ``[row, class]``."""
        if not len(rows):
            return np.empty((0, self.classes))
        with np.errstate(over="ignore"):  # as Spark's cast, which gives infinity
            singles = rows.astype(np.float32)
        stated = self.booster.inplace_predict(singles, predict_type="margin")
        margin = np.asarray(stated, dtype=np.float64).reshape(len(rows), -1)
        return _binary(margin[:, 0]) if self.classes == 2 else np.asarray(softmax(margin, axis=1))


def read_logistic(saved: SavedModel) -> LocalLogistic:
    """Read MLlib's logistic regression."""
    (row,) = saved.table("data").to_pylist()
    return LocalLogistic(_matrix(row["coefficientMatrix"]), _vector(row["interceptVector"]))


def read_mini_batch(saved: SavedModel) -> LocalLogistic:
    """Read the parameters of a softmax regression."""
    parameters = np.asarray(json.loads(saved.read("model.json"))["parameters"], dtype=np.float64)
    return LocalLogistic(parameters[:, :-1], parameters[:, -1])


def read_boosted_trees(saved: SavedModel) -> LocalBoosting:
    """Read MLlib's boosted trees: a model, or the models of one against the rest."""
    if saved.classes == 2:  # MLlib's boosted trees are binary
        return LocalBoosting((_boosted(saved),))
    each = [saved.below(f"model_{c}") for c in range(saved.classes)]
    return LocalBoosting(tuple(map(_boosted, each)))


def read_shares(saved: SavedModel) -> LocalShares:
    """Read MLlib's tree, or its forest."""
    nodes = _nodes(saved)
    ones = [1.0] * len(nodes)
    by_class = [to_flat_trees(nodes, ones, c) for c in range(saved.classes)]
    return LocalShares(tuple(zip(*by_class, strict=True)))


def read_xgboost(saved: SavedModel) -> LocalBooster:
    """Read XGBoost's JSON."""
    return LocalBooster(open_booster(saved.read("model.json")), saved.classes)


def _boosted(saved: SavedModel) -> tuple[FlatTree, ...]:
    numbers, _, weights = (column.to_pylist() for column in saved.table("treesMetadata").columns)
    by_tree = dict(zip(numbers, weights, strict=True))
    nodes = _nodes(saved)
    return tuple(to_flat_trees(nodes, [by_tree[t] for t in range(len(nodes))]))


def _nodes(saved: SavedModel) -> list[list[MLlibNode]]:
    rows = saved.table("data").to_pylist()
    return group_by_tree(
        (row["treeID"], _node(row["nodeData"])) if "nodeData" in row else (0, _node(row))
        for row in rows
    )


def _node(row: Mapping[str, Any]) -> MLlibNode:
    names = ("id", "leftChild", "rightChild", "prediction", "impurityStats", "rawCount")
    of_split = ("featureIndex", "leftCategoriesOrThreshold", "numCategories")
    return MLlibNode(*(row[name] for name in names), *(row["split"][name] for name in of_split))


def _vector(stated: Mapping[str, Any]) -> Array:
    """Return a vector that Spark wrote: its values, and their positions if it is sparse."""
    if stated["indices"] is None:
        return np.asarray(stated["values"], dtype=float)
    dense = np.zeros(stated["size"])
    dense[stated["indices"]] = stated["values"]
    return dense


def _matrix(stated: Mapping[str, Any]) -> Array:
    """Return a matrix that Spark wrote: by columns, or by rows if it is transposed."""
    shape, values = (stated["numRows"], stated["numCols"]), np.asarray(stated["values"])
    by_row = stated["isTransposed"]
    if stated["colPtrs"] is None:
        return values.reshape(shape, order="C" if by_row else "F")
    compressed = csr_array if by_row else csc_array
    sparse = compressed((values, stated["rowIndices"], stated["colPtrs"]), shape=shape)
    return np.asarray(sparse.toarray())


def _binary(log_odds: Array) -> Array:
    return np.stack([expit(-log_odds), expit(log_odds)], axis=1)


def _normalised(values: Array) -> Array:
    return np.asarray(values / values.sum(axis=1, keepdims=True))
