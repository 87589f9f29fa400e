"""Draw the README's pictures from the demo's model: ``python docs/draw.py sparkweights-demo``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sparkweights.records import TrainingRecord
from sparkweights.report.model_report import model_page

PICTURES = {"decision-cost": "cost_by_decision.svg", "threshold-0": "cost_by_cut.svg"}


def main(demo: Path) -> None:
    """Write both pictures beside this file."""
    models = demo / "out" / "models"
    version = (models / "current").read_text(encoding="utf-8").strip()
    manifest = json.loads((models / version / "manifest.json").read_text(encoding="utf-8"))
    for section in model_page(TrainingRecord.from_dict(manifest)).sections:
        if section.id in PICTURES and section.figure is not None:
            target = Path(__file__).parent / PICTURES[section.id]
            target.write_text(section.figure.svg + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
