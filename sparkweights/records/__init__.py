"""One typed, versioned record per stage; `sparkweights.records.store` writes them."""

from sparkweights.records.base import Record
from sparkweights.records.distillation import DistillationRecord
from sparkweights.records.evaluation import EvaluationRecord
from sparkweights.records.runs import (
    BackfillRecord,
    CheckRecord,
    MonitoringRecord,
    RunRecord,
    VacuumRecord,
)
from sparkweights.records.stream import StreamRecord
from sparkweights.records.studies import BacktestRecord, ImportanceRecord, TuningRecord
from sparkweights.records.training import TrainingRecord
from sparkweights.records.weights import WeightsRecord

__all__ = [
    "BackfillRecord",
    "BacktestRecord",
    "CheckRecord",
    "DistillationRecord",
    "EvaluationRecord",
    "ImportanceRecord",
    "MonitoringRecord",
    "Record",
    "RunRecord",
    "StreamRecord",
    "TrainingRecord",
    "TuningRecord",
    "VacuumRecord",
    "WeightsRecord",
]
