"""What holds of every field, whatever made it; `conftest.py` has it checked on each one that a test makes.

Nothing here is taken from the package but the names of columns and their units: areas of beams come from headers and
WCS, sums and labels from pixels.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import time
import types
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from scipy import ndimage

import skygal
from skygal.truth import COMPONENTS, TRUTH

#: the sum of the pixels is the sum of the fluxes to this part of it
SUM = 1e-5
#: what pixels say may differ by so much from what was computed in double precision
ROUNDING = 1e-5
#: part of its flux that the interpolation of a stamp's cut edge, which no beam smooths, may leave below zero around it
RINGS = 1e-3
#: pixels err by less than this part of the brightest source's peak: stamps that are clipped ring a little
RINGING = 2e-3
#: and those that the beam does not smooth so much more
SHARP = 10
#: more sources than these are not compared with each other
MANY = 3000
#: what one field may take to be made, seconds, to be made a second time
CHEAP = 0.25
WORDS = {1: "single", 2: "double", 3: "triple"}
FAINT = ("point", "gaussian", "exponential")
KINDS = {int: "i", float: "f", bool: "b", str: "U"}
#: models of stamps that FIRST's beam, arcsec, has seen
SHIPPED, STAMP_BEAM = ("first-cvae",), 5.4
#: brightness units as headers spell them
SPELLINGS = (("JY", "Jy"), ("BEAM", "beam"), ("PIXEL", "pix"), ("pixel", "pix"))


@dataclass(frozen=True)
class Made:
    """How a field was made, as far as it cannot be told from itself.

    Attributes
    ----------
    verb : str
        The public function's name, empty if unknown.
    beams, psfs : tuple
        The beams and PSF images that were given, None for none.
    image : ndarray or None
        The array that was injected into.
    """

    verb: str = ""
    beams: tuple = (None,)
    psfs: tuple = (None,)
    image: np.ndarray | None = None

    @classmethod
    def by(cls, verb: str, given: dict) -> Made:
        """Return what the arguments of a public verb tell."""
        beams, psfs = ((value,) if not isinstance(value, (list, tuple)) else tuple(value)
                       for value in (given.get("beam"), given.get("psf")))
        image = given.get("image")
        whole = isinstance(image, np.ndarray) and not isinstance(image, (u.Quantity, np.ma.MaskedArray))
        return cls(verb, beams, psfs, image if whole else None)

    @property
    def gaussian(self) -> bool:
        """Whether the image has one Gaussian as its beam, that of its header."""
        return all(psf is None for psf in self.psfs) and all(
            beam is None or isinstance(beam, u.Quantity) or hasattr(beam, "major") or _is_size(beam)
            for beam in self.beams)

    @property
    def psf(self) -> np.ndarray | None:
        """The PSF image, on the field's own pixels with its peak at one of them, or None."""
        psf = self.psfs[0] if len(self.psfs) == 1 else None
        if not isinstance(psf, np.ndarray) or psf.ndim != 2 or self.verb.startswith("inject"):
            return None
        y, x = np.unravel_index(psf.argmax(), psf.shape)
        if not (0 < y < psf.shape[0] - 1 and 0 < x < psf.shape[1] - 1):
            return None
        even = np.allclose([psf[y - 1, x], psf[y, x - 1]], [psf[y + 1, x], psf[y, x + 1]], rtol=1e-6)
        return psf if even else None


#: by the verb that is under way
MADE: ContextVar[Made | None] = ContextVar("made", default=None)


