"""Quality: Great Expectations suites, row checks that quarantine, and the gates that stop a run."""

from sparkweights.quality.checks import RowCheck, failed_checks, row_checks
from sparkweights.quality.gate import gate_base_rate, gate_checks, gate_shares
from sparkweights.quality.suites import CheckReport, CheckResult, load_suite, run_suite

__all__ = [
    "CheckReport",
    "CheckResult",
    "RowCheck",
    "failed_checks",
    "gate_base_rate",
    "gate_checks",
    "gate_shares",
    "load_suite",
    "row_checks",
    "run_suite",
]
