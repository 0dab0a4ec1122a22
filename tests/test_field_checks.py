"""The checks that every field has to pass can fail: each kind of broken field is complained of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from field_checks import check_field, same_field, watched_verb
from radio_beam import Beam

import skygal
from skygal.population import check_faint

BEAM = Beam(7.2 * u.arcsec, 5.4 * u.arcsec, 30 * u.deg)
WCS = skygal.make_wcs("12h00m00s +30d00m00s", (150, 190), 1.8 * u.arcsec)
#: a blended pair, one alone, one at the edge, one fainter than the noise
SOURCES = QTable({"x": [50.0, 55, 125, 2, 60], "y": [40.0, 44, 85, 60, 125], "flux": [40, 60, 50, 30, 0.05] * u.mJy,
                  "las": [30, 30, 36, 30, 20] * u.arcsec, "fr_class": ["FRII", "FRI", "FRII", "FRI", "FRI"]})


@pytest.fixture(scope="module")
def field():
    faint = check_faint(QTable({"x": [20.0], "y": [120.0], "flux": [2] * u.mJy, "kind": ["point"]}), WCS)
    return skygal.simulate_field(WCS, table=SOURCES, faint=faint, beam=BEAM, frequency=1.4 * u.GHz,
                                 noise=0.1 * u.mJy / u.beam, seed=1)


def test_it_finds_nothing_wrong_with_a_good_one(field):
    assert check_field(field) == [] and field.truth["blended"].any() and field.truth["edge"].any()
    truth = field.truth
    assert (np.asarray(truth["n_components"]) > 1).any() and (np.asarray(truth["bbox_xmin"]) > 0).any()


def table(name, column, change, rows=slice(None)):
    """Return how to break a column of a table."""
    def work(field):
        broken = getattr(field, name).copy()
        values = broken[column].copy()
        values[rows] = change(values[rows])
        broken[column] = values
        return {name: broken}

    return work


def card(key, change):
    def work(field):
        header = field.header.copy()
        header[key] = change(header[key])
        return {"header": header}

    return work


def plane(name, change):
    def work(field):
        pixels = getattr(field, name).copy()
        pixels = change(field, pixels)
        return {name: pixels}

    return work


def box(field, k):
    truth = field.truth
    return tuple(slice(truth[f"bbox_{axis}min"][k], truth[f"bbox_{axis}max"][k] + 1) for axis in "yx")


def unlabelled(field, pixels, k, value=0):
    return np.where(pixels == field.truth["source_id"][k], np.int32(value), pixels)


def spot(field, pixels, value):
    pixels[3, 3] = value
    return pixels


def without_unit(field):
    broken = field.truth.copy()
    broken["flux"] = np.asarray(broken["flux"].value)
    return {"truth": broken}


def of_one_kind(name, column, dtype):
    def work(field):
        broken = getattr(field, name).copy()
        broken[column] = np.asarray(broken[column]).astype(dtype)
        return {name: broken}

    return work


def moved(field):
    wcs = field.wcs.deepcopy()
    wcs.wcs.crval = wcs.wcs.crval + [0, 2e-9]
    return {"wcs": wcs}


def less(field):
    return {"components": field.components[:-1]}


LONE, EDGE, FAINT = 2, 3, 4


@pytest.mark.parametrize(("change", "said"), [
    (plane("model", lambda f, p: p * np.float32(1.0001)), "sum rule"),
    (plane("model", lambda f, p: spot(f, p, -0.01)), "model: pixels down to"),
    (table("truth", "flux_in_image", lambda v: 1.0001 * v, [LONE]), "sum rule"),
    (card("BMAJ", lambda v: 1.001 * v), "sum rule"),
    (card("BMAJ", lambda v: 3600 * v), "sum rule"),
    (card("BMIN", lambda v: 2 * v), "header: BMAJ, BMIN"),
    (card("RESTFRQ", lambda v: v / 1e9), "header: RESTFRQ"),
    (card("RESTFREQ", lambda v: v / 1e9), "RESTFREQ"),
    (card("BUNIT", lambda v: "JY/PIXEL"), "header: BUNIT"),
    (card("NAXIS1", lambda v: v + 1), "header: NAXIS"),
    (card("CRPIX1", lambda v: v + 1), "its WCS is another"),
    (card("CRVAL2", lambda v: v + 2e-9), "its WCS is another"),
    (card("SEED", lambda v: v + 1), "header: SEED"),
    (moved, "its WCS is another"),
    (without_unit, "unit of flux"),
    (of_one_kind("truth", "n_components", np.int32), "n_components is of int32"),
    (of_one_kind("components", "flux_fraction", np.float32), "flux_fraction is of float32"),
    (of_one_kind("truth", "edge", int), "edge is of int64"),
    (table("truth", "snr", lambda v: 2 * v), "snr is peak_flux"),
    (table("truth", "flux_in_image", lambda v: 1.1 * v, [EDGE]), "sum rule"),
    (table("truth", "flux_in_image", lambda v: -v, [EDGE]), "flux_in_image is not negative"),
    (table("truth", "flux_in_image", lambda v: 3 * v, [LONE]), "no more flux in the image than there is"),
    (table("truth", "flux", lambda v: 2 * v), "without a primary beam"),
    (table("truth", "flux", lambda v: v / 2), "a primary beam only weakens"),
    (table("truth", "edge", lambda v: ~v, [LONE]), "nothing far from the image's edge is at it"),
    (table("truth", "blended", lambda v: ~v, [LONE]), "a blended source has flux of others"),
    (table("truth", "neighbour_flux_frac", lambda v: v - 1), "neighbour_flux_frac is in"),
    (table("truth", "beam_limited", lambda v: ~v, [LONE]), "beam_limited is where"),
    (table("truth", "pa", lambda v: v + 180 * u.deg), "pa is in"),
    (table("truth", "b_min", lambda v: 100 * v), "b_min is at most"),
    (table("truth", "core_frac", lambda v: v + 1.1), "core_frac is in"),
    (table("truth", "las", lambda v: 0 * v), "las is positive"),
    (table("truth", "morphology", lambda v: "quadruple", [0]), "morphology is n_components in words"),
    (table("truth", "local_rms", lambda v: np.nan * v), "local_rms is a number"),
    (table("truth", "local_rms", lambda v: 3 * v), "noise: 0.3"),
    (table("truth", "ra", lambda v: v + 0.002 * u.arcsec), "ra, dec are where x, y are"),
    (table("components", "dec_peak", lambda v: v + 0.002 * u.arcsec), "ra_peak, dec_peak are where"),
    (table("truth", "source_id", lambda v: 1), "source_id are not unique"),
    (table("truth", "peak_flux", lambda v: 1.1 * v, [LONE]), "peak_flux:"),
    (table("truth", "peak_flux", lambda v: 0 * v), "what has pixels has a peak"),
    (table("truth", "n_components", lambda v: v + 1), "n_components is how many rows"),
    (less, "n_components is how many rows"),
    (table("components", "source_id", lambda v: v + 100), "source_id that truth has not"),
    (table("components", "flux_fraction", lambda v: 1.001 * v), "fractions of components sum to 1"),
    (table("components", "flux", lambda v: 1.001 * v), "fluxes of components sum to"),
    (table("components", "peak_flux", lambda v: 3 * v), "no component is brighter"),
    (table("components", "kind", lambda v: "jet", [0]), "kinds are core, lobe, whole"),
    (table("components", "kind", lambda v: "whole"), "whole is one alone"),
    (table("components", "kind", lambda v: "core"), "no more than one core"),
    (table("components", "component_id", lambda v: v + 1), "component_id runs from 1"),
    (table("truth", "bbox_xmax", lambda v: v + 1000), "bbox is in the image"),
    (table("truth", "bbox_xmin", lambda v: v + 3, [LONE]), "labelled pixels lie in the bbox"),
    (table("truth", "bbox_xmin", lambda v: v - 3, [LONE]), "the labels of one alone fill its bbox"),
    (plane("segmentation", lambda f, p: spot(f, p, 77)), "labels that are no source_id"),
    (plane("segmentation", lambda f, p: spot(f, p, 1)), "labelled pixels lie in the bbox"),
    (plane("segmentation", lambda f, p: unlabelled(f, p, LONE)), "not blended is labelled at its peak"),
    (plane("segmentation", lambda f, p: unlabelled(f, p, LONE, f.truth["source_id"][0])), "labelled at its peak"),
    (plane("segmentation", lambda f, p: p.astype(np.int64)), "dtypes"),
    (plane("image", lambda f, p: p.astype(float)), "dtypes"),
    (plane("image", lambda f, p: p[:-1]), "shapes"),
    (plane("image", lambda f, p: f.model + 2 * (p - f.model)), "noise: 2"),
    (plane("image", lambda f, p: spot(f, p, np.nan)), "blank where the model is not"),
])
def test_it_complains(change, said, field):
    with pytest.raises(AssertionError, match=said):
        # what is made here is checked as it is made
        replace(field, **change(field))


def test_labels_in_the_dark(field):
    """Labels reach no fainter than the noise, though the bbox would allow it."""
    labels, (y, x) = field.segmentation.copy(), box(field, LONE)
    labels[y, x] = field.truth["source_id"][LONE]
    with pytest.raises(AssertionError, match="labelled pixels are above the noise"):
        replace(field, segmentation=labels)


def test_who_outshines_whom(field):
    both = np.isin(field.segmentation, [1, 2])
    truth = field.truth.copy()
    truth["blended"] = False
    with pytest.raises(AssertionError, match="outshine at its peak is blended|labelled at its peak"):
        replace(field, truth=truth, segmentation=np.where(both, np.int32(2), field.segmentation))


def test_without_noise_the_image_is_the_model():
    field = skygal.simulate_field(WCS, 1, beam=BEAM, flux=(1, 2) * u.mJy, las=20 * u.arcsec, seed=1)
    with pytest.raises(AssertionError, match="not the model, without noise"):
        replace(field, image=field.image + np.float32(1e-9))


def test_what_is_injected_into_stays_below():
    given = np.random.default_rng(1).normal(0, 1e-4, (150, 190))
    field = skygal.inject(given, 2, wcs=WCS, beam=BEAM, unit="Jy/beam", frequency=1.4 * u.GHz, las=20 * u.arcsec,
                          seed=1)
    with pytest.raises(AssertionError, match="not what was given and the model"):
        replace(field, image=field.image + np.float32(1e-6))
    with pytest.raises(AssertionError, match="sum rule"):
        replace(field, model=2 * field.model, image=field.image + field.model)


@pytest.mark.parametrize("unit", ["mJy/beam", "Jy/pix", "MJy/sr", "K"])
def test_in_any_unit(unit):
    field = skygal.inject(np.zeros((150, 190)), 2, wcs=WCS, beam=BEAM, unit=unit, noise=0.1 * u.mJy / u.beam,
                          frequency=1.4 * u.GHz, las=20 * u.arcsec, seed=1)
    assert not any("sum rule" in line for line in check_field(field))
    with pytest.raises(AssertionError, match="sum rule"):
        replace(field, model=field.model * np.float32(1.001), image=field.image * np.float32(1.001))


def test_what_cannot_be_told_is_named():
    y, x = np.mgrid[-20:21, -20:21]
    psf = np.exp(-(x**2 + y**2) / 6.0) * (1 + 0.01 * x)
    given = {"frequency": 1.4 * u.GHz, "flux": (1, 2) * u.mJy, "las": 20 * u.arcsec, "seed": 1}
    assert "sum rule" in "".join(check_field(skygal.simulate_field(WCS, 1, psf=psf, **given)))
    even = skygal.simulate_field(WCS, 1, psf=np.exp(-(x**2 + y**2) / 6.0), **given)
    assert "sum rule" not in "".join(check_field(even))
    with pytest.raises(AssertionError, match="sum rule"):
        replace(even, model=even.model * np.float32(1.001))

    def varying(ra, dec):
        return (7 + 0 * ra) * u.arcsec, (7 + 0 * ra) * u.arcsec, 0 * ra * u.deg

    assert "sum rule" in "".join(check_field(skygal.simulate_field(WCS, 1, beam=varying, **given)))


def test_lazy_pixels_are_checked_once_they_are_made():
    lazy = skygal.simulate_field(WCS, 2, beam=BEAM, flux=(5, 9) * u.mJy, las=20 * u.arcsec, seed=1, chunks=64)
    wrong = replace(lazy, model=2 * lazy.model, image=2 * lazy.image)
    with pytest.raises(AssertionError, match="sum rule"):
        wrong.compute()


def test_other_bits_are_seen(field):
    pixels = field.model.copy()
    pixels[60, 60] = np.nextafter(pixels[60, 60], np.float32(1))
    truth = field.truth.copy()
    truth["las"][0] *= 1 + 1e-15
    assert same_field(field, replace(field, model=pixels, truth=truth)) == ["model", "truth['las']"]
    assert same_field(field, field) == []


def test_one_that_changes_when_made_again_is_seen(field):
    made = iter([field, replace(field, image=-field.image + 2 * field.model)])

    def simulate(wcs, seed=None):
        return next(made)

    with pytest.raises(AssertionError, match=r"made again with the same seed, other bits: \['image'\]"):
        watched_verb(simulate, set())(WCS, seed=1)


def test_an_array_that_is_written_into_is_seen(field):
    def inject(image):
        image += 1
        return field

    with pytest.raises(AssertionError, match="the array that was given has changed"):
        watched_verb(inject, set())(np.zeros((4, 4)))
