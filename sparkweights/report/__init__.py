"""Reports: from records to pictures; nothing here reads rows."""

from sparkweights.report.evaluation_report import evaluation_report
from sparkweights.report.model_report import model_report
from sparkweights.report.monitor_report import monitor_report
from sparkweights.report.run_report import run_report
from sparkweights.report.study_reports import explain_report, tuning_figure, tuning_report

__all__ = [
    "evaluation_report",
    "explain_report",
    "model_report",
    "monitor_report",
    "run_report",
    "tuning_figure",
    "tuning_report",
]
