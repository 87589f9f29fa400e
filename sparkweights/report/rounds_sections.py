"""Sections of a model's report about its training in rounds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sparkweights.report import figures
from sparkweights.report.numbers import number, percent
from sparkweights.report.page import Figure, Section

if TYPE_CHECKING:
    from sparkweights.records import TrainingRecord


def rounds_sections(record: TrainingRecord) -> list[Section]:
    """Return the loss and the gradients by round, if the model was trained in rounds."""
    if not record.rounds:
        return []
    return [_loss_section(record), _gradients_section(record)]


def _loss_section(record: TrainingRecord) -> Section:
    rounds = record.rounds
    losses = tuple(_known(entry.loss) for entry in rounds)
    by_class = {
        name: tuple(_known(entry.class_losses[c]) for entry in rounds)
        for c, name in enumerate(record.classes)
    }
    kept = None if record.stopping is None else record.stopping.kept
    curve = figures.LossByRound(losses, by_class, kept)
    return Section(
        "rounds",
        "Training rounds: how did the loss fall?",
        f"In {len(rounds)} rounds the objective fell from {number(losses[0])} to "
        f"{number(losses[-1])}, each measured on the training rows at the start of a round.",
        figure=Figure(
            figures.draw_loss_by_round(curve),
            "Loss by round",
            "Blue: the objective that training minimises, of all weighted rows. Orange: the mean "
            "loss of the rows of each class. A class whose loss rises is given up for the others.",
            figures.loss_table(curve),
        ),
    )


def _gradients_section(record: TrainingRecord) -> Section:
    rounds = record.rounds
    gradients = figures.GradientsByRound(
        tuple(_known(entry.gradient_norm) for entry in rounds),
        tuple(math.sqrt(_known(entry.gradient_variance)) for entry in rounds),
        tuple(_known(entry.largest) for entry in rounds),
        tuple(entry.clipped for entry in rounds),
    )
    clipped = sum(gradients.clipped) / len(rounds)
    return Section(
        "gradients",
        "Gradients: how noisy were the steps?",
        f"{percent(clipped)} of the steps were clipped; the largest gradient that a step followed "
        f"has norm {number(max(gradients.largest))}.",
        figure=Figure(
            figures.draw_gradients_by_round(gradients),
            "Gradients by round",
            "Where the standard deviation between the steps of a round lies far above the norm of "
            "their mean, most of a step is noise: batches that draw rare rows more often, larger "
            "batches, or a smaller learning rate reduce it.",
            figures.gradients_table(gradients),
        ),
    )


def _known(value: float | None) -> float:
    return math.nan if value is None else value
