"""Weighted softmax regression in rounds over kept, packed rows, with cross-entropy or focal loss.

How rounds converge is told in `sparkweights.models.rounds`; where rows are kept, and why a model is
the same for the same rows and seed, in `sparkweights.models.packed_rows`. Only sums of floating
point numbers by other processors can differ, in the last digits.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F

from sparkweights.core.arrow_batches import per_batch
from sparkweights.core.column_math import binary
from sparkweights.models.base import FEATURES, MARGIN, STAGES, Learner, StagedModel
from sparkweights.models.choices import ADAM
from sparkweights.models.linear import LinearModel
from sparkweights.models.losses import ClassLoss
from sparkweights.models.optimizers import Adam, Clipping, Schedule, Sgd, State
from sparkweights.models.packed_rows import collect_moments, collect_round, count_blocks, pack_rows
from sparkweights.models.rounds import Limits, RoundSettings, run_rounds
from sparkweights.models.row_sample import RowSample
from sparkweights.probability.corrections import FocalLoss
from sparkweights.storage.scratch import cached

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame

    from sparkweights.models.base import Array, FitSettings
    from sparkweights.models.declaration import ParamValue
    from sparkweights.models.packed_rows import Moments
    from sparkweights.models.rounds import BlockResult, Round
    from sparkweights.storage.location import Location

MODEL_FILE = "model.json"
# A round passes over few rows several times, as a Spark job takes as long as many steps.
MIN_STEPS = 64


@dataclass(frozen=True, eq=False)
class FeatureScale:
    """How features were standardised for training.

    Attributes
    ----------
    mean, deviation
        ``[position]``; a feature of deviation 0 has no slope.
    """

    mean: Array
    deviation: Array

    def in_own_units(self, parameters: Array) -> Array:
        """Return parameters of standardised features as those of the features.

        With one margin per class, the mean over the classes is subtracted, as MLlib does: it
        changes no probability.
        """
        slopes = np.divide(
            parameters[:, :-1],
            self.deviation,
            out=np.zeros_like(parameters[:, :-1]),
            where=self.deviation > 0,
        )
        intercepts = parameters[:, -1] - slopes @ self.mean
        own = np.concatenate([slopes, intercepts[:, None]], axis=1)
        return own if len(own) == 1 else own - own.mean(axis=0)

    def standardised(self, parameters: Array) -> Array:
        """Return parameters of the features as those of standardised ones."""
        intercepts = parameters[:, -1] + parameters[:, :-1] @ self.mean
        slopes = parameters[:, :-1] * self.deviation
        return np.concatenate([slopes, intercepts[:, None]], axis=1)


@dataclass(frozen=True, eq=False)
class MiniBatchModel(LinearModel, StagedModel):
    """A fitted softmax regression, whose stages are the rounds of its training.

    Attributes
    ----------
    parameters
        ``[margin, position + 1]`` in the features' units, the intercepts last.
    focal_gamma
        Of the loss; 0 for cross-entropy.
    scale
        From which further steps can be made; None in files of older releases.
    by_round
        The parameters after each round; empty where the model was read from files.
    rounds
        The record of each round.
    """

    parameters: Array
    focal_gamma: float = 0.0
    scale: FeatureScale | None = None
    by_round: tuple[Array, ...] = ()
    rounds: tuple[Round, ...] = ()

    @property
    def slopes(self) -> Array:
        """``[margin, position]``; of two classes, of the second one alone."""
        return self.parameters[:, :-1]

    @property
    def intercepts(self) -> Array:
        """``[margin]``."""
        return self.parameters[:, -1]

    def append_margin(self, df: DataFrame) -> DataFrame:
        """Evaluate the margins once per Arrow batch."""
        parameters = self.parameters

        def margin(batch: pa.Array) -> pa.Array:
            return _as_lists(_margins(_matrix(batch, parameters), parameters))

        margins = per_batch(margin, "array<double>")(vector_to_array(F.col(FEATURES)))
        return df.withColumn(MARGIN, margins).drop(FEATURES)

    def append_stages(self, df: DataFrame, _workspace: Location, /) -> DataFrame:
        """Evaluate the margins after each round on a batch of rows."""
        by_round = self.by_round

        def stages(batch: pa.Array) -> pa.Array:
            rows = _matrix(batch, by_round[0])
            margins = [_margins(rows, parameters) for parameters in by_round]
            flat = _as_lists(np.stack(margins, axis=1).reshape(len(rows) * len(margins), -1))
            offsets = np.arange(len(rows) + 1, dtype=np.int32) * len(margins)
            return pa.ListArray.from_arrays(pa.array(offsets), flat)

        column = per_batch(stages, "array<array<double>>")(vector_to_array(F.col(FEATURES)))
        return df.withColumn(STAGES, column).drop(FEATURES)

    def first_stages(self, stages: int, _workspace: Location, /) -> MiniBatchModel:
        """Return the model as it was after the first rounds, with the record of all."""
        return replace(self, parameters=self.by_round[stages - 1])

    def slope(self, weighted: Column, /) -> Column:
        """Return the change of the margin with the log odds of the class, as a difference quotient.

        With more than two classes it is that of the class against all others together.
        """
        if self.focal_gamma == 0:
            return super().slope(weighted)
        loss, step = FocalLoss(self.focal_gamma), 1e-3

        def log_odds(margin: Column) -> Column:
            others, own = loss.invert(binary(margin))
            return F.log(own / others)

        margin = F.log(weighted / (1 - weighted))
        rise = log_odds(margin + step) - log_odds(margin - step)
        return F.coalesce(2 * step / rise, F.lit(1.0))

    def training_rounds(self) -> tuple[Round, ...]:
        """Return the record of each round."""
        return self.rounds

    def save(self, folder: Location) -> None:
        """Write the parameters as JSON."""
        stated = {"focal_gamma": self.focal_gamma, "parameters": self.parameters.tolist()}
        if self.scale is not None:
            stated |= {name: values.tolist() for name, values in vars(self.scale).items()}
        (folder / MODEL_FILE).write_bytes(json.dumps(stated).encode())


class MiniBatch(Learner):
    """Weighted softmax regression in rounds."""

    def _fit(self, fit_df: DataFrame, settings: FitSettings) -> MiniBatchModel:
        """Fit in one Spark job for the moments, one that packs, and one per round."""
        moments = collect_moments(fit_df, settings.classes)
        params, seed = settings.params, settings.seed
        sample = RowSample.of(moments.class_rows, int(params.get("max_rows", moments.rows)))
        rounds = round_settings(params, moments, sample.rows, settings.classes, seed)
        with cached(pack_rows(fit_df, moments, seed, sample)) as packed_df:

            def run(state: State, number: int) -> list[BlockResult]:
                return collect_round(packed_df, state, number, rounds)

            result = run_rounds(
                run,
                State.start(start_of(moments)),
                rounds,
                _limits(params),
                settings.progress.step,
            )
        scale = FeatureScale(moments.mean, moments.deviation)
        by_round = tuple(map(scale.in_own_units, result.parameters))
        return MiniBatchModel(
            self.declaration,
            settings.classes,
            by_round[-1],
            rounds.loss.gamma,
            scale,
            by_round,
            result.rounds,
        )

    def load(self, folder: Location, classes: int) -> MiniBatchModel:
        """Read the parameters."""
        stated = json.loads((folder / MODEL_FILE).read_bytes())
        parameters = np.asarray(stated["parameters"], dtype=np.float64)
        scale = None
        if "mean" in stated:
            scale = FeatureScale(
                *(np.asarray(stated[name], dtype=np.float64) for name in ("mean", "deviation"))
            )
        return MiniBatchModel(self.declaration, classes, parameters, stated["focal_gamma"], scale)


def round_settings(
    params: Mapping[str, ParamValue], moments: Moments, rows: int, classes: int, seed: int
) -> RoundSettings:
    """Return how a round is made, from the learner's parameters and the moments of all rows.

    Parameters
    ----------
    rows
        How many rows are kept.
    """
    optimizer = Adam() if params["optimizer"] == ADAM else Sgd(float(params["momentum"]))
    batch_rows = int(params["batch_rows"])
    blocks = count_blocks(rows, len(moments.mean))
    steps = math.ceil(rows / blocks / batch_rows) if batch_rows else 1
    passes = math.ceil(MIN_STEPS / steps) if batch_rows else 1
    return RoundSettings(
        classes=classes,
        loss=ClassLoss(float(params["focal_gamma"])),
        l2=float(params["l2"]),
        batch_rows=batch_rows,
        steps=steps * passes,
        passes=passes,
        sampling=str(params["sampling"]),
        optimizer=optimizer,
        schedule=Schedule(
            float(params["learning_rate"]), str(params["schedule"]), int(params["rounds"])
        ),
        clipping=Clipping(
            by_class=_limit(params, "clip_class"),
            norm=_limit(params, "clip_norm"),
            value=_limit(params, "clip_value"),
        ),
        weight=float(moments.weights.sum()),
        rows=rows,
        seed=seed,
    )


def _limit(params: Mapping[str, ParamValue], name: str) -> float | None:
    return float(params[name]) if name in params else None


def _limits(params: Mapping[str, ParamValue]) -> Limits:
    return Limits(
        int(params["rounds"]), float(params.get("tol", 0)), float(params.get("max_seconds", 0))
    )


def start_of(moments: Moments) -> Array:
    """Return the parameters of the class shares alone."""
    logs = np.log(moments.weights / moments.weights.sum())
    intercepts = logs[1:] - logs[:1] if len(logs) == 2 else logs - logs.mean()
    intercepts = np.round(intercepts, 6)  # another processor's logarithm may end in another digit
    parameters = np.zeros((len(intercepts), len(moments.mean) + 1))
    parameters[:, -1] = intercepts
    return parameters


def _margins(rows: Array, parameters: Array) -> Array:
    """Return ``[row, class]``, of two classes minus the log odds and the log odds."""
    margins = rows @ parameters[:, :-1].T + parameters[:, -1]
    return np.concatenate([-margins, margins], axis=1) if len(parameters) == 1 else margins


def _matrix(batch: pa.Array, parameters: Array) -> Array:
    return np.asarray(batch.flatten()).reshape(len(batch), parameters.shape[1] - 1)


def _as_lists(rows: Array) -> pa.Array:
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.ravel()))
