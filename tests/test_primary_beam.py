"""Primary beams: the patterns, their scaling with frequency, and what is refused."""

import pickle

import numpy as np
import pytest
from astropy import constants
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.modeling.models import AiryDisk2D
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import j0

import skygal
from skygal.observation.observe import make_frame
from skygal.observation.primary_beam import (
    AiryPrimaryBeam,
    GaussianPrimaryBeam,
    ImagePrimaryBeam,
    as_primary_beam,
    read_primary_beam,
)

GHZ = 1.4 * u.GHz
CENTRE = SkyCoord("10h00m00s", "-30d00m00s")
GRID = skygal.make_wcs(CENTRE, 512, 10 * u.arcsec)
PATTERNS = {
    "gaussian": GaussianPrimaryBeam(30 * u.arcmin, 1.4 * u.GHz, pointing=CENTRE),
    "dish": GaussianPrimaryBeam.from_diameter(25 * u.m, pointing=CENTRE),
    "airy": AiryPrimaryBeam(25 * u.m, pointing=CENTRE),
    "blocked": AiryPrimaryBeam(25 * u.m, 3 * u.m, pointing=CENTRE),
}


def around(offset, angle):
    """Places at an offset (degrees) from the pointing, by astropy."""
    return CENTRE.directional_offset_by(np.atleast_1d(angle) * u.deg, np.atleast_1d(offset) * u.deg)


def pattern_image(*, nx=201, ny=181, pixel=20.0, fwhm=(900.0, 600.0), centre=CENTRE, offset=(0.3, -0.2)):
    """An elliptical Gaussian in direction cosines, elongated to the north, with its peak between pixels."""
    wcs = skygal.make_wcs(centre, (ny, nx), pixel * u.arcsec)
    y, x = np.mgrid[:ny, :nx]
    dx, dy = (x - (nx - 1) / 2 - offset[0]) * pixel, (y - (ny - 1) / 2 - offset[1]) * pixel
    return 5 * np.exp(-4 * np.log(2) * ((dx / fwhm[1]) ** 2 + (dy / fwhm[0]) ** 2)), wcs


@pytest.mark.parametrize("beam", PATTERNS.values(), ids=PATTERNS)
def test_patterns_in_general(beam):
    ra, dec = CENTRE.ra.deg, CENTRE.dec.deg
    assert beam.gain(ra, dec, GHZ) == pytest.approx(1, abs=1e-12)
    for frequency in (0.7, 1.4, 5.0) * u.GHz:
        half = beam.fwhm(frequency).to_value("deg") / 2
        places = around([half] * 4, [0, 77, 180, 300])
        np.testing.assert_allclose(beam.gain(places.ra.deg, places.dec.deg, frequency), 0.5, rtol=1e-4)
    assert beam.fwhm(2.8 * u.GHz).to_value("deg") == pytest.approx(beam.fwhm(GHZ).to_value("deg") / 2, rel=1e-4)
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, (30, 40)), rng.uniform(-90, 90, (30, 40))
    gain = beam.gain(ra, dec, GHZ)
    assert gain.shape == (30, 40) and gain.min() >= 0 and gain.max() <= 1
    assert (gain[CENTRE.separation(SkyCoord(ra, dec, unit="deg")) > 90 * u.deg] == 0).all()
    assert beam.gain([np.nan, 10.0], [0.0, np.nan], GHZ).tolist() == [0, 0]
    # a place does not depend on those beside it
    assert np.array_equal([beam.gain(a, d, GHZ) for a, d in zip(ra[0], dec[0], strict=True)], gain[0])
    again = pickle.loads(pickle.dumps(beam))
    np.testing.assert_array_equal(again.gain(ra, dec, GHZ), gain)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 3), st.floats(0, 360), st.floats(0.3, 10))
def test_gaussian_against_separations(offset, angle, ghz):
    place = around(offset, angle)
    separation = CENTRE.separation(place).to_value("arcmin")
    expected = 2.0 ** -((2 * separation / (30 * 1.4 / ghz)) ** 2)
    assert PATTERNS["gaussian"].gain(place.ra.deg, place.dec.deg, ghz * u.GHz) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.0, 3), st.floats(0, 360), st.floats(0.3, 10))
