"""Statistics of shape, one number a stamp, and how far generated and real stamps differ in them."""

from __future__ import annotations

import numpy as np

from skygal.evaluation.generated import GeneratedSample
from skygal.evaluation.reference import CLASSES, Reference
from skygal.evaluation.results import Result
from skygal.evaluation.statistics import matched_rows
from skygal.morphology.measure import measure_stamps
from skygal.morphology.moments import measure_moments

__all__ = ["STATISTICS", "asymmetry", "band_power", "bending_angle", "compare_samples", "measure_shapes",
           "peak_density", "reference_statistics", "shape_statistics"]

#: what `shape_statistics` measures
STATISTICS = ("las", "axis ratio", "core fraction", "asymmetry", "bending angle", "components", "power, coarse",
              "power, middle", "power, fine")
#: bands of the radial power spectrum, cycles per beam FWHM
BANDS = ((0.06, 0.15), (0.15, 0.35), (0.35, 0.75))
#: of a stamp's peak; what is fainter is not looked at for lumps
FAINTEST = 0.02
#: most stamps measured at once
STAMPS_AT_ONCE = 256
#: p-values above say that two samples may be of one kind
LEAST_P = 0.05
LUMPS = "lumps, noiseless"


def bending_angle(stamps: np.ndarray) -> np.ndarray:
    r"""Return by how much each source is bent.

    Parameters
    ----------
    stamps : `~numpy.ndarray`
        Shape (n, ny, nx), the principal axis along x, with flux.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n,), degrees: 0 is straight, 180 folded back.

    Notes
    -----
    A parabola is fitted to the brightness-weighted ridge y(x); the angle is that between its tangents at
    sqrt(3) rms of x on either side, the ends of a source of even brightness. On y = c x^2 for
    \|x\| <= L it is 2 atan(2 \|c\| L).
    """
    stamps = np.asarray(stamps, float)
    flux = stamps.sum(axis=1)
    total = flux.sum(axis=1)
    x = np.arange(stamps.shape[2]) - (stamps.shape[2] - 1) / 2
    x = x - ((flux * x).sum(axis=1) / total)[:, None]
    spread = np.sqrt((flux * x**2).sum(axis=1) / total)
    x = x / np.maximum(spread, 1e-9)[:, None]
    ridge = np.einsum("nyx,y->nx", stamps, np.arange(stamps.shape[1], dtype=float))
    # least squares on 1, x and x^2, each pixel weighted by its brightness
    power = np.stack([(flux * x**p).sum(axis=1) for p in range(5)], axis=1)
    matrix = np.stack([power[:, p:p + 3] for p in range(3)], axis=1)
    matrix += 1e-9 * total[:, None, None] * np.eye(3)
    right = np.stack([(ridge * x**p).sum(axis=1) for p in range(3)], axis=1)
    curve = np.linalg.solve(matrix, right[:, :, None])[:, 2, 0]
    return np.degrees(2 * np.arctan(2 * np.abs(curve) * np.sqrt(3) / np.maximum(spread, 1e-9)))


def asymmetry(stamps: np.ndarray) -> np.ndarray:
    r"""Return how far each stamp differs from itself turned by half a circle about its centre.

    Parameters
    ----------
    stamps : `~numpy.ndarray`
        Shape (n, ny, nx), not negative, with flux.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n,), sum \|I - I_180\| / (2 sum I), 0 to 1 (Conselice, Bershady & Jangren 2000, 2000ApJ...529..886C).
    """
    from scipy import ndimage

    stamps = np.asarray(stamps, float)
    _, centre, _ = measure_moments(stamps)
    out = np.empty(len(stamps))
    for i, (stamp, (x, y)) in enumerate(zip(stamps, centre, strict=True)):
        middle = np.array([y, x]) - (np.asarray(stamp.shape) - 1) / 2
        turned = ndimage.shift(stamp[::-1, ::-1], 2 * middle, order=1)
        out[i] = np.abs(stamp - turned).sum() / (2 * stamp.sum())
    return np.minimum(out, 1.0)


def band_power(stamps: np.ndarray, *, beam_fwhm: float) -> np.ndarray:
    """Return the azimuthal mean of each stamp's power spectrum in three bands.

    Parameters
    ----------
    stamps : `~numpy.ndarray`
        Shape (n, ny, nx), with flux.
    beam_fwhm : float
        In pixels; the bands go from 17 beams to 1.3.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n, 3), log10 of the power over that at frequency zero.
    """
    stamps = np.asarray(stamps, float)
    ny, nx = stamps.shape[1:]
    k = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx)[None]) * beam_fwhm
    power = np.abs(np.fft.rfft2(stamps / stamps.sum(axis=(1, 2), keepdims=True))) ** 2
    return np.log10(np.stack([power[:, (k >= low) & (k < high)].mean(axis=1) for low, high in BANDS], axis=1) + 1e-12)


