"""A simulated field: image, truth, and how they are written and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.table import QTable
from astropy.units import Quantity
from astropy.wcs import WCS

from skygal.checks import check_choice
from skygal.io.pictures import BLANK, COLOURS, brightness_norm, notebook_html, picture_html, table_html

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Field"]

#: the class of faint sources in truth: they have none
FAINT = "none"
#: colours and dashes in which sources are marked: light ones, none of them on the image's map from black by purple and
#: orange to yellow
MARKS = {"FRI": ("#6fd3ff", "-"), "FRII": ("#9dff6f", "-"), "hybrid": ("#ffffff", "-"), "compact": ("#d9c2ff", "-"),
         "bent": ("#5fffd0", "--")}
#: those of classes that are not known here, in turn
OTHER_MARKS = [("#ffffff", ":"), ("#6fd3ff", "--"), ("#9dff6f", "--"), ("#d9c2ff", "--")]
#: columns of truth that a notebook shows, and the format of each
HEAD = {"source_id": "", "fr_class": "", "population": "", "ra": ".5f", "dec": ".5f", "flux": ".3g", "las": ".1f",
        "pa": ".1f", "snr": ".1f", "n_components": ""}
#: tables of more rows are written as FITS alone: as text they are large and slow
LONGEST_TEXT = 100_000
#: pixels on a side of a picture; larger images are shown by every second, third ... pixel
MOST_SHOWN = 4096


@dataclass(frozen=True, eq=False)
class Field:
    """A sky image with synthetic radio galaxies in it, and the truth about them.

    Attributes
    ----------
    image : ndarray or dask.array.Array, shape (ny, nx), float32
        What a telescope sees, Jy/beam (for an injection, in the unit of the image given).
    model : ndarray or dask.array.Array, shape (ny, nx), float32
        The synthetic sources alone, without noise, in the same unit.
    segmentation : ndarray or dask.array.Array of int32, shape (ny, nx)
        ``source_id`` of the brightest synthetic source where it rises above the noise, else 0.
    header : `~astropy.io.fits.Header`
        The image's header as it is written.
    truth : `~astropy.table.QTable`
        A row a source (see `skygal.truth.schema`).
    components : `~astropy.table.QTable`
        A row a component of a source.
    wcs : `~astropy.wcs.WCS`
        The image's celestial WCS.
    provenance : dict
        Seed, model, version, and every setting the field was made with.
    inputs : mapping
        Tables and arrays that it was made from, by the names of the files that they are written into.
    """

    image: np.ndarray
    model: np.ndarray
    segmentation: np.ndarray
    header: fits.Header
    truth: QTable
    components: QTable
    wcs: WCS
    provenance: dict[str, Any]
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def assemble(cls, wcs: WCS, image: np.ndarray, model: np.ndarray, segmentation: np.ndarray,
                 truth: Mapping[str, np.ndarray], components: Mapping[str, np.ndarray], header: fits.Header,
                 provenance: Mapping[str, Any], inputs: Mapping[str, Any] | None = None) -> Field:
        """Make a field of pixels and the columns of its tables."""
        from skygal.truth import make_components, make_truth

        meta = dict(provenance)
        return cls(image, model, segmentation, header, make_truth(truth, meta), make_components(components, meta),
                   wcs, meta, inputs or {})

    @classmethod
    def read(cls, directory: str | Path) -> Field:
        """Read a field that `write` wrote.

        Parameters
        ----------
        directory : str or path
            The folder.

        Returns
        -------
        Field
            Its pixels are mapped, read-only: they come from disk when they are looked at, in FITS's byte order (of
            ``format="zarr"``: lazy Dask arrays).

        Raises
        ------
        FileNotFoundError
            If there is no such folder, or a file is missing in it.
        ValueError
            If a file is not as it was written; the message names file and card, or column.
        """
        from skygal.truth.written import read_written

        return cls(**read_written(directory))

    @property
    def is_lazy(self) -> bool:
        """Whether the pixels are Dask arrays, made when they are asked for."""
        return not isinstance(self.image, np.ndarray)

    def compute(self) -> Field:
        """Return the field with its pixels in memory."""
        if not self.is_lazy:
            return self
        import dask

        image, model, segmentation = dask.compute(self.image, self.model, self.segmentation)
        return replace(self, image=image, model=model, segmentation=segmentation)

    def write(self, directory: str | Path, *, format: str = "fits", overwrite: bool = False, plot: bool = False,
              progress: bool = False) -> Path:
        """Write the field into a directory of its own, whole or not at all.

        Parameters
        ----------
        directory : str or path
            To be made. It will hold ``field.fits`` and ``model.fits`` (Jy/beam),
            ``segmentation.fits``, ``truth.fits`` and ``components.fits``, both as ``.ecsv`` too up to
            100,000 rows, ``skygal.yaml`` (every setting, to make it again from), in ``inputs`` the
            tables and arrays that it was made from, and with ``plot`` a picture, ``field.png``.
        format : "fits" or "zarr"
            Of the three images: FITS files, or arrays of these names in a Zarr group ``field.zarr``
            in the chunks that they have, with the header as attribute ``header``.
        overwrite : bool
            Whether a directory that skygal wrote before may be replaced.
        plot : bool
            Whether to draw the picture (needs matplotlib).
        progress : bool
            Whether to show progress.

        Returns
        -------
        path
            The directory.

        Raises
        ------
        ValueError
            If the format is unknown.
        FileExistsError
            If it exists and ``overwrite`` is not set, or holds anything that is not as skygal wrote it, or a file that
            the field was made from.
        OSError
            If it cannot be written; nothing is left behind.

        Notes
        -----
        Lazy pixels are made, under the Dask scheduler that is set, and written a row of chunks at a time.
        """
        from skygal.io.atomic import whole_directory
        from skygal.io.config import dump_config
        from skygal.io.inputs import write_input
        from skygal.io.provenance import input_files
        from skygal.io.streaming import stream_fits, stream_zarr
        from skygal.truth import write_truth

        check_choice("format", format, ("fits", "zarr"))
        plain = self.header.copy()
        plain["BUNIT"] = ("", "source_id, 0 for none")
        with whole_directory(directory, overwrite=overwrite, inputs=input_files(self.provenance)) as folder:
            if format == "fits":
                stream_fits({folder / "field.fits": (self.image, self.header, np.float32),
                             folder / "model.fits": (self.model, self.header, np.float32),
                             folder / "segmentation.fits": (self.segmentation, plain, np.int32)}, progress=progress)
            else:
                stream_zarr(folder / "field.zarr", {"image": self.image, "model": self.model,
                                                    "segmentation": self.segmentation},
                            {"header": self.header.tostring(sep="\n", padding=False)}, progress=progress)
            for name, table in (("truth", self.truth), ("components", self.components)):
                for suffix in ("fits", "ecsv") if len(table) <= LONGEST_TEXT else ("fits",):
                    write_truth(table, folder / f"{name}.{suffix}")
            for name, given in self.inputs.items():
                write_input(given, folder / name)
            (folder / "skygal.yaml").write_text(dump_config(self.provenance), encoding="utf-8")
            if plot:
                _save(self.plot(), folder / "field.png")
        return Path(directory)

    def export(self, path: str | Path, format: str | None = None, *, overwrite: bool = False, **options: Any) -> Path:
        """Write the field, or its truth, in the format of another program: see `skygal.truth.exports.export_field`."""
        from skygal.truth.exports import export_field

        return export_field(self, path, format, overwrite=overwrite, **options)

    def plot(self, ax: Axes | None = None, *, truth: bool = True) -> Axes:
        """Draw the image with its sources marked by class (needs matplotlib).

        Parameters
        ----------
        ax : matplotlib axes, optional
            To draw on; by default a new figure's, with the WCS as its projection.
        truth : bool
            Whether to mark the sources. Faint ones, which have no class, are only counted.

        Returns
        -------
        matplotlib axes
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=(9, 8), subplot_kw={"projection": self.wcs}, layout="constrained")
        step = max(1, max(self.image.shape) // MOST_SHOWN)
        pixels = np.asarray(self.image[::step, ::step])
        ax.set_facecolor(BLANK)
        shown = ax.imshow(pixels, origin="lower", cmap=COLOURS, interpolation="nearest",
                          extent=(-0.5, pixels.shape[1] * step - 0.5, -0.5, pixels.shape[0] * step - 0.5),
                          norm=brightness_norm(pixels))
        if hasattr(ax, "coords"):
            galactic = self.wcs.wcs.ctype[0].startswith("GL")
            ax.set_xlabel("Galactic longitude" if galactic else "Right ascension")
            ax.set_ylabel("Galactic latitude" if galactic else "Declination")
        unit = str(self.header.get("BUNIT", "")).strip()
        ax.figure.colorbar(shown, ax=ax, label={"JY/BEAM": "Jy/beam"}.get(unit.upper(), unit), fraction=0.046, pad=0.02)
        if truth:
            self._mark_sources(ax)
        return ax

    def _mark_sources(self, ax: Axes) -> None:
        """Draw a circle around each source whose centre is in the image, as large as its LAS, and say what they are."""
        from matplotlib.collections import EllipseCollection
        from matplotlib.lines import Line2D

        place = np.stack([np.asarray(self.truth["x"], float), np.asarray(self.truth["y"], float)], axis=1)
        inside = ((place > -0.5) & (place < np.array(self.image.shape[::-1]) - 0.5)).all(axis=1)
        scale = 3600 * np.sqrt(abs(np.linalg.det(self.wcs.pixel_scale_matrix)))
        size = np.nan_to_num(self.truth["las"].to_value("arcsec")) / scale + 10
        fr_class = np.asarray(self.truth["fr_class"]).astype(str)
        handles, others = [], iter(OTHER_MARKS * len(fr_class))
        for name in _in_order(fr_class):
            rows = np.flatnonzero(inside & (fr_class == name))
            if name == FAINT:
                handles.append(Line2D([], [], ls="none", label=f"faint, not marked ({rows.size})"))
                continue
            colour, dashes = MARKS.get(name) or next(others)
            ax.add_collection(EllipseCollection(size[rows], size[rows], np.zeros(rows.size), units="xy",
                                                offsets=place[rows], offset_transform=ax.transData, facecolor="none",
                                                edgecolor=colour, linewidths=0.8, linestyles=dashes))
            handles.append(Line2D([], [], color=colour, ls=dashes, lw=1.5, label=f"{name} ({rows.size})"))
        if handles:
            ax.legend(handles=handles, loc="upper right", fontsize="small", facecolor="black", edgecolor="0.6",
                      framealpha=0.75, labelcolor="white")

    def __repr__(self) -> str:
        return f"<{self._in_words()}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a small picture and the head of the truth; lazy pixels are not made."""
        if self.is_lazy:
            picture = "<div>no picture: the pixels are lazy, made by<br>compute(), write() or plot()</div>"
        else:
            picture = picture_html(self.image, "the image")
        return notebook_html(self._in_words(), [picture, table_html(self.truth, HEAD, "truth")])

    def _in_words(self) -> str:
        """Return in a line what the field is."""
        names = _in_order(fr_class := np.asarray(self.truth["fr_class"]).astype(str))
        counts = [f"{np.count_nonzero(fr_class == name)} {'faint' if name == FAINT else name}" for name in names]
        said = [f"{len(self.truth)} source{'s' * (len(self.truth) != 1)}" + f" ({', '.join(counts)})" * bool(counts)]
        if "frequency" in self.provenance:
            said.append(_short(self.provenance["frequency"], "GHz MHz"))
        if "BMAJ" in self.header:
            axes = [f'{3600 * self.header[key]:.3g}"' for key in ("BMAJ", "BMIN")]
            said.append("beam " + " x ".join(dict.fromkeys(axes)))
        said.append(f"noise {noise}" if (noise := self._noise()) else "no noise")
        said += [f"{key} {self.provenance[key]}" for key in ("model", "seed") if key in self.provenance]
        ny, nx = self.image.shape
        return f"Field {ny} x {nx} pixels{', lazy' * self.is_lazy}: {', '.join(said)}"

    def _noise(self) -> str:
        """Return the noise, or its range where sources lie, in words; empty if there is none."""
        rms = self.truth["local_rms"]
        if not rms.size:
            try:
                rms = Quantity(self.provenance["configuration"]["noise"])
            except (KeyError, TypeError, ValueError):
                # of a map, or of none
                return str(self.provenance.get("configuration", {}).get("noise") or "")
        ends = [_short(end, "Jy/beam mJy/beam uJy/beam nJy/beam") for end in (rms.min(), rms.max()) if end.value > 0]
        return " to ".join(dict.fromkeys(ends))


def _in_order(fr_class: np.ndarray) -> list[str]:
    """Return the classes that there are: those with a mark of their own, others by name, and faint ones."""
    found = sorted(set(fr_class.tolist()))
    return sorted(found, key=lambda name: (name == FAINT, [*MARKS, name].index(name)))


def _short(value: Quantity, units: str) -> str:
    """Return a quantity in the first of the units in which it is not below 1, in three digits or so."""
    for unit in units.split():
        number = value.to_value(unit)
        if abs(number) >= 1:
            break
    return f"{number:.4g} {unit}"


def _save(axes: Axes, path: Path) -> None:
    import matplotlib.pyplot as plt

    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.savefig(path, dpi=110)
    plt.close(figure)
