"""Realistic, resolved radio galaxies in any radio sky image, with exact truth."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skygal.cube import write_cube
    from skygal.datasets import SyntheticStamps
    from skygal.field import Field
    from skygal.injection import inject
    from skygal.morphology.checkpoint import list_models, load_model
    from skygal.morphology.sampling import StampSet, sample_stamps
    from skygal.rendering.primary_beam import AiryPrimaryBeam, GaussianPrimaryBeam
    from skygal.simulate import simulate_field, simulate_fields
    from skygal.sky import make_wcs
    from skygal.surveys import Survey, list_surveys, read_survey

__version__ = "0.1.0"

__all__ = ["AiryPrimaryBeam", "Field", "GaussianPrimaryBeam", "StampSet", "Survey", "SyntheticStamps", "__version__",
           "inject", "list_models", "list_surveys", "load_model", "make_wcs", "read_survey",
           "sample_stamps", "simulate_field", "simulate_fields", "write_cube"]

# imported when first asked for, so that `import skygal` pulls in neither torch nor astropy
_HOMES = {"AiryPrimaryBeam": "rendering.primary_beam", "Field": "field", "GaussianPrimaryBeam":
          "rendering.primary_beam", "StampSet": "morphology.sampling", "Survey": "surveys",
          "SyntheticStamps": "datasets", "inject": "injection", "list_models": "morphology.checkpoint",
          "list_surveys": "surveys", "load_model": "morphology.checkpoint", "make_wcs": "sky",
          "read_survey": "surveys", "sample_stamps": "morphology.sampling", "simulate_field": "simulate",
          "simulate_fields": "simulate", "write_cube": "cube"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'skygal' has no attribute {name!r}")
    value = getattr(import_module(f"skygal.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
