"""From stamps to pixels of sources, a bounded number at a time, and what those pixels measure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from scipy import signal

from skygal.observation.beam import TargetBeam
from skygal.rendering.beam_matching import matching_kernel
from skygal.rendering.plan import PatchPlan, plan_patches
from skygal.rendering.transform import Patches, render_blocks

__all__ = ["Drawn", "Stamps", "draw_stamps"]

#: pixels of patches that are held at once
PATCH_PIXELS = 2**23
#: a patch of more pixels than this, and than four times the image, is made within the image only
LARGEST_PATCH = 2**22
#: a determinant below this part of the square of the largest element is zero, rounded
SINGULAR = 1e-12


@dataclass(frozen=True, eq=False)
class Stamps:
    """Sources that are to be drawn.

    Attributes
    ----------
    stamps : ndarray, shape (n, ny, nx), float32
        Brightness of unit sum.
    centre : ndarray, shape (n, 2)
        Flux-weighted centre (x, y) in stamp pixels.
    position : ndarray, shape (n, 2)
        Where that goes: (x, y) in pixels of the image. NaN where the image's projection cannot show it.
    affine : ndarray, shape (n, 2, 2)
        Stamp pixels to image pixels.
    flux : ndarray, shape (n,)
        Integrated flux, Jy.

    Raises
    ------
    ValueError
        If shapes are not these.
    """

    stamps: np.ndarray
    centre: np.ndarray
    position: np.ndarray
    affine: np.ndarray
    flux: np.ndarray

    def __post_init__(self) -> None:
        if np.ndim(self.stamps) != 3:
            raise ValueError(f"stamps must have shape (n, ny, nx), got {np.shape(self.stamps)}")
        n = len(self.stamps)
        for name, shape in (("centre", (n, 2)), ("position", (n, 2)), ("affine", (n, 2, 2)), ("flux", (n,))):
            if np.shape(getattr(self, name)) != shape:
                raise ValueError(f"{name} must have shape {shape}, got {np.shape(getattr(self, name))}")

    def __len__(self) -> int:
        return len(self.flux)

    def __getitem__(self, part: slice | np.ndarray) -> Stamps:
        return Stamps(*(getattr(self, field.name)[part] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Drawn:
    """Sources ``start`` to ``stop`` of a batch, drawn.

    Attributes
    ----------
    start, stop : int
        Which sources. Those that have no place in the image, or no pixel in the window, have no patch.
    patches : list of Patches
        What is to be added up: Jy/beam, or with a PSF image Jy per pixel with the beam's Gaussian
        alone. A source has one patch at most.
    seen : list of ndarray
        The same as they appear in the image, Jy/beam: the same arrays without a PSF image.
    cut : ndarray of bool, shape (stop - start,)
        Sources too large for all of their pixels to be made.
    limited : ndarray of bool, shape (stop - start,)
        Sources whose own beam is wider than the image's.
    """

    start: int
    stop: int
    patches: list[Patches]
    seen: list[np.ndarray]
    cut: np.ndarray
    limited: np.ndarray

    def boxes(self, out: np.ndarray) -> None:
        """Set rows of ``out``, shape (n, 4), to (y0, y1, x0, x1) of each patch, one past the last row and column."""
        for patches in self.patches:
            begin, end = patches.corner[:, ::-1], (patches.corner + patches.size)[:, ::-1]
            out[patches.source, ::2], out[patches.source, 1::2] = begin, end

    def in_order(self) -> Iterator[tuple[int, tuple[int, int], np.ndarray, np.ndarray]]:
        """Yield source, first image pixel (x, y), what is to be added, and what is seen, by rising source."""
        places = sorted((int(source), group, k) for group, patches in enumerate(self.patches)
                        for k, source in enumerate(patches.source))
        for source, group, k in places:
            patches = self.patches[group]
            (x, y), (w, h) = patches.corner[k].tolist(), patches.size[k].tolist()
            yield source, (x, y), patches.data[k, :h, :w], self.seen[group][k, :h, :w]


def draw_stamps(sources: Stamps, beam: TargetBeam, native: np.ndarray, shape: tuple[int, int], *,
                window: tuple[int, int, int, int] | None = None, device: str = "cpu") -> Iterator[Drawn]:
    """Draw sources.

    Parameters
    ----------
    sources : Stamps
    beam : TargetBeam
        The image's beam.
    native : ndarray, shape (2, 2)
        Covariance of the stamps' own beam, in stamp pixels squared.
    shape : (int, int)
        (ny, nx) of the image, by which it is decided which sources are too large to be drawn whole.
    window : (int, int, int, int), optional
        (y0, y1, x0, x1) of the pixels wanted, one past the last row and column. By default whole sources are
        drawn. A source's pixels are the same bits either way.
    device : str
        "cpu" or "cuda".

    Yields
    ------
    Drawn
        Runs of sources.

    Raises
    ------
    ValueError
        If a stamp, a flux or a centre is not finite, a stamp has no pixel that is not zero, or an affine is finite but
        cannot be inverted.
    """
    known = np.isfinite(sources.position).all(axis=1) & np.isfinite(sources.affine).all(axis=(1, 2))
    rows = np.flatnonzero(known)
    _check(sources, rows)
    covariance, area = beam.at(*sources.position[rows].T)
    kernel, is_limited = matching_kernel(sources.affine[rows], covariance, native)
    limited = np.zeros(len(sources), bool)
    limited[rows] = is_limited
    plan = plan_patches(sources.stamps[rows], sources.centre[rows], sources.position[rows], sources.affine[rows],
                        kernel, native)
    rest = beam.remainder
    margin = (0, 0) if rest is None else tuple(s // 2 for s in rest.shape)
    image = np.array([-margin[0], shape[0] + margin[0], -margin[1], shape[1] + margin[1]])
    pixels = plan.size.prod(axis=1, dtype=float)
    whole = pixels <= max(LARGEST_PATCH, 4 * shape[0] * shape[1])
    cut = np.zeros(len(sources), bool)
    cut[rows] = ~whole
    begin, end = plan.corner[:, ::-1], (plan.corner + plan.size)[:, ::-1]
    windows = np.where(whole[:, None], np.stack([begin[:, 0], end[:, 0], begin[:, 1], end[:, 1]], axis=1), image)
    if window is not None and rest is None:
        windows[:, ::2] = np.maximum(windows[:, ::2], window[::2])
        windows[:, 1::2] = np.minimum(windows[:, 1::2], window[1::2])
    scale = sources.flux[rows] * (area if rest is None else 1)
    # runs of sources whose patches fit into memory together
    held = np.minimum(pixels, 4.0 * shape[0] * shape[1])
    run = np.zeros(len(sources), int)
    run[rows] = ((np.cumsum(held) - held) // PATCH_PIXELS).astype(int)
    run = np.maximum.accumulate(run)
    edges = np.r_[0, np.flatnonzero(np.diff(run)) + 1, len(sources)] if len(sources) else [0]
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        mine = np.flatnonzero((rows >= start) & (rows < stop))
        patches = list(_patches(sources.stamps, plan, mine, rows, windows, scale, device))
        seen = [p.data if rest is None else _convolved(p, rest) for p in patches]
        yield Drawn(int(start), int(stop), patches, seen, cut[start:stop], limited[start:stop])


def _check(sources: Stamps, rows: np.ndarray) -> None:
    """Raise for sources that would give wrong numbers, of which ``rows`` have a place."""
    # a sum is finite if all that is summed up is, and quicker to look at
    bad = np.flatnonzero(~np.isfinite(np.einsum("nij->n", sources.stamps)))
    if bad.size:
        stamp = sources.stamps[bad[0]]
        raise ValueError(f"stamps must be finite, got {stamp[~np.isfinite(stamp)][0]} in stamp {bad[0]}")
    for name in ("flux", "centre"):
        value = getattr(sources, name)
        wrong = np.argwhere(~np.isfinite(value))
        if wrong.size:
            raise ValueError(f"{name} must be finite, got {value[tuple(wrong[0])]} of source {wrong[0][0]}")
    affine = sources.affine[rows]
    size = np.abs(affine).max(axis=(1, 2), initial=0)
    bad = rows[np.abs(np.linalg.det(affine)) <= SINGULAR * size**2]
    if bad.size:
        raise ValueError(f"affine must be invertible, got {sources.affine[bad[0]]} of source {bad[0]}")


def _patches(stamps: np.ndarray, plan: PatchPlan, mine: np.ndarray, rows: np.ndarray, windows: np.ndarray,
             scale: np.ndarray, device: str) -> Iterator[Patches]:
    """Yield patches, numbered by source, of those ``mine`` out of the plan; each source's parts made one."""
    part = plan[mine]
    blocks = part.blocks(windows[mine])
    number = np.bincount(blocks.source, minlength=len(mine))
    single = number[blocks.source] == 1
    for p in render_blocks(stamps, part, blocks[single], of=rows[mine], scale=scale[mine], device=device):
        yield Patches(rows[mine[p.source]], p.corner, p.size, p.data)
    for k in np.flatnonzero(number > 1):
        own = blocks[blocks.source == k]
        corner = own.corner.min(axis=0)
        size = (own.corner + own.size).max(axis=0) - corner
        data = np.zeros((1, size[1], size[0]), np.float32)
        for p in render_blocks(stamps, part, own, of=rows[mine], scale=scale[mine], device=device):
            for (x, y), (w, h), values in zip(p.corner - corner, p.size, p.data, strict=True):
                data[0, y:y + h, x:x + w] = values[:h, :w]
        yield Patches(rows[mine[k:k + 1]], corner[None], size[None], data)


def _convolved(patches: Patches, rest: np.ndarray) -> np.ndarray:
    """Return patches as a PSF image shows them."""
    cy, cx = (s // 2 for s in rest.shape)
    out = np.zeros_like(patches.data)
    # each at its own size, which rounding depends on
    for onto, data, (w, h) in zip(out, patches.data, patches.size.tolist(), strict=True):
        near = rest[max(0, cy - h):cy + h + 1, max(0, cx - w):cx + w + 1]
        onto[:h, :w] = signal.fftconvolve(data[:h, :w].astype(float), near, mode="same")
    return out
