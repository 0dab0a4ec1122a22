"""The truth: what was put into an image, as tables."""

from __future__ import annotations

from skygal.truth.schema import COMPONENTS, TRUTH, make_components, make_truth
from skygal.truth.tables import read_truth, write_truth

__all__ = ["COMPONENTS", "TRUTH", "make_components", "make_truth", "read_truth", "write_truth"]
