"""A simulated field: image, truth, and how they are written and shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Field"]


@dataclass(frozen=True)
class Field:
    """A sky image with synthetic radio galaxies in it, and the truth about them.

    Attributes
    ----------
    image : ndarray, shape (ny, nx), float32
        What a telescope sees, Jy/beam (for an injection, in the unit of the image given).
    model : ndarray, shape (ny, nx), float32
        The synthetic sources alone, without noise, in the same unit.
    segmentation : ndarray of int32, shape (ny, nx)
        ``source_id`` of the brightest synthetic source where it rises above the noise, else 0.
    header : `~astropy.io.fits.Header`
        The image's header as it is written.
    truth : `~astropy.table.QTable`
        A row a source (see `skygal.truth.schema`).
    components : `~astropy.table.QTable`
        A row a component of a source.
    wcs : `~astropy.wcs.WCS`
        The image's celestial WCS.
    configuration : dict
        Every setting the field was made with, as plain values.
    """

    image: np.ndarray
    model: np.ndarray
    segmentation: np.ndarray
    header: fits.Header
    truth: QTable
    components: QTable
    wcs: WCS
    configuration: dict[str, Any]

    def write(self, directory: str | Path, *, overwrite: bool = False, plot: bool = False) -> Path:
        """Write the field into a directory of its own, whole or not at all.

        Parameters
        ----------
        directory : str or path
            To be made. It will hold ``field.fits`` and ``model.fits`` (Jy/beam),
            ``segmentation.fits``, ``truth.fits`` and ``.ecsv``, ``components.fits`` and ``.ecsv``,
            ``skygal.yaml`` (every setting) and with ``plot`` a picture, ``field.png``.
        overwrite : bool
            Whether a directory that skygal wrote before may be replaced.
        plot : bool
            Whether to draw the picture (needs matplotlib).

        Returns
        -------
        path
            The directory.

        Raises
        ------
        FileExistsError
            If it exists and ``overwrite`` is not set, or is not one of skygal's.
        OSError
            If it cannot be written; nothing is left behind.
        """
        from skygal.output import write_field

        return write_field(self, directory, overwrite=overwrite, plot=plot)

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
        good = self.image[np.isfinite(self.image)]
        spread = 1.4826 * float(np.median(np.abs(good - np.median(good)))) if good.size else 0.0
        top = float(np.max(good, initial=0.0))
        low = -2 * spread
        high = max(min(60 * spread, top), 1e-3 * top, 1e-30) if spread else max(0.3 * top, 1e-30)
        shown = ax.imshow(self.image, origin="lower", cmap="inferno", interpolation="nearest",
                          norm=ImageNormalize(vmin=low, vmax=high, stretch=AsinhStretch(0.15), clip=True))
        unit = str(self.header.get("BUNIT", "")).strip()
        ax.figure.colorbar(shown, ax=ax, label={"JY/BEAM": "Jy/beam"}.get(unit.upper(), unit), fraction=0.046, pad=0.02)
        if truth:
            ny, nx = self.image.shape
            x, y = np.asarray(self.truth["x"]), np.asarray(self.truth["y"])
            inside = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
            scale = 3600 * np.sqrt(abs(np.linalg.det(self.wcs.pixel_scale_matrix)))
            for name, colour in (("FRI", "#6fd3ff"), ("FRII", "#9dff6f")):
                rows = np.flatnonzero(inside & (np.asarray(self.truth["fr_class"]) == name))
                radius = self.truth["las"][rows].to_value("arcsec") / scale / 2 + 5
                for k, (row, r) in enumerate(zip(rows, radius, strict=True)):
                    ax.add_patch(plt.Circle((x[row], y[row]), r, fill=False, color=colour, lw=0.6, alpha=0.8,
                                            label=f"{name} ({rows.size})" if k == 0 else None))
            if inside.any():
                ax.legend(loc="upper right", framealpha=0.6, fontsize="small")
        return ax
