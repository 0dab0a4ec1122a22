"""What PyBDSF, with its default settings, makes of a field: its fluxes over those of truth.

    python benchmarks/finders.py [--seeds 1 2 3] [--spacing 128] [--size 1024] [--las LOW HIGH]

A field at FIRST's pixel, beam and noise is written and given to PyBDSF as it is. Of each isolated
source (not at the edge, not blended, peak over 20 times the noise) the fluxes of all Gaussians that
PyBDSF fitted within its footprint are summed: the footprint is the source's part of
``segmentation.fits`` and one beam around it. Beside it stands the plain sum of the image's pixels
over the same footprint, which no finder has had a part in.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import QTable, Table
from figures import note
from scipy import ndimage

import skygal

#: in a process of its own, since PyBDSF leaves files open; ncores keeps it from forking
PYBDSF = """
import json, sys, bdsf
image = bdsf.process_image(sys.argv[1], quiet=True, ncores=1)
image.write_catalog(outfile=sys.argv[2], format="fits", catalog_type="gaul", clobber=True)
print(json.dumps([float(image.frequency), *map(float, image.beam)]))
"""


def make_field(seed, *, size=1024, spacing=128, las="mirabest", flux=(5 * u.mJy, 1 * u.Jy)):
    """Return a FIRST-like field with sources ``spacing`` pixels apart, or nearly so."""
    rows = size // spacing
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :rows] * spacing + spacing / 2 + rng.uniform(-8, 8, (2, rows, rows))
    wcs = skygal.make_wcs("12h00m00s +30d00m00s", size, 1.8 * u.arcsec)
    return skygal.simulate_field(wcs, survey="FIRST", seed=seed, flux=flux, las=las,
                                 table=QTable({"x": x.ravel(), "y": y.ravel()}))


def find(path, timeout=900):
    """Return what PyBDSF read of the header of a FITS file, and its catalogue of Gaussians."""
    with tempfile.TemporaryDirectory() as folder:
        # a link, so that PyBDSF's log stays out of the field's own directory
        image, found = Path(folder) / "field.fits", Path(folder) / "found.fits"
        image.symlink_to(Path(path).resolve())
        done = subprocess.run([sys.executable, "-c", PYBDSF, str(image), str(found)], capture_output=True, text=True,
                              timeout=timeout, cwd=folder)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout.splitlines()[-1]), Table.read(found)


def isolated(truth, least_snr=20):
    """Return the rows of the sources that count."""
    return np.flatnonzero((truth["snr"] > least_snr) & ~truth["edge"] & ~truth["blended"])


def compare(field, found):
    """Return for each isolated source the ratio to its true flux, of PyBDSF's and of the pixels' sum."""
    truth, header = field.truth, field.header
    fwhm = np.sqrt(header["BMAJ"] * header["BMIN"]) / abs(header["CDELT1"])
    away, nearest = ndimage.distance_transform_edt(field.segmentation == 0, return_indices=True)
    host = np.where(away <= fwhm, field.segmentation[tuple(nearest)], 0)
    x, y = (np.rint(pixel).astype(int) for pixel in field.wcs.wcs_world2pix(found["RA"], found["DEC"], 0))
    total = np.bincount(host[y, x], weights=found["Total_flux"], minlength=len(truth) + 1)
    area = 2 * np.pi * (fwhm**2 / (8 * np.log(2)))
    pixels = np.bincount(host.ravel(), weights=field.image.ravel(), minlength=len(truth) + 1) / area
    rows = isolated(truth)
    ids, flux = np.asarray(truth["source_id"][rows]), truth["flux"][rows].to_value(u.Jy)
    return total[ids] / flux, pixels[ids] / flux, rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options.add_argument("--size", type=int, default=1024)
    options.add_argument("--spacing", type=int, default=128)
    options.add_argument("--las", type=float, nargs=2, help="range of the largest angular size, arcsec")
    given = options.parse_args()
    warnings.simplefilter("ignore", UserWarning)     # of sources larger than the model knows
    las = "mirabest" if given.las is None else tuple(given.las * u.arcsec)
    ratios, sums, snr = [], [], []
    for seed in given.seeds:
        field = make_field(seed, size=given.size, spacing=given.spacing, las=las)
        with tempfile.TemporaryDirectory() as folder:
            try:
                read, found = find(field.write(Path(folder) / "out") / "field.fits")
            except RuntimeError as error:
                if "No module named 'bdsf'" not in str(error):
                    raise
                print("PyBDSF is not installed: pip install 'skygal[finders]'")
                return
        ratio, pixels, rows = compare(field, found)
        print(f"seed {seed}: {len(field.truth)} sources, {rows.size} isolated over 20 sigma, {len(found)} Gaussians; "
              f"median {np.median(ratio):.4f}; frequency and beam read: {read}")
        ratios.append(ratio)
        sums.append(pixels)
        snr.append(np.asarray(field.truth["snr"][rows]))
    for name, values in (("PyBDSF over truth", ratios), ("plain sum over truth", sums)):
        values = np.concatenate(values)
        low, median, high = np.percentile(values, [16, 50, 84])
        print(f"{name:21s} median {median:.4f}, 16-84 % {low:.3f} to {high:.3f}, n = {values.size}, "
              f"error of the median {1.25 * (high - low) / 2 / np.sqrt(values.size):.4f}")
        note(f"fluxes, {name}, median", median)
    ratio, snr = np.concatenate(ratios), np.concatenate(snr)
    for low, high in ((20, 50), (50, 200), (200, np.inf)):
        part = ratio[(snr >= low) & (snr < high)]
        if part.size:
            print(f"  snr {low:3d} to {high:4.0f}: median {np.median(part):.4f}, n = {part.size}")


if __name__ == "__main__":
    main()
