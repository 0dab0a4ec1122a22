"""Cutouts of what a catalogue missed, split, merged, made up and found: small pictures, and what is drawn over them.

A cutout is shown as the image lies in its file, rows upwards. All coordinates are in pixels of the image, from the
cutout's upper left corner, x to the right and y down.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.observation.ellipse import ellipse_covariance
from skygal.scoring.footprints import row_ellipses, source_ellipses
from skygal.scoring.matching import DETECTABLE
from skygal.scoring.measures import row_snr
from skygal.wcs import icrs_to_pixel, local_affine

if TYPE_CHECKING:
    from skygal.scoring.score import Score

__all__ = ["KINDS", "choose_cutouts", "make_cutouts"]

KINDS = ("missed", "split", "merged", "false", "found")
#: pixels of a picture on a side at most, beams that a cutout is wide at least, and of the source that it has around it
LARGEST, NARROWEST, AROUND = 64, 8.0, 0.75
#: signal-to-noise ratio of other sources that are drawn too
DRAWN = 3.0


def choose_cutouts(score: Score, most: int) -> list[tuple[str, int]]:
    """Return what is worth a cutout: its kind, and the source (of false rows the row).

    Of each kind the brightest come first; what one kind does not need of its share of ``most`` the others have.
    Sources that were found as one row each come last.
    """
    hosts, matches, found = score.truth.hosts, score.matches, score.found
    can = hosts["snr"] >= DETECTABLE
    seen = matches.rows_of_host > 0
    merged = np.zeros(len(score.truth), bool)
    merged[matches.host_of_row[(matches.hosts_of_row > 1) & (matches.host_of_row >= 0)]] = True
    false = ~matches.outside & (matches.host_of_row < 0)
    signal, _ = row_snr(found, score.truth, matches)
    split = seen & (matches.rows_of_host > 1)
    groups = {"missed": np.flatnonzero(can & ~seen), "split": np.flatnonzero(can & split),
              "merged": np.flatnonzero(can & merged), "false": np.flatnonzero(false),
              "found": np.flatnonzero(can & seen & ~split & ~merged)}
    for kind, which in groups.items():
        bright = signal[which] if kind == "false" else hosts["snr"][which]
        groups[kind] = which[np.argsort(-np.nan_to_num(bright), kind="stable")]
    left, share = most, dict.fromkeys(KINDS, 0)
    for k, kind in enumerate(sorted(KINDS, key=lambda kind: len(groups[kind]))):
        share[kind] = min(len(groups[kind]), left // (len(KINDS) - k))
        left -= share[kind]
    return [(kind, int(one)) for kind in KINDS for one in groups[kind][:share[kind]]]


def make_cutouts(score: Score, chosen: list[tuple[str, int]]) -> Iterator[dict[str, Any]]:
    """Yield the cutouts, each as what a page needs of it.

    Yields
    ------
    dict
        ``kind``, ``id``, ``class``, ``population``, ``flux`` (mJy), ``snr``, ``las`` (arcsec), ``why``, ``width``,
        ``height`` (pixels of the image), ``image`` and ``model`` (PNG in base64, blank pixels transparent), ``drawn``
        (pixels of the image that these are wide and high, from the lower left corner: whole blocks of what is averaged
        may reach beyond the cutout), ``outline`` (SVG path around the source's pixels),
        ``sources``, ``rows`` (ellipses: x, y, half axes, degrees, and what they are), ``points``.
    """
    if score.truth.wcs is None or score.truth.image is None:
        return
    sky = _Sky(score)
    for kind, which in chosen:
        yield sky.cutout(kind, which)


class _Sky:
    """What all cutouts of a score share: places and ellipses in pixels."""

    def __init__(self, score: Score) -> None:
        self.score = score
        truth, found = score.truth, score.found
        assert truth.shape is not None
        hosts = truth.hosts
        self.hosts = np.stack(icrs_to_pixel(truth.wcs, hosts["ra"], hosts["dec"]), axis=-1)
        self.rows = np.stack(icrs_to_pixel(truth.wcs, found.ra, found.dec), axis=-1)
        self.host_shape = self._to_pixels(source_ellipses(hosts, truth.beam), self.hosts)
        self.row_shape = self._to_pixels(row_ellipses(found, truth.beam), self.rows)
        parts = truth.components
        self.parts = None if parts is None else np.stack(icrs_to_pixel(truth.wcs, parts["ra"], parts["dec"]), axis=-1)
        self.signal, _ = row_snr(found, truth, score.matches)
        beam = self._to_pixels(ellipse_covariance(truth.beam[0], truth.beam[1], np.radians(truth.beam[2]))[None],
                               np.asarray([[truth.shape[1] / 2, truth.shape[0] / 2]]))
        #: FWHM in pixels
        self.beam = 2 * float(np.sqrt(np.linalg.eigvalsh(beam[0])[1])) if np.isfinite(beam).all() else 4.0
        noise = hosts["local_rms"][hosts["local_rms"] > 0]
        self.noise = float(np.median(noise)) if noise.size else 0.0

    def _to_pixels(self, covariance: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Return matrices of ellipses in pixels, half the FWHM for an axis, of covariances on the sky (arcsec)."""
        if not len(at):
            return np.empty((0, 2, 2))
        covariance = covariance * (2 * np.log(2))
        affine = local_affine(self.score.truth.wcs, at[:, 0], at[:, 1])
        return affine @ covariance @ affine.transpose(0, 2, 1)

    def cutout(self, kind: str, which: int) -> dict[str, Any]:
        """Return one cutout."""
        truth, found, matches = self.score.truth, self.score.found, self.score.matches
        hosts = truth.hosts
        of_row = kind == "false"
        at, shape = (self.rows[which], self.row_shape[which]) if of_row else (self.hosts[which], self.host_shape[which])
        reach = np.sqrt(np.diag(shape).max()) if np.isfinite(shape).all() else self.beam
        half = int(np.ceil(max(NARROWEST * self.beam / 2, reach * (1 + AROUND))))
        column, row = (int(value) for value in np.rint(at))
        left, bottom = column - half, row - half
        side = 2 * half + 1
        window = _window(truth.image, left, bottom, side)
        model = None if truth.model is None else _window(truth.model, left, bottom, side)
        near = self._inside(self.hosts, left, bottom, side) & (hosts["snr"] >= DRAWN)
        if not of_row:
            near[which] = True
        shown = [which] if of_row else []
        rows = self._inside(self.rows, left, bottom, side)
        rows[shown] = True
        out: dict[str, Any] = {"kind": kind, "width": side, "height": side}
        if of_row:
            out |= {"id": str(found.id[which]) or str(found.row[which]), "class": "", "population": "",
                    "flux": _number(1e3 * found.flux[which]), "snr": _number(self.signal[which]), "las": None,
                    "why": "no source of the truth is there"}
        else:
            words = {"missed": str(matches.why_missed[which]), "split": f"{matches.rows_of_host[which]} rows",
                     "merged": "a row holds other sources too", "found": ""}
            out |= {"id": str(hosts["source_id"][which]), "class": str(hosts["fr_class"][which]),
                    "population": str(hosts["population"][which]),
                    "flux": _number(1e3 * hosts["flux_in_image"][which]), "snr": _number(hosts["snr"][which]),
                    "las": _number(hosts["las"][which]), "why": words[kind]}
        noise = self.noise or float(np.nanmax(np.abs(window), initial=0.0)) / 1000 or 1.0
        out |= {"image": _picture(window, noise), "model": None if model is None else _picture(model, noise),
                "drawn": side + -side % _block(side)}
        out["outline"] = "" if of_row or truth.segmentation is None else self._outline(which, left, bottom, side)
        top = bottom + side - 0.5
        out["sources"] = [[*_ellipse(self.hosts[k], self.host_shape[k], left, top), int(not of_row and k == which),
                           str(hosts["source_id"][k])] for k in np.flatnonzero(near).tolist()]
        out["rows"] = [[*_ellipse(self.rows[k], self.row_shape[k], left, top), self._verdict(k, kind, which),
                        str(found.id[k]) or str(found.row[k])] for k in np.flatnonzero(rows).tolist()]
        out["points"] = self._points(which, left, top) if not of_row and self.parts is not None else []
        return out

    @staticmethod
    def _inside(at: np.ndarray, left: int, bottom: int, side: int) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            above = (at > (left - 0.5, bottom - 0.5)) & (at < (left + side - 0.5, bottom + side - 0.5))
        return np.asarray(above.all(axis=1))

    def _verdict(self, row: int, kind: str, which: int) -> str:
        owner = int(self.score.matches.host_of_row[row])
        return "false" if owner < 0 else "own" if kind != "false" and owner == which else "other"

    def _points(self, which: int, left: int, top: float) -> list[list[Any]]:
        parts = self.score.truth.components
        assert parts is not None and self.parts is not None
        return [[_short(self.parts[k, 0] - left + 0.5), _short(top - self.parts[k, 1]), str(parts["kind"][k])]
                for k in np.flatnonzero(parts["host"] == which).tolist()]

    def _outline(self, which: int, left: int, bottom: int, side: int) -> str:
        """Return the border of the source's pixels as an SVG path."""
        ids, owner = self.score.truth.labels
        labels = _window(self.score.truth.segmentation, left, bottom, side, blank=0)
        mask = np.isin(labels, ids[owner == which])[::-1]
        if not mask.any():
            return ""
        padded = np.pad(mask, 1)
        path = []
        # from each pixel to the one below, and to the one on its right
        for y, x in np.argwhere(padded[1:, :] != padded[:-1, :]):
            path.append(f"M{x - 1} {y}h1")
        for y, x in np.argwhere(padded[:, 1:] != padded[:, :-1]):
            path.append(f"M{x} {y - 1}v1")
        return "".join(path)


def _window(plane: Any, left: int, bottom: int, side: int, blank: float = np.nan) -> np.ndarray:
    """Return a square of an image, its first row at the bottom; blank beyond the image."""
    ny, nx = plane.shape
    x0, x1, y0, y1 = max(left, 0), min(left + side, nx), max(bottom, 0), min(bottom + side, ny)
    out = np.full((side, side), blank)
    if x0 < x1 and y0 < y1:
        out[y0 - bottom:y1 - bottom, x0 - left:x1 - left] = np.asarray(plane[y0:y1, x0:x1])
    return out


def _block(side: int) -> int:
    """Return how many pixels on a side are averaged to one of the picture."""
    return -(-side // LARGEST)


def _picture(window: np.ndarray, noise: float) -> str:
    """Return a PNG in base64: grey by the inverse hyperbolic sine from -2 sigma, rows upwards; blank is 0 and clear."""
    from PIL import Image

    step = _block(window.shape[0])
    if step > 1:
        pad = -window.shape[0] % step
        padded = np.pad(window, ((0, pad), (0, pad)), constant_values=np.nan)
        blocks = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step)
        known = np.isfinite(blocks).sum(axis=(1, 3))
        window = np.where(known > 0, np.nansum(blocks, axis=(1, 3)) / np.maximum(known, 1), np.nan)
    top = max(float(np.nanmax(window, initial=0.0)), 8 * noise)
    with np.errstate(invalid="ignore"):
        grey = np.arcsinh(np.maximum(window + 2 * noise, 0) / (2 * noise)) / np.arcsinh((top + 2 * noise) / (2 * noise))
    pixels = np.nan_to_num(np.clip(255 * grey, 1, 255)).astype(np.uint8)[::-1]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True, transparency=0)
    return base64.b64encode(file.getvalue()).decode("ascii")


def _ellipse(at: np.ndarray, matrix: np.ndarray, left: int, top: float) -> list[float]:
    """Return the centre, half axes and angle (degrees, clockwise as SVG counts) of an ellipse in a cutout."""
    values, vectors = np.linalg.eigh(matrix) if np.isfinite(matrix).all() else (np.ones(2), np.eye(2))
    axis = vectors[:, 1]
    return [_short(at[0] - left + 0.5), _short(top - at[1]), _short(np.sqrt(max(values[1], 0))),
            _short(np.sqrt(max(values[0], 0))), _short(-np.degrees(np.arctan2(axis[1], axis[0])))]


def _short(value: float) -> float:
    return round(float(value), 2)


def _number(value: float) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None
