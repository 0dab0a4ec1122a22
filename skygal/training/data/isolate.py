"""The one source a cutout is about: its islands found, its noise taken off."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

__all__ = ["find_source", "restore_source"]

MIN_ISLAND = 8  # pixels; fewer is noise at FIRST's sampling, about a beam area (10.2 pixels)
NEAR_GAP = 8.0  # pixels; any island so near belongs to the source
LOBE_GAP = 22.0  # pixels; so far off only an island of a lobe's flux does
LOBE_FLUX = 0.05  # of the source's flux so far
#: widths of the smoothings between which residuals are split, in standard deviations of the beam
SCALES = (1.0, 2.0, 4.0)
#: what rises so many rms of a scale's noise above it is signal; half of one that rises so far is
SIGNIFICANT = 3.0
#: unlit pixels are taken to be fainter than this times the least that would have been lit
UNLIT = 0.75
#: share of the beam's variance that the sky keeps: a point between pixels is a quarter of a squared pixel wide
SKY_SHARE = 0.2
#: residuals of signal may be so many rms of the noise
SETTLED = 0.15
#: iterations at most; they end earlier where that is reached
ITERATIONS = 40
#: most of the last change that an iteration goes on by
MOST_SPEED = 0.95


def find_source(image: np.ndarray, clip: float, *, las: float = float("nan")) -> np.ndarray:
    """Find the islands of the source in the middle of a cutout.

    Parameters
    ----------
    image : `~numpy.ndarray`
        The cutout, shape (ny, nx), the source within some 20 pixels of the middle.
    clip : float
        Pixels above this are signal; three times the noise, or 0 for a cutout that is clipped already.
    las : float
        The source's largest angular size in pixels, NaN where unknown.

    Returns
    -------
    `~numpy.ndarray`
        Boolean, shape (ny, nx): the source's pixels, none at all for a blank cutout.

    Notes
    -----
    The island nearest the middle starts the source. Islands join while their gap to it is under 8
    pixels, or under 22 if they hold a twentieth of its flux: FRII lobes are often detached. Where
    the angular size is known, islands whose flux-weighted centre lies inside it join too, and those
    beyond it by half stay out.
    """
    from scipy import ndimage

    signal = image > clip
    labels, n = ndimage.label(signal, structure=np.ones((3, 3)))
    if n == 0:
        return np.zeros(image.shape, bool)
    index = np.arange(1, n + 1)
    size = ndimage.sum_labels(signal, labels, index)
    index = index[size >= MIN_ISLAND]
    if index.size == 0:
        return np.zeros(image.shape, bool)
    flux = ndimage.sum_labels(image, labels, index)
    middle = (np.asarray(image.shape) - 1) / 2
    y, x = np.indices(image.shape)
    from_middle = np.hypot(y - middle[0], x - middle[1])
    nearest = ndimage.minimum(from_middle, labels, index)
    centre = np.asarray(ndimage.center_of_mass(np.where(signal, image, 0.0), labels, index))
    offset = np.hypot(*(centre - middle).T)

    chosen = np.zeros(index.size, bool)
    # A bright island a little off the middle is a likelier start than a faint one on it.
    chosen[np.argmin(nearest - 5 * np.log10(flux / flux.max()))] = True
    barred = np.zeros(index.size, bool)
    if np.isfinite(las) and las > 0:
        chosen |= offset < 0.55 * las + 2
        barred = offset > max(0.75 * las, 0.5 * las + 12)
    while True:
        distance = ndimage.distance_transform_edt(~np.isin(labels, index[chosen]))
        gap = ndimage.minimum(distance, labels, index)
        joins = (gap < NEAR_GAP) | ((gap < LOBE_GAP) & (flux > LOBE_FLUX * flux[chosen].sum()))
        grown = chosen | (joins & ~barred)
        if (grown == chosen).all():
            return np.isin(labels, index[chosen])
        chosen = grown


def restore_source(image: np.ndarray, mask: np.ndarray, clip: float, *, beam_sigma: float,
                   limit: float | None = None) -> np.ndarray:
    """Restore a source from its noisy, clipped islands, sharper than it was seen.

    Parameters
    ----------
    image : `~numpy.ndarray`
        The cutout, shape (ny, nx).
    mask : `~numpy.ndarray`
        The source's pixels, boolean, as from `find_source`.
    clip : float
        Three times the noise, in the image's unit.
    beam_sigma : float
        Standard deviation of the circular Gaussian beam, in pixels.
    limit : float, optional
        The brightness below which the cutout says nothing; by default ``clip``. Where whole numbers were published it
        is a step above it.

    Returns
    -------
    `~numpy.ndarray`
        A non-negative image, shape (ny, nx), in the unit of ``image``, at a resolution of the beam's
        FWHM over sqrt(2): convolved with a beam of that same width it is at the survey's own.

    Notes
    -----
    At most 40 Richardson-Lucy iterations (1972JOSA...62...55R, 1974AJ.....79..745L) for a non-negative sky, a fifth of
    the beam's variance still in it, so that pixels can show points between them. They come from the smooth side: they
    start at the cutout, once more convolved. What they follow is signal alone: the residuals are split into scales of
    one, two and four beams and more, and on each scale but the last only those count where the cutout itself stands
    out of the noise (Murtagh, Starck & Bijaoui 1995, 1995A&AS..112..179M). So a bright core gets as sharp as it was
    seen, and faint emission stays as smooth as nothing speaks against. Each iteration goes on a little in the
    direction of the last (Biggs & Andrews 1997, ApOpt 36, 1766).

    Outside the mask the data say only that the source is fainter than ``limit``: there the current model stands in for
    them, cut at three quarters of it, so that the edges fall off as the beam does instead of being torn at the
    clip, and as many pixels are lit when it is observed again.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return np.zeros(image.shape)
    margin = int(np.ceil(8 * beam_sigma))
    box = tuple(slice(max(where[0] - margin, 0), where[-1] + margin + 1) for where in (rows, columns))
    out = np.zeros(image.shape)
    out[box] = _richardson_lucy(image[box], mask[box], clip / 3, UNLIT * (clip if limit is None else limit),
                                beam_sigma)
    return out


