"""Injection: what comes in, what stays as it was, units, noise, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy import constants
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from radio_beam import Beam

import skygal
from skygal.cli.main import main
from skygal.io.images import read_image
from skygal.observation.local_rms import local_rms
from skygal.truth import read_truth

# sources larger than the model's largest, which there are now and then
pytestmark = pytest.mark.filterwarnings("ignore:.* sources have stamps coarser")

NY, NX, PIXEL, FWHM, GHZ = 150, 170, 1.8, 5.4, 1.4
AREA = np.pi / (4 * np.log(2)) * (FWHM / PIXEL) ** 2      # of the beam, pixels
SOLID = np.pi / (4 * np.log(2)) * np.radians(FWHM / 3600) ** 2
#: what one Jy/beam is in other units, by hand
PER_JY_BEAM = {
    "Jy/beam": 1.0,
    "mJy/beam": 1e3,
    "Jy/pixel": 1 / AREA,
    "mJy pix-1": 1e3 / AREA,
    "Jy/sr": 1 / SOLID,
    "MJy/sr": 1e-6 / SOLID,
    "mJy/arcsec2": 1e3 / SOLID * np.radians(1 / 3600) ** 2,
    "K": 1e-26 * constants.c.value**2 / (2 * constants.k_B.value * (GHZ * 1e9) ** 2 * SOLID),
}
RMS = 1e-4


def make_header(unit="JY/BEAM", axes=4, **more):
    header = fits.Header()
    header["BUNIT"] = unit
    header["BMAJ"], header["BMIN"], header["BPA"] = FWHM / 3600, FWHM / 3600, 0.0
    for axis, (ctype, value, step, centre) in enumerate((
            ("RA---SIN", 210.0, -PIXEL / 3600, 86.0), ("DEC--SIN", 54.0, PIXEL / 3600, 75.0),
            ("FREQ", GHZ * 1e9, 1e6, 1.0), ("STOKES", 1.0, 1.0, 1.0))[:axes], 1):
        header[f"CTYPE{axis}"], header[f"CRVAL{axis}"] = ctype, value
        header[f"CDELT{axis}"], header[f"CRPIX{axis}"] = step, centre
    header["RADESYS"], header["OBJECT"] = "ICRS", "mosaic"
    for name, value in more.items():
        header[name] = value
    return header


def make_pixels(rms=RMS, seed=0):
    """Return noise with a blank corner."""
    data = np.random.default_rng(seed).normal(0, rms, (NY, NX)).astype(np.float32)
    data[:40, :60] = np.nan
    return data


def write_mosaic(path, data=None, header=None, **more):
    data = make_pixels() if data is None else data
    header = make_header(**more) if header is None else header
    fits.PrimaryHDU(data.reshape((1,) * (sum(k.startswith("CTYPE") for k in header) - 2) + data.shape),
                    header).writeto(path)
    return path


def write_integers(path):
    """Write 16-bit integers with a scale; return what they stand for."""
    data = make_pixels(1e-3)
    hdu = fits.PrimaryHDU(np.where(np.isnan(data), -32768, np.rint(np.nan_to_num(data) / 2e-6 - 5)).astype(np.int16))
    hdu.header.update(make_header(axes=2, BLANK=-32768, BSCALE=2e-6, BZERO=1e-5, FREQ=GHZ * 1e9))
    hdu.writeto(path)
    return data


@pytest.fixture
def mosaic(tmp_path):
    return write_mosaic(tmp_path / "mosaic.fits")


def inject(image, n=5, **more):
    return skygal.inject(image, n, **{"seed": 1, "las": (10 * u.arcsec, 40 * u.arcsec), **more})


def test_every_form_of_image_gives_the_same(mosaic, tmp_path):
    first = inject(mosaic)
    assert first.image.shape == (NY, NX) and first.image.dtype == np.float32
    write = tmp_path / "extension.fits"
    with fits.open(mosaic) as hdus:
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(hdus[0].data, hdus[0].header)]).writeto(write)
        forms = [inject(str(mosaic)), inject(write, hdu=1), inject(hdus), inject(hdus[0]),
                 inject(make_pixels(), wcs=make_header()), inject(make_pixels().astype(">f8"), wcs=make_header(axes=2),
                                                                  frequency=GHZ * u.GHz),
                 inject(make_pixels(), wcs=WCS(make_header()), beam=FWHM * u.arcsec, unit="Jy/beam",
                        frequency=GHZ * u.GHz),
                 inject(make_pixels() * 1e3 * u.mJy / u.beam, wcs=make_header(), unit=None)]
    for other in forms[:-1]:
        np.testing.assert_allclose(other.image, first.image, atol=1e-9)
        np.testing.assert_array_equal(other.truth["ra"], first.truth["ra"])
    np.testing.assert_allclose(forms[-1].image, first.image * 1e3, rtol=1e-5, atol=1e-6)  # a Quantity's unit is its own
    assert forms[-1].header["BUNIT"] == "mJy/beam"
    masked = np.ma.masked_invalid(make_pixels())
    masked.data[:40, :60] = 7.0
    np.testing.assert_allclose(inject(masked, wcs=make_header()).image, first.image, atol=1e-9)


def test_the_original_is_not_touched(mosaic):
    before, when = mosaic.read_bytes(), mosaic.stat().st_mtime_ns
    inject(mosaic)
    data, header = make_pixels(), make_header()
    kept = header.copy()
    field = inject(data, wcs=header)
    assert mosaic.read_bytes() == before and mosaic.stat().st_mtime_ns == when
    np.testing.assert_array_equal(data, make_pixels())
    assert header.tostring() == kept.tostring()
    assert not np.shares_memory(field.image, data)


def test_an_open_file_is_not_touched(tmp_path):
    write_integers(tmp_path / "int.fits")
    before = (tmp_path / "int.fits").read_bytes()
    with fits.open(tmp_path / "int.fits", mode="update") as hdus:
        inject(hdus)
    assert (tmp_path / "int.fits").read_bytes() == before


@pytest.mark.parametrize("unit", PER_JY_BEAM)
def test_units(unit):
    factor = PER_JY_BEAM[unit]
    data = make_pixels().astype(float) * factor
    field = inject(data, 8, wcs=make_header(unit), flux=(5 * u.mJy, 1 * u.Jy))
    good = np.isfinite(data)
    # an image in this unit is turned into Jy by hand
    flux = (field.image.astype(float) - data)[good].sum() / factor / AREA
    assert flux == pytest.approx(field.truth["flux_in_image"].sum().to_value(u.Jy), rel=2e-4)
    np.testing.assert_allclose((field.image - data)[good], field.model[good], atol=1e-5 * np.nanmax(field.image))
    np.testing.assert_allclose(field.truth["local_rms"].to_value(u.Jy / u.beam), RMS, rtol=0.1)
    brightest = np.argmax(field.truth["peak_flux"])
    assert field.model.max() / factor == pytest.approx(field.truth["peak_flux"][brightest].value, rel=0.02)
    assert field.header["BUNIT"] == unit


def test_given_ones_win_over_the_header(mosaic):
    field = inject(mosaic, beam=Beam(9 * u.arcsec, 7 * u.arcsec, 30 * u.deg), unit="mJy/beam", frequency=3 * u.GHz,
                   flux=5 * u.mJy)
    header = field.header
    assert np.array([header["BMAJ"], header["BMIN"]]) * 3600 == pytest.approx([9, 7])
    assert header["BPA"] == pytest.approx(30) and u.Unit(header["BUNIT"]) == u.mJy / u.beam
    assert field.provenance["frequency"] == 3 * u.GHz
    assert header["RESTFRQ"] == header["RESTFREQ"] == 3e9
    assert [header[f"CRVAL{k}"] for k in (3, 4) if header.get(f"CTYPE{k}", "").startswith("FREQ")] in ([], [3e9])
    np.testing.assert_allclose(field.truth["local_rms"].to_value(u.Jy / u.beam), 1e-3 * RMS, rtol=0.1)
    plain = inject(mosaic)
    assert plain.provenance["frequency"] == GHZ * u.GHz
    for name in ("BMAJ", "BUNIT", "OBJECT", "CRVAL1", "CTYPE4"):
        assert plain.header[name] == make_header()[name]


def test_what_the_header_lacks_is_written_to_it():
    header = make_header(axes=2)
    for name in ("BMAJ", "BMIN", "BPA", "BUNIT"):
        del header[name]
    field = inject(make_pixels(), wcs=header, beam=6 * u.arcsec, unit=u.mJy / u.beam, frequency=0.9 * u.GHz,
                   flux=5 * u.mJy)
    assert field.header["BMAJ"] * 3600 == pytest.approx(6) and field.header["RESTFRQ"] == 0.9e9
    assert field.header["BUNIT"] == "mJy/beam"


def test_psf_image_in_surface_brightness():
    y, x = np.mgrid[-40:41, -40:41]
    psf = np.exp(-(x**2 + y**2) / 4.0) + 0.03 * np.exp(-(x**2 + y**2) / 300.0)
    data = np.random.default_rng(0).normal(0, 1, (NY, NX))
    field = inject(data, wcs=make_header("Jy/sr"), psf=psf, flux=(0.1 * u.Jy, 1 * u.Jy))
    flux = field.model.sum(dtype=float) * np.radians(PIXEL / 3600) ** 2
    assert flux == pytest.approx(field.truth["flux_in_image"].sum().value, rel=1e-4)


def test_blank_stays_blank_and_nothing_is_centred_there(mosaic):
    field = inject(mosaic, 300, flux=1 * u.mJy, las=10 * u.arcsec)
    data = make_pixels()
    blank = np.isnan(data)
    np.testing.assert_array_equal(np.isnan(field.image), blank)
    assert np.isfinite(field.model).all() and not field.segmentation[blank].any()
    x, y = (np.rint(np.asarray(field.truth[name])).astype(int) for name in "xy")
    assert not blank[y, x].any()
    # as many as its share of the image's pixels would have it: positions are uniform over the rest
    assert np.mean(x[y < 40] >= 60) == 1
    share = np.mean(y < 40)
    assert share == pytest.approx(40 * (NX - 60) / np.count_nonzero(~blank), abs=0.08)
    own = (field.image - data)[~blank].sum(dtype=float) / AREA
    assert own == pytest.approx(field.truth["flux_in_image"].sum().value, rel=1e-4)
    assert field.truth["edge"].any()


def test_local_rms_follows_the_noise():
    rng = np.random.default_rng(3)
    rms = np.geomspace(1, 6, 400)[None]
    data = rng.normal(0, 1, (400, 400)) * rms + 50
    data[100:103, 100:103] += 5e3                      # sources do not count
    data[:, :30] = np.nan
    found = local_rms(data, 3.0)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(data))
    np.testing.assert_allclose(found[:, 100:340], np.broadcast_to(rms, (400, 400))[:, 100:340], rtol=0.15)
    scale = 1e-4
    header = make_header()
    for name in ("CRPIX1", "CRPIX2"):
        header[name] = 200.0
    field = inject((data - 50) * scale, 60, wcs=header, flux=5 * u.mJy)
    true = scale * rms[0, np.rint(field.truth["x"]).astype(int)]
    np.testing.assert_allclose(field.truth["local_rms"].to_value(u.Jy / u.beam), true, rtol=0.3)
    np.testing.assert_allclose(field.truth["snr"], field.truth["peak_flux"] / field.truth["local_rms"], rtol=1e-6)


def test_local_rms_of_few_pixels():
    data = np.full((300, 300), np.nan)
    y, x = np.random.default_rng(1).integers(0, 300, (2, 2000))
    data[y, x] = np.random.default_rng(2).normal(0, 2.0, 2000)
    np.testing.assert_allclose(local_rms(data, 3.0)[y, x], 2.0, rtol=0.1)
    data = np.full((300, 300), np.nan)
    data[200:212, 50:60] = np.random.default_rng(2).normal(0, 2.0, (12, 10))
    np.testing.assert_allclose(local_rms(data, 3.0)[200:212, 50:60], 2.0, rtol=0.25)


def test_rms_given(mosaic):
    for rms in (0.3 * u.mJy, 0.3 * u.mJy / u.beam):
        field = inject(mosaic, noise=rms)
        np.testing.assert_allclose(field.truth["local_rms"].to_value(u.Jy / u.beam), 3e-4)
        # fluxes start at the noise
        assert 3e-4 * (1 - 1e-4) < field.truth["flux"].min().to_value(u.Jy) < 9e-4


def test_written_with_the_axes_it_had(mosaic, tmp_path):
    field = inject(mosaic)
    folder = field.write(tmp_path / "out")
    with fits.open(folder / "field.fits") as hdus:
        assert hdus[0].data.shape == (1, 1, NY, NX) and hdus[0].header["OBJECT"] == "mosaic"
        assert hdus[0].header["SEED"] == 1
    with fits.open(folder / "segmentation.fits") as hdus:
        assert hdus[0].data.shape == (1, 1, NY, NX) and hdus[0].header["BITPIX"] == 32
    again = read_image(folder / "field.fits")
    np.testing.assert_array_equal(again.data, field.image)
    assert again.unit == u.Jy / u.beam and again.frequency == GHZ * u.GHz
    truth = read_truth(folder / "truth.fits")
    here = again.wcs.pixel_to_world(truth["x"], truth["y"])
    assert here.separation(SkyCoord(truth["ra"], truth["dec"])).max() < 1e-3 * u.arcsec
    assert truth.meta["configuration"]["image"] == str(mosaic)
    # and once more into what has been written
    twice = skygal.inject(folder / "field.fits", 3, seed=2).write(tmp_path / "twice")
    assert fits.getval(twice / "field.fits", "SEED") == 2


def test_integers_with_a_scale(tmp_path):
    data = write_integers(tmp_path / "int.fits")
    raw = fits.getheader(tmp_path / "int.fits")
    assert raw["BITPIX"] == 16 and raw["BSCALE"] == 2e-6
    field = inject(tmp_path / "int.fits")
    np.testing.assert_allclose((field.image - field.model)[~np.isnan(data)], data[~np.isnan(data)], atol=2e-6)
    np.testing.assert_array_equal(np.isnan(field.image), np.isnan(data))
    written = field.write(tmp_path / "out") / "field.fits"
    with fits.open(written) as hdus:
        assert hdus[0].header["BITPIX"] == -32 and not {"BSCALE", "BZERO", "BLANK"} & set(hdus[0].header)
        np.testing.assert_array_equal(hdus[0].data, field.image)


@pytest.mark.parametrize("columns", ["pixels", "sky"])
def test_a_table_of_ones_own(mosaic, columns, tmp_path):
    x, y = np.array([100.25, 30.0]), np.array([80.5, 110.0])
    table = Table({"flux": [0.05, 0.2] * u.Jy, "las": [30, 20] * u.arcsec, "fr_class": ["FRI", "FRII"],
                   "pa": [10, 100] * u.deg, "source_id": [7, 9]})
    if columns == "pixels":
        table["x"], table["y"] = x, y
    else:
        sky = read_image(mosaic).wcs.pixel_to_world(x, y)
        table["ra"], table["dec"] = sky.ra, sky.dec
    field = skygal.inject(mosaic, table=table, seed=1)
    np.testing.assert_allclose([field.truth["x"], field.truth["y"]], [x, y], atol=1e-6)
    np.testing.assert_allclose(field.truth["flux"].to_value(u.Jy), [0.05, 0.2], rtol=1e-4)
    assert field.truth["source_id"].tolist() == [7, 9] and set(np.unique(field.segmentation)) == {0, 7, 9}
    assert field.truth["fr_class"].tolist() == ["FRI", "FRII"]
    table.write(tmp_path / "own.ecsv")
    np.testing.assert_array_equal(skygal.inject(mosaic, table=tmp_path / "own.ecsv", seed=1).image, field.image)


def test_number_from_the_counts(mosaic):
    # a blank half takes its share of the sources away; the seed's Poisson stream is the same
    half = make_pixels()
    half[:, :NX // 2] = np.nan
    flux = (30 * u.uJy, 1 * u.mJy)
    whole, fewer = (len(skygal.inject(data, wcs=make_header(), seed=3, flux=flux, las=10 * u.arcsec).truth)
                    for data in (make_pixels(), half))
    assert 0.3 < fewer / whole < 0.8


def test_command_line(mosaic, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["inject", str(mosaic), "--n-sources", "3", "--seed", "2", "--las", "10arcsec,40arcsec", "--no-progress"]
    assert main([*words, "--output", str(out)]) == 0, capsys.readouterr().err
    np.testing.assert_array_equal(read_image(out / "field.fits").data, inject(mosaic, 3, seed=2).image)
    assert main([*words, "--output", str(out)]) != 0
    assert "overwrite" in capsys.readouterr().err
    header = without("BMAJ", "BMIN")
    bare = write_mosaic(tmp_path / "bare.fits", header=header)
    assert main(["inject", str(bare), "--n-sources", "3", "--output", str(tmp_path / "no")]) == 2
    assert "beam must be given, since the image's header has none" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
    assert main(["inject", str(bare), "--n-sources", "1", "--beam", "5.4arcsec", "--noise", "0.1 mJy", "--no-progress",
                 "--output", str(tmp_path / "yes")]) == 0, capsys.readouterr().err
    assert fits.getval(tmp_path / "yes" / "field.fits", "BMAJ") == pytest.approx(FWHM / 3600)


def without(*names, axes=4):
    header = make_header(axes=axes)
    for name in names:
        del header[name]
    return header


CUBE = fits.PrimaryHDU(np.zeros((3, NY, NX), np.float32), make_header(axes=3))
NO_WCS = fits.PrimaryHDU(make_pixels())


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"wcs": without("BMAJ", "BMIN")}, ValueError, "beam must be given, since the image's header has none"),
    ({"wcs": without("BUNIT")}, ValueError, "unit must be given, since the image's header has none"),
    ({"wcs": make_header("COUNTS")}, ValueError, "unit must be given, since the image's header has none"),
    ({"wcs": make_header(axes=2)}, ValueError, "frequency must be given, since the image's header has none"),
    ({"wcs": None}, ValueError, "wcs must be given with an image that is an array"),
    ({"wcs": WCS(naxis=2)}, ValueError, "wcs must have a celestial pair of axes"),
    ({"wcs": "TAN"}, TypeError, "wcs must be an astropy.wcs.WCS or a FITS header, got str"),
    ({"wcs": make_header(NAXIS=2, NAXIS1=NX, NAXIS2=NY + 1, axes=2)}, ValueError,
     rf"wcs must be that of the image, of shape \({NY}, {NX}\), got one of shape \({NY + 1}, {NX}\)"),
    ({"image": np.full((NY, NX), np.nan)}, ValueError, "image must have pixels on the sky that are not blank"),
    ({"image": np.zeros((3, NY, NX))}, ValueError, r"image must be a two-dimensional array .* shape \(3, 150, 170\)"),
    ({"image": np.zeros((NY, NX), complex)}, ValueError, "image must be a two-dimensional array .* dtype complex128"),
    ({"image": np.zeros((0, 5))}, ValueError, r"image must be a two-dimensional array .* shape \(0, 5\)"),
    ({"image": 7}, TypeError, "image must be a FITS file, an image HDU or an array, got int"),
    ({"image": "nowhere.fits", "wcs": None}, FileNotFoundError, "image 'nowhere.fits' does not exist"),
    ({"image": "nowhere.fits"}, ValueError, "wcs must be left out where image is a FITS file or HDU"),
    ({"image": CUBE, "wcs": None}, ValueError, r"image must hold one plane of sky, got the shape \(3, 150, 170\)"),
    ({"image": NO_WCS, "wcs": None}, ValueError, "image cannot be used: wcs must have a celestial pair of axes"),
    ({"image": fits.HDUList([NO_WCS]), "wcs": None, "hdu": 1}, ValueError, "hdu must be from 0 to 0, got 1"),
    ({"image": fits.HDUList([NO_WCS]), "wcs": None, "hdu": -1}, ValueError, "hdu must be at least 0, got -1"),
    ({"image": fits.HDUList([fits.PrimaryHDU()]), "wcs": None}, ValueError, "image holds no image"),
    ({"unit": "Jy"}, ValueError, "unit must be a brightness such as 'Jy/beam'.* got 'Jy'"),
    ({"unit": u.arcsec}, u.UnitConversionError, "unit must be a brightness such as Jy/beam.* got arcsec"),
    ({"unit": object}, TypeError, "unit must be an astropy unit or a string"),
    ({"unit": "MJY/BEAM"}, ValueError, "unit must say which of mJy and MJy it is, got 'MJY/BEAM'"),
    ({"noise": -1 * u.mJy / u.beam}, ValueError, r"noise must be positive, got -0\.001 Jy"),
    ({"noise": 1 * u.arcsec}, u.UnitConversionError, "noise must be in units convertible to Jy"),
    ({"noise": 0.1}, TypeError, "noise must be a Quantity in units of Jy, got 0.1"),
    ({"beam": 0 * u.arcsec}, ValueError, "beam must be positive"),
    ({"frequency": 1 * u.m}, u.UnitConversionError, "frequency must be in units convertible to Hz"),
    ({"n_sources": -1}, ValueError, "n_sources must be at least 0, got -1"),
    ({"n_sources": 1.5}, TypeError, "n_sources must be a whole number, got 1.5"),
    ({"table": "nowhere.csv", "n_sources": None}, FileNotFoundError,
     "table must be an existing file, got 'nowhere.csv'"),
    ({"table": Table({"flux": [-1.0] * u.Jy}), "n_sources": None}, ValueError, "table must have positive, finite flux"),
    ({"n_sources": Table({"flux": [1.0] * u.Jy})}, TypeError,
     "n_sources must be a whole number, got a Table: give it as table"),
    ({"flux": (1 * u.Jy, 1 * u.mJy)}, ValueError, "flux must have low < high"),
    ({"latents": "prio"}, ValueError, "latents must be one of .*did you mean 'prior'"),
    ({"clip_sigma": 0}, ValueError, "clip_sigma must be positive"),
    ({"workers": 0}, ValueError, "workers must be at least 1, got 0"),
    ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
])
def test_bad_input(change, error, message):
    given = {"image": make_pixels(), "wcs": make_header(), "n_sources": 2, "seed": 1, **change}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error, match=message):
            skygal.inject(given.pop("image"), **given)


def test_a_distribution_needs_a_number(mosaic):
    from skygal.population import LogUniform

    with pytest.raises(ValueError, match="n_sources must be given where flux is a distribution, .* got None"):
        skygal.inject(mosaic, flux=LogUniform(1 * u.mJy, 1 * u.Jy), seed=1)


def test_a_field_does_not_replace_the_image_that_it_was_made_from(tmp_path):
    """The files that a field was read from stay, whatever is called how."""
    wcs = skygal.make_wcs("150.0 2.0", 64, 1.8 * u.arcsec)
    made = skygal.simulate_field(wcs, 0, seed=1, survey="FIRST")
    made.write(tmp_path / "out")
    (tmp_path / "link.fits").symlink_to(tmp_path / "out" / "field.fits")
    before = (tmp_path / "out" / "field.fits").read_bytes()
    for image in (tmp_path / "out" / "field.fits", str(tmp_path / "link.fits")):
        field = skygal.inject(image, 1, seed=2)
        with pytest.raises(FileExistsError, match="input '.*' lies in what output '.*out' would replace"):
            field.write(tmp_path / "out", overwrite=True)
    with pytest.raises(FileExistsError, match="input '.*link.fits' lies in what output '.*field.fits' would replace"):
        skygal.write_cube([field], tmp_path / "out" / "field.fits", overwrite=True)
    assert (tmp_path / "out" / "field.fits").read_bytes() == before
    field.write(tmp_path / "new")
