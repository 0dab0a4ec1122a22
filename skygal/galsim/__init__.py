"""Radio galaxies as GalSim objects, and the type ``RadioGalaxy`` of GalSim's configuration files.

GalSim imports the module by its name, ``modules: [skygal.galsim]``, and so finds the type; that is why it stands at the
top of the package. It needs GalSim (Rowe et al. 2015, 2015A&C....10..121R): ``pip install 'skygal[galsim]'``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import galsim
import galsim.config
import numpy as np
from astropy import units as u
from astropy.table import QTable

from skygal.checks import as_quantity, as_seed, check_choice, open_range, warn_caller
from skygal.morphology.checkpoint import load_model
from skygal.morphology.clip import check_clip_sigma
from skygal.morphology.galaxies import sample_galaxies
from skygal.seeds import Seeds

__all__ = ["StampProfile", "sample_profile"]

#: classes that are drawn if none is asked for
CLASSES = ("FRI", "FRII")
#: seeds that are drawn for galaxies without one are below this: GalSim's deviates have 31 good bits
SEEDS = 2**31
#: parameters of the type that must be, and may be, given
REQUIRED = {"las": float}
OPTIONAL = {"fr_class": str, "flux": float, "pa": galsim.Angle, "seed": int, "bending_min": galsim.Angle,
            "bending_max": galsim.Angle, "beam": float, "model": str}


@dataclass(frozen=True, eq=False)
class StampProfile:
    """A galaxy's brightness on the sky, as the model decodes it.

    Attributes
    ----------
    pixels : ndarray, shape (ny, nx)
        Of unit sum; the model's frame, which is turned by ``turn`` on the sky.
    centre : (float, float)
        Flux-weighted centre (x, y) in these pixels, from 0.
    scale : float
        Side of a pixel, arcsec.
    turn : float
        How far the stamp is turned on the sky, degrees, from north through east.
    fr_class : str
    beam_fwhm : float
        FWHM of the round Gaussian beam that it carries, arcsec.
    """

    pixels: np.ndarray
    centre: tuple[float, float]
    scale: float
    turn: float
    fr_class: str
    beam_fwhm: float

    def as_galsim(self, flux: float = 1.0, *, beam: float | None = None, gsparams: Any = None) -> Any:
        """Return the galaxy as a GalSim object.

        Parameters
        ----------
        flux : float
            Integrated flux, in any unit.
        beam : float, optional
            FWHM, in arcsec, of the round Gaussian beam that the object is to have: what its own beam lacks is
            convolved with it. By default the object is left with its own, ``beam_fwhm``.
        gsparams : galsim.GSParams, optional

        Returns
        -------
        galsim.GSObject
            In arcsec, as GalSim has the sky: v to the north, u to the west. Its centre is the flux-weighted one.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as it must be.

        Warns
        -----
        UserWarning
            If its own beam is wider than ``beam``: it is left as it is then.

        Notes
        -----
        A `galsim.InterpolatedImage` with GalSim's default interpolants. A beam of FWHM b is reached by a Gaussian of
        FWHM sqrt(b^2 - beam_fwhm^2).
        """
        flux = as_quantity("flux", flux, "", positive=False)
        ny, nx = self.pixels.shape
        offset = galsim.PositionD(self.centre[0] - (nx - 1) / 2, self.centre[1] - (ny - 1) / 2)
        # exact in double precision: GalSim sums what it is given
        image = galsim.Image(np.ascontiguousarray(self.pixels, float), scale=self.scale)
        made = galsim.InterpolatedImage(image, flux=flux, offset=offset, gsparams=gsparams)
        # a stamp's x runs to the west, as u does, so that from north through east is counterclockwise
        made = made.rotate(self.turn * galsim.degrees)
        if beam is None:
            return made
        beam = as_quantity("beam", beam, "")
        if beam < self.beam_fwhm:
            warn_caller(f"beam should be at least that of the stamp, {self.beam_fwhm:.3g} arcsec, got {beam:.3g}: the "
                        "galaxy is drawn unsharpened")
            return made
        missing = float(np.sqrt(beam**2 - self.beam_fwhm**2))
        return galsim.Convolve(made, galsim.Gaussian(fwhm=missing), gsparams=gsparams) if missing else made


def sample_profile(las: Any, *, fr_class: str | None = None, pa: Any = None, bending: Any = None,
                   seed: int | None = None, model: Any = None, clip_sigma: float | None = 3.0) -> StampProfile:
    """Sample a radio galaxy.

    Parameters
    ----------
    las : `~astropy.units.Quantity` or float
        Largest angular size, arcsec.
    fr_class : str, optional
        One of the model's classes; by default FRI or FRII, either as likely.
    pa : `~astropy.units.Quantity` or float, optional
        Position angle, degrees east of north; by default any.
    bending : pair of `~astropy.units.Quantity`, optional
        Least and largest bending, 0 to 180 degrees; None for either end leaves it open.
    seed : int, optional
        The same seed gives the same galaxy, whatever its size and angle.
    model : str, path or Generator, optional
        See `skygal.load_model`.
    clip_sigma : float or None
        See `skygal.sample_stamps`.

    Returns
    -------
    StampProfile

    Raises
    ------
    TypeError, ValueError
        If an argument is not as it must be.
    """
    las = as_quantity("las", las, u.arcsec) if hasattr(las, "unit") else as_quantity("las", las, "")
    pa = None if pa is None else as_quantity("pa", pa, u.deg, positive=False) if hasattr(pa, "unit") else \
        as_quantity("pa", pa, "", positive=False)
    generator = _model(model)
    seeds = Seeds(as_seed("seed", seed))
    drawn = seeds.generator("profile").uniform(size=2)
    fr_class = check_choice("fr_class", CLASSES[int(2 * drawn[0])] if fr_class is None else fr_class,
                            generator.classes)
    limits = open_range("bending", bending, u.rad, np.pi)
    galaxies = sample_galaxies(QTable({"las": [las] * u.arcsec, "fr_class": [fr_class]}), model=generator,
                               latents="balanced", clip_sigma=check_clip_sigma(clip_sigma), seeds=seeds,
                               bending=limits)
    batch = next(iter(galaxies.stamps()))
    scale = las / float(batch.shapes.las[0])
    x, y = batch.shapes.centre[0].tolist()
    turn = (180 * float(drawn[1]) if pa is None else pa) - float(batch.shapes.pa[0])
    return StampProfile(batch.stamps[0], (x, y), scale, turn, fr_class,
                        scale * generator.beam_fwhm / generator.pixel_scale)


@lru_cache(maxsize=2)
def _load(model: str | None) -> Any:
    return load_model(model)


def _model(model: Any) -> Any:
    """Return a model; of those by name, the last ones are kept, since GalSim builds one object at a time."""
    return _load(model) if model is None or isinstance(model, str) else load_model(model)


def _build(config: dict[str, Any], base: dict[str, Any], ignore: list[str], gsparams: dict[str, Any], logger: Any
           ) -> tuple[Any, bool]:
    """Return the object of a configuration, and whether it is the same for all."""
    given, safe = galsim.config.GetAllParams(config, base, req=REQUIRED, opt=OPTIONAL, ignore=ignore)
    if "seed" not in given:
        rng = galsim.config.GetRNG(config, base, logger, "RadioGalaxy")
        given["seed"], safe = int(galsim.UniformDeviate(rng)() * SEEDS), False
    ends = [given.pop(name, None) for name in ("bending_min", "bending_max")]
    bending = None if ends == [None, None] else tuple(
        None if end is None else end / galsim.degrees * u.deg for end in ends)
    beam, flux = given.pop("beam", None), given.pop("flux", 1.0)
    if "pa" in given:
        given["pa"] = given["pa"] / galsim.degrees
    try:
        profile = sample_profile(**given, bending=bending)
        made = profile.as_galsim(flux, beam=beam, gsparams=galsim.GSParams(**gsparams) if gsparams else None)
    except (TypeError, ValueError) as error:
        raise galsim.GalSimConfigError(f"RadioGalaxy: {error}") from error
    return made, safe


galsim.config.RegisterObjectType("RadioGalaxy", _build)
