"""Quality: Great Expectations suites, row checks that quarantine, and the gates that stop a run."""

from sparkweights.quality.checks import RowCheck, failed_checks
from sparkweights.quality.compiled import CompiledSuite, compile_suite, run_suite
from sparkweights.quality.gate import gate_base_rate, gate_checks, gate_shares
from sparkweights.quality.suites import CheckReport, CheckResult, load_suite

__all__ = [
    "CheckReport",
    "CheckResult",
    "CompiledSuite",
    "RowCheck",
    "compile_suite",
    "failed_checks",
    "gate_base_rate",
    "gate_checks",
    "gate_shares",
    "load_suite",
    "run_suite",
]
