"""Headers with cards changed by chance: read right, or refused in one line that names the file and a card."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from header_fuzz import NX, NY, as_bytes, base_cards, mutate, write_file

import skygal
from skygal.cli import grid as options
from skygal.io.header_wcs import celestial
from skygal.io.images import read_image
from skygal.wcs import pixel_to_icrs

PIXELS = np.random.default_rng(0).normal(0, 1e-3, (NY, NX))
#: what libraries below say, and Python of what should not have been tried
RAW = re.compile(r"wcsset|wcslib/C|ERROR \d|astropy|numpy|Traceback|NoneType|unsupported operand|not subscriptable|"
                 r"buffer|Unparsable|\.verify\(|object has no|cannot convert|broadcast")
CARD = re.compile(r"\b[A-Z][A-Z0-9_-]{2,7}\b")


def check_refusal(error: Exception, name: str, cards: dict[str, str]) -> None:
    text = str(error)
    assert type(error) in (ValueError, TypeError, u.UnitConversionError), f"{type(error).__name__}: {text}"
    assert not RAW.search(text) and "\n" not in text and len(text) < 700, text
    assert name in text, text
    # a card, or a kind of cards with any axis
    known = {*cards, *(key.rstrip("0123456789_+") for key in cards), "CTYPE", "CDELT", "PC", "CD", "NAXIS", "SIMPLE"}
    named = set(CARD.findall(text)) | set(re.findall(r"\b(?:PC|CD)\b", text))
    assert named & known or "celestial pair" in text or "truncated" in text, text


def same_sky(wcs, header: fits.Header) -> bool:
    """Whether astropy finds the same places in the header as it was before, or as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        back = WCS(header).celestial
        back.wcs.set()
    x, y = np.meshgrid(np.linspace(0, NX - 1, 5), np.linspace(0, NY - 1, 5))
    first, second = pixel_to_icrs(wcs, x, y), pixel_to_icrs(back, x, y)
    good = np.isfinite(first[0])
    apart = np.hypot(*((b - a + 180) % 360 - 180 for a, b in zip(first, second, strict=True)))
    return bool(np.isfinite(second[0])[good].all() and np.all(apart[good] < 1e-8))


def expected_header(cards: dict[str, str]) -> fits.Header | None:
    """Return what astropy makes of the two celestial axes alone, None if that is not what we hold it to."""
    header = fits.Header.fromstring(as_bytes(base_cards(2)))
    for key, value in cards.items():
        if re.fullmatch(r"C(TYPE|RVAL|DELT|RPIX|UNIT)[12]|RADESYS|EQUINOX", key) and value != base_cards(2)[key]:
            return None
        if re.fullmatch(r"(PC|CD|PV|CROTA|A_|B_|RADEC|EPOCH|CPDIS|D2IM|L..POLE|CTYPE5).*", key) and \
                value != base_cards(2).get(key):
            return None
    return header if set(base_cards(2)) <= set(cards) and not any(key.endswith("+") for key in cards) else None


def run_image(seed: int, folder) -> str:
    cards, changed = mutate(seed)
    path = write_file(folder / f"image{seed}.fits", cards, PIXELS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            image = read_image(path)
        except (ValueError, TypeError) as error:
            check_refusal(error, path.name, cards)
            return "refused"
        plain = expected_header(cards)
        if plain is not None and image.data.shape == (NY, NX):
            assert same_sky(image.wcs, plain), changed
        try:
            field = skygal.inject(path, 2, seed=seed, las=8 * u.arcsec, flux=50 * u.mJy)
        except (ValueError, TypeError) as error:
            if re.match("(beam|unit|frequency) must be given, since the image's header has none", str(error)):
                if "none that can be used" in str(error):
                    check_refusal(error, path.name, cards)
            elif not str(error).startswith("image must have pixels"):
                check_refusal(error, path.name, cards)
            field = None
        # what is given stands in for what the header does not say
        given = {"beam": 7 * u.arcsec, "unit": "Jy/beam", "frequency": 1.4 * u.GHz}
        if field is None:
            try:
                field = skygal.inject(path, 2, seed=seed, las=8 * u.arcsec, flux=50 * u.mJy, **given)
            except (ValueError, TypeError) as error:
                if not str(error).startswith("image must have pixels"):
                    check_refusal(error, path.name, cards)
                return "refused"
        field.write(folder / f"out{seed}")
    check_written(folder / f"out{seed}" / "field.fits", field)
    return "done"


def check_written(path, field) -> None:
    """A file that astropy finds no fault with, with the sky and the frequency that truth is for."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path) as hdus:
            hdus.verify("exception")
            header, shape = hdus[0].header, hdus[0].data.shape
            for card in header.cards:
                assert card.keyword in ("", "COMMENT", "HISTORY") or card.value is not None
    assert path.read_bytes().startswith(b"SIMPLE  =                    T") and len(hdus) == 1
    assert max(shape[-2:]) <= NX or shape
    assert not {"XTENSION", "EXTNAME", "PCOUNT", "INHERIT", "ZIMAGE", "CHECKSUM", "BSCALE", "BLANK"} & set(header)
    assert same_sky(field.wcs, header)
    again = read_image(path)
    assert again.frequency.to_value("Hz") == pytest.approx(field.provenance["frequency"].to_value("Hz"), rel=1e-12)
    np.testing.assert_array_equal(again.data, field.image)


def run_grid(seed: int, folder) -> str:
    cards, changed = mutate(seed + 10_000)
    path = write_file(folder / f"grid{seed}.fits", cards, PIXELS if seed % 2 else None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            wcs = options.parse_wcs(wcs=str(path))
        except (ValueError, TypeError) as error:
            check_refusal(error, path.name, cards)
            return "refused"
        plain = expected_header(cards)
        if plain is not None:
            assert same_sky(wcs, plain), changed
        # the same cards as an argument
        header = fits.Header.fromstring(re.sub(rb"[^\x20-\x7e]", b" ", as_bytes(cards)))
        try:
            celestial(header)
        except (ValueError, TypeError) as error:
            check_refusal(error, "wcs", cards)
        if max(wcs.array_shape) > 64:
            return "large"
        try:
            field = skygal.simulate_field(wcs, 2, seed=seed, beam=7 * u.arcsec, las=8 * u.arcsec, flux=50 * u.mJy)
        except (ValueError, TypeError) as error:
            assert not RAW.search(str(error)) and "\n" not in str(error), error
            return "refused"
        field.write(folder / f"out{seed}")
    check_written(folder / f"out{seed}" / "field.fits", field)
    return "done"


RUNS = {"image": run_image, "grid": run_grid}


@pytest.mark.parametrize("kind", RUNS)
def test_some_headers(kind, tmp_path):
    ends = [RUNS[kind](seed, tmp_path) for seed in range(20)]
    assert ends.count("done") >= 4 and ends.count("refused") >= 4


@pytest.mark.slow
@pytest.mark.parametrize("block", range(6))
@pytest.mark.parametrize("kind", RUNS)
def test_many_headers(kind, block, tmp_path):
    for seed in range(50 * block, 50 * (block + 1)):
        RUNS[kind](seed, tmp_path)