def test_airy_against_astropy(offset, angle, ghz):
    place = around(offset, angle)
    wavelength = constants.c.value / (ghz * 1e9)
    # astropy's disk is given by its first zero, and is a function of a length: here of the sine of the angle
    zero = 1.2196698912665045 * wavelength / 25
    expected = AiryDisk2D(1, 0, 0, zero)(np.sin(CENTRE.separation(place).rad), 0)
    found = PATTERNS["airy"].gain(place.ra.deg, place.dec.deg, ghz * u.GHz)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_blockage_against_the_integral_over_the_aperture():
    wavelength = constants.c.value / 1.4e9
    for offset in (0.05, 0.2, 0.4, 0.6, 0.9):
        waves = 2 * np.pi * np.sin(np.radians(offset)) / wavelength
        voltage = quad(lambda r, k: j0(k * r) * r, 1.5, 12.5, args=(waves,))[0]
        expected = (voltage / quad(lambda r: r, 1.5, 12.5)[0]) ** 2
        place = around(offset, 40)
        assert PATTERNS["blocked"].gain(place.ra.deg, place.dec.deg, GHZ) == pytest.approx(expected, abs=1e-9)


def test_widths_of_dishes():
    in_beams = 25 / (constants.c.value / 1.4e9)
    assert np.radians(PATTERNS["airy"].fwhm(GHZ).value) * in_beams == pytest.approx(1.029, abs=1e-3)
    assert np.radians(PATTERNS["dish"].fwhm(GHZ).value) * in_beams == pytest.approx(1.2, rel=1e-9)
    even = GaussianPrimaryBeam.from_diameter(25 * u.m, factor=1.029)
    assert even.fwhm(GHZ).value == pytest.approx(PATTERNS["airy"].fwhm(GHZ).value, rel=1e-3)
    # a hole in the middle narrows the main lobe
    assert PATTERNS["blocked"].fwhm(GHZ) < PATTERNS["airy"].fwhm(GHZ)


def test_image_of_a_pattern():
    data, wcs = pattern_image()
    beam = ImagePrimaryBeam(data, wcs, GHZ)
    x, y = (wcs.wcs.crpix - 1) + (0.3, -0.2)
    ra, dec = (float(a) for a in wcs.wcs_pix2world(x, y, 0))
    assert beam.pointing == pytest.approx((ra, dec), abs=1e-5)
    assert beam.gain(ra, dec, GHZ) == pytest.approx(1, abs=1e-6)
    # at its own frequency it is the image
    rows, columns = np.mgrid[5:170:11, 5:190:13]
    places = wcs.wcs_pix2world(columns.ravel(), rows.ravel(), 0)
    np.testing.assert_allclose(beam.gain(*places, GHZ).reshape(rows.shape), data[rows, columns] / 5, atol=2e-5)
    # at another, offsets shrink: 7.5' to the north of the peak at 1.4 GHz are 3.75' at 2.8
    for offset, angle, ghz, expected in ((7.5, 0, 1.4, 0.5), (3.75, 0, 2.8, 0.5), (15, 0, 0.7, 0.5), (5, 90, 1.4, 0.5),
                                         (2.5, 270, 2.8, 0.5), (40, 0, 1.4, 0), (10, 0, 2.8, 2.0**-7.1111)):
        place = SkyCoord(ra, dec, unit="deg").directional_offset_by(angle * u.deg, offset * u.arcmin)
        found = beam.gain(place.ra.deg, place.dec.deg, ghz * u.GHz)
        assert found == pytest.approx(expected, abs=2e-3), (offset, angle, ghz)
    assert beam.fwhm(GHZ).to_value("arcsec") == pytest.approx(np.sqrt(900 * 600), rel=0.02)
    assert pickle.loads(pickle.dumps(beam)).gain(*places, GHZ).tolist() == beam.gain(*places, GHZ).tolist()


