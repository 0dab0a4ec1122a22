"""Components of sources as an image shows them: the hills that its beam still separates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import fft

from skygal.observation.beam import TargetBeam
from skygal.observation.ellipse import FWHM
from skygal.observation.frame import Frame
from skygal.observation.psf import fit_main_lobe
from skygal.rendering.drawing import Drawn, Stamps, draw_stamps
from skygal.rendering.hills import Rule, share_out
from skygal.rendering.measured import mask_ends
from skygal.rendering.plan import ladder

__all__ = ["Hills", "SeenSources", "find_hills"]

#: peaks below this part of the source's do not count: they are below what counts as its pixels
LEAST_PEAK = 0.01
#: what lies below this part of the source's peak is shared out in proportion
FLOOR = 1e-3
#: a hill rises above its highest saddle by this factor, and more where the beam is so narrow that pixels of a smooth
#: ridge, askew to their rows, rise and fall by themselves: 1.02 + 1 / w^4, with w the beam's FWHM in pixels. Of
#: straight ridges of even brightness, at any angle, a few in a hundred are then more than one hill, w from 1 to 4.
PROMINENCE, COARSE = 1.02, 1.0
#: pixels about what is above the floor that tell how high a saddle between pixels is
RIM = 2
#: pixels that are looked at together
CROP_PIXELS = 2**20
#: a source too large to be drawn whole is drawn on pixels of which its beam has this many
COARSE_FWHM = 3.0
#: and that with a side of up to twice as many
LARGEST = 1024


@dataclass(frozen=True, eq=False)
class SeenSources:
    """What has to be known of sources to find their hills.

    Attributes
    ----------
    stamps : Stamps
        As they are drawn.
    core : ndarray, shape (n, 2)
        Where the core is in the image (x, y); NaN without one.
    centre : ndarray, shape (n, 2)
        The flux-weighted centre in the image (x, y).
    """

    stamps: Stamps
    core: np.ndarray
    centre: np.ndarray


@dataclass(frozen=True, eq=False)
class Hills:
    """Components of sources, ordered by source and falling flux; each source has one at least.

    Attributes
    ----------
    source : ndarray of int, shape (m,)
        Whose it is: its number in the batch.
    centre, peak : ndarray, shape (m, 2)
        Flux-weighted centre and maximum, between pixels, in the image (x, y).
    fraction : ndarray, shape (m,)
        Its part of the source's flux. Those of a source add up to one.
    core : ndarray, shape (m,)
        Its part of what is unresolved at the source's core; these add up to one, or are 0 without a core.
    is_core : ndarray of bool, shape (m,)
        Whether most of the core is in it, with its peak within half a beam of the core.
    peak_flux : ndarray, shape (m,)
        Its largest pixel in the image, Jy/beam, 0 if it has none there.
    """

    source: np.ndarray
    centre: np.ndarray
    peak: np.ndarray
    fraction: np.ndarray
    core: np.ndarray
    is_core: np.ndarray
    peak_flux: np.ndarray

    @classmethod
    def join(cls, parts: list[Hills]) -> Hills:
        """Return several lists as one, in order."""
        columns = {field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)}
        order = np.lexsort((-columns["fraction"], columns["source"]))
        return cls(**{name: column[order] for name, column in columns.items()})


def find_hills(drawn: Drawn, sources: SeenSources, frame: Frame, native: np.ndarray, peak_flux: np.ndarray) -> Hills:
    """Return the components of sources that have been drawn.

    Parameters
    ----------
    drawn : Drawn
        Whole sources.
    sources : SeenSources
        All of the batch that they are drawn from.
    frame : Frame
        The image.
    native : ndarray, shape (2, 2)
        Covariance of the stamps' own beam, in stamp pixels squared.
    peak_flux : ndarray, shape (n,)
        The largest pixel in the image of each source of the batch, Jy/beam.

    Notes
    -----
    A source's hills are found on all of its pixels, those beyond the image included, as the beam's Gaussian
    shows them: with a PSF image the one fitted to its main lobe, so that no sidelobe is a component. They
    follow from the source alone, whatever is drawn with it.
    """
    first, stamps = drawn.start, sources.stamps[drawn.start:drawn.stop]
    lobe, onto = _main_lobe(frame.beam, stamps.position), np.nan_to_num(stamps.affine)
    point = np.where(drawn.limited[:, None, None], onto @ native @ np.swapaxes(onto, 1, 2), lobe)
    mine = SeenSources(stamps, sources.core[first:drawn.stop], sources.centre[first:drawn.stop])
    crops: list[_Crop] = []
    parts, alone = [], np.ones(len(stamps), bool)
    at, near = np.zeros((len(stamps), 2)), np.ones((5, len(stamps)), np.float32)
    at[:] = mine.centre
    for patches, seen in zip(drawn.patches, drawn.seen, strict=True):
        whole = np.flatnonzero(~drawn.cut[patches.source - first])
        if not whole.size:
            continue
        k, corner, seen = patches.source[whole] - first, patches.corner[whole], seen[whole]
        images = _shown(patches.data[whole], patches.size[whole], frame.beam, lobe)
        y, x = np.divmod(images.reshape(len(k), -1).argmax(axis=1), images.shape[2])
        at[k] = np.stack([x, y], axis=1) + corner
        near[:, k] = _cross(images, np.arange(len(k)), y, x)
        several = np.flatnonzero(_n_tops(images) > 1)
        alone[k[several]] = False
        crops += _crops(k[several], corner[several], images[several], seen[several])
    peak = at + _offsets(near)
    # those of like size together, whatever they were drawn with
    sizes = ladder(np.array([crop.image.shape for crop in crops]).reshape(-1, 2))
    for size in np.unique(sizes, axis=0):
        rows = np.flatnonzero((sizes == size).all(axis=1))
        step = max(1, CROP_PIXELS // int(size.prod()))
        for start in range(0, len(rows), step):
            parts.append(_shared([crops[i] for i in rows[start:start + step]], size, mine, lobe, point, frame.holds))
    for large in np.flatnonzero(drawn.cut).tolist():
        shared = _coarse(large, mine, lobe, point, native, frame)
        if shared is not None:
            alone[large] = False
            parts.append(shared)
    single = np.flatnonzero(alone)
    parts.append(Hills(single, mine.centre[single], peak[single], np.ones(single.size),
                       np.isfinite(mine.core[single]).all(axis=1).astype(float), np.zeros(single.size, bool),
                       peak_flux[first + single]))
    found = Hills.join(parts)
    return replace(found, source=found.source + first)


def _main_lobe(beam: TargetBeam, position: np.ndarray) -> np.ndarray:
    """Return the covariance of the Gaussian that an image shows sources with, shape (n, 2, 2)."""
    if beam.psf is not None:
        return np.broadcast_to(fit_main_lobe(beam.psf), (len(position), 2, 2))
    return beam.at(*np.nan_to_num(position).T)[0]


def _shown(images: np.ndarray, sizes: np.ndarray, beam: TargetBeam, lobe: np.ndarray) -> np.ndarray:
    """Return sources as the beam's Gaussian shows them: those drawn for a PSF image are drawn with a narrower one."""
    if beam.psf is None:
        return images
    missing = lobe[0] - beam.covariance
    margin = int(np.ceil(5 * np.sqrt(missing.max())))
    out = np.zeros_like(images)
    # each at its own size, which rounding depends on
    for onto, data, (w, h) in zip(out, images, sizes.tolist(), strict=True):
        ny, nx = (fft.next_fast_len(n + margin, real=True) for n in (h, w))
        fy, fx = fft.fftfreq(ny)[:, None], fft.rfftfreq(nx)
        exponent = missing[0, 0] * fx**2 + 2 * missing[0, 1] * fx * fy + missing[1, 1] * fy**2
        spectrum = fft.rfft2(data[:h, :w].astype(float), s=(ny, nx)) * np.exp(-2 * np.pi**2 * exponent)
        onto[:h, :w] = fft.irfft2(spectrum, s=(ny, nx))[:h, :w]
    return out


