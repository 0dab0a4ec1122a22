"""The trained decoder of Bastien et al. (2021) as a generator of stamps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.checks import check_choice, shorten, show
from skygal.morphology.weights_files import PAPER
from skygal.rendering.threads import each_block

if TYPE_CHECKING:
    from skygal.bastien2021.networks import PaperArchitecture, PaperDecoder
    from skygal.morphology.conditions import ConditionTable

__all__ = ["FORMAT", "PaperGenerator", "build_paper_generator"]

#: the word in a weights file by which `skygal.load_model` tells it from others
FORMAT, FORMAT_VERSION = PAPER
#: rows that are decoded together
BLOCK = 64


class PaperGenerator:
    """A trained decoder of the paper's; it takes the place of a `skygal.morphology.generator.Generator`.

    Attributes
    ----------
    arch : PaperArchitecture
        The networks' shape.
    name, sha256 : str
        The model's name, and the digest of its weights and description.
    classes : tuple of str
        "FRI", "FRII". A VAE's stamps do not depend on the class.
    latent_dim : int
        Number of latents; the prior is N(0, I), and the paper draws from the box of +-4 ("uniform").
    shape : tuple of int
        Rows and columns (ny, nx) of a stamp.
    pixel_scale, beam_fwhm : float
        Arcsec per pixel, and FWHM in arcsec of the beam of the training images.
    tables : dict of str to `~skygal.morphology.conditions.ConditionTable`
        For each class its stamps' median extent, and no bending: neither can be asked for.
    metadata : dict
        Where the weights come from.
    """

    def __init__(self, arch: PaperArchitecture, decoder: PaperDecoder, *, name: str, sha256: str,
                 extents: Mapping[str, np.ndarray], metadata: dict, device: str) -> None:
        from skygal.bastien2021.networks import CLASSES

        self.arch, self.name, self.sha256, self.metadata, self.device = arch, name, sha256, metadata, device
        self.classes, self.latent_dim, self.shape = CLASSES, arch.latent_dim, (arch.side, arch.side)
        self.pixel_scale, self.beam_fwhm = arch.pixel_scale, arch.beam_fwhm
        self.tables = {key: _table(float(np.median(value))) for key, value in extents.items()}
        self._decoder = decoder.eval().to(device)

    def __repr__(self) -> str:
        return f"PaperGenerator({self.name!r}, sha256={self.sha256[:12]!r}, device={self.device!r})"

    @property
    def extents(self) -> dict[str, np.ndarray]:
        """For each class, its stamps' median extent (arcsec), as quantiles."""
        return {name: table.extent for name, table in self.tables.items()}

    def decode(self, latents: np.ndarray, fr_class: np.ndarray, extent: np.ndarray | None = None,
               bending: np.ndarray | None = None) -> np.ndarray:
        """Decode stamps, dropout off.

        Parameters
        ----------
        latents : array_like
            Shape (n, latent_dim).
        fr_class : array_like of str
            Shape (n,); names out of `classes`.
        extent, bending : array_like, optional
            Taken for the sake of other models' callers; this one has no such conditions.

        Returns
        -------
        `~numpy.ndarray`
            Shape (n, ny, nx), float32: the probability of each pixel, from 0 to 1, at any position angle, unclipped.

        Raises
        ------
        ValueError
            If an array has the wrong shape, a latent is not finite, or a class is unknown.

        Notes
        -----
        Rows are decoded in blocks of 64, the last one filled up with zeros, each by one thread, so that a stamp's bits
        do not depend on how many follow it.
        """
        import torch

        latents, fr_class = np.asarray(latents, np.float32), np.asarray(fr_class)
        if latents.ndim != 2 or latents.shape[1] != self.latent_dim:
            raise ValueError(f"latents must have shape (n, {self.latent_dim}), got {latents.shape}")
        if not np.isfinite(latents).all():
            raise ValueError(f"latents must be finite, got {latents[~np.isfinite(latents)][0]}")
        n = len(latents)
        if fr_class.shape != (n,):
            raise ValueError(f"fr_class must have shape ({n},), got {fr_class.shape}")
        one_hot = fr_class[:, None] == np.asarray(self.classes)[None, :]
        if not one_hot.any(axis=1).all():
            check_choice("fr_class", str(fr_class[~one_hot.any(axis=1)][0]), self.classes)
        out = np.empty((n, *self.shape), np.float32)

        def run(start: int) -> None:
            stop = min(start + BLOCK, n)
            z = np.zeros((BLOCK, self.latent_dim), np.float32)
            y = np.zeros((BLOCK, len(self.classes)), np.float32)
            z[:stop - start], y[:stop - start] = latents[start:stop], one_hot[start:stop]
            labels = torch.from_numpy(y).to(self.device) if self.arch.conditional else None
            stamps = self._decoder(torch.from_numpy(z).to(self.device), labels).sigmoid()
            out[start:stop] = stamps[:stop - start].cpu().numpy().reshape(-1, *self.shape)

        each_block(run, range(0, n, BLOCK), device=self.device)
        return out

    def acceptance(self, latents: np.ndarray, fr_class: np.ndarray, extent: np.ndarray | None = None,
                   bending: np.ndarray | None = None) -> np.ndarray:
        """Return 1 for each row (n,): the prior of the paper's networks is N(0, I), nothing of which is left out."""
        return np.ones(len(latents))


def _table(extent: float) -> ConditionTable:
    """Return the table of a class whose stamps all count as of one extent (arcsec), and as straight."""
    from skygal.morphology.conditions import GROUPS, QUANTILES, ConditionTable

    # a rising row, as a table must have, that ends a hair above zero
    straight = np.linspace(0, 1e-6, QUANTILES, dtype=np.float32)
    return ConditionTable(np.full(QUANTILES, extent, np.float32), np.tile(straight, (GROUPS, 1)))


def build_paper_generator(path: Path, tensors: Mapping[str, np.ndarray], description: dict[str, Any], sha256: str,
                          device: str) -> PaperGenerator:
    """Return the generator that a checked file describes.

    Raises
    ------
    ValueError
        If the tensors do not fit the architecture.
    """
    from skygal.bastien2021.networks import CLASSES, PaperArchitecture, PaperDecoder
    from skygal.morphology.networks import Unset
    from skygal.morphology.weights_files import check_paper_tensors, fill_module

    try:
        arch = PaperArchitecture.from_dict(description["architecture"])
        check_paper_tensors(arch, tensors, CLASSES)
        with Unset():
            decoder = PaperDecoder(arch)
        fill_module(decoder, "decoder", tensors)
        extents = {name: tensors[f"extents.{name}"] for name in CLASSES}
    except Exception as error:  # what is too large for torch, or of no kind that it has
        reason = shorten(str(error).split("\n")[0])
        raise ValueError(f"model file {show(str(path))} does not fit its architecture: {reason}") from None
    return PaperGenerator(arch, decoder, name=description["name"], sha256=sha256, extents=extents,
                          metadata=description["metadata"], device=device)