def test_image_of_a_pattern_points_elsewhere():
    data, wcs = pattern_image()
    moved = ImagePrimaryBeam(data, wcs, GHZ, pointing=SkyCoord(20, 70, unit="deg"))
    assert moved.gain(20, 70, GHZ) == pytest.approx(1, abs=1e-6)
    north = SkyCoord(20, 70, unit="deg").directional_offset_by([0, 90] * u.deg, [7.5, 5] * u.arcmin)
    np.testing.assert_allclose(moved.gain(north.ra.deg, north.dec.deg, GHZ), 0.5, atol=2e-3)


def test_image_in_a_file(tmp_path):
    data, wcs = pattern_image()
    header = wcs.to_header()
    fits.PrimaryHDU(data, header).writeto(tmp_path / "none.fits")
    with pytest.raises(ValueError, match="frequency must be given, since the primary beam image's header has none"):
        read_primary_beam(tmp_path / "none.fits")
    header["RESTFRQ"] = 1.4e9
    fits.PrimaryHDU(data, header).writeto(tmp_path / "beam.fits")
    expected = ImagePrimaryBeam(data, wcs, GHZ).gain(150, -30.1, GHZ)
    for given_as in (tmp_path / "beam.fits", str(tmp_path / "beam.fits"), fits.PrimaryHDU(data, header)):
        assert as_primary_beam(given_as, GRID, (512, 512)).gain(150, -30.1, GHZ) == pytest.approx(float(expected))
    other = read_primary_beam(tmp_path / "none.fits", frequency=2.8 * u.GHz, pointing=(10, 20))
    assert other.pointing == (10, 20) and other.frequency == 2.8 * u.GHz
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_primary_beam(tmp_path / "nowhere.fits")


def test_ways_to_give_one():
    assert as_primary_beam(None, GRID, (512, 512)) is None
    for given_as in (25 * u.m, "25 m", 2500 * u.cm, AiryPrimaryBeam(25 * u.m)):
        beam = as_primary_beam(given_as, GRID, (512, 512), frequency=GHZ)
        assert SkyCoord(*beam.pointing, unit="deg").separation(CENTRE) < 1e-6 * u.deg
        place = around(0.2, 30)
        assert beam.gain(place.ra.deg, place.dec.deg, GHZ) == pytest.approx(
            PATTERNS["airy"].gain(place.ra.deg, place.dec.deg, GHZ), rel=1e-6)
    # one with a pointing keeps it
    kept = as_primary_beam(AiryPrimaryBeam(25 * u.m, pointing=(10, 20)), GRID, (512, 512))
    assert kept.pointing == (10, 20)


def test_an_observation_carries_one():
    def see(**options):
        return make_frame(GRID, (512, 512), frequency=GHZ, beam=30 * u.arcsec, **options)

    assert see().primary_beam is None
    seen = pickle.loads(pickle.dumps(see(primary_beam=25 * u.m)))
    assert seen.primary_beam.gain(CENTRE.ra.deg, CENTRE.dec.deg, seen.frequency) == pytest.approx(1)
    with pytest.raises(ValueError, match="primary_beam must be wider than a pixel, 10 arcsec, got a FWHM of 4.5"):
        see(primary_beam=10 * u.km)


def test_where_the_centre_is_off_the_sky_the_reference_point_counts():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---SIN", "DEC--SIN"], [-1, 1]
    wcs.wcs.crpix, wcs.wcs.crval = [10, 10], [40, 50]
    beam = as_primary_beam(0.2 * u.m, wcs, (900, 900), frequency=GHZ)
    assert beam.pointing == pytest.approx((40, 50))


IMAGE, IMAGE_WCS = pattern_image()


