"""How far a scorer's verdicts are those of people: agreement, consistency, and where it leans."""

from harness.calibration.labels import Columns, Labels, read_labels
from harness.calibration.run import Calibration, calibrate
from harness.calibration.scale import Scale

__all__ = ["Calibration", "Columns", "Labels", "Scale", "calibrate", "read_labels"]
