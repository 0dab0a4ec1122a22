"""Which sources there are: fluxes, sizes, classes, spectra and places, drawn or given."""

from skygal.population.catalogues import list_catalogues, read_catalogue
from skygal.population.classes import FR_CLASSES, frii_fraction
from skygal.population.clustering import Clustering
from skygal.population.counts import CountedFlux, SourceCounts, read_counts
from skygal.population.distributions import (
    Constant,
    Distribution,
    LogNormal,
    LogUniform,
    Normal,
    PowerLaw,
    Scipy,
    Uniform,
)
from skygal.population.faint import check_faint, counted_to, sample_faint
from skygal.population.positions import image_area, sample_positions
from skygal.population.sample import sample_population
from skygal.population.sizes import MiraBestSizes, SizeRelation, WindhorstSizes, as_sizes
from skygal.population.sky import Sky
from skygal.population.sky_files import list_skies
from skygal.population.spectra import as_curvature, as_spectra
from skygal.population.split import Split, split_by_beam
from skygal.population.tables import read_population

__all__ = [
    "FR_CLASSES",
    "Clustering", "Constant",
    "CountedFlux",
    "Distribution",
    "LogNormal",
    "LogUniform",
    "MiraBestSizes",
    "Normal",
    "PowerLaw",
    "Scipy",
    "SizeRelation",
    "Sky",
    "SourceCounts",
    "Split",
    "Uniform",
    "WindhorstSizes",
    "as_curvature",
    "as_sizes",
    "as_spectra",
    "check_faint",
    "counted_to",
    "frii_fraction",
    "image_area",
    "list_catalogues",
    "list_skies",
    "read_catalogue",
    "read_counts",
    "read_population",
    "sample_faint",
    "sample_population",
    "sample_positions",
    "split_by_beam",
]
