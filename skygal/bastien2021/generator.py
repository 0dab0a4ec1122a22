"""The trained decoder of Bastien et al. (2021) as a generator of stamps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skygal.checks import show
from skygal.morphology.generator import Generator
from skygal.morphology.weights_checks import check_parts, check_quantiles, count_dense, fill_module
from skygal.rendering.threads import each_block

if TYPE_CHECKING:
    from skygal.bastien2021.networks import PaperArchitecture, PaperDecoder
    from skygal.morphology.conditions import ConditionTable

__all__ = ["FORMAT", "PaperGenerator", "build_generator", "check_paper_tensors"]

#: name and version in a weights file by which `skygal.load_model` tells it from others
FORMAT = ("skygal-bastien2021", 1)
#: rows that are decoded together
DECODED_AT_ONCE = 64


class PaperGenerator(Generator):
    """A trained decoder of the paper's.

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

        super().__init__(name=name, sha256=sha256, classes=CLASSES, latent_dim=arch.latent_dim,
                         shape=(arch.side, arch.side), pixel_scale=arch.pixel_scale, beam_fwhm=arch.beam_fwhm,
                         tables={key: _table(float(np.median(value))) for key, value in extents.items()},
                         metadata=metadata, device=device, conditional=arch.conditional)
        self.arch = arch
        self._decoder = decoder.eval().to(device)

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

        latents = self._check_latents(latents)
        n, one_hot = len(latents), self._one_hot(fr_class, len(latents))
        out = np.empty((n, *self.shape), np.float32)

        def run(start: int) -> None:
            stop = min(start + DECODED_AT_ONCE, n)
            z = np.zeros((DECODED_AT_ONCE, self.latent_dim), np.float32)
            y = np.zeros((DECODED_AT_ONCE, len(self.classes)), np.float32)
            z[:stop - start], y[:stop - start] = latents[start:stop], one_hot[start:stop]
            labels = torch.from_numpy(y).to(self.device) if self.arch.conditional else None
            stamps = self._decoder(torch.from_numpy(z).to(self.device), labels).sigmoid()
            out[start:stop] = stamps[:stop - start].cpu().numpy().reshape(-1, *self.shape)

        each_block(run, range(0, n, DECODED_AT_ONCE), device=self.device)
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


def check_paper_tensors(arch: PaperArchitecture, tensors: Mapping[str, np.ndarray], classes: Sequence[str]) -> None:
    """Do for the paper's networks what `skygal.morphology.weights_checks.check_tensors` does for the package's."""
    if not isinstance(arch.conditional, bool):
        raise ValueError(f"conditional must be true or false, got {show(arch.conditional)}")
    ends = 2 * count_dense(arch.widths[-1], arch.latent_dim)
    sizes = {"decoder": count_dense(arch.latent_dim + arch.labels, *arch.widths[::-1], arch.pixels),
             "encoder": count_dense(arch.pixels + arch.labels, *arch.widths) + ends}
    check_parts(tensors, sizes, optional={"encoder"}, others={f"extents.{name}" for name in classes})
    for name in classes:
        check_quantiles(f"extents.{name}", tensors, ndim=1, low=0.0, high=math.inf)


def build_generator(tensors: Mapping[str, np.ndarray], description: Mapping[str, Any], sha256: str,
                    device: str) -> PaperGenerator:
    """Return the generator that the tensors and the description of a file make.

    Raises
    ------
    ValueError
        If the tensors do not fit the architecture.
    """
    from skygal.bastien2021.networks import CLASSES, PaperArchitecture, PaperDecoder
    from skygal.morphology.networks import Unset

    arch = PaperArchitecture.from_dict(description["architecture"])
    check_paper_tensors(arch, tensors, CLASSES)
    with Unset():
        decoder = PaperDecoder(arch)
    fill_module(decoder, "decoder", tensors)
    return PaperGenerator(arch, decoder, name=description["name"], sha256=sha256,
                          extents={name: tensors[f"extents.{name}"] for name in CLASSES},
                          metadata=description["metadata"], device=device)
