"""The commands ``simulate`` and ``inject``: thin ones around the functions of the same name."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from skygal.cli.shared import POPULATION, RUN, WORDS, add_options, check_ready, decoding, kept, named_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skygal.field import Field

__all__ = ["inject", "simulate"]

#: images of more pixels are made in chunks, of so many pixels on a side
MOST_PIXELS, CHUNK = 8192**2, 1024


@click.command()
@click.option("--survey", type=WORDS, help="Named survey: its frequency, beam, pixel and noise are the defaults.")
@click.option("--size", type=WORDS, help="Pixels: N or NXxNY.  [default: 1024]")
@click.option("--pixel-scale", type=WORDS, help="Side of a pixel, such as '1.8 arcsec'.")
@click.option("--center", type=WORDS, help="RA and Dec of the image's centre: '12h00m +30d' or '180 30'.")
@click.option("--projection", type=WORDS, help="SIN, TAN, ARC, ZEA, STG or CAR.  [default: SIN]")
@click.option("--wcs", type=WORDS, help="Take the pixel grid from this FITS file.")
@click.option("--noise", type=WORDS, help="Rms per beam, such as '0.15 mJy', a FITS map of it, or 'none'.")
@click.option("--off-sky", type=WORDS, default="nan", show_default=True,
              help="What pixels hold that are no place on the sky: 'nan' or 'zero'.")
@click.option("--chunks", type=WORDS, help="Make the image in chunks of N or NXxNY pixels, or 'none'; the pixels are "
              f"the same.  [default: {CHUNK} for images of more than {MOST_PIXELS**0.5:.0f} x {MOST_PIXELS**0.5:.0f}]")
@add_options("frequencies", "beam", "psf", "primary_beam", *POPULATION, "workers", "format", "plot", *RUN)
def simulate(**given: Any) -> None:
    """Simulate a field of radio galaxies, with its truth.

    With several frequencies, '1 GHz, 1.4 GHz', the output is a folder with a field for each, channel_0, channel_1
    and so on: the same sky. Fluxes, flux range and spectral index are then those at the first. Noise, beam, PSF and
    primary beam are one for all, or one for each with ';' between them.
    """
    check_ready(given)
    from skygal.checks import check_choice
    from skygal.cli import words as options

    check_choice("format", given["format"], ("fits", "zarr"))
    wcs = options.parse_wcs(**{name: given[name] for name in
                               ("wcs", "center", "size", "pixel_scale", "projection", "survey")})
    several = options.parse_frequencies(given["frequency"])
    view = {"frequency": several, "noise": options.parse_each("noise", given["noise"], _noise), **_view(given)}
    arguments = {"survey": given["survey"], "table": given["table"], "off_sky": given["off_sky"],
                 "chunks": _chunks(given["chunks"], wcs.array_shape), **_population(given)}
    if isinstance(several, list):
        from skygal.simulate import simulate_fields

        fields = simulate_fields(wcs, given["n_sources"], **view, **arguments)
    else:
        from skygal.simulate import simulate_field

        fields = [simulate_field(wcs, given["n_sources"], **_single(view), **arguments)]
    _write(fields, "simulate", given)
    ny, nx = fields[0].image.shape
    many = f" at {len(fields)} frequencies" if len(fields) > 1 else ""
    click.echo(f"{given['output']}: {len(fields[0].truth)} sources in {nx} x {ny} pixels{many}, "
               f"seed {fields[0].provenance['seed']}")


@click.command()
@click.argument("image", type=WORDS)
@click.option("--hdu", type=WORDS, help="Which HDU of the file, by number or EXTNAME; by default the first, or "
              "the only image.")
@click.option("--unit", type=WORDS, help="Brightness unit, where the header has none.")
@click.option("--rms", type=WORDS, help="Rms per beam, or a FITS map of it; estimated from the image if left out.")
@add_options("frequency", "beam", "psf", "primary_beam", *POPULATION, "workers", "format", "plot", *RUN)
def inject(**given: Any) -> None:
    """Inject radio galaxies into IMAGE, a FITS file, which itself is not changed."""
    check_ready(given)
    from skygal.checks import check_choice
    from skygal.cli import words as options

    check_choice("format", given["format"], ("fits", "zarr"))
    if given["table"] is not None and given["n_sources"] is not None:
        raise ValueError(f"n_sources must be left out where table is given, got {given['n_sources']}")
    rms = None if given["rms"] is None else options.parse_noise("rms", given["rms"])
    view = _single({"frequency": options.parse_frequencies(given["frequency"]), **_view(given)})
    arguments = _population(given)
    from skygal.injection import inject as run

    sources = given["n_sources"] if given["table"] is None else str(options.parse_path("table", given["table"]))
    field = run(given["image"], sources, hdu=options.parse_hdu(given["hdu"]), unit=given["unit"], rms=rms, **view,
                **arguments)
    _write([field], "inject", given)
    click.echo(f"{given['output']}: {len(field.truth)} sources in {given['image']}, "
               f"seed {field.provenance['seed']}")


def _population(given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that say which sources there are, and how to run."""
    from skygal.cli import words as options

    words: dict[str, Any] = {name: given[name] for name in ("faint", "model", "seed", "device", "workers", "progress")}
    words["flux"] = None if given["flux"] is None else options.parse_range("flux", given["flux"])
    words["las"] = None if given["las"] is None else options.parse_sizes(given["las"])
    words["fr_mix"] = None if given["fr_mix"] is None else options.parse_mix(given["fr_mix"])
    index, bend = given["spectral_index"], given["curvature"]
    words["spectral_index"] = None if index is None else options.parse_range("spectral_index", index, plain=True)
    words["curvature"] = None if bend is None else options.parse_number("curvature", bend)
    return words | decoding(given)


def _view(given: dict[str, Any]) -> dict[str, Any]:
    """Return the beams; each may be a list."""
    from skygal.cli import words as options

    if given["beam"] is not None and given["psf"] is not None:
        raise ValueError(f"beam must be left out where psf is given, got {given['beam']!r}")
    beam = options.parse_each("beam", given["beam"], lambda _, text: options.parse_beam(text))
    if given["psf"] is not None:
        beam = options.parse_each("psf", given["psf"], options.parse_path)
    return {"beam": beam, "primary_beam": options.parse_each("primary_beam", given["primary_beam"], _pattern)}


def _noise(name: str, text: Any) -> Any:
    from skygal.cli import words as options

    return False if text in (False, "none") else options.parse_noise(name, text)


def _pattern(_: str, text: Any) -> Any:
    return None if text in (False, "none") else text


def _single(view: dict[str, Any]) -> dict[str, Any]:
    """Return a view without lists."""
    for name, value in view.items():
        if isinstance(value, list):
            raise ValueError(f"{name} must be one, where there is one frequency, got {len(value)}"
                             if name != "frequency" else f"frequency must be one, got {len(value)}")
    return view


def _chunks(words: Any, shape: tuple[int, int]) -> tuple[int, int] | None:
    """Return the sides of chunks that were asked for, or those of a large image."""
    from skygal.cli import words as options

    if words is not None:
        return None if words in (False, "none") else options.parse_size(words, name="chunks")
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
    fields = [replace(field, provenance={**field.provenance, **record}) for field in fields]
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
