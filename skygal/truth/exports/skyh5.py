"""Sky models of pyradiosky in HDF5 (SkyH5)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u

from skygal.truth.exports.columns import numbers, require_package
from skygal.truth.exports.formats import Format
from skygal.truth.exports.sky_model import make_sky_model

if TYPE_CHECKING:
    from skygal.field import Field

__all__ = ["FORMATS"]


def write_skyh5(field: Field, path: Path, *, progress: bool = False, flux: str = "intrinsic") -> None:
    """Write components as points with power laws, in the groups of their sources.

    Parameters
    ----------
    field, path, progress
    flux : "intrinsic" or "apparent"
        See `skygal.truth.exports.sky_model.make_sky_model`.

    Raises
    ------
    ModuleNotFoundError
        If h5py is not installed.

    Notes
    -----
    The format has points only: the Gaussians are in extra columns, ``major``, ``minor`` (arcsec), ``pa`` (deg), beside
    ``curvature`` and the source's ``fr_class`` and ``redshift``. ``extended_model_group`` is the source's name.
    """
    h5py = require_package("h5py", "skyh5")
    sky = make_sky_model(field, "skyh5", flux=flux)
    from skygal import __version__

    def words(values: list[str]) -> np.ndarray:
        return np.array(values).astype("S")

    names = [f"s{source}c{part}" for source, part in zip(sky.source_id, sky.component_id, strict=True)]
    classes = np.asarray(field.truth["fr_class"]).astype(str)[sky.source]
    with h5py.File(path, "w") as file:
        header, data = file.create_group("Header"), file.create_group("Data")
        place = header.create_group("skycoord")
        place["frame"], place["representation_type"] = np.bytes_("icrs"), np.bytes_("spherical")
        for name, values, kind in (("ra", sky.ra, "longitude"), ("dec", sky.dec, "latitude")):
            place[name] = values
            place[name].attrs.update({"unit": "deg", "object_type": kind})
        for name, text in (("component_type", "point"), ("spectral_type", "spectral_index"),
                           ("history", f"Written by skygal {__version__}.")):
            header[name] = np.bytes_(text)
        header["Ncomponents"], header["Nfreqs"] = len(sky), 1
        header["name"] = words(names)
        header["extended_model_group"] = words([f"s{source}" for source in sky.source_id])
        header["spectral_index"] = sky.index
        header["reference_frequency"] = np.full(len(sky), sky.frequency)
        header["reference_frequency"].attrs["unit"] = "Hz"
        stokes = np.zeros((4, 1, len(sky)))
        stokes[0, 0] = sky.flux
        data["stokes"] = stokes
        data["stokes"].attrs["unit"] = "Jy"
        extra = header.create_group("extra_columns")
        for name, values in (("major", sky.major), ("minor", sky.minor), ("pa", sky.pa), ("curvature", sky.curvature),
                             ("fr_class", words(classes.tolist())),
                             ("redshift", numbers(field.truth, "redshift", u.one)[sky.source])):
            extra[name] = values


FORMATS = (Format("skyh5", (".skyh5",), write_skyh5, needs_sources=True),)
