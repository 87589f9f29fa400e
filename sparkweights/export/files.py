"""The files of an export, by the names that the configuration gives to its forms."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from sparkweights.export.formula import ScoringFormula
from sparkweights.export.sql import DIALECTS, to_sql
from sparkweights.local.scorer import LocalScorer
from sparkweights.storage.files import as_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkweights.bundle.integrity import VerifiedBundle

_QUERIES = {"sql": "model.sql", "spark_sql": "model.spark.sql"}
TABLE = "incoming"  # which the queries read; whoever runs one names the table or a view so


def export_files(bundle: VerifiedBundle, forms: Sequence[str]) -> dict[str, str]:
    """Return the files of a bundle's exports: name -> text.

    Parameters
    ----------
    forms
        ``sql``, ``spark_sql``, ``json`` or ``python``, which has the JSON as well.

    Raises
    ------
    ModelError
        If the bundle's model cannot be stated as a formula.
    """
    formula = ScoringFormula.of(LocalScorer.of(bundle))
    texts: dict[str, str] = {}
    for form in forms:
        if form in DIALECTS:
            texts[_QUERIES[form]] = to_sql(formula, TABLE, DIALECTS[form])
            continue
        texts["model.json"] = as_json(formula.to_dict(), indent=None)
        if form == "python":
            texts["standalone.py"] = _standalone()
    return texts


def _standalone() -> str:
    return files("sparkweights.export").joinpath("standalone.py").read_text(encoding="utf-8")