@lru_cache(maxsize=8)
def _scale_noise(beam_sigma: float) -> tuple[float, ...]:
    """Return the rms on each scale of survey noise of rms 1."""
    from skygal.stamps.survey_view import noise_power

    k = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
    power = noise_power(k, beam_sigma)
    power[0, 0] = 0.0
    passed = [np.exp(-2 * (np.pi * k * width * beam_sigma) ** 2) for width in (0.0, *SCALES)]
    return tuple(float(np.sqrt((power * (fine - coarse) ** 2).sum() / power.sum()))
                 for fine, coarse in zip(passed[:-1], passed[1:], strict=True))


def _smooth(image: np.ndarray, sigma: float, truncate: float) -> np.ndarray:
    from scipy import ndimage

    return ndimage.gaussian_filter(image, sigma, mode="constant", truncate=truncate)


def _split(image: np.ndarray, beam_sigma: float) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the differences between an image's smoothings, from fine to coarse, and what is left."""
    parts = []
    for width in SCALES:
        coarse = _smooth(image, width * beam_sigma, 3.0)
        parts.append(image - coarse)
        image = coarse
    return parts, image


def _richardson_lucy(image: np.ndarray, mask: np.ndarray, rms: float, unlit: float,
                     beam_sigma: float) -> np.ndarray:
    from scipy import ndimage

    def seen(sky: np.ndarray) -> np.ndarray:
        return _smooth(sky, beam_sigma * np.sqrt(1 - SKY_SHARE), 4.0)

    def corrected(sky: np.ndarray, model: np.ndarray, target: np.ndarray) -> np.ndarray:
        return sky * seen(np.where(near, np.maximum(target, 0.0) / np.maximum(model, 1e-12), 0.0)) / reach

    data = np.where(mask, np.maximum(image, 0.0), 0.0)
    near = ndimage.binary_dilation(mask, iterations=max(1, int(round(2.5 * beam_sigma))))
    reach = np.maximum(seen(near.astype(float)), 1e-3)
    sky = np.where(near, seen(data) + 1e-3 * data.max(), 0.0)
    model = seen(sky)
    # a few plain iterations tell what lies about the islands
    for _ in range(3):
        sky = corrected(sky, model, np.where(mask, data, np.minimum(model, unlit)))
        model = seen(sky)
    parts, _ = _split(np.where(mask, data, np.minimum(model, unlit)), beam_sigma)
    signal = [ndimage.maximum_filter(np.clip(np.abs(part) / (noise * rms) - SIGNIFICANT + 0.5, 0.0, 1.0), 3)
              for part, noise in zip(parts, _scale_noise(beam_sigma), strict=True)]
    last, start = sky, sky
    change: np.ndarray | None = None
    for _ in range(ITERATIONS):
        model = seen(start)
        residual = np.where(mask, data, np.minimum(model, unlit)) - model
        parts, rest = _split(residual, beam_sigma)
        wanted = np.where(mask, rest + sum(s * part for s, part in zip(signal, parts, strict=True)), residual)
        if (wanted[mask] ** 2).mean() < (SETTLED * rms) ** 2:
            break
        sky = corrected(start, model, model + wanted)
        before, change = change, sky - start
        speed = 0.0 if before is None else float(
            np.clip((change * before).sum() / max((before**2).sum(), 1e-300), 0.0, MOST_SPEED))
        start, last = np.maximum(sky + speed * (sky - last), 0.0), sky
    return _smooth(last, beam_sigma * np.sqrt(0.5 - SKY_SHARE), 4.0)
