"""XGBoost's library, where it is installed: what this product asks of it besides training."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from sparkweights.core.errors import ConfigError


def open_booster(text: bytes) -> Any:  # noqa: ANN401 (xgboost is optional)
    """Return the booster of XGBoost's JSON."""
    from xgboost import Booster  # noqa: PLC0415 (optional: loaded only when asked for)

    booster = Booster()
    booster.load_model(bytearray(text))
    booster.set_param({"nthread": 1})  # Spark runs a task per core already
    return booster


def require_xgboost(wanted: str = "model.kind: xgboost needs") -> None:
    """Refuse where the optional library is missing.

    Parameters
    ----------
    wanted
        The start of the sentence: what needs it.

    Raises
    ------
    ConfigError
        Naming what to install.
    """
    if find_spec("xgboost") is None:
        raise ConfigError(
            f"{wanted} the xgboost library, which is not installed.",
            hint="pip install 'sparkweights[xgboost]', or use logistic.",
        )