@dataclass
class Looked:
    """A field's parts as plain numbers, and what could not be looked at."""

    field: skygal.Field
    made: Made
    truth: dict[str, np.ndarray]
    components: dict[str, np.ndarray]
    left_out: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, field: skygal.Field, made: Made) -> Looked:
        """Return the parts of a field, tables in the units of the schema."""
        return cls(field, made, _plain(field.truth), _plain(field.components))

    @functools.cached_property
    def ends(self) -> np.ndarray:
        """xmin, xmax, ymin, ymax of each source."""
        return np.stack([self.truth[f"bbox_{end}"] for end in ("xmin", "xmax", "ymin", "ymax")], axis=1)

    @functools.cached_property
    def top(self) -> np.ndarray:
        """(x, y) of the brightest component's maximum of each source, pixels."""
        parts, row = self.components, self.row(self.components["source_id"])
        out = np.full((len(self.truth["source_id"]), 2), np.nan)
        rising = np.argsort(parts["peak_flux"], kind="stable")
        rising = rising[row[rising] >= 0]
        out[row[rising]] = np.stack([parts["x_peak"], parts["y_peak"]], axis=1)[rising]
        return out

    def row(self, labels: np.ndarray) -> np.ndarray:
        """Return the row of truth of each ``source_id``, -1 for none."""
        ids = self.truth["source_id"]
        if not ids.size:
            return np.full(labels.shape, -1)
        order = np.argsort(ids)
        found = order[np.minimum(np.searchsorted(ids[order], labels), ids.size - 1)]
        return np.where(ids[found] == labels, found, -1)

    @functools.cached_property
    def blank(self) -> bool:
        """Whether some pixels may show nothing."""
        return not np.isfinite(self.field.image).all() or self.field.provenance["configuration"].get(
            "off_sky") == "zero" or self.made.verb.startswith("inject") or bool((self.field.image == 0).any())

    @functools.cached_property
    def jansky(self) -> float | None:
        """How many Jy/beam the image's unit is, None if it cannot be told."""
        header = self.field.header
        text = str(header.get("BUNIT", "")).strip()
        for theirs, ours in SPELLINGS:
            text = text.replace(theirs, ours)
        try:
            unit = u.Unit(text)
            if unit.is_equivalent(u.Jy / u.pix):
                return float((1 * unit).to_value(u.Jy / u.pix)) * self.area
            solid = header["BMAJ"] * header["BMIN"] * u.deg**2 * np.pi / (4 * np.log(2))
            kelvin = u.brightness_temperature(self.field.provenance["frequency"], solid)
            return float((1 * unit).to_value(u.Jy / u.beam, u.beam_angular_area(solid) + (
                kelvin if unit.is_equivalent(u.K) else [])))
        except (ValueError, KeyError, TypeError, u.UnitConversionError):
            return None

    @functools.cached_property
    def area(self) -> float:
        """The beam's area in pixels where the grid's scale is taken, at the image's centre; NaN if that is off the sky.

        By the tangent of great circles, from the sky positions about the centre.
        """
        header, (ny, nx) = self.field.header, self.field.model.shape
        y, x, step = (ny - 1) / 2, (nx - 1) / 2, 0.02
        with np.errstate(all="ignore"):
            lon, lat = _sky(self.field.wcs, x + step * np.array([-1, 1, 0, 0]), y + step * np.array([0, 0, -1, 1]))
        place = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
        pixel = np.linalg.norm(np.cross(place[1] - place[0], place[3] - place[2])) / (2 * step) ** 2
        solid = np.radians(header["BMAJ"]) * np.radians(header["BMIN"]) * np.pi / (4 * np.log(2))
        return float(solid / pixel) if pixel > 0 else np.nan


def _is_size(beam: object) -> bool:
    """Return whether a beam is words for a Gaussian, as "5.4 arcsec", not the file of a table."""
    return isinstance(beam, str) and beam.strip()[:1].isdigit() and "." not in beam.strip()[-5:]