def peak_density(stamps: np.ndarray) -> np.ndarray:
    """Return how many local maxima each stamp has on a thousand of its pixels: how lumpy it is.

    Parameters
    ----------
    stamps : `~numpy.ndarray`
        Shape (n, ny, nx), noiseless, peak 1.

    Returns
    -------
    `~numpy.ndarray`
        Shape (n,): pixels above 2 % of the peak that are as bright as any of their eight neighbours, over all
        pixels above 2 %, times 1000.
    """
    from scipy import ndimage

    # alike for stamps that were kept in 16 bits, which has neighbours tie
    stamps = np.asarray(stamps, np.float16).astype(np.float32)
    bright = stamps > FAINTEST
    tops = bright & (stamps == ndimage.maximum_filter(stamps, (1, 3, 3)))
    return 1000 * tops.sum(axis=(1, 2)) / np.maximum(bright.sum(axis=(1, 2)), 1)


def shape_statistics(stamps: np.ndarray, *, beam_fwhm: float) -> dict[str, np.ndarray]:
    """Measure each stamp.

    Parameters
    ----------
    stamps : `~numpy.ndarray`
        Shape (n, ny, nx), observed and aligned, each with flux.
    beam_fwhm : float
        In pixels.

    Returns
    -------
    dict of str to `~numpy.ndarray`
        For each of `STATISTICS`, shape (n,); lengths in pixels, angles in degrees.
    """
    stamps = np.asarray(stamps, np.float64)
    parts = []
    for start in range(0, len(stamps), STAMPS_AT_ONCE):
        part = stamps[start:start + STAMPS_AT_ONCE]
        shapes, _ = measure_stamps(part, beam_fwhm=beam_fwhm)
        covariance = measure_moments(part)[2]
        values = np.linalg.eigvalsh(covariance)
        parts.append(np.stack([
            shapes.las, np.sqrt(np.maximum(values[:, 0], 0) / np.maximum(values[:, 1], 1e-12)), shapes.core_frac,
            asymmetry(part), bending_angle(part), shapes.n_components, *band_power(part, beam_fwhm=beam_fwhm).T],
                              axis=1))
    return dict(zip(STATISTICS, np.concatenate(parts).T, strict=True))


def reference_statistics(reference: Reference) -> dict[str, np.ndarray]:
    """Return the statistics of all real stamps, which are measured once."""
    if "shapes" not in reference.cache:
        reference.cache["shapes"] = shape_statistics(reference.real.images, beam_fwhm=reference.beam_fwhm)
    return reference.cache["shapes"]


def compare_samples(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return the two-sample Kolmogorov-Smirnov statistic and its p-value.

    Raises
    ------
    ValueError
        If a sample is empty.
    """
    from scipy.stats import ks_2samp

    if not len(first) or not len(second):
        raise ValueError(f"samples must not be empty, got {len(first)} and {len(second)} values")
    found = ks_2samp(first, second, method="asymp")
    return float(found.statistic), float(found.pvalue)


def measure_shapes(reference: Reference, sample: GeneratedSample) -> list[Result]:
    """Return the Kolmogorov-Smirnov p-value of each shape statistic against held-out (test) stamps.

    Generated stamps, pooled in the held-out ones' mix of classes and class by class; beside them real training
    stamps. All but the last are measured on observed stamps; that one on noiseless stamps and restored ones, since
    lumps under the noise would be seen where a stamp is used with less. A p-value has no error.
    """
    rng = reference.generator("shapes")
    mine = {**shape_statistics(sample.observed.images, beam_fwhm=reference.beam_fwhm),
            LUMPS: peak_density(sample.images)}
    real = {**reference_statistics(reference), LUMPS: peak_density(reference.restored)}
    test, train = reference.test, reference.train
    groups = [("all", matched_rows(sample.label, reference.label[test], rng=rng),
               train[matched_rows(reference.label[train], reference.label[test], rng=rng)], test)]
    label = reference.label
    groups += [(name, np.flatnonzero(sample.label == k), train[label[train] == k], test[label[test] == k])
               for k, name in enumerate(CLASSES)]
    out = []
    for name in (*STATISTICS, LUMPS):
        for group, rows, beside, held in groups:
            p, of_real = (compare_samples(values, real[name][held])[1]
                          for values in (mine[name][rows], real[name][beside]))
            out.append(Result(f"KS p-value, {name}", group, p, np.nan, of_real, np.nan, "over 0.05", p > LEAST_P))
    return out
