"""The demo: 30,000 real card clients, a configuration, and expectation suites.

Data: default of credit card clients, Taiwan 2005 (Yeh & Lien 2009, Expert Systems with
Applications 36(2), 2473-2480), CC BY 4.0; see ``taiwan_default.md`` beside it.
"""

from __future__ import annotations

import io
from datetime import date
from importlib import resources
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from sparkweights.core.errors import PublishError
from sparkweights.core.extras import XGBOOST
from sparkweights.storage.files import write_table, write_text
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from sparkweights.storage.location import AnyLocation

RUN_DATE = date(2005, 10, 1)  # the outcome is what clients did in this month
INCOMING_EVERY = 5  # one client in five is in the incoming table, whose outcomes are unknown
_MONTHS = ("september", "august", "july", "june", "may", "april")
_STATUS = ("PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6")  # the source skips PAY_1
_FILES = (
    "credit_card.yaml",
    "logistic.yaml",
    "expectations/incoming.json",
    "expectations/scored.json",
)


def column_names() -> dict[str, str]:
    """Return the source's column names with the ones that the demo gives them."""
    names = {
        "ID": "client_id",
        "LIMIT_BAL": "credit_limit",
        "SEX": "sex",
        "EDUCATION": "education",
        "MARRIAGE": "marriage",
        "AGE": "age",
        "default_payment_next_month": "defaulted",
    }
    for i, month in enumerate(_MONTHS):
        names[_STATUS[i]] = f"status_{month}"
        names[f"BILL_AMT{i + 1}"] = f"bill_{month}"
        names[f"PAY_AMT{i + 1}"] = f"paid_{month}"
    return names


def clients() -> pa.Table:
    """Return all 30,000 clients with sensible column names; values are the source's own."""
    content = (resources.files(__name__) / "taiwan_default.parquet").read_bytes()
    table = pq.read_table(io.BytesIO(content))
    return table.rename_columns([column_names()[name] for name in table.column_names])


def _possible(text: str) -> str:
    """Leave reasons out of a configuration where the library that they need is missing."""
    start = text.find("\nreasons:\n")
    if start < 0 or XGBOOST.is_installed:
        return text
    advice = f"# reasons: {XGBOOST.command}, and see the README"
    end = text.index("\nweights:", start)
    return f"{text[:start]}\n{advice}{text[end:]}"


def write_demo(folder: AnyLocation) -> Location:
    """Write the demo's working folder: history, incoming, configurations and suites.

    Every fifth client becomes part of ``incoming``, without its outcome; the others are
    ``history``. Files of an earlier demo are replaced; outputs are left alone.

    Raises
    ------
    PublishError
        If the folder cannot be written.
    """
    target, table = Location.of(folder), clients()
    incoming = [identity.as_py() % INCOMING_EVERY == 0 for identity in table["client_id"]]
    arrives = pa.array(incoming)
    try:
        for name, rows in (
            ("history", table.filter(pa.array([not row for row in incoming]))),
            ("incoming", table.filter(arrives).drop_columns(["defaulted"])),
        ):
            write_table(target / "data" / name / "part-0.parquet", rows)
        for name in _FILES:
            text = (resources.files(__name__) / name).read_text(encoding="utf-8")
            write_text(target / name, _possible(text))
    except PublishError as error:
        raise PublishError(error.message, hint="choose another folder with --into.") from None
    return target
