"""Realistic, resolved radio galaxies in any radio sky image, with exact truth."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skygal.field import Field
    from skygal.injection import inject, inject_fields
    from skygal.morphology.checkpoint import list_models, load_model
    from skygal.observation.primary_beam import AiryPrimaryBeam, GaussianPrimaryBeam
    from skygal.observation.surveys import Survey, list_surveys, read_survey
    from skygal.scoring.score import score
    from skygal.simulate import simulate_field, simulate_fields
    from skygal.stamps.dataset import SyntheticStamps
    from skygal.stamps.fields import SyntheticFields
    from skygal.stamps.sample import StampSet, sample_stamps
    from skygal.truth.exports.cube import write_cube
    from skygal.wcs import make_wcs

__version__ = "0.1.0"

__all__ = ["AiryPrimaryBeam", "Field", "GaussianPrimaryBeam", "StampSet", "Survey", "SyntheticFields",
           "SyntheticStamps", "__version__", "inject", "inject_fields", "list_models", "list_surveys", "load_model",
           "make_wcs", "read_survey", "sample_stamps", "score", "simulate_field", "simulate_fields", "write_cube"]

# imported when first asked for, so that `import skygal` pulls in neither torch nor astropy
_HOMES = {
    "AiryPrimaryBeam": "observation.primary_beam", "Field": "field", "GaussianPrimaryBeam": "observation.primary_beam",
    "StampSet": "stamps.sample", "Survey": "observation.surveys", "SyntheticFields": "stamps.fields",
    "SyntheticStamps": "stamps.dataset",
    "inject": "injection", "inject_fields": "injection", "list_models": "morphology.checkpoint",
    "list_surveys": "observation.surveys", "load_model": "morphology.checkpoint", "make_wcs": "wcs",
    "read_survey": "observation.surveys", "sample_stamps": "stamps.sample", "score": "scoring.score",
    "simulate_field": "simulate", "simulate_fields": "simulate", "write_cube": "truth.exports.cube"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'skygal' has no attribute {name!r}")
    value = getattr(import_module(f"skygal.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
