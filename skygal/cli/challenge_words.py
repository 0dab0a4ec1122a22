"""What the folders of a data challenge say of themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy import units as u

import skygal
from skygal.cli.challenge_file import Band, Challenge
from skygal.truth.exports.sdc1 import COLUMNS, TRAINING_AREAS, in_training_area

__all__ = ["areas_words", "readme_released", "readme_secret"]

_RELEASED = """# {name}
{description}
One sky, made with skygal {version}, in {bands} at {depths}. Images are of shape (1, 1, ny, nx), in Jy/beam, with the
beam in the header. Noise has the beam's correlation and is different in each image. Positions are ICRS.

{table}

## What is in this folder

- `BAND/DEPTH/image.fits`: the image.
- `BAND/DEPTH/training_truth.fits`, `training_components.fits`: the true sources inside the band's training area, and
  their components; each column has its definition. `snr`, `local_rms` and `blended` are those at that depth.
- `BAND/DEPTH/training_sdc1.txt`: the same sources as the scorer of SDC1 reads them, in the twelve columns
  `{columns}`,
  without a first line of names. Fluxes are those on the sky, before the primary beam.
- `BAND/DEPTH/training.reg`: the same as ellipses, for DS9 and CARTA.
- `BAND/areas/`: image and training area as regions (`*.reg`){maps}.
  The ends of the training area are in `training.yaml`. A source is inside by its core, or its centroid if it has none.
- `challenge.yaml`: the settings, but for the seed. `SHA256SUMS`: for `sha256sum -c`, here and in each folder.

The sources of the sky go down to {flux} at {first}. Training areas of several bands may overlap with the test area of
another: what is released at one frequency tells of sources there.

## What is asked for

A list of the sources outside the training area of a band: one a line, the twelve columns above, numbers separated by
blanks, after one line of names. `size` is 1 for the largest angular size, 2 for a Gaussian's FWHM, 3 for the scale
length of an exponential disc; `pa` is counted clockwise from west; `class` is 1 for steep-spectrum AGN, 2 for
flat-spectrum AGN, 3 for star-forming galaxies.

## Score yourself

{scoring}
"""

_SCORING = """On the training area, with the scorer of SDC1 (not part of skygal):

    pip install "ska-sdc==2.0.0" "pandas<3" "setuptools<82"

`submission.txt` must hold sources inside the training area alone: others count as false.
{commands}
`train` says which side of SDC1's own training area the scorer keeps, and it fails if no row of the truth or of the
submission is left. Where both sides are named, the score is the sum of the two values. The scorer takes
0.25 arcsec at 1.4 GHz, scaled by frequency, as the beam, less than these images have, and compares positions in degrees
without the cosine of the declination, so that far from the equator it matches less well."""

_COMMAND = """
{band} (`train` {flags}):

    python -c "from ska_sdc import Sdc1Scorer; \\
    print(sum(Sdc1Scorer.from_txt('submission.txt', '{path}', {frequency}, sub_skiprows=1, truth_skiprows=0) \\
    .run(mode=0, train=train).value for train in ({tuple})))"
"""

_SECRET = """# {name}: what is not released

This folder holds the truth of the test areas and the seed. Hand out `released` only: with the seed, the challenge and
all of its truth can be made again.

- `challenge.yaml`: every setting, with the seed.
- `BAND/DEPTH/test_truth.fits`, `test_components.fits`, `test_sdc1.txt`, `test.reg`: the sources that have pixels in the
  image and lie outside the training area. With those released they are all there are.
- `BAND/DEPTH/segmentation.fits`: `source_id` of the brightest source where it rises above the noise, of all sources.
- `BAND/DEPTH/model.fits`, at the deepest depth of a band: the image without noise, the same at all depths.
- `SHA256SUMS`: for `sha256sum -c`, here and in each folder.