@pytest.mark.parametrize("make, error, message", [
    (lambda: AiryPrimaryBeam(0 * u.m), ValueError, "dish diameter must be positive, got 0.0 m"),
    (lambda: AiryPrimaryBeam(-3 * u.m), ValueError, "dish diameter must be positive, got -3.0 m"),
    (lambda: AiryPrimaryBeam(np.nan * u.m), ValueError, "dish diameter must be finite, got nan m"),
    (lambda: AiryPrimaryBeam(25), TypeError, "dish diameter must be a Quantity in units of m, got 25"),
    (lambda: AiryPrimaryBeam(25 * u.deg), u.UnitConversionError, "dish diameter must be in units convertible to m"),
    (lambda: AiryPrimaryBeam(25 * u.m, 25 * u.m), ValueError, "blockage must be smaller than the dish, 25.0 m, got 25"),
    (lambda: AiryPrimaryBeam(25 * u.m, -1 * u.m), ValueError, "blockage must be at least 0.0 m, got -1.0 m"),
    (lambda: GaussianPrimaryBeam(0 * u.deg, GHZ), ValueError, "primary beam's FWHM must be positive, got 0.0 deg"),
    (lambda: GaussianPrimaryBeam(1 * u.deg, -GHZ), ValueError, "primary beam's frequency must be positive"),
    (lambda: GaussianPrimaryBeam.from_diameter(-1 * u.m), ValueError, "dish diameter must be positive"),
    (lambda: GaussianPrimaryBeam.from_diameter(1 * u.m, factor=0), ValueError, "factor must be positive"),
    (lambda: AiryPrimaryBeam(25 * u.m, pointing="here"), TypeError, "pointing must be a SkyCoord or .ra, dec."),
    (lambda: AiryPrimaryBeam(25 * u.m, pointing=(10, 95)), ValueError, "pointing must be finite with dec in"),
    (lambda: AiryPrimaryBeam(25 * u.m, pointing=SkyCoord([1, 2], [3, 4], unit="deg")), ValueError,
     "pointing must be one position, got 2"),
    (lambda: AiryPrimaryBeam(25 * u.m).gain(0, 0, GHZ), ValueError, "pointing must be given before the gain"),
    (lambda: PATTERNS["airy"].gain(0, 0, 1.4e9), TypeError, "frequency must be a Quantity in units of Hz"),
    (lambda: PATTERNS["airy"].gain(0, 0, 0 * u.Hz), ValueError, "frequency must be positive, got 0.0 Hz"),
    (lambda: ImagePrimaryBeam(np.where(IMAGE > 4, np.nan, IMAGE), IMAGE_WCS, GHZ), ValueError,
     "primary beam image must be finite, got .* pixels that are not; where the pattern was cut off, put 0"),
    (lambda: ImagePrimaryBeam(IMAGE - 0.1, IMAGE_WCS, GHZ), ValueError,
     "primary beam image must not be negative, since it is power, got -0.1"),
    (lambda: ImagePrimaryBeam(np.ones((9, 9)), IMAGE_WCS, GHZ), ValueError,
     "primary beam image must have a positive peak within its border, got its largest value, 1, at pixel .0, 0."),
    (lambda: ImagePrimaryBeam(np.zeros((9, 9)), IMAGE_WCS, GHZ), ValueError, "must have a positive peak"),
    (lambda: ImagePrimaryBeam(IMAGE[95:], IMAGE_WCS, GHZ), ValueError, "must have a positive peak within its border"),
    (lambda: ImagePrimaryBeam(IMAGE[None], IMAGE_WCS, GHZ), TypeError,
     "primary beam image must be a two-dimensional array of numbers, got shape"),
    (lambda: ImagePrimaryBeam(IMAGE, IMAGE_WCS, 0 * u.Hz), ValueError, "primary beam's frequency must be positive"),
    (lambda: as_primary_beam(25, GRID, (512, 512)), TypeError, "primary_beam must be a PrimaryBeam, a Quantity"),
    (lambda: as_primary_beam("dish", GRID, (512, 512)), FileNotFoundError,
     "primary beam 'dish' is neither a file nor a dish's diameter, such as '25 m'")])
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_peak_off_the_sky():
    wcs = IMAGE_WCS.deepcopy()
    wcs.wcs.crpix = [50000, 50000]
    with pytest.raises(ValueError, match="primary beam image must have its peak on the sky, got pixel"):
        ImagePrimaryBeam(IMAGE, wcs, GHZ)
