"""Quality: Great Expectations suites on a pass over the rows, and the gates that stop a run."""

from sparkweights.quality.compiled import CompiledSuite, compile_suite, run_suite
from sparkweights.quality.gate import gate_base_rate, gate_checks, gate_costs, gate_shares
from sparkweights.quality.profile import Profile, collect_profile, propose_suite
from sparkweights.quality.suites import CheckReport, CheckResult, load_suite

__all__ = [
    "CheckReport",
    "CheckResult",
    "CompiledSuite",
    "Profile",
    "collect_profile",
    "compile_suite",
    "gate_base_rate",
    "gate_checks",
    "gate_costs",
    "gate_shares",
    "load_suite",
    "propose_suite",
    "run_suite",
]