def _n_tops(images: np.ndarray) -> np.ndarray:
    """Return how many pixels of each image are no lower than their neighbours, and high enough to count."""
    around = images
    for axis in (1, 2):
        low, high = (tuple(slice(*ends) if a == axis else slice(None) for a in range(3))
                     for ends in ((None, -1), (1, None)))
        wider = around.copy()
        np.maximum(wider[low], around[high], out=wider[low])
        np.maximum(wider[high], around[low], out=wider[high])
        around = wider
    least = LEAST_PEAK * images.max(axis=(1, 2), initial=0)
    return np.count_nonzero((images >= around) & (images > least[:, None, None]), axis=(1, 2))


def _cross(images: np.ndarray, k: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return pixels and their neighbours left, right, below and above, shape (5, m); at a border, itself for both."""
    high, wide = images.shape[1:]
    sx, sy = ((x > 0) & (x < wide - 1)).astype(int), ((y > 0) & (y < high - 1)).astype(int)
    return np.stack([images[k, y, x], images[k, y, x - sx], images[k, y, x + sx], images[k, y - sy, x],
                     images[k, y + sy, x]])


def _offsets(cross: np.ndarray) -> np.ndarray:
    """Return how far maxima (x, y) are from pixels, by parabolas in the logarithm, from `_cross`; shape (m, 2)."""
    tiny = np.maximum(1e-6 * cross[0].astype(float), np.finfo(np.float32).tiny)
    here, left, right, below, above = np.log(np.maximum(cross, tiny))
    before, after = np.stack([left, below], axis=1), np.stack([right, above], axis=1)
    bend = np.maximum(2 * here[:, None] - before - after, 1e-12)
    return np.clip((after - before) / (2 * bend), -0.5, 0.5)


@dataclass(frozen=True, eq=False)
class _Crop:
    """The part of a source's patch above the floor, with a rim.

    Its number, the first pixel (x, y), and the brightness, as the beam's Gaussian shows it and as it is seen.
    """

    source: int
    corner: np.ndarray
    image: np.ndarray
    seen: np.ndarray


def _crops(source: np.ndarray, corner: np.ndarray, images: np.ndarray, seen: np.ndarray) -> list[_Crop]:
    first, last, _ = mask_ends(images > FLOOR * images.max(axis=(1, 2), initial=0)[:, None, None])
    first, last = np.maximum(first - RIM, 0), last + RIM + 1
    crops = []
    for i, (x0, y0, x1, y1) in enumerate(np.concatenate([first, last], axis=1).tolist()):
        part = i, slice(y0, y1), slice(x0, x1)
        crops.append(_Crop(int(source[i]), corner[i] + (x0, y0), images[part], seen[part]))
    return crops


def _shared(crops: list[_Crop], size: np.ndarray, sources: SeenSources, lobe: np.ndarray, point: np.ndarray,
            holds: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Hills:
    """Return the components of sources with more than one top.

    ``size`` is one that all crops fit into, and ``holds`` tells which pixels the image has.
    """
    images, seen = np.zeros((2, len(crops), *size), np.float32)
    for i, crop in enumerate(crops):
        high, wide = crop.image.shape
        images[i, :high, :wide], seen[i, :high, :wide] = crop.image, crop.seen
    source, corner = np.array([crop.source for crop in crops]), np.array([crop.corner for crop in crops])
    fwhm = FWHM * np.sqrt(np.linalg.eigvalsh(lobe[source])[:, 0])
    found, pixels = share_out(images, Rule(PROMINENCE + COARSE / fwhm**4, least_peak=LEAST_PEAK, floor=FLOOR,
                                           between_pixels=True))
    k, n = found.stamp, len(images)
    fraction = found.flux / np.bincount(k, weights=found.flux, minlength=n)[k]
    centre = found.centre + corner[k]
    # what is shared out in proportion takes their common centre to the source's
    for axis in (0, 1):
        mean = np.bincount(k, weights=fraction * centre[:, axis], minlength=n)
        centre[:, axis] += (sources.centre[source, axis] - mean)[k]
    peak = found.peak + corner[k] + _offsets(_cross(images, k, found.peak[:, 1], found.peak[:, 0]))
    at = np.stack([pixels.x, pixels.y], axis=1) + corner[pixels.stamp]
    core, is_core = _cores(pixels.component, at, k, peak, sources.core[source], point[source])
    inside = holds(*at.T)
    peak_flux = np.zeros(len(k))
    np.maximum.at(peak_flux, pixels.component[inside], seen[pixels.stamp, pixels.y, pixels.x][inside])
    return Hills(source[k], centre, peak, fraction, core, is_core, peak_flux)


def _cores(component: np.ndarray, at: np.ndarray, k: np.ndarray, peak: np.ndarray, core: np.ndarray,
           point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each component's part of its source's core, as the beam spreads it, and which are cores.

    Parameters
    ----------
    component : ndarray of int, shape (p,)
        Whose each pixel is.
    at : ndarray, shape (p, 2)
        Its place (x, y).
    k, peak : ndarray, shape (m,) and (m, 2)
        Number of each component's source, and its peak.
    core, point : ndarray, shape (n, 2) and (n, 2, 2)
        Of each source, where its core is and the Gaussian that a point looks like.
    """
    precision = np.linalg.inv(point)

    def distance(offset: np.ndarray, which: np.ndarray) -> np.ndarray:
        p = precision[which]
        return offset[:, 0] ** 2 * p[:, 0, 0] + 2 * offset.prod(axis=1) * p[:, 0, 1] + offset[:, 1] ** 2 * p[:, 1, 1]

    of = k[component]
    weight = np.exp(-0.5 * np.nan_to_num(distance(at - core[of], of), nan=np.inf))
    part = np.bincount(component, weights=weight, minlength=len(k))
    total = np.bincount(k, weights=part, minlength=len(core))[k]
    share = np.where(total > 0, part / np.where(total > 0, total, 1), 0)
    largest = np.zeros(len(core))
    np.maximum.at(largest, k, share)
    near = distance(peak - core[k], k) <= 2 * np.log(2)
    return share, near & (share > 0) & (share == largest[k])


def _coarse(k: int, sources: SeenSources, lobe: np.ndarray, point: np.ndarray, native: np.ndarray, frame: Frame
            ) -> Hills | None:
    """Return the components of a source too large to be drawn whole on the image's pixels; None for one alone."""
    one, origin = sources.stamps[k:k + 1], sources.stamps.position[k]
    step = FWHM * np.sqrt(np.linalg.eigvalsh(point[k])[0]) / COARSE_FWHM
    wide, narrow = lobe[k] / step**2, point[k] / step**2
    beam = TargetBeam(wide, float(2 * np.pi * np.sqrt(np.linalg.det(wide))), frame.beam.beam)
    stamps = Stamps(one.stamps, one.centre, np.zeros((1, 2)), one.affine / step, one.flux)
    (drawn,) = draw_stamps(stamps, beam, native, (LARGEST, LARGEST))
    if drawn.cut[0] or _n_tops(drawn.seen[0])[0] < 2:
        return None
    there = SeenSources(stamps, (sources.core[k:k + 1] - origin) / step, (sources.centre[k:k + 1] - origin) / step)

    def holds(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return frame.holds(*(np.rint(a * step + o).astype(np.int64) for a, o in zip((x, y), origin, strict=True)))

    (crop,) = _crops(np.zeros(1, int), drawn.patches[0].corner, drawn.seen[0], drawn.seen[0])
    found = _shared([crop], np.array(crop.image.shape), there, wide[None], narrow[None], holds)
    return replace(found, source=np.full(len(found.source), k), centre=found.centre * step + origin,
                   peak=found.peak * step + origin)
