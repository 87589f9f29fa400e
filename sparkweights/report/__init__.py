"""Reports: from records to pictures; nothing here reads rows."""

from sparkweights.report.charts import tuning_curve

__all__ = ["tuning_curve"]