def _sky(wcs: WCS, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return longitude and latitude, radians, whichever of the axes they are."""
    return np.radians(wcs.all_pix2world(x, y, 0))[[wcs.wcs.lng, wcs.wcs.lat]]


def _plain(table: QTable) -> dict[str, np.ndarray]:
    return {name: table[name].value if isinstance(table[name], u.Quantity) else np.asarray(table[name])
            for name in table.colnames}


def check_field(field: skygal.Field, made: Made | None = None) -> list[str]:
    """Check that a field is what it says; of a lazy one its header and tables alone.

    Parameters
    ----------
    field : Field
    made : Made, optional
        By default by a verb that is under way, if one is.

    Returns
    -------
    list of str
        What could not be looked at, and why.

    Raises
    ------
    AssertionError
        With all that does not hold.
    """
    if made is None:
        # a lazy field shares its header with what is computed of it
        made = field.header.made = MADE.get() or getattr(field.header, "made", None) or Made(
            str(field.provenance["configuration"].get("command", "")))
    looked = Looked.at(field, made)
    checks = TABLES if field.is_lazy else TABLES + PIXELS
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        wrong = list(_form(looked)) or [line for check in checks for line in check(looked)]
    assert not wrong, "\n".join(["a field is not what it says:", *wrong])
    return looked.left_out


def _all(what: str, good: np.ndarray, ids: np.ndarray) -> Iterator[str]:
    """Yield what is said of sources, with those of which it does not hold."""
    bad = ids[~good]
    if bad.size:
        yield f"{what}: source_id {', '.join(map(str, bad[:5]))}{' ...' if bad.size > 5 else ''} ({bad.size})"


def _form(looked: Looked) -> Iterator[str]:
    field, whole = looked.field, looked.field.wcs.array_shape
    shapes = [plane.shape for plane in (field.image, field.model, field.segmentation)]
    if len({*shapes, *([tuple(whole)] if whole is not None else [])}) > 1:
        yield f"shapes: image, model, segmentation {shapes}, wcs {whole}"
    for name, table, schema in (("truth", field.truth, TRUTH), ("components", field.components, COMPONENTS)):
        if table.colnames != [column.name for column in schema]:
            yield f"{name}: columns {table.colnames}"
            continue
        for column in schema:
            values = table[column.name]
            unit = u.Unit(column.unit, format="fits") if column.unit else None
            if getattr(values, "unit", None) != unit:
                yield f"{name}: unit of {column.name} is {values.unit}, not {unit}"
            kind = np.asarray(values).dtype
            if kind.kind != KINDS[column.dtype] or (kind.kind in "if" and kind.itemsize != 8):
                yield f"{name}: {column.name} is of {kind}"
            if values.info.description != column.description and len(table):
                yield f"{name}: {column.name} is described as {values.info.description!r}"


def _rows(looked: Looked) -> Iterator[str]:
    t = looked.truth
    ids = t["source_id"]
    if np.unique(ids).size != ids.size or (ids < 1).any():
        yield "truth: source_id are not unique and positive"
    faint = np.isin(t["morphology"], FAINT)
    # single precision may lie one unit below zero
    yield from _all("flux and peak_flux are not negative", (t["flux"] >= 0) & (t["peak_flux"] >= 0), ids)
    yield from _all("a primary beam only weakens", t["flux_apparent"] <= t["flux"] * (1 + ROUNDING), ids)
    if looked.field.provenance["configuration"].get("primary_beam") is None:
        yield from _all("without a primary beam flux_apparent is flux", t["flux_apparent"] == t["flux"], ids)
    yield from _all("pa is in [0, 180)", (t["pa"] >= 0) & (t["pa"] < 180), ids)
    yield from _all("las is positive, 0 for points", (t["las"] > 0) | (t["morphology"] == "point"), ids)
    yield from _all("b_min is at most b_maj", t["b_min"] <= t["b_maj"] * (1 + 1e-12), ids)
    yield from _all("core_frac is in [0, 1]", (t["core_frac"] >= 0) & (t["core_frac"] <= 1), ids)
    yield from _all("morphology is n_components in words", faint | (
        t["morphology"] == np.array([WORDS.get(n, "multiple") for n in t["n_components"].tolist()] + [""])[:-1]), ids)
    rms = t["local_rms"]
    snr = np.where(t["peak_flux"] == 0, 0, t["peak_flux"] / rms)
    yield from _all("local_rms is a number, not negative", (rms >= 0) & np.isfinite(rms), ids)
    yield from _all("snr is peak_flux / local_rms", np.isclose(t["snr"], snr, rtol=1e-12), ids)
    share = t["neighbour_flux_frac"]
    yield from _all("neighbour_flux_frac is in [0, 1]", (share >= 0) & (share <= 1), ids)
    if ids.size == 1:
        yield from _all("one alone has no neighbours", ~t["blended"] & (share == 0), ids)
    if looked.made.gaussian:
        yield from _all("a blended source has flux of others in its pixels", ~t["blended"] | (share > 0), ids)
        # the ring's dark part can be missing only where the border is no further than the source is wide
        (ny, nx), wide = looked.field.image.shape, np.maximum(t["bbox_xmax"] - t["bbox_xmin"],
                                                              t["bbox_ymax"] - t["bbox_ymin"])
        near = np.minimum.reduce([t["bbox_xmin"], t["bbox_ymin"], nx - 1 - t["bbox_xmax"],
                                  ny - 1 - t["bbox_ymax"]]) <= wide
        least = np.where(t["beam_limited"] & near, RINGS, ROUNDING) * t["flux_apparent"]
        more = t["flux_in_image"] > t["flux_apparent"] + least
        yield from _all("no more flux in the image than there is", ~more, ids)
        yield from _all("flux_in_image is not negative", t["flux_in_image"] >= -least, ids)
    yield from _limited(looked)
    yield from _places(looked)


def _limited(looked: Looked) -> Iterator[str]:
    """A round stamp's beam is the wider one where the field's minor axis is less, for any shape and angle of it."""
    t, field = looked.truth, looked.field
    if field.provenance["model"] not in SHIPPED or not looked.made.gaussian:
        looked.left_out.append("beam_limited: the stamps' beam, or the field's, cannot be told")
        return
    wide = STAMP_BEAM * t["zoom"] / (3600 * field.header["BMIN"])
    # the field's beam is one in pixels: off the centre of a wide field it is not that of the header
    known = np.isfinite(wide) & (np.abs(wide - 1) > 0.03) & _near(looked)
    yield from _all("beam_limited is where the stamp's beam is wider", ~known | (t["beam_limited"] == (wide > 1)),
                    t["source_id"])


def _near(looked: Looked) -> np.ndarray:
    """Return which sources are near enough to the centre, of all grids, for pixels to be as large as there."""
    ny, nx = looked.field.model.shape
    step = 1.0
    x, y = (np.r_[middle, looked.truth[name]] for middle, name in (((nx - 1) / 2, "x"), ((ny - 1) / 2, "y")))
    places = [_sky(looked.field.wcs, x + dx, y + dy) for dx, dy in ((-step, 0), (step, 0), (0, -step), (0, step))]
    unit = np.array([[np.cos(b) * np.cos(a), np.cos(b) * np.sin(a), np.sin(b)] for a, b in places])
    right, up = (unit[1] - unit[0]).T, (unit[3] - unit[2]).T
    sizes = np.stack([(right**2).sum(1), (up**2).sum(1), (right * up).sum(1)], axis=1)
    sizes /= sizes[:1, :2].max()
    return np.isfinite(x[1:]) & (np.abs(sizes[1:] - sizes[0]) < 0.01).all(axis=1)


def _places(looked: Looked) -> Iterator[str]:
    ny, nx = looked.field.model.shape
    for name, table in (("truth", looked.truth), ("components", looked.components)):
        for end in ("",) if name == "truth" else ("", "_peak"):
            x, y = table[f"x{end}"], table[f"y{end}"]
            rows = np.flatnonzero((x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5))
            if not rows.size:
                continue
            there = looked.field.wcs.pixel_to_world(x[rows], y[rows]).icrs
            (ra, dec), (lon, lat) = np.radians([[table[f"ra{end}"][rows], table[f"dec{end}"][rows]],
                                                [there.ra.deg, there.dec.deg]])
            half = np.sin((lat - dec) / 2) ** 2 + np.cos(dec) * np.cos(lat) * np.sin((lon - ra) / 2) ** 2
            away = 3600 * np.degrees(2 * np.arcsin(np.sqrt(half)))
            yield from _all(f"{name}: ra{end}, dec{end} are where x{end}, y{end} are",
                            (away < 1e-3) | ~np.isfinite(away), table["source_id"][rows])


def _parts(looked: Looked) -> Iterator[str]:
    t, c = looked.truth, looked.components
    ids = t["source_id"]
    row = looked.row(c["source_id"])
    if (row < 0).any():
        yield "components: source_id that truth has not"
        return
    count = np.bincount(row, minlength=ids.size)
    yield from _all("n_components is how many rows there are of it", (count == t["n_components"]) & (count > 0), ids)
    sums = {name: np.bincount(row, weights=c[name], minlength=ids.size) for name in ("flux_fraction", "flux")}
    yield from _all("fractions of components sum to 1", np.abs(sums["flux_fraction"] - 1) < 1e-9, ids)
    yield from _all("fluxes of components sum to flux_apparent", np.isclose(sums["flux"], t["flux_apparent"], rtol=1e-9,
                                                                          atol=0), ids)
    yield from _all("no component is brighter than its source", c["peak_flux"] <= t["peak_flux"][row] * (1 + ROUNDING),
                    c["source_id"])
    yield from _all("kinds are core, lobe, whole; whole is one alone", np.isin(c["kind"], ("core", "lobe", "whole")) & (
        (c["kind"] == "whole") == (count[row] == 1)), c["source_id"])
    cores = np.bincount(row, weights=c["kind"] == "core", minlength=ids.size)
    yield from _all("no more than one core", cores <= 1, ids)
    first = np.lexsort((c["component_id"], row))
    number = np.arange(row.size) - (np.cumsum(count) - count)[row[first]] + 1
    yield from _all("component_id runs from 1", c["component_id"][first] == number, c["source_id"][first])


def _header(looked: Looked) -> Iterator[str]:
    field, header = looked.field, looked.field.header
    ny, nx = field.image.shape
    # those of a field that was read are mapped, in the order of bytes that FITS has
    kinds = [np.dtype(plane.dtype).newbyteorder("=") for plane in (field.image, field.model, field.segmentation)]
    if kinds != [np.float32, np.float32, np.int32]:
        yield f"dtypes: image, model, segmentation {kinds}"
    if header.get("NAXIS", 2) < 2 or not {nx, ny} <= {header.get(f"NAXIS{k + 1}") for k in range(header["NAXIS"])}:
        yield f"header: NAXIS {[header.get(f'NAXIS{k + 1}') for k in range(header.get('NAXIS', 0))]} for {ny} x {nx}"
    if not 0 < header.get("BMIN", -1) <= header.get("BMAJ", -1) * (1 + 1e-12):
        yield f"header: BMAJ, BMIN {header.get('BMAJ')}, {header.get('BMIN')}"
    asked = field.provenance["frequency"].to_value(u.Hz)
    # an image that exists may be a plane of a cube, whose rest frequency is another than the plane's, and has its own
    # cards, whatever they say
    made = field.provenance["configuration"].get("command") == "simulate_field"
    if made and header.get("RESTFRQ") != header.get("RESTFREQ") and "RESTFREQ" in header:
        yield f"header: RESTFRQ {header.get('RESTFRQ')}, RESTFREQ {header['RESTFREQ']}"
    if made and "RESTFRQ" in header and not np.isclose(header["RESTFRQ"], asked, rtol=1e-9):
        yield f"header: RESTFRQ {header.get('RESTFRQ')} for {asked} Hz"
    if header.get("SEED") != field.provenance["seed"]:
        yield f"header: SEED {header.get('SEED')} for {field.provenance['seed']}"
    if not looked.made.verb.startswith("inject") and header.get("BUNIT") != "JY/BEAM":
        yield f"header: BUNIT {header.get('BUNIT')}"
    x, y = (grid.ravel() for grid in np.meshgrid(*(np.linspace(0, n - 1, 3) for n in (nx, ny))))
    # astropy writes all cards as text, and most are of the history
    cards = fits.Header([card for card in header.cards if card.keyword != "HISTORY"])
    mine, written = (_sky(wcs, x, y) for wcs in (field.wcs, WCS(cards).celestial))
    away = np.hypot((mine[0] - written[0] + np.pi) % (2 * np.pi) - np.pi, mine[1] - written[1])
    # about a pole longitude is nothing to go by
    away[np.abs(np.abs(mine[1]) - np.pi / 2) < 1e-6] = 0
    if np.nanmax(np.degrees(away), initial=0) > 1e-9 or (np.isnan(mine[0]) != np.isnan(written[0])).any():
        yield f"header: its WCS is another than the field's, by {np.nanmax(np.degrees(away), initial=0):.1e} deg"


def _boxes(looked: Looked) -> Iterator[str]:
    t, ends, labels = looked.truth, looked.ends, looked.field.segmentation
    ids, (ny, nx) = t["source_id"], labels.shape
    none = (ends == -1).all(axis=1)
    inside = (ends[:, ::2] >= 0).all(axis=1) & (ends[:, ::2] <= ends[:, 1::2]).all(axis=1) & (
        ends[:, 1::2] < (nx, ny)).all(axis=1)
    yield from _all("bbox is in the image, or -1 at all ends", none | inside, ids)
    yield from _all("what has pixels has a peak", none | (t["peak_flux"] > 0), ids)
    yield from _all("what has no pixels is not blended", ~none | ~t["blended"] & (t["neighbour_flux_frac"] == 0), ids)
    y, x = np.nonzero(labels)
    row = looked.row(labels[y, x])
    if (row < 0).any():
        yield "segmentation: labels that are no source_id"
        return
    compact = np.zeros(labels.shape, np.int32)
    compact[y, x] = row + 1
    outside = (x < ends[row, 0]) | (x > ends[row, 1]) | (y < ends[row, 2]) | (y > ends[row, 3])
    yield from _all("labelled pixels lie in the bbox", np.bincount(row[outside], minlength=ids.size) == 0, ids)
    if looked.made.gaussian and not looked.blank:
        # pixels are the beam's area over the pixels in it; the farthest arms are well within the largest size
        pixel = 3600 * np.sqrt(looked.field.header["BMAJ"] * looked.field.header["BMIN"] * np.pi / (
            4 * np.log(2)) / looked.area)
        away = (1.5 * t["las"] + 3 * 3600 * looked.field.header["BMAJ"]) / pixel
        far = _near(looked) & (np.stack([t["x"], t["y"], nx - 1 - t["x"], ny - 1 - t["y"]]).min(axis=0) > away)
        yield from _all("nothing far from the image's edge is at it", ~far | ~t["edge"], ids)
        yield from _all("what is far from the edge is in the image", ~far | np.isclose(
            t["flux_in_image"], t["flux_apparent"], rtol=1e-4, atol=0), ids)
    if 0 < ids.size <= MANY:
        found = ndimage.find_objects(compact, max_label=ids.size)
        drawn = np.array([(-1,) * 4 if s is None else (s[1].start, s[1].stop - 1, s[0].start, s[0].stop - 1)
                          for s in found])
        (x0, x1, y0, y1), mine = ends.T, ~none
        meet = ((x0[:, None] <= x1) & (x0 <= x1[:, None]) & (y0[:, None] <= y1) & (y0 <= y1[:, None]) & mine)
        alone = mine & (meet.sum(axis=1) == 1)
        yield from _all("the labels of one alone fill its bbox", ~alone | (drawn == ends).all(axis=1), ids)


def _tops(looked: Looked) -> Iterator[str]:
    """Who is labelled at a source's own maximum, which is among the nine pixels about the one that truth tells."""
    t, labels = looked.truth, looked.field.segmentation
    ids, (ny, nx) = t["source_id"], labels.shape
    if not ids.size:
        return
    at = np.rint(np.nan_to_num(looked.top, nan=-9)).astype(np.int64)
    rows = np.flatnonzero(((at >= 1) & (at < (nx - 1, ny - 1))).all(axis=1) & ~t["edge"] & (t["snr"] > 1) & (
        looked.ends[:, 0] >= 0))
    dy, dx = (d.ravel() for d in np.mgrid[-1:2, -1:2])
    around = labels[at[rows, 1][:, None] + dy, at[rows, 0][:, None] + dx]
    own = (around == ids[rows][:, None]).any(axis=1)
    others = ((around != ids[rows][:, None]) & (around > 0)).all(axis=1)
    yield from _all("one that is not blended is labelled at its peak", own | t["blended"][rows], ids[rows])
    yield from _all("one that others outshine at its peak is blended", ~others | t["blended"][rows], ids[rows])


def _brightness(looked: Looked) -> Iterator[str]:
    """What pixels are at least and at most, since sources only add."""
    t, labels, jansky = looked.truth, looked.field.segmentation, looked.jansky
    if not looked.made.gaussian or jansky is None:
        looked.left_out.append("brightness of pixels: a PSF image has sidelobes, or the unit cannot be told")
        return
    ids, model = t["source_id"], looked.field.model
    brightest = float(np.nanmax(model, initial=0)) * jansky
    # the peak may lie beyond the image, but is no more than the flux
    peaks = np.where(t["edge"], t["flux_apparent"], t["peak_flux"])
    ringing = RINGING * float((peaks * np.where(t["beam_limited"], SHARP, 1)).max(initial=brightest))
    if float(np.nanmin(model, initial=0)) * jansky < -ringing:
        yield f"model: pixels down to {np.nanmin(model) * jansky} Jy/beam"
    if ids.size == 1 and not np.isclose(brightest, t["peak_flux"][0], rtol=ROUNDING, atol=0):
        yield f"peak_flux: {t['peak_flux'][0]} for one alone, of which pixels have {brightest} Jy/beam"
    for k in np.flatnonzero(looked.ends[:, 0] >= 0)[:200]:
        x0, x1, y0, y1 = looked.ends[k]
        here = float(np.nanmax(model[y0:y1 + 1, x0:x1 + 1])) * jansky
        if here < t["peak_flux"][k] - ringing:
            yield f"peak_flux: {t['peak_flux'][k]} of source_id {ids[k]}, but pixels of its bbox reach {here} Jy/beam"
    y, x = np.nonzero(labels * np.isin(labels, ids))
    row = looked.row(labels[y, x])
    peak, rms = t["peak_flux"], t["local_rms"]
    least = np.minimum(np.maximum(rms, 0.01 * peak), 0.5 * peak)[row]
    dark = ~(model[y, x] * jansky >= least - ringing)
    yield from _all("labelled pixels are above the noise and a hundredth of the peak, or half the peak",
                    np.bincount(row[dark], minlength=ids.size) == 0, ids)


def _sum(looked: Looked) -> Iterator[str]:
    """The sum rule: the pixels over the beam's area hold what truth says is in the image."""
    field, psf, flux = looked.field, looked.made.psf, looked.truth["flux_in_image"]
    if looked.made.gaussian:
        scale = np.nan if looked.jansky is None else looked.jansky / looked.area
    else:
        # PSFs in files have pixels of their own, and a beam that varies has an area everywhere
        scale = np.nan if psf is None else psf.max() / psf.sum(dtype=float)
    if not np.isfinite(scale):
        looked.left_out.append("sum rule: the beam's area in pixels, or the unit, cannot be told from outside")
        return
    total = np.nansum(field.model, dtype=float) * scale
    # the grid's scale is known from one pixel to the next, no finer
    pixel = np.radians(field.header["BMAJ"]) ** 2 / looked.area if looked.made.gaussian else 0.0
    if abs(total - flux.sum()) > (SUM + 0.2 * pixel) * np.abs(flux).sum():
        yield f"sum rule: the pixels hold {total} Jy, flux_in_image {flux.sum()} Jy"


def _noise(looked: Looked) -> Iterator[str]:
    """What is in the image beside the sources."""
    field, made = looked.field, looked.made
    image, model = field.image, field.model
    if made.image is not None and made.image.shape == image.shape:
        total = made.image.astype(float) + model
        known = np.isfinite(total) & (np.abs(total) < 1e30)
        if not np.allclose(image[known], total[known], rtol=1e-6, atol=0):
            yield "image: not what was given and the model"
        return
    rms = np.unique(looked.truth["local_rms"])
    if made.verb.startswith("inject") or rms.size != 1 or not made.gaussian:
        looked.left_out.append("noise: it varies, or is not ours")
    elif rms[0] == 0:
        if not np.array_equal(image, model, equal_nan=True):
            yield "image: not the model, without noise"
    else:
        faint = np.isfinite(image) & (np.abs(model) < 100 * rms[0]) & (image != 0)
        rest = image[faint].astype(float) - model[faint]
        beams = rest.size / looked.area
        if beams > 100:
            found = np.sqrt(np.mean(rest**2)) / rms[0]
            # the squares of a Gaussian field are alike over half a beam's area
            if abs(found - 1) > 8 / np.sqrt(4 * beams):
                yield f"noise: {found:.3f} of local_rms in {beams:.0f} beams"
        if not np.array_equal(np.isnan(image), np.isnan(model)):
            yield "image: blank where the model is not"


TABLES = (_rows, _parts, _header)
PIXELS = (_boxes, _tops, _brightness, _sum, _noise)


def same_field(one: skygal.Field, other: skygal.Field) -> list[str]:
    """Return in what two fields differ, to the bit."""
    differ = [name for name in ("image", "model", "segmentation")
              if np.asarray(getattr(one, name)).tobytes() != np.asarray(getattr(other, name)).tobytes()]
    for name in ("truth", "components"):
        a, b = _plain(getattr(one, name)), _plain(getattr(other, name))
        differ += [f"{name}[{key!r}]" for key in a
                   if not np.array_equal(a[key], b.get(key), equal_nan=a[key].dtype.kind == "f")]
    if one.header.tostring() != other.header.tostring():
        differ.append("header")
    return differ


def watched_verb(plain, seen_modules: set[str]):
    """Return a public verb that tells the checks how fields are made, and makes one of each test module again.

    It is a small one in memory, the first that has a seed and is made in no time.
    """
    signature = inspect.signature(plain)

    def verb(*args, **kwargs):
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return plain(*args, **kwargs)
        given = {**given, **given.pop("options", {})}
        image = given.get("image")
        before = zlib.crc32(np.ascontiguousarray(image)) if isinstance(image, np.ndarray) else None
        caller, start = sys._getframe(1).f_globals.get("__name__", ""), time.perf_counter()
        token = MADE.set(Made.by(plain.__name__, given))
        try:
            made = plain(*args, **kwargs)
            again = (time.perf_counter() - start < CHEAP and given.get("seed") is not None and not given.get("progress")
                     and caller.startswith("test_") and caller not in seen_modules
                     and threading.current_thread() is threading.main_thread())
            if again:
                seen_modules.add(caller)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    remade = plain(*args, **kwargs)
        finally:
            MADE.reset(token)
        if before is not None:
            assert zlib.crc32(np.ascontiguousarray(image)) == before, "the array that was given has changed"
        if again:
            for one, other in zip(*(f if isinstance(f, list) else [f] for f in (made, remade)), strict=True):
                assert not (differ := same_field(one, other)), f"made again with the same seed, other bits: {differ}"
        return made

    # a frame of the package's own, so that warnings point at the test
    verb = types.FunctionType(verb.__code__, {**globals(), "__name__": "skygal.checked"}, closure=verb.__closure__)
    return functools.wraps(plain)(verb)


@contextmanager
def every_field_checked() -> Iterator[None]:
    """Check each field that is made meanwhile, where it is made, and by whatever way."""
    plain = skygal.Field.__init__

    @functools.wraps(plain)
    def checked(self, *args, **kwargs):
        plain(self, *args, **kwargs)
        check_field(self)

    skygal.Field.__init__ = checked
    places, seen_modules = [], set()
    for name in ("simulate_field", "simulate_fields", "inject", "inject_fields"):
        verb = getattr(skygal, name)
        wrapped = watched_verb(verb, seen_modules)
        for module in (skygal, sys.modules[verb.__module__]):
            places.append((module, name, verb))
            setattr(module, name, wrapped)
    try:
        yield
    finally:
        skygal.Field.__init__ = plain
        for module, name, verb in places:
            setattr(module, name, verb)
