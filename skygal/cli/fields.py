"""The commands ``simulate`` and ``inject``: thin ones around the functions of the same name."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from skygal.cli.shared import RUN, WORDS, add_options, add_settings, check_ready, kept, named_inputs
from skygal.settings import Morphology, Population, Run, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skygal.field import Field

__all__ = ["inject", "simulate"]

#: images of more pixels are made in chunks, of so many pixels on a side
MOST_PIXELS, CHUNK = 8192**2, 1024
#: settings of a run that the commands spell in their own way
OWN = ("seed", "chunks", "device", "progress")


@click.command()
@click.option("--survey", type=WORDS, help="Named survey: its frequency, beam, pixel and noise are the defaults.")
@click.option("--size", type=WORDS, help="Pixels: N or NXxNY.  [default: 1024]")
@click.option("--pixel-scale", type=WORDS, help="Side of a pixel, such as '1.8 arcsec'.")
@click.option("--center", type=WORDS, help="RA and Dec of the image's centre: '12h00m +30d' or '180 30'.")
@click.option("--projection", type=WORDS, help="SIN, TAN, ARC, ZEA, STG or CAR.  [default: SIN]")
@click.option("--wcs", type=WORDS, help="Take the pixel grid from this FITS file.")
@click.option("--off-sky", type=WORDS, default="nan", show_default=True,
              help="What pixels hold that are no place on the sky: 'nan' or 'zero'.")
@click.option("--chunks", type=WORDS, help="Make the image in chunks of N or NXxNY pixels, or 'none'; the pixels are "
              f"the same.  [default: {CHUNK} for images of more than {MOST_PIXELS**0.5:.0f} x {MOST_PIXELS**0.5:.0f}]")
@add_settings(View, Population, Morphology, Run, leave=OWN)
@add_options("format", "plot", *RUN)
def simulate(**given: Any) -> None:
    """Simulate a field of radio galaxies, with its truth.

    With several frequencies, '1 GHz, 1.4 GHz', the output is a folder with a field for each, channel_0, channel_1
    and so on: the same sky. Fluxes, flux range and spectral index are then those at the first. Noise, beam, PSF and
    primary beam are one for all, or one for each with ';' between them.
    """
    check_ready(given)
    from skygal.checks import check_choice
    from skygal.cli.grid import parse_wcs
    from skygal.io.words import parse_frequencies

    check_choice("format", given["format"], ("fits", "zarr"))
    wcs = parse_wcs(**{name: given[name] for name in ("wcs", "center", "size", "pixel_scale", "projection", "survey")})
    frequency = parse_frequencies("frequency", given["frequency"])
    arguments = {**_settings(given), "frequency": frequency, "survey": given["survey"], "off_sky": given["off_sky"],
                 "chunks": _chunks(given["chunks"], wcs.array_shape)}
    several = isinstance(frequency, list)
    if several:
        from skygal.simulate import simulate_fields

        fields = simulate_fields(wcs, **arguments)
    else:
        from skygal.simulate import simulate_field

        fields = [simulate_field(wcs, **arguments)]
    _write(fields, "simulate", given)
    ny, nx = fields[0].image.shape
    many = f" at {len(fields)} frequencies" if several else ""
    click.echo(f"{given['output']}: {len(fields[0].truth)} sources in {nx} x {ny} pixels{many}, "
               f"seed {fields[0].provenance['seed']}")


@click.command()
@click.argument("image", type=WORDS)
@click.option("--hdu", type=WORDS, help="Which HDU of the file, by number or EXTNAME; by default the first, or "
              "the only image.")
@click.option("--unit", type=WORDS, help="Brightness unit, where the header has none.")
@click.option("--chunks", type=WORDS, help="Read and make the image in chunks of N or NXxNY pixels; the pixels are the "
              "same.")
@add_settings(View, Population, Morphology, Run, leave=OWN)
@add_options("format", "plot", *RUN)
def inject(**given: Any) -> None:
    """Inject radio galaxies into IMAGE, a FITS file, which itself is not changed.

    What is left out of frequency, beam and unit is the header's; the noise is estimated from the image.
    """
    check_ready(given)
    from skygal.checks import check_choice
    from skygal.injection import inject as run
    from skygal.io.words import parse_none, parse_size

    check_choice("format", given["format"], ("fits", "zarr"))
    words = parse_none("chunks", given["chunks"])
    chunks = None if words is None else parse_size("chunks", words)
    field = run(given["image"], hdu=given["hdu"], unit=given["unit"], chunks=chunks, **_settings(given))
    _write([field], "inject", given)
    click.echo(f"{given['output']}: {len(field.truth)} sources in {given['image']}, "
               f"seed {field.provenance['seed']}")


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the functions, in words."""
    from dataclasses import fields

    return {one.name: given[one.name] for part in (View, Population, Morphology, Run) for one in fields(part)
            if one.name != "chunks"}


def _chunks(words: Any, shape: tuple[int, int]) -> tuple[int, int] | None:
    """Return the sides of chunks that were asked for, or those of a large image."""
    from skygal.io.words import parse_size

    if words is not None:
        return None if words in (False, "none") else parse_size("chunks", words)
    ny, nx = shape
    if ny * nx <= MOST_PIXELS:
        return None
    if find_spec("dask") is None:
        click.echo(f"{nx} x {ny} pixels all in memory: to make them in chunks, pip install 'skygal[dask]'", err=True)
        return None
    click.echo(f"{nx} x {ny} pixels, made in chunks of {CHUNK} x {CHUNK}", err=True)
    return CHUNK, CHUNK


def _write(fields: Sequence[Field], command: str, given: dict[str, Any]) -> None:
    """Write a field, or several into folders of one folder, with the options to run the command again from."""
    from contextlib import nullcontext

    from skygal.io.atomic import whole_directory
    from skygal.io.config import dump_config

    record = {"command": command, "options": kept(given, fields[0].provenance["seed"])}
    fields = [replace(field, provenance={**field.provenance, **record}, inputs={}) for field in fields]
    how = {"format": given["format"], "plot": given["plot"], "progress": given["progress"]}
    scheduler: Any = nullcontext()
    if getattr(fields[0], "is_lazy", False):
        import dask

        scheduler = dask.config.set(scheduler="threads", num_workers=given["workers"])
    with scheduler:
        if len(fields) == 1:
            fields[0].write(given["output"], overwrite=given["overwrite"], **how)
            return
        with whole_directory(given["output"], overwrite=given["overwrite"], inputs=named_inputs(given)) as folder:
            for k, field in enumerate(fields):
                field.write(folder / f"channel_{k:0{len(str(len(fields) - 1))}d}", **how)
            text = dump_config({"skygal_version": fields[0].provenance["skygal_version"], **record})
            (folder / "skygal.yaml").write_text(text, encoding="utf-8")
