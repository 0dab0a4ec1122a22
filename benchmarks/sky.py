"""The sky as surveys see it, beside what they have published: density, mix, sizes, and how fast it is drawn.

    python benchmarks/sky.py [--sky default] [--n 100000] [--surveys NVSS FIRST ...]

A source counts as detected where its peak, seen with the survey's beam, is above the threshold of the catalogue (for
SDC1, whose training set has all sources, where its flux is). Densities of whole surveys are compared with those of
their typical noise, which is lower than the noise at their edges.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from astropy import units as u

import skygal
from skygal.population import Sky, image_area, split_by_beam
from skygal.population.sky_parts import CLASSES
from skygal.seeds import Seeds


@dataclass(frozen=True)
class Published:
    """What a catalogue says: its threshold in mJy/beam, sources a square degree, and what else."""

    threshold: float
    density: float
    source: str
    more: str = ""


#: all from abstracts or from the catalogues' own descriptions
PUBLISHED = {
    "SDC1_B1": Published(0.00386, 61630, "released training set, 19222 sources in 0.312 deg2 (Bonaldi et al. 2021)",
                         "97.9 % star-forming, 1.4 % flat, 0.8 % steep; steep: median 95 uJy, LAS 4.1 arcsec"),
    "NVSS": Published(2.5, 52, "1773484 in 33880 deg2 (Condon et al. 1998, VizieR VIII/65)"),
    "FIRST": Published(1.0, 90, "811000 in 9033 deg2 (VizieR VIII/71)", "35 % with structure from 2 to 20 arcsec"),
    "LoTSS": Published(0.415, 780, "4396228 in 5634 deg2, at 5 sigma (Shimwell et al. 2022)"),
    "LoTSS_Deep": Published(0.0535, 6317, "154952 in 24.53 deg2, at 5 sigma (Shimwell et al. 2025)"),
    "VLASS": Published(1.0, 56, "1.9 million components in 33885 deg2, fluxes 15 % low (Gordon et al. 2021)"),
    "VLA_COSMOS_3GHz": Published(0.0115, 4165, "10830 in 2.6 deg2, at 5 sigma (Smolcic et al. 2017)"),
    "MIGHTEE": Published(0.010, 7200, "144000 in 20 deg2, at 5 sigma (Hale et al. 2025)"),
    "RACS_mid": Published(0.99, 86, "3105668 in 36200 deg2, at 5 sigma (Duchesne et al. 2024)"),
    "LoLSS": Published(7.75, 65, "42463 in 650 deg2, at 5 sigma (de Gasperin et al. 2023)"),
    "TGSS": Published(24.5, 16.8, "0.62 million in 36900 deg2, at 7 sigma (Intema et al. 2017)"),
    "SUMSS": Published(6.0, 26, "211050 in 8000 deg2, 6 to 10 mJy (Mauch et al. 2003, VizieR VIII/81B)")}


def look(sky: Sky, name: str, n: int) -> None:
    """Print what a survey sees of a sky."""
    survey, published = skygal.read_survey(name), PUBLISHED[name]
    beam = np.sqrt(survey.beam.major * survey.beam.minor).to_value(u.arcsec)
    noise = survey.noise.to_value(u.Jy / u.beam) * u.Jy
    limit = published.threshold * u.mJy
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", 1000, 36 * u.arcsec)
    begin = time.perf_counter()
    sources = sky.sample(wcs, seeds=Seeds(1), frequency=survey.frequency, n=n,
                         flux=(min(noise, limit), sky.range(survey.frequency)[1]))
    taken = time.perf_counter() - begin
    # density from the number that the same sky has in a known area
    small = skygal.make_wcs("12h00m00s +30d00m00s", 1000, (2.0 if noise < 5 * u.uJy else 18.0) * u.arcsec)
    there = sky.sample(small, seeds=Seeds(2), frequency=survey.frequency, flux=min(noise, limit))
    area = image_area(small, (1000, 1000)) * u.sr.to(u.deg**2)
    scale = len(there) / area / len(sources)
    disc = sources["kind"] == "exponential"
    # a disc looks like a Gaussian of 2.43 half-light radii, which are 1.678 scale lengths
    wide, narrow = (np.where(disc, 2.43 * 1.678, 1.0) * sources[key].to_value(u.arcsec) for key in ("b_maj", "b_min"))
    peak = sources["flux"] * beam**2 / np.sqrt((beam**2 + wide**2) * (beam**2 + narrow**2))
    seen = sources[(sources["flux"] if name == "SDC1_B1" else peak) > limit]
    las = seen["las"].to_value(u.arcsec)
    mix = ", ".join(f"{label} {100 * np.mean(seen['population'] == label):.1f}" for label in CLASSES)
    galaxies = len(split_by_beam(sources, beam * u.arcsec).galaxies) * scale
    print(f"{name}: {survey.frequency:g}, {beam:.3g} arcsec, {survey.noise.to('uJy / beam'):g}\n"
          f"    a square degree: {len(there) / area:.0f} above {min(noise, limit).to('uJy'):.3g}; detected above "
          f"{limit.to('uJy'):.4g}/beam: {len(seen) * scale:.4g}, published {published.density:g} ({published.source})\n"
          f"    detected, in %: {mix}; larger than the beam {100 * np.mean(las > beam):.1f}, than 2 arcsec "
          f"{100 * np.mean(las > 2):.1f}; median LAS {np.median(las):.2g} arcsec, index "
          f"{np.median(seen['spectral_index']):.2f}\n"
          f"    drawn as galaxies a square degree: {galaxies:.3g}; {n} sources in {taken:.1f} s"
          + (f"\n    published: {published.more}" if published.more else ""))
    if name == "SDC1_B1":
        steep = seen[np.isin(seen["population"], ["FRI", "FRII"])]
        core = seen["core_frac"][seen["population"] == "FR0"]
        print(f"    steep: median {np.median(steep['flux']).to_value(u.uJy):.3g} uJy, LAS at 5, 50, 95 % "
              f"{quantiles(steep['las'].value, 5, 50, 95)} arcsec, axis ratio at 16, 50, 84 % "
              f"{quantiles(steep['b_min'] / steep['b_maj'], 16, 50, 84)}; published 95 uJy, 0.5, 4.1, 18 arcsec, 0.43, "
              f"0.59, 0.83\n    flat: core fraction at 16, 50, 84 % {quantiles(core, 16, 50, 84)}; published 0.66, "
              "0.76, 0.84")


def quantiles(values, *percent: float) -> str:
    """Return percentiles in words."""
    return ", ".join(f"{x:.2g}" for x in np.percentile(np.asarray(values), percent))


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sky", default="default", help="name or path; SDC1_B1 is also seen with the sky `sdc1`")
    options.add_argument("--n", type=int, default=100_000, help="sources drawn for each survey")
    options.add_argument("--surveys", nargs="+", default=list(PUBLISHED), choices=list(PUBLISHED))
    given = options.parse_args()
    sky = Sky.read(given.sky)
    for name in given.surveys:
        look(sky, name, given.n)
    if "SDC1_B1" in given.surveys and given.sky == "default":
        print("the sky sdc1, ", end="")
        look(Sky.read("sdc1"), "SDC1_B1", given.n)


if __name__ == "__main__":
    main()
