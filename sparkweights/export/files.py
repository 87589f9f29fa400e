"""The files of an export, by the names that the configuration gives to its forms."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from sparkweights.core.extras import ONNX
from sparkweights.export.formula import ScoringFormula
from sparkweights.export.sql import DIALECTS, to_sql
from sparkweights.local.scorer import LocalScorer
from sparkweights.storage.files import as_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkweights.bundle.integrity import VerifiedBundle

_QUERIES = {"sql": "model.sql", "spark_sql": "model.spark.sql"}
TABLE = "incoming"  # which the queries read; whoever runs one names the table or a view so


def export_files(bundle: VerifiedBundle, forms: Sequence[str]) -> dict[str, bytes]:
    """Return the files of a bundle's exports: name -> content.

    Parameters
    ----------
    forms
        ``sql``, ``spark_sql``, ``json``, ``onnx``, or ``python``, which has the JSON as well.

    Raises
    ------
    ModelError
        If the bundle's model cannot be stated as a formula.
    """
    formula = ScoringFormula.of(LocalScorer.of(bundle))
    contents: dict[str, bytes] = {}
    for form in forms:
        if form in DIALECTS:
            contents[_QUERIES[form]] = to_sql(formula, TABLE, DIALECTS[form]).encode()
        elif form == "onnx":
            contents["model.onnx"] = _onnx(formula)
        else:
            contents["model.json"] = as_json(formula.to_dict(), indent=None).encode()
        if form == "python":
            contents["standalone.py"] = _standalone()
    return contents


def _standalone() -> bytes:
    return files("sparkweights.export").joinpath("standalone.py").read_bytes()


def _onnx(formula: ScoringFormula) -> bytes:
    ONNX.require("An export to ONNX needs", "leave onnx out of distill.export")
    from sparkweights.export.onnx_graph import to_onnx  # noqa: PLC0415 (an extra)

    return to_onnx(formula)
