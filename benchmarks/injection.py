"""Time and memory of injections in chunks: python benchmarks/injection.py [--side 16384]."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CODE = """
import resource, sys
import skygal
from astropy import units as u
field = skygal.inject(sys.argv[1], int(sys.argv[2]), seed=1, flux=5 * u.mJy, las=(5 * u.arcsec, 60 * u.arcsec),
                      chunks=1024)
field.write(sys.argv[3])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write_mosaic(path: Path, side: int) -> None:
    """Write an image of noise, a band of rows at a time."""
    from astropy import units as u

    import skygal

    header = skygal.simulate_field(skygal.make_wcs("10h +20d", side, 1.8 * u.arcsec), 0, survey="FIRST", seed=1,
                                   chunks=1024).header
    rng = np.random.default_rng(1)
    with open(path, "wb") as file:
        file.write(header.tostring().encode())
        for first in range(0, side, 512):
            rng.normal(0, 1.5e-4, (min(512, side - first), side)).astype(">f4").tofile(file)
        file.write(b"\0" * (-file.tell() % 2880))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=16384, help="of the image, pixels")
    parser.add_argument("--sources", type=int, default=2000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "mosaic.fits"
        write_mosaic(image, given.side)
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", CODE, str(image), str(given.sources), str(Path(folder) / "out")],
                              capture_output=True, text=True, check=True)
        taken = time.perf_counter() - began
    peak = int(done.stdout.split()[-1]) / 2**20 / (1024 if sys.platform == "darwin" else 1)
    print(f"inject(chunks=1024) into {given.side} x {given.side} pixels ({4 * given.side**2 / 2**30:.2f} GiB), "
          f"{given.sources} sources, read, made and written: {taken:.0f} s, peak memory {peak:.2f} GiB")


if __name__ == "__main__":
    main()
