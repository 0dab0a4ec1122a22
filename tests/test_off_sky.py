"""Images with pixels that are no place on the sky."""

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from scipy import ndimage

import skygal
from skygal.io.images import read_image
from skygal.wcs import on_sky

pytestmark = pytest.mark.filterwarnings("ignore:.* sources have stamps coarser")


def all_sky(code="AIT", shape=(180, 360), frame=("RA--", "DEC-")):
    """One degree to a pixel: the corners of a Hammer-Aitoff map, and all around a hemisphere in SIN, are no sky."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"{name}-{code}" for name in frame]
    wcs.wcs.cdelt, wcs.wcs.crval = [-1, 1], [0, 0] if code == "AIT" else [40, 55]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.array_shape = shape
    wcs.wcs.set()
    return wcs


GRIDS = {"AIT": all_sky(), "galactic AIT": all_sky(frame=("GLON", "GLAT")), "SIN": all_sky("SIN", (140, 150)),
         "MOL": all_sky("MOL")}
ARGUMENTS = {"n_sources": 40, "seed": 2, "beam": 3 * u.deg, "las": (1 * u.deg, 6 * u.deg), "flux": (1 * u.Jy, 9 * u.Jy)}


def is_sky(wcs):
    """By astropy, one pixel at a time."""
    ny, nx = wcs.array_shape
    y, x = np.mgrid[:ny, :nx]
    return np.isfinite(np.array(wcs.wcs_pix2world(x.ravel(), y.ravel(), 0))).all(axis=0).reshape(ny, nx)


def near_sky(sky, truth):
    """Which sources are within a pixel of one on the sky: the edge of the sky runs through pixels."""
    x, y = (np.rint(np.asarray(truth[name])).astype(int) for name in "xy")
    return ndimage.binary_dilation(sky, np.ones((3, 3)))[y, x] & np.isfinite(truth["ra"])


@pytest.fixture(scope="module", params=GRIDS)
def fields(request):
    wcs = GRIDS[request.param]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return {fill: skygal.simulate_field(wcs, off_sky=fill, noise=0.1 * u.Jy / u.beam, **ARGUMENTS)
                for fill in ("nan", "zero")}


def test_pixels_off_the_sky_are_what_was_asked_for(fields):
    for fill, field in fields.items():
        sky = is_sky(field.wcs)
        assert 0.4 < sky.mean() < 0.9
        for name in ("image", "model"):
            pixels = getattr(field, name)
            assert np.isfinite(pixels[sky]).all() and pixels[sky].max() > 0.5
            assert np.isnan(pixels[~sky]).all() if fill == "nan" else (pixels[~sky] == 0).all()
        assert (field.segmentation[~sky] == 0).all() and field.segmentation.max() > 0
    for name in ("image", "model", "segmentation"):
        one, other = (np.nan_to_num(getattr(fields[fill], name)) for fill in ("nan", "zero"))
        np.testing.assert_array_equal(one, other)


def test_sources_are_on_the_sky_and_their_fluxes_in_the_pixels(fields):
    field = fields["nan"]
    sky, truth = is_sky(field.wcs), field.truth
    assert len(truth) == 40 and near_sky(sky, truth).all()
    area = np.pi / (4 * np.log(2)) * field.header["BMAJ"] * field.header["BMIN"]
    total = np.nansum(field.model.astype(float)) / area
    # over a pixel of a degree, the grid's scale is known to some 1e-5
    assert total == pytest.approx(truth["flux_in_image"].sum().value, rel=1e-4)
    assert (truth["flux_in_image"] <= truth["flux"] * (1 + 1e-6)).all()
    lost = truth["flux_in_image"] < 0.5 * truth["flux"]
    assert truth["edge"].any() and truth["edge"][lost].all()


def test_chunks_are_the_same(fields):
    for fill, field in fields.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            lazy = skygal.simulate_field(field.wcs, off_sky=fill, noise=0.1 * u.Jy / u.beam, chunks=(100, 90),
                                         **ARGUMENTS).compute()
        for name in ("image", "model", "segmentation"):
            np.testing.assert_array_equal(getattr(lazy, name), getattr(field, name), name)
        np.testing.assert_array_equal(lazy.truth["flux_in_image"], field.truth["flux_in_image"])


def test_written_and_injected_into(fields, tmp_path):
    field = fields["nan"]
    sky = is_sky(field.wcs)
    folder = field.write(tmp_path / "out", plot=True)
    image = read_image(folder / "field.fits")
    np.testing.assert_array_equal(image.data, field.image)
    with fits.open(folder / "field.fits") as hdus:
        hdus.verify("exception")
    more = skygal.inject(folder / "field.fits", 15, seed=5, flux=(3 * u.Jy, 9 * u.Jy), las=2 * u.deg)
    assert np.isnan(more.image[~sky]).all() and np.isfinite(more.image[sky]).all()
    assert near_sky(sky, more.truth).all()
    np.testing.assert_allclose(more.truth["local_rms"].value, 0.1, rtol=0.6)


def test_injection_into_zeros_off_the_sky(fields):
    """What has a number but no place on the sky gets no sources, and stays what it is."""
    field = fields["zero"]
    sky = is_sky(field.wcs)
    more = skygal.inject(field.image, 60, wcs=field.header, seed=5, noise=0.1 * u.Jy, flux=(3 * u.Jy, 9 * u.Jy),
                         las=2 * u.deg)
    assert near_sky(sky, more.truth).all()
    assert (more.image[~sky] == 0).all() and (more.segmentation[~sky] == 0).all()
    area = np.pi / (4 * np.log(2)) * field.header["BMAJ"] * field.header["BMIN"]
    total = (more.image - field.image).astype(float).sum() / area
    assert total == pytest.approx(more.truth["flux_in_image"].sum().value, rel=1e-3)


def test_several_frequencies_and_faint_sources():
    wcs = GRIDS["AIT"]
    sky = is_sky(wcs)
    rng = np.random.default_rng(0)
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, 200)))
    faint = QTable({"ra": rng.uniform(0, 360, 200) * u.deg, "dec": dec * u.deg, "flux": np.ones(200) * u.Jy,
                    "kind": ["point"] * 200})
    for field in skygal.simulate_fields(wcs, 0, frequency=[1, 2] * u.GHz, beam=3 * u.deg, faint=faint, seed=1):
        assert np.isnan(field.image[~sky]).all() and np.isfinite(field.image[sky]).all()
        area = np.pi / (4 * np.log(2)) * field.header["BMAJ"] * field.header["BMIN"]
        assert np.nansum(field.model.astype(float)) / area == pytest.approx(field.truth["flux_in_image"].sum().value,
                                                                           rel=1e-4)


def test_a_psf_image_beside_the_edge_of_the_sky():
    y, x = np.mgrid[-15:16, -15:16]
    psf = np.exp(-(x**2 + y**2) / 5) + 0.03 * np.cos(np.hypot(x, y)) * np.exp(-np.hypot(x, y) / 5)
    wcs, given = GRIDS["SIN"], {**ARGUMENTS, "beam": None, "psf": psf}
    field = skygal.simulate_field(wcs, noise=0.1 * u.Jy, **given)
    sky = is_sky(wcs)
    assert np.isnan(field.image[~sky]).all() and np.isfinite(field.image[sky]).all()
    area = psf.sum() / psf.max()
    assert np.nansum(field.model.astype(float)) / area == pytest.approx(field.truth["flux_in_image"].sum().value,
                                                                            rel=1e-4)
    lazy = skygal.simulate_field(wcs, noise=0.1 * u.Jy, chunks=(140, 75), **given)
    np.testing.assert_array_equal(lazy.image.compute(), field.image)


@pytest.mark.filterwarnings("ignore:beam should be at least 2 pixels wide")
def test_a_beam_that_varies_over_the_sky():
    """Even the corners, where the beam is told first, are off the sky."""
    def beam(ra, dec):
        return (3 + dec / 90) * u.deg, (2 + 0 * ra) * u.deg, 0 * ra * u.deg

    field = skygal.simulate_field(GRIDS["SIN"], noise=0.1 * u.Jy, **{**ARGUMENTS, "beam": beam})
    sky = is_sky(GRIDS["SIN"])
    assert np.isnan(field.image[~sky]).all() and np.isfinite(field.image[sky]).all()
    middle = skygal.simulate_field(GRIDS["SIN"], beam=beam, seed=1, table=QTable(
        {"x": [75.0], "y": [70.0], "flux": [1] * u.Jy, "las": [1] * u.arcmin}))
    assert middle.model[70, 75] == pytest.approx(1, rel=1e-3)
    # 3.6 by 2 degrees there, on pixels of one
    assert middle.model.astype(float)[sky].sum() == pytest.approx(np.pi / (4 * np.log(2)) * 7.2, rel=0.05)


def test_a_lattice_tells_of_small_images_too():
    for wcs in GRIDS.values():
        np.testing.assert_array_equal(on_sky(wcs, wcs.array_shape), is_sky(wcs))
    assert on_sky(skygal.make_wcs("10 20", (700, 800), 2 * u.arcsec), (700, 800)) is None


def test_no_sky_at_all():
    wcs = GRIDS["SIN"].deepcopy()
    wcs.wcs.crpix = [5000, 5000]
    with pytest.raises(ValueError, match="beam|sky"):
        skygal.simulate_field(wcs, 1, seed=1)


@pytest.mark.parametrize(("value", "message"), [
    ("blank", "off_sky must be one of 'nan', 'zero', got 'blank'"), (0, "off_sky must be one of 'nan', 'zero', got 0"),
    ("zeros", r"got 'zeros' \(did you mean 'zero'\?\)")])
def test_bad_input(value, message):
    with pytest.raises(ValueError, match=message):
        skygal.simulate_field(GRIDS["AIT"], 1, off_sky=value)
