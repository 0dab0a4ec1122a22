"""A simulated field: image, truth, and how they are written and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS

from skygal.checks import check_choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Field"]

#: tables of more rows are written as FITS alone: as text they are large and slow
LONGEST_TEXT = 100_000
#: pixels on a side of a picture; larger images are shown by every second, third ... pixel
MOST_SHOWN = 4096


@dataclass(frozen=True)
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
        """Write the field, or its truth, in the format of another program: see `skygal.exports.export_field`."""
        from skygal.exports import export_field

        return export_field(self, path, format, overwrite=overwrite, **options)

    def plot(self, ax: Axes | None = None, *, truth: bool = True) -> Axes:
        """Draw the image with its sources marked by class (needs matplotlib).

        Parameters
        ----------
        ax : matplotlib axes, optional
            To draw on; by default a new figure's, with the WCS as its projection.
        truth : bool
            Whether to mark the sources.

        Returns
        -------
        matplotlib axes
        """
        import matplotlib.pyplot as plt
        from astropy.visualization import AsinhStretch, ImageNormalize

        if ax is None:
            _, ax = plt.subplots(figsize=(9, 8), subplot_kw={"projection": self.wcs}, layout="constrained")
        ny, nx = self.image.shape
        step = max(1, max(ny, nx) // MOST_SHOWN)
        pixels = np.asarray(self.image[::step, ::step])
        good = pixels[np.isfinite(pixels)]
        spread = 1.4826 * float(np.median(np.abs(good - np.median(good)))) if good.size else 0.0
        top = float(np.max(good, initial=0.0))
        low = -2 * spread
        high = max(min(60 * spread, top), 1e-3 * top, 1e-30) if spread else max(0.3 * top, 1e-30)
        shown = ax.imshow(pixels, origin="lower", cmap="inferno", interpolation="nearest",
                          extent=(-0.5, pixels.shape[1] * step - 0.5, -0.5, pixels.shape[0] * step - 0.5),
                          norm=ImageNormalize(vmin=low, vmax=high, stretch=AsinhStretch(0.15), clip=True))
        if hasattr(ax, "coords"):
            galactic = self.wcs.wcs.ctype[0].startswith("GL")
            ax.set_xlabel("Galactic longitude" if galactic else "Right ascension")
            ax.set_ylabel("Galactic latitude" if galactic else "Declination")
        unit = str(self.header.get("BUNIT", "")).strip()
        ax.figure.colorbar(shown, ax=ax, label={"JY/BEAM": "Jy/beam"}.get(unit.upper(), unit), fraction=0.046, pad=0.02)
        if truth:
            x, y = np.asarray(self.truth["x"]), np.asarray(self.truth["y"])
            inside = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
            scale = 3600 * np.sqrt(abs(np.linalg.det(self.wcs.pixel_scale_matrix)))
            handles = []
            for name, colour in (("FRI", "#6fd3ff"), ("FRII", "#9dff6f")):
                rows = np.flatnonzero(inside & (np.asarray(self.truth["fr_class"]) == name))
                radius = self.truth["las"][rows].to_value("arcsec") / scale / 2 + 5
                for row, r in zip(rows, radius, strict=True):
                    ax.add_patch(plt.Circle((x[row], y[row]), r, fill=False, color=colour, lw=0.6, alpha=0.8))
                handles.append(plt.Line2D([], [], marker="o", mfc="none", ls="none", color=colour,
                                          label=f"{name} ({rows.size})"))
            ax.legend(handles=handles, loc="upper right", framealpha=0.6, fontsize="small")
        return ax


def _save(axes: Axes, path: Path) -> None:
    import matplotlib.pyplot as plt

    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.savefig(path, dpi=110)
    plt.close(figure)
