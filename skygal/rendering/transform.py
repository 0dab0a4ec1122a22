"""Stamps onto the image's grid: rotation, zoom, placement and beam, many at a time.

A stamp's Fourier coefficients, at just the frequencies that the image's beam lets through, times
the Gaussian that it lacks, are its brightness as a sum of waves. That sum is read off at the image's pixel
centres in two passes of matrix products: along one axis of the stamp to the columns of the image, then
along these. Both are exact for waves: there is no interpolation, and so nothing to ring or to alias.

Sources whose arrays have the same sizes are computed together, each by products of its own, so that a
source's pixels are the same whatever it is drawn with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from skygal.rendering.plan import PatchBlocks, PatchPlan, ladder, plan_patches
from skygal.rendering.threads import one_thread

if TYPE_CHECKING:
    import torch

__all__ = ["Patches", "render_blocks", "render_stamp", "render_stamps"]

#: pixels of patches that are computed together
GRID_PIXELS = 2**22


@dataclass(frozen=True, eq=False)
class Patches:
    """Parts of images of single sources.

    Attributes
    ----------
    source : ndarray of int, shape (m,)
        Index of the source each belongs to.
    corner, size : ndarray of int, shape (m, 2)
        First image pixel (x, y), and width and height.
    data : ndarray, shape (m, h, w), float32
        ``data[k, j, i]`` belongs at image pixel corner[k] + (i, j); zero beyond ``size``.
    """

    source: np.ndarray
    corner: np.ndarray
    size: np.ndarray
    data: np.ndarray


def render_blocks(stamps: np.ndarray, plan: PatchPlan, blocks: PatchBlocks, *, of: np.ndarray | None = None,
                  scale: np.ndarray | None = None, device: str = "cpu", few: bool = False) -> Iterator[Patches]:
    """Render stamps.

    Parameters
    ----------
    stamps : ndarray, shape (n, ny, nx), float32
        Brightness. A stamp's sum, times its scale, is what its whole patch sums to.
    plan : PatchPlan
        Of these stamps.
    blocks : PatchBlocks
        The parts wanted.
    of : ndarray of int, shape (n,), optional
        Which stamp each row of the plan is of; by default the one of the same number.
    scale : ndarray, shape (n,), optional
        What each stamp is multiplied by; 1 by default.
    device : str
        Where to compute: "cpu" or "cuda".
    few : bool
        Whether there are too few stamps to sort them by all their sizes: by two numbers then, two lit pixels to a
        coefficient. A source's bits depend on that, if not on what it is rendered with.

    Yields
    ------
    Patches
        Brightness per image pixel. Parts come in groups of one size, not in order.
    """
    k = blocks.source
    if not k.size:
        return
    keys = np.column_stack([ladder(plan.lit), plan.order, plan.sheared])[k]
    keys = np.column_stack([keys, ladder(blocks.size)])
    if few:
        level = ladder(np.maximum(-(-keys[:, :2].max(axis=1) // 2), keys[:, 2:5].max(axis=1) + 1))
        side = ladder(keys[:, 5:].max(axis=1))
        keys = np.column_stack([2 * level, 2 * level, level - 1, level - 1, level - 1, side, side])
    sizes, group = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(group, kind="stable")
    for size, members in zip(sizes, np.split(order, np.cumsum(np.bincount(group, minlength=len(sizes)))[:-1]),
                             strict=True):
        step = max(1, GRID_PIXELS // int(size[-1] * size[-2]))
        for begin in range(0, len(members), step):
            part = members[begin:begin + step]
            mine = k[part]
            own = plan[mine]
            cut = _cut_out(stamps, mine if of is None else of[mine], own, *size[:2])
            factor = np.ones(len(part)) if scale is None else scale[mine]
            data = _render(cut, own, blocks.corner[part], factor, tuple(int(n) for n in size[2:]), device)
            wide, high = blocks.size[part].max(axis=0)
            yield Patches(mine, blocks.corner[part], blocks.size[part], data[:, :high, :wide])


def _cut_out(stamps: np.ndarray, of: np.ndarray, plan: PatchPlan, wide: int, high: int) -> np.ndarray:
    """Return the pixels that are not zero, as (v, u), filled up with zeros."""
    out = np.zeros((len(of), high, wide), np.float32)
    for part, i, (u, v), (nu, nv), swap in zip(out, of, plan.first.tolist(), plan.lit.tolist(), plan.swap.tolist(),
                                               strict=True):
        part[:nv, :nu] = stamps[i, u:u + nu, v:v + nv].T if swap else stamps[i, v:v + nv, u:u + nu]
    return out


def _waves(turns: np.ndarray, order: int, device: str) -> torch.Tensor:
    """Return cos and sin of 2 pi k t for k = 0..order, float32 of shape (..., n, 2, order + 1), of ``turns`` t."""
    import torch

    # whole turns are left out before anything is rounded to single precision
    angle = (turns - np.rint(turns))[..., None] * np.arange(order + 1.0)
    angle -= np.rint(angle)
    angle = np.multiply(angle, 2 * np.pi, dtype=np.float32, casting="same_kind")
    if device != "cpu":
        there = torch.from_numpy(angle).to(device)
        return torch.stack([torch.cos(there), torch.sin(there)], dim=-2)
    # numpy's are the faster ones, and every element is computed alike, wherever in the array it is
    out = np.empty((*turns.shape, 2, order + 1), np.float32)
    np.cos(angle, out=out[..., 0, :])
    np.sin(angle, out=out[..., 1, :])
    return torch.from_numpy(out)


@lru_cache(maxsize=512)
def _transform(order: int, samples: int, device: str, back: bool) -> torch.Tensor:
    """Return the transform over one period: (samples, 2 (order + 1)), cosines then sines.

    Samples lie in the middles of as many parts, so that none is on the seam, where a sheared source's two ends differ.

    The one ``back`` from real samples holds the weights for summing over both signs of the frequency.
    """
    import torch

    place = (np.arange(samples) + 0.5) / samples
    wave = np.exp((-2j if back else 2j) * np.pi * np.outer(place, np.arange(order + 1)))
    if back:
        wave *= np.where(np.arange(order + 1) == 0, 1, 2) / samples
    return torch.from_numpy(np.concatenate([wave.real, wave.imag], axis=1).astype(np.float32)).to(device)


def _turned(a: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Return the product of complex numbers, shape (..., 2, n): real parts, imaginary parts.

    In plain steps, each rounded by itself: a fused one rounds otherwise where a vector register is not full, which
    depends on how many sources there are.
    """
    import torch

    (ar, ai), (br, bi) = a.unbind(-2), by.unbind(-2)
    out = torch.empty_like(a)
    real, imaginary = out.unbind(-2)
    torch.mul(ar, br, out=real).sub_(ai * bi)
    torch.mul(ar, bi, out=imaginary).add_(ai * br)
    return out