Take out of a submission what lies inside the training area (`released/BAND/areas/training.yaml`), and score it as
`released/README.md` says, with the truth here:
{commands}"""


def areas_words(band: Band) -> str:
    """Return the ends of a band's training area as YAML."""
    area = band.training
    return (f"frame: ICRS\nra: [{area.west:.8f} deg, {area.east:.8f} deg]\n"
            f"dec: [{area.south:.8f} deg, {area.north:.8f} deg]\n")


def readme_released(challenge: Challenge, folder: Path) -> str:
    """Return what entrants are told.

    Parameters
    ----------
    challenge : Challenge
    folder : path
        Of what is released, whole but for this.
    """
    commands = _commands(challenge, folder, "training")
    scoring = _SCORING.format(commands=commands) if commands else (
        "The scorer of SDC1, ska-sdc, knows 560, 1400 and 9200 MHz alone: there is none to be named for these bands. "
        "The true sources of the training area are there to compare with.")
    depths = dict.fromkeys(depth for band in challenge.bands for depth in band.noise)
    flux = challenge.flux if isinstance(challenge.flux, u.Quantity) and challenge.flux.isscalar else challenge.flux[0]
    has_maps = next(folder.glob("*/areas/*_moc.fits"), None) is not None
    maps = " and as coverage maps\n  (`*_moc.fits`, the cells that they touch)" if has_maps else ""
    return _RELEASED.format(
        maps=maps,
        name=challenge.name, description=f"\n{challenge.description}\n" if challenge.description else "",
        version=skygal.__version__, table=_table(challenge),
        bands=_several(len(challenge.bands), "band"), depths=_several(len(depths), "depth"), columns=" ".join(COLUMNS),
        flux=f"{u.Quantity(flux).to('uJy'):.4g}", first=_frequency(challenge.bands[0]), scoring=scoring)


def readme_secret(challenge: Challenge, folder: Path) -> str:
    """Return what the organisers are told of what is not released; see `readme_released`."""
    commands = _commands(challenge, folder, "test") or "\nska-sdc does not know the frequencies of these bands.\n"
    return _SECRET.format(name=challenge.name, commands=commands)


def _several(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _frequency(band: Band) -> str:
    value = band.frequency.to(u.MHz)
    return f"{value:.6g}" if value.value < 1000 else f"{value.to(u.GHz):.6g}"


def _table(challenge: Challenge) -> str:
    lines = ["| band | frequency | pixels | pixel | beam | rms |", "|---|---|---|---|---|---|"]
    for band in challenge.bands:
        ny, nx = band.wcs.array_shape
        major, minor = (axis.to_value(u.arcsec) for axis in (band.beam.major, band.beam.minor))
        beam = f'{major:.4g}"'
        if major != minor:
            beam += f' x {minor:.4g}", {band.beam.pa.to_value(u.deg):.4g} deg'
        rms = ", ".join(f"{depth}: {noise.to_value(u.uJy / u.beam):.4g} uJy/beam"
                        for depth, noise in band.noise.items())
        lines.append(f'| {band.name} | {_frequency(band)} | {nx} x {ny} | '
                     f'{3600 * abs(band.wcs.wcs.cdelt[0]):.5g}" | {beam} | {rms} |')
    return "\n".join(lines)


def _commands(challenge: Challenge, folder: Path, area: str) -> str:
    """Return how each band that ska-sdc knows is scored on an area: on which of its sides there are sources is seen."""
    said = ""
    for band in challenge.bands:
        megahertz = band.frequency.to_value(u.MHz)
        known = min(TRAINING_AREAS, key=lambda one: abs(one - megahertz))
        path = f"{band.name}/{list(band.noise)[-1]}/{area}_sdc1.txt"
        if abs(megahertz / known - 1) > 0.01 or not (folder / path).stat().st_size:
            continue
        ra, dec = np.loadtxt(folder / path, usecols=(1, 2), ndmin=2).T
        inside = in_training_area(ra, dec, known)
        flags = [name for name, there in (("True", inside.any()), ("False", not inside.all())) if there]
        said += _COMMAND.format(band=band.name, path=path, frequency=known, flags=" and ".join(flags),
                                tuple=", ".join(flags) + ",")
    return said
