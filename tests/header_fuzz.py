"""Headers as they may come: a good one with some of its cards changed by chance, as bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

NY, NX = 24, 32
STEP = 5e-4


def base_cards(axes=4, size=(NY, NX)):
    """Return the cards of a sound header, in their order, as the text of their values."""
    ny, nx = size
    cards = {"SIMPLE": "T", "BITPIX": "-32", "NAXIS": str(axes)}
    for k, side in enumerate((nx, ny, 1, 1)[:axes], 1):
        cards[f"NAXIS{k}"] = str(side)
    cards |= {"BUNIT": "'JY/BEAM '", "BMAJ": "2.0E-03", "BMIN": "1.6E-03", "BPA": "30.0"}
    rows = (("'RA---SIN'", "210.0", f"{-STEP}", "16.5", "'deg     '"), ("'DEC--SIN'", "54.0", f"{STEP}", "12.5",
            "'deg     '"), ("'FREQ    '", "1.4E+09", "1.0E+06", "1.0", "'Hz      '"),
            ("'STOKES  '", "1.0", "1.0", "1.0", "'        '"))
    for k, row in enumerate(rows[:axes], 1):
        cards |= dict(zip((f"CTYPE{k}", f"CRVAL{k}", f"CDELT{k}", f"CRPIX{k}", f"CUNIT{k}"), row, strict=True))
    cards |= {"RADESYS": "'ICRS    '", "EQUINOX": "2000.0", "LONPOLE": "180.0", "LATPOLE": "54.0",
              "RESTFRQ": "1.4E+09", "OBJECT": "'mosaic  '"}
    return cards


VALUES = (
    "NaN", "inf", "-Inf", "1E400", "T", "F", "'1.0     '", "'abc     '", "''", "", "0", "0.0", "-0.0", "-1.0", "1",
    "1E-300", "1E300", "-1E300", "1E20", "1E-20", "(1.0, 2.0)", "1,5", "0x10", "1.0 2.0", "99999999999999999999",
    "-5.0E-04", "5.0D-04", "90.0", "-90.0", "1E5", "'\x00\x00'", "1.0\x00", "\x001.0", "1.0\xff", "'a\nb'", "1.4\t",
    "'J2000'", "1420.4", "1.4", "'RA---SIN'", "3",
)
TEXTS = {
    "CTYPE": (
        "'ra---sin'", "'dec--sin'", "'RA---SIN '", "'RA--SIN'", "'RA---TAN'", "'DEC--TAN'", "'GLON-SIN'",
        "'GLAT-SIN'", "'RA---XYZ'", "'RA---TPV'", "'RA---TAN-SIP'", "'RA'", "'DEC'", "'RA---TAB'", "'FREQ-TAB'",
        "'VELO-LSR'", "'VRAD'", "'FELO-HEL'", "'VOPT-F2W'", "'WAVE'", "'FREQ-LOG'", "'STOKES'", "''",
        "'RA---SIN\x00'", "'DEC--SIN\n'", "'RA---S\xffN'", "'RA---NCP'", "'HPLN-TAN'", "'LINEAR'", "'FREQ'",
        "'RA---SIN-SIP'",
    ),
    "CUNIT": (
        "'DEG'", "'degrees'", "'arcsec'", "'rad'", "'HZ'", "'MHZ'", "'GHZ'", "'HERTZ'", "'m/s'", "'KM/S'",
        "'furlong'", "'deg\x00'", "'Jy'", "''", "'1e3 Hz'", "'??'",
    ),
    "BUNIT": (
        "'Jy/bm'", "'KELVIN'", "'K'", "'UJY/BEAM'", "'MJY/BEAM'", "'MK'", "'JY/BEAM\n'", "'counts'", "'JY/PIXEL'",
        "'MJy/sr'", "''", "'Jy/beam\x00\x00'", "'(('", "'1E400 Jy/beam'", "'Jy/beam/beam'",
    ),
    "RADESYS": ("'J2000'", "'fk5'", "'FK4'", "'FK4-NO-E'", "'GAPPT'", "'XYZ'", "'B1950'", "''"),
    "EQUINOX": ("'J2000'", "'J2000.0'", "1950.0", "'B1950'", "0.0", "-1", "20000", "'old'"),
}
EXTRA = {
    "PC1_1": ("1.0", "0.0", "-1.0", "0.7", "NaN"), "PC1_2": ("0.3", "-0.5", "1E300", "T"), "PC2_1": ("0.2", "'x'"),
    "PC2_2": ("0.0", "1.0", "2.0"), "PC1_3": ("0.5", "1E10"), "PC3_1": ("1.0",), "PC3_3": ("1E6", "0.0"),
    "PC4_4": ("0.0",), "CD1_1": ("-5E-4", "0.0", "NaN"), "CD2_2": ("5E-4", "1E300"), "CD1_2": ("1E-4",),
    "CROTA2": ("30.0", "NaN", "T", "1E10"), "CROTA1": ("10.0",), "PV1_1": ("1.0",),
    "PV2_1": ("0.1", "1.0", "NaN", "1E300"), "PV1_5": ("0.01",), "PV2_4": ("0.1",), "PV1_0": ("1", "0.1"),
    "PV2_2": ("0.05",), "A_ORDER": ("2", "'2'", "-1", "1000"), "B_ORDER": ("2",), "A_2_0": ("1E-5", "NaN"),
    "CPDIS1": ("'LOOKUP'",), "D2IMDIS1": ("'LOOKUP'",), "WCSAXES": ("2", "4", "7", "'4'", "-1", "1000000"),
    "RADECSYS": ("'FK5'", "'?'"), "EPOCH": ("1950.0", "2000.0", "'J2000'", "2017.3"),
    "CTYPE5": ("'GLON-CAR'", "'FREQ'", "'RA---SIN'", "'x'"), "CDELT5": ("0.0",), "PC5_5": ("0.0",),
    "VELREF": ("257", "'x'", "1.5"), "RESTFREQ": ("1420.4", "'x'", "1.4E9"), "DATE-OBS": ("'then'", "'2001-02-03'"),
    "MJD-OBS": ("NaN", "51000.0"), "BSCALE": ("2.0", "NaN", "'x'", "0.0"), "BZERO": ("1.0", "T"),
    "BLANK": ("-1", "'x'", "1.5"), "INHERIT": ("T",), "CHECKSUM": ("'x'",), "GROUPS": ("T",), "PCOUNT": ("7", "-1"),
    "EXTNAME": ("'SCI'",), "ZIMAGE": ("T",), "PS3_0": ("'x'",), "CNAME1": ("'x'",), "SPECSYS": ("'LSRK'", "3"),
    "VELOSYS": ("NaN",), "MJDREF": ("'x'",), "OBSGEO-X": ("NaN",),
}
STRUCTURE = {
    "NAXIS1": ("'32'", "1000000", "0", "-3", "32.0", "", "T", "99999999999999999999"),
    "NAXIS2": ("1000000", "'x'", "24.5"), "NAXIS": ("999", "'4'", "0", "1", "2", "5", "T", "-1", "1E1"),
    "BITPIX": ("1000", "'-32'", "-33", "32", "8", "T"), "NAXIS3": ("2", "0", "'1'"), "NAXIS4": ("3", ""),
    "SIMPLE": ("F", "'T'", "3"),
}


def mutate(seed: int, axes: int | None = None) -> tuple[dict[str, str], list[str]]:
    """Return cards of which one to three are changed, and which."""
    rng = np.random.default_rng([2026, seed])
    cards = base_cards(int(rng.choice([2, 3, 4, 4])) if axes is None else axes)
    pick = lambda values: values[int(rng.integers(len(values)))]  # noqa: E731
    changed = []
    for _ in range(rng.integers(1, 4)):
        kind = rng.choice(["value", "text", "extra", "missing", "structure", "swap", "twice", "lower"],
                          p=[0.32, 0.2, 0.2, 0.08, 0.1, 0.05, 0.02, 0.03])
        world = [key for key in cards if key[0] not in "SNO" and key != "BITPIX"]
        if kind == "value":
            key = pick(world)
            cards[key] = pick(VALUES)
        elif kind == "text":
            key = pick([key for key in world if key.rstrip("12345") in TEXTS])
            cards[key] = pick(TEXTS[key.rstrip("12345")])
        elif kind == "extra":
            key = pick(list(EXTRA))
            cards[key] = pick(EXTRA[key])
        elif kind == "missing":
            key = pick(world)
            del cards[key]
        elif kind == "structure":
            key = pick([key for key in STRUCTURE if key in cards])
            cards[key] = pick(STRUCTURE[key])
        elif kind == "swap":
            key = "axes"
            for name in ("CTYPE", "CRVAL", "CDELT", "CRPIX", "CUNIT"):
                if f"{name}1" in cards and f"{name}2" in cards:
                    cards[f"{name}1"], cards[f"{name}2"] = cards[f"{name}2"], cards[f"{name}1"]
        elif kind == "twice":
            key = pick(world)
            cards[f"{key}+"] = pick(VALUES)
        else:
            key = pick(world)
            cards[key] = cards[key].lower()
        changed.append(key)
    return cards, changed


def as_bytes(cards: dict[str, str]) -> bytes:
    """Return the header as a file has it."""
    lines = [f"{key.rstrip('+'):<8}= {value:>20}".encode("latin1")[:80].ljust(80) for key, value in cards.items()]
    text = b"".join(lines) + b"END".ljust(80)
    return text.ljust(-(-len(text) // 2880) * 2880)


def write_file(path: Path, cards: dict[str, str], pixels: np.ndarray | None = None) -> Path:
    """Write a header, and pixels if there are any."""
    data = b"" if pixels is None else pixels.astype(">f4").tobytes()
    path.write_bytes(as_bytes(cards) + data.ljust(-(-len(data) // 2880) * 2880, b"\0"))
    return path