def _cut_off(image: torch.Tensor, across: np.ndarray, along: np.ndarray, period: np.ndarray) -> None:
    """Set an image, shape (m, a, b), to zero, in place, unless 0 <= across + along <= period."""
    import torch

    half = 0.5 * period
    a, b, c = (np.asarray(x, np.float32) for x in (across - half, along, half))
    if image.device.type == "cpu":
        # numpy is the faster one with small arrays
        place = a[:, :, None] + b[:, None, :]
        values = image.numpy()
        np.multiply(values, np.abs(place, out=place) <= c[:, None], out=values)
    else:
        there = [torch.from_numpy(x).to(image.device) for x in (a, b, c)]
        image *= (there[0][:, :, None] + there[1][:, None, :]).abs_() <= there[2][:, None]


def _render(stamps: np.ndarray, plan: PatchPlan, corner: np.ndarray, factor: np.ndarray, sizes: tuple[int, ...],
            device: str) -> np.ndarray:
    """Return the pixels of parts of one size, shape (m, ny, nx), of stamps (v, u) cut out."""
    import torch

    (m, high, wide), (ku, kv, sheared, nx, ny) = stamps.shape, sizes
    (pu, pv), (su, sv), (lu, lv) = (a.T[:, :, None] for a in (plan.period, plan.start, plan.low))
    inverse = plan.inverse

    def waves(turns: np.ndarray, order: int) -> torch.Tensor:
        return _waves(turns, order, device)

    with torch.inference_mode(), one_thread():
        # coefficients of the stamp: (m, cos and sin along v, cos and sin along u)
        along = torch.bmm(torch.from_numpy(stamps).to(device), waves(-(lu + np.arange(wide)) / pu, ku).flatten(-2))
        across = waves(-(lv - sv + np.arange(high)) / pv, kv).flatten(-2)
        spectrum = _filtered(torch.bmm(across.transpose(1, 2), along), *_gain(plan, factor, ku, kv, device))

        # to samples along v, each row moved along u as far as the image's columns lean
        samples = 2 * sheared + 2
        v = sv + (np.arange(samples) + 0.5) * pv / samples
        lean = inverse[:, 0, 1, None] / inverse[:, 1, 1, None]
        rows = torch.bmm(_transform(kv, samples, device, False).expand(m, -1, -1), spectrum)
        rows = _turned(rows.unflatten(-1, (2, -1)), waves(lean * v / pu, ku)).flatten(-2)
        x = corner[:, :1] - plan.position[:, :1] + np.arange(nx)
        y = corner[:, 1:] - plan.position[:, 1:] + np.arange(ny)
        step = inverse[:, 0, 0, None] - lean * inverse[:, 1, 0, None]
        columns = torch.bmm(waves(-step * x / pu, ku).flatten(-2), rows.transpose(1, 2))
        _cut_off(columns, step * x - su, lean * v, pu)

        # along the columns of the image
        found = torch.bmm(columns, _transform(sheared, samples, device, True).expand(m, -1, -1))
        found = _turned(found.unflatten(-1, (2, -1)), waves(inverse[:, 1, 0, None] * x / pv, sheared)).flatten(-2)
        onto = waves(-(inverse[:, 1, 1, None] * y - sv) / pv, sheared).flatten(-2)
        image = torch.bmm(onto, found.transpose(1, 2))
        _cut_off(image, inverse[:, 1, 1, None] * y - sv, inverse[:, 1, 0, None] * x, pv)
        return image.cpu().numpy()


