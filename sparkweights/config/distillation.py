"""What must hold between the student of a configuration and its other sections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError
from sparkweights.core.extras import ONNX
from sparkweights.models.registry import AUTO, capabilities, kinds_that
from sparkweights.spec.settings import MAX_EXPORTED_LEAVES

if TYPE_CHECKING:
    from sparkweights.config.schema import Config
    from sparkweights.models.declaration import Capabilities
    from sparkweights.spec.settings import Distill


def check_distillation(config: Config) -> None:
    """Refuse a student that cannot be trained.

    Raises
    ------
    ConfigError
        With the key path, the value, what is allowed, and the next step.
    """
    settings = config.distill
    if settings is None:
        return
    if settings.model.kind == AUTO:
        raise ConfigError(
            f"distill.model.kind: {AUTO!r}, but a student is one learner.",
            hint="name it, for instance logistic or tree.",
        )
    if settings.temperature > 1 and config.decision.calibration == "none":
        raise ConfigError(
            f"distill.temperature: {settings.temperature:g} moves probabilities towards each "
            "other, and decision.calibration: none leaves them so.",
            hint="leave the temperature out, or choose a calibration.",
        )
    if config.path(settings.artifacts) == config.path(config.artifacts):
        raise ConfigError(
            f"distill.artifacts: '{settings.artifacts}' is the folder of the teacher's models, "
            "where a student would come into use.",
            hint="name another folder.",
        )
    if settings.export:
        _check_export(settings)
    try:
        config.student.check()
    except ConfigError as error:
        raise ConfigError(f"distill: {error.message}", hint=error.hint) from None


def _check_export(settings: Distill) -> None:
    """Refuse exports of models that have none, before one is trained and published."""
    if "onnx" in settings.export:
        ONNX.require("distill.export: onnx needs", "leave it out")
    kind, params = settings.model.kind, settings.model.params
    if not _has_export(capabilities(kind)):
        raise ConfigError(
            f"distill.export: models of kind {kind!r} have none; available for: "
            f"{kinds_that(_has_export)}.",
            hint="leave distill.export out, or choose another student.",
        )
    if capabilities(kind).prunable:
        _check_exported_leaves(settings)
    if params.get("focal_gamma"):
        raise ConfigError(
            "distill.export: a model with focal loss has none.",
            hint="leave distill.export or focal_gamma out.",
        )


def _check_exported_leaves(settings: Distill) -> None:
    """Refuse a tree that may have more leaves than an export states."""
    depth, stated = settings.model.params.get("maxDepth"), settings.model.max_leaves
    by_depth = 2**depth if isinstance(depth, int) else 0
    leaves = by_depth if stated is None else stated
    if leaves > MAX_EXPORTED_LEAVES:
        raise ConfigError(
            f"distill.export: the tree may have {leaves} leaves; exports state at most "
            f"{MAX_EXPORTED_LEAVES}.",
            hint="state distill.model.max_leaves, for instance 32, or leave distill.export out.",
        )


def _has_export(can: Capabilities) -> bool:
    """Return whether models are linear, or one tree."""
    return can.linear or can.prunable
