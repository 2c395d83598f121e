"""The sample study: simulated chest radiographs, made on the spot. Not for clinical use."""

from engine.data.phantoms.findings import LABELS
from engine.data.phantoms.study import StudyPlan, simulate_radiograph, write_sample_study

__all__ = ["LABELS", "StudyPlan", "simulate_radiograph", "write_sample_study"]