def _gain(plan: PatchPlan, factor: np.ndarray, ku: int, kv: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sum and difference, for +fv and -fv, of what coefficients are multiplied by, shape (m, kv + 1, ku + 1).

    That is the Gaussian, the area of a pixel and the source's factor, with both signs of fu counted as one.
    """
    import torch

    pu, pv = plan.period.T[:, :, None, None]
    fu, fv = np.arange(ku + 1) / pu, np.arange(kv + 1)[:, None] / pv
    cuu, cuv, cvv = (plan.kernel[:, i, j].astype(np.float32)[:, None, None] for i, j in ((0, 0), (0, 1), (1, 1)))
    scale = (factor * np.abs(np.linalg.det(plan.inverse)))[:, None, None] / (pu * pv)
    last_u, last_v = plan.order.T[:, :, None, None]
    u_weight = (np.where((fu <= 0.5) & (np.arange(ku + 1) <= last_u), np.where(fu == 0, 1, 2), 0) * scale).astype(
        np.float32)
    v_weight = np.where((fv <= 0.5) & (np.arange(kv + 1)[:, None] <= last_v), np.where(fv == 0, 0.5, 1), 0).astype(
        np.float32)
    fu, fv = fu.astype(np.float32), fv.astype(np.float32)
    # one exponent: apart, its terms can be out of range where their sum is not
    square, cross = cuu * fu**2 + cvv * fv**2, 2 * cuv * fu * fv
    rate = np.float32(-2 * math.pi**2)
    plus, minus = np.exp(rate * (square + cross)), np.exp(rate * (square - cross))
    weight = u_weight * v_weight
    return tuple(torch.from_numpy(weight * g).to(device) for g in (plus + minus, plus - minus))  # type: ignore[return-value]


def _filtered(found: torch.Tensor, both: torch.Tensor, apart: torch.Tensor) -> torch.Tensor:
    """Multiply a spectrum, for +fv and -fv, and return it in terms of cosines and sines along v.

    Parameters
    ----------
    found : Tensor, shape (m, 2 (kv + 1), 2 (ku + 1))
        Sums over the stamp of cos and sin along v by cos and sin along u.
    both, apart : Tensor, shape (m, kv + 1, ku + 1)
        Sum and difference of the gains at +fv and -fv.

    Returns
    -------
    Tensor
        Of the shape of ``found``: what cosines and sines along v are multiplied by, real and imaginary parts.
    """
    import torch

    (cc, cs), (sc, ss) = (part.unflatten(-1, (2, -1)).unbind(-2) for part in found.chunk(2, dim=1))
    cosines = torch.cat([cc * both - ss * apart, cs * both + sc * apart], dim=-1)
    sines = torch.cat([-(cs * apart + sc * both), cc * apart - ss * both], dim=-1)
    return torch.cat([cosines, sines], dim=1)


def render_stamp(stamp: np.ndarray, centre: np.ndarray, position: np.ndarray, affine: np.ndarray,
                 kernel: np.ndarray, native: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return an image of one stamp.

    Parameters
    ----------
    stamp : ndarray, shape (ny, nx)
        Brightness. Its sum is what its pixels in the image sum to, if it is all inside.
    centre, position, affine, kernel, native
        See `skygal.rendering.plan.plan_patches`, for one stamp.
    shape : (int, int)
        (ny, nx) of the image.

    Returns
    -------
    ndarray, shape (ny, nx), float32
        Brightness per image pixel.
    """
    stamps, middle, place, onto, extra = (np.asarray(a, float)[None] for a in
                                          (stamp, centre, position, affine, kernel))
    return render_stamps(stamps, middle, place, onto, extra, native, shape)[0]


def render_stamps(stamps: np.ndarray, centre: np.ndarray, position: np.ndarray, affine: np.ndarray,
                  kernel: np.ndarray, native: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return an image of each stamp, as `render_stamp` does: shape (n, ny, nx), float32."""
    stamps = np.asarray(stamps, np.float32)
    plan = plan_patches(stamps, centre, position, affine, kernel, native)
    images = np.zeros((len(stamps), *shape), np.float32)
    blocks = plan.blocks((0, shape[0], 0, shape[1]))
    corner = np.maximum(blocks.corner, 0)
    size = np.minimum(blocks.corner + blocks.size, shape[::-1]) - corner
    inside = PatchBlocks(blocks.source, corner, size)[(size > 0).all(axis=1)]
    for part in render_blocks(stamps, plan, inside, few=True):
        for k, (x, y), (w, h), data in zip(part.source.tolist(), part.corner.tolist(), part.size.tolist(), part.data,
                                           strict=True):
            images[k, y:y + h, x:x + w] = data[:h, :w]
    return images
