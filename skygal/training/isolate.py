"""The one source a cutout is about: its islands found, its noise taken off."""

from __future__ import annotations

import numpy as np

__all__ = ["find_source", "restore_source"]

MIN_ISLAND = 8  # pixels; fewer is noise at FIRST's sampling, about a beam area (10.2 pixels)
NEAR_GAP = 8.0  # pixels; any island so near belongs to the source
LOBE_GAP = 22.0  # pixels; so far off only an island of a lobe's flux does
LOBE_FLUX = 0.05  # of the source's flux so far


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
                   iterations: int = 40) -> np.ndarray:
    """Restore a source from its noisy, clipped islands, sharper than it was seen.

    Parameters
    ----------
    image : `~numpy.ndarray`
        The cutout, shape (ny, nx).
    mask : `~numpy.ndarray`
        The source's pixels, boolean, as from `find_source`.
    clip : float
        The brightness below which the cutout says nothing, in the image's unit.
    beam_sigma : float
        Standard deviation of the circular Gaussian beam, in pixels.
    iterations : int
        The most to make; they end earlier where the residuals are down to the noise, a third of
        ``clip``.

    Returns
    -------
    `~numpy.ndarray`
        A non-negative image, shape (ny, nx), in the unit of ``image``, at a resolution of the beam's
        FWHM over sqrt(2): convolved with a beam of that same width it is at the survey's own.

    Notes
    -----
    Richardson-Lucy iterations (1972JOSA...62...55R, 1974AJ.....79..745L) for a non-negative sky
    convolved with the beam. Outside the mask the data say only that the source is fainter than
    ``clip``: there the current model stands in for them, cut at half of it, so that the edges fall
    off as the beam does instead of being torn at the clip.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return np.zeros(image.shape)
    margin = int(np.ceil(8 * beam_sigma))
    box = tuple(slice(max(where[0] - margin, 0), where[-1] + margin + 1) for where in (rows, columns))
    out = np.zeros(image.shape)
    out[box] = _richardson_lucy(image[box], mask[box], clip, beam_sigma, iterations)
    return out


def _richardson_lucy(image: np.ndarray, mask: np.ndarray, clip: float, beam_sigma: float,
                     iterations: int) -> np.ndarray:
    from scipy import ndimage

    def blur(sky: np.ndarray, sigma: float = beam_sigma) -> np.ndarray:
        return ndimage.gaussian_filter(sky, sigma, mode="constant", truncate=4.0)

    data = np.where(mask, np.maximum(image, 0.0), 0.0)
    near = ndimage.binary_dilation(mask, iterations=max(1, int(round(2.5 * beam_sigma))))
    sky = np.where(near, blur(data) + 1e-3 * data.max(), 0.0)
    reach = np.maximum(blur(near.astype(float)), 1e-3)
    for _ in range(iterations):
        model = blur(sky)
        if ((model - data)[mask] ** 2).mean() < (clip / 3) ** 2:
            break
        target = np.where(mask, data, np.minimum(model, 0.5 * clip))
        ratio = np.where(near, target / np.maximum(model, 1e-12), 0.0)
        sky = sky * blur(ratio) / reach
    return blur(sky, beam_sigma * np.sqrt(0.5))
