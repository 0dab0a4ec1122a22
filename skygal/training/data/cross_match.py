"""Cutouts of one source, told by their pixels where positions are missing.

FRDEEP's images have no positions, and show sources that MiraBest and the Radio Galaxy Dataset show as
well. All are cut out of one survey, so that two cutouts of a source agree to some per cent or better, noise
included, once shift, scale and clip are fitted; cutouts of two sources do not, unless both are hardly
resolved. A pair counts as one source where it agrees much better than any other pair does, and better
than a plain Gaussian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from astropy import units as u
from scipy import ndimage

from skygal.training.data.cutouts import Cutouts, select_cutouts

__all__ = ["Match", "compare_cutouts", "fill_positions", "leave_out", "match_cutouts"]

SIDE = 150  # pixels of a cutout that are compared: FRDEEP's own size
BIN, REACH = 3, 2  # pixels to a bin of the search, and bins that the centre of a cutout may be off
CANDIDATES = 8  # most alike in the search, to be compared in full
STEPS, LONGEST, NEAR = 5, 1.5, 0.01  # of the fit of the shift: how many, their length and their end, pixels
HOPELESS = 0.4  # misfit at whole pixels; none of one source's pairs is so far off
LEAST_PIXELS = 12  # lit in both; fewer say nothing
MARGIN = 4  # pixels around what is lit
LEVEL = 1 / 512  # of the peak: half of what eight bits can show
SAME_SOURCE = 60.0  # arcsec
#: the largest misfit of one source, how many times larger that of the next best and of Gaussians must be, and what
#: part of the lit pixels of the shallower cutout must be compared
LARGEST, CLEARLY, OVERLAP = 0.06, 4.0, 0.7
#: the largest among those without positions, where copies differ less and fewer others are there to compare with
LARGEST_UNPLACED = 0.01


@dataclass(frozen=True)
class Match:
    """How well one cutout stands for another.

    Attributes
    ----------
    misfit : float
        Sum of squared differences over the sum of squares, after the best fit; 1 where they have
        nothing in common.
    shift : tuple of float
        (y, x) in pixels: where the first cutout's pixel (0, 0) lies in the second.
    pixels : int
        How many lit pixels were compared.
    """

    misfit: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    pixels: int = 0


def flatten_cutout(image: np.ndarray, rms: float = np.nan) -> np.ndarray:
    """Return the middle of a cutout above its clip, which becomes zero; the brightest pixel is 1.

    Parameters
    ----------
    image : `~numpy.ndarray`
        Shape (ny, nx), any unit; NaN counts as zero.
    rms : float
        Its noise, so that the clip is at three times it; NaN for a cutout that is clipped
        already, whose faintest pixel shows where the clip was.

    Returns
    -------
    `~numpy.ndarray`
        Shape (150, 150), float32.
    """
    image = np.nan_to_num(np.asarray(image, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    out = np.zeros((SIDE, SIDE), np.float32)
    cut = tuple(slice(max((size - SIDE) // 2, 0), max((size - SIDE) // 2, 0) + SIDE) for size in image.shape)
    put = tuple(slice(max((SIDE - size) // 2, 0), max((SIDE - size) // 2, 0) + min(size, SIDE)) for size in image.shape)
    out[put] = image[cut]
    lit = out[out > 0]
    clip = 3 * rms if np.isfinite(rms) else float(lit.min()) if lit.size else 0.0
    out = np.maximum(out - np.float32(clip), 0)
    return out / max(float(out.max()), 1e-30)


def _search(queries: np.ndarray, pool: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the pool most like each query, (m, k), and the shifts in pixels, (m, k, 2).

    Cosine similarity of binned square roots, at shifts of whole bins.
    """
    n = SIDE // BIN

    def binned(images: np.ndarray) -> np.ndarray:
        roots = np.sqrt(images).reshape(len(images), n, BIN, n, BIN).mean(axis=(2, 4))
        return roots / np.maximum(np.sqrt((roots**2).sum(axis=(1, 2), keepdims=True)), 1e-9)

    a, b = binned(queries), binned(pool).reshape(len(pool), -1).T
    side = 2 * REACH + 1
    best, which = np.full((len(a), b.shape[1]), -1.0, np.float32), np.zeros((len(a), b.shape[1]), int)
    for number in range(side**2):
        moved = ndimage.shift(a, (0, number // side - REACH, number % side - REACH), order=0)
        alike = moved.reshape(len(a), -1) @ b
        up = alike > best
        best[up], which[up] = alike[up], number
    rows = np.argsort(-best, axis=1, kind="stable")[:, :CANDIDATES]
    found = np.take_along_axis(which, rows, axis=1)
    return rows, BIN * np.stack([found // side - REACH, found % side - REACH], axis=-1)


def _whole_shift(a: np.ndarray, b: np.ndarray, near: Sequence[int]) -> tuple[int, int]:
    """Return the shift in whole pixels, within two of ``near``, at which square roots agree best."""
    roots = np.sqrt(a), np.sqrt(b)
    best, out = -1.0, (0, 0)
    for y in range(near[0] - 2, near[0] + 3):
        for x in range(near[1] - 2, near[1] + 3):
            ya, xa = (slice(max(-at, 0), size - max(at, 0)) for at, size in zip((y, x), a.shape, strict=True))
            yb, xb = (slice(max(at, 0), size - max(-at, 0)) for at, size in zip((y, x), a.shape, strict=True))
            if (alike := float(np.vdot(roots[0][ya, xa], roots[1][yb, xb]))) > best:
                best, out = alike, (y, x)
    return out


def compare_cutouts(a: np.ndarray, b: np.ndarray, *, near: Sequence[int] = (0, 0)) -> Match:
    """Fit one flattened cutout to another.

    Parameters
    ----------
    a, b : `~numpy.ndarray`
        Of one shape, from `flatten_cutout`.
    near : sequence of int
        (y, x), a shift in whole pixels within two of which the fit starts.

    Returns
    -------
    Match
        The deeper one of the two, which has more lit pixels, is fitted to the other.

    Notes
    -----
    b = max(scale * a(shifted) + offset, 0): the clips differ, and so may the offset that they leave. The
    shift is found by Gauss-Newton steps, b being linear in scale, offset and, through the gradient of
    a, in a small shift.
    """
    if (a > 0).sum() < (b > 0).sum():
        back = compare_cutouts(b, a, near=(-near[0], -near[1])) if (a > 0).any() else Match()
        return replace(back, shift=(-back.shift[0], -back.shift[1]))
    lit = (a > 0) | (b > 0)
    rows, columns = (np.flatnonzero(lit.any(axis=axis)) for axis in (1, 0))
    if rows.size == 0 or not (b > 0).any():
        return Match()
    margin = MARGIN + max(abs(near[0]), abs(near[1]))
    box = tuple(slice(max(where[0] - margin, 0), where[-1] + margin + 1) for where in (rows, columns))
    a, b = a[box], b[box]
    shift = np.array(_whole_shift(a, b, near), float)
    curve = ndimage.spline_filter(a, 3, output=np.float32)
    power, best = float((b**2).sum()), Match()
    for _ in range(STEPS):
        moved = ndimage.shift(curve, shift, order=3, prefilter=False, mode="constant")
        seen = moved > LEVEL
        both = seen & (b > 0)
        if (count := int(both.sum())) < LEAST_PIXELS:
            break
        slope_y, slope_x = np.gradient(moved)
        terms = np.stack([moved[both], np.ones(count), -slope_y[both], -slope_x[both]]).astype(float)
        values = b[both].astype(float)
        scale, offset = _solve(terms[:2], values)
        model = np.maximum(scale * moved + offset, 0) * (seen | (offset < 0))
        misfit = float(((model - b) ** 2).sum()) / power
        if scale > 0 and misfit < best.misfit:
            best = Match(misfit, (float(shift[0]), float(shift[1])), count)
        solved = _solve(terms, values)
        if best.misfit > HOPELESS or solved[0] <= 0:
            break
        step = solved[2:] / solved[0]
        length = float(np.hypot(*step))
        shift += step * min(1.0, LONGEST / max(length, 1e-9))
        if length < NEAR:
            break
    return best


def _solve(terms: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the least-squares coefficients of ``terms`` (k, n); a trace of ridge keeps them finite."""
    square = terms @ terms.T
    return np.linalg.solve(square + 1e-9 * np.trace(square) * np.eye(len(terms)), terms @ values)


def gaussian_misfit(image: np.ndarray) -> float:
    """Return how badly a plain elliptical Gaussian stands for a flattened cutout.

    Two hardly resolved sources are as alike as each is like its Gaussian: a match must be better.
    """
    flux = float(image.sum())
    if flux <= 0:
        return 0.0
    y, x = np.indices(image.shape, float)
    middle = (float((image * y).sum()) / flux, float((image * x).sum()) / flux)
    dy, dx = y - middle[0], x - middle[1]
    yy, xx, xy = (float((image * term).sum()) / flux for term in (dy**2, dx**2, dx * dy))
    # a clipped Gaussian is narrower than it was
    least = 1.0
    for widen in (1.0, 1.3, 1.7, 2.2):
        det = (yy + 0.1) * (xx + 0.1) - xy**2
        form = ((xx + 0.1) * dy**2 + (yy + 0.1) * dx**2 - 2 * xy * dx * dy) / (det * widen)
        least = min(least, compare_cutouts(np.exp(-0.5 * form).astype(np.float32), image).misfit)
    return least


def match_cutouts(stamps: Cutouts, *, progress: bool = False) -> np.ndarray:
    """Find, for cutouts without a position, another one that shows the same source.

    Parameters
    ----------
    stamps : Cutouts
        The cutouts, of one survey and in one orientation.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    `~numpy.ndarray` of int
        Shape (n,): the row of a cutout with a position that shows the same source; where there is
        none, of an earlier one without; else the cutout's own row, as for all that have positions.

    Notes
    -----
    Candidates are searched by the cosine of binned square roots and compared in full by
    `compare_cutouts`. The best one counts if its misfit is at most 0.06 (0.01 among those without
    positions), and a quarter of the next best one's (of another source) and of either's
    `gaussian_misfit`. Sources hardly larger than the beam are not told from each other so, and
    stay unmatched. Cutouts turned or mirrored are not found.
    """
    same = np.arange(len(stamps))
    placed = np.isfinite(stamps.ra) & np.isfinite(stamps.dec)
    if placed.all():
        return same
    images = np.stack([flatten_cutout(image, rms) for image, rms in zip(stamps.images, stamps.rms, strict=True)])
    for pool in (np.flatnonzero(placed), np.flatnonzero(~placed)):
        queries = np.flatnonzero(~placed & (same == np.arange(len(same))))
        pool = pool[same[pool] == pool]
        if queries.size and pool.size:
            _match(images, queries, pool, stamps, same, progress)
    return same


def _match(images: np.ndarray, queries: np.ndarray, pool: np.ndarray, stamps: Cutouts, same: np.ndarray,
           progress: bool) -> None:
    """Set ``same`` of those queries that show a source of the pool."""
    from tqdm import tqdm

    rows, shifts = _search(images[queries], images[pool])
    for query, row, shift in zip(tqdm(queries, "matching", unit="stamp", disable=not progress, delay=2),
                                 pool[rows], shifts, strict=True):
        found = {other: compare_cutouts(images[query], images[other], near=near)
                 for other, near in zip(row.tolist(), shift.tolist(), strict=True)
                 # among those without positions, the earlier ones count, and each source once
                 if np.isfinite(stamps.ra[other]) or other < query and same[other] == other}
        if not found:
            continue
        first = min(found, key=lambda other: found[other].misfit)
        best = found[first]
        if best.misfit > (LARGEST if np.isfinite(stamps.ra[first]) else LARGEST_UNPLACED):
            continue
        pair = images[[query, first]]
        others = [match.misfit for other, match in found.items() if other != first and not _near(stamps, first, other)]
        if best.pixels >= OVERLAP * (pair > 0).sum(axis=(1, 2)).min() and CLEARLY * best.misfit <= min(
                [*others, *map(gaussian_misfit, pair)]):
            same[query] = first


def _near(stamps: Cutouts, one: int, two: int) -> bool:
    """Return whether two entries have positions within a minute of arc."""
    from astropy.coordinates import angular_separation

    ra, dec = np.radians(stamps.ra[[one, two]]), np.radians(stamps.dec[[one, two]])
    return bool(angular_separation(ra[0], dec[0], ra[1], dec[1]) < np.radians(SAME_SOURCE / 3600))


def fill_positions(stamps: Cutouts, same: np.ndarray | None = None) -> Cutouts:
    """Give cutouts without a position that of another one which shows the same source.

    Parameters
    ----------
    stamps : Cutouts
        The cutouts.
    same : `~numpy.ndarray` of int, optional
        Shape (n,), from `match_cutouts`; found if not given.

    Returns
    -------
    Cutouts
        As many as before, in the same order. Those that stay without a position and show the
        source of an earlier one have its name, so that a split by names does not part them.
    """
    if same is None:
        same = match_cutouts(stamps)
    missing = ~(np.isfinite(stamps.ra) & np.isfinite(stamps.dec))
    ra, dec = (np.where(missing, value[same], value) for value in (stamps.ra, stamps.dec))
    name = np.where(np.isfinite(ra), stamps.name, stamps.name[same])
    return replace(stamps, ra=ra, dec=dec, name=name)


def leave_out(stamps: Cutouts, known: Cutouts, *, name: str = "") -> Cutouts:
    """Return the stamps of sources that another set does not show, of which none lies within a minute of arc.

    Parameters
    ----------
    stamps : Cutouts
        The cutouts to choose from; those without a position are left out.
    known : Cutouts
        The cutouts whose sources are to be left out. Where one of these has no position, it takes that of another one
        that shows the same source, if there is such (`skygal.training.data.cross_match.fill_positions`).
    name : str
        A text that the names of those chosen must hold, such as a catalogue's.

    Returns
    -------
    Cutouts

    Examples
    --------
    The stamps of MiraBest in the wheel of ``firstgalaxydata`` which a file of training stamps does not hold::

        outside = leave_out(read_stamps("firstgalaxydata"), read_stamps("train.npz"), name="MiraBest")
    """
    from astropy.coordinates import SkyCoord

    known = fill_positions(known)
    chosen = np.isfinite(stamps.ra) & np.isfinite(stamps.dec) & (np.char.find(stamps.name, name) >= 0)
    placed = np.isfinite(known.ra) & np.isfinite(known.dec)
    if chosen.any() and placed.any():
        rows = np.flatnonzero(chosen)
        places, others = (SkyCoord(ra * u.deg, dec * u.deg) for ra, dec in (
            (stamps.ra[rows], stamps.dec[rows]), (known.ra[placed], known.dec[placed])))
        chosen[rows[places.match_to_catalog_sky(others)[1] < SAME_SOURCE * u.arcsec]] = False
    return select_cutouts(stamps, chosen)
