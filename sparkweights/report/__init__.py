"""Reports: from records to pictures; nothing here reads rows."""

from sparkweights.report.backtest_report import backtest_report
from sparkweights.report.evaluation_report import evaluation_report
from sparkweights.report.evaluation_sections import money_section
from sparkweights.report.model_report import model_report
from sparkweights.report.monitor_report import monitor_report
from sparkweights.report.notebook import fragment
from sparkweights.report.population_sections import drift_sections
from sparkweights.report.run_report import decisions_section, run_report
from sparkweights.report.study_reports import explain_report, tuning_figure, tuning_report

__all__ = [
    "backtest_report",
    "decisions_section",
    "drift_sections",
    "evaluation_report",
    "explain_report",
    "fragment",
    "model_report",
    "money_section",
    "monitor_report",
    "run_report",
    "tuning_figure",
    "tuning_report",
]
