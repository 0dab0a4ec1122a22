"""A trained decoder: latents, class and extent to stamps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from skygal.checks import check_choice
from skygal.rendering.threads import each_block, one_thread

if TYPE_CHECKING:
    import torch

    from skygal.morphology.conditions import ConditionTable
    from skygal.morphology.networks import Acceptance, Architecture, ConditionalFlow, Decoder
    from skygal.morphology.octaves import Octaves

__all__ = ["DECODE_BLOCK", "CvaeGenerator", "Generator"]

#: Rows that are decoded together.
DECODE_BLOCK = 128
#: Latents are drawn in from this far beyond the root of their number on, by this much at most.
SHELL = (1.0, 0.6)


def _pull_in(u: torch.Tensor) -> torch.Tensor:
    """Return latents (n, d), those far outside the prior's shell moved to its outer part."""
    import torch

    edge, give = u.shape[1] ** 0.5 + SHELL[0], SHELL[1]
    radius = torch.linalg.vector_norm(u, dim=1, keepdim=True)
    beyond = (radius - edge).clamp_min(0.0)
    return u * ((radius.clamp_max(edge) + give * (1 - torch.exp(-beyond / give))) / radius.clamp_min(1e-6))


class Generator(ABC):
    """A trained model that turns latents into stamps; see `skygal.morphology.checkpoint.load_model`.

    Attributes
    ----------
    name : str
        The model's name.
    sha256 : str
        Digest of its weights and description.
    classes : tuple of str
        The classes it was trained on.
    latent_dim : int
        Number of latents; the prior is N(0, I).
    shape : tuple of int
        Rows and columns (ny, nx) of a stamp.
    pixel_scale, beam_fwhm : float
        Arcsec per pixel, and FWHM in arcsec of the circular Gaussian beam that stamps carry.
    tables : dict of str to `~skygal.morphology.conditions.ConditionTable`
        For each class, how extent and bending are distributed over its training stamps.
    metadata : dict
        Where the weights come from: data, licence, seed, settings, figures.
    device : str
        Where it decodes.
    conditional : bool
        Whether stamps depend on the class that is asked for.
    octaves : Octaves or None
        What draws its stamps sharper, see `skygal.morphology.octaves`.
    extent : (float, float) or None
        Least and largest extent, arcsec, of the stamps that octaves begin with.
    """

    octaves: Octaves | None = None
    extent: tuple[float, float] | None = None

    def __init__(self, *, name: str, sha256: str, classes: tuple[str, ...], latent_dim: int, shape: tuple[int, int],
                 pixel_scale: float, beam_fwhm: float, tables: dict[str, ConditionTable], metadata: dict, device: str,
                 conditional: bool = True) -> None:
        self.name, self.sha256, self.classes, self.latent_dim, self.shape = name, sha256, classes, latent_dim, shape
        self.pixel_scale, self.beam_fwhm, self.tables, self.metadata = pixel_scale, beam_fwhm, tables, metadata
        self.device, self.conditional = device, conditional

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, sha256={self.sha256[:12]!r}, device={self.device!r})"

    @abstractmethod
    def decode(self, latents: np.ndarray, fr_class: np.ndarray, extent: np.ndarray,
               bending: np.ndarray | None = None) -> np.ndarray:
        """Decode stamps, shape (n, ny, nx), float32, unclipped, at the resolution of the beam.

        Parameters
        ----------
        latents : array_like
            Shape (n, latent_dim).
        fr_class : array_like of str
            Shape (n,); names out of `classes`.
        extent : array_like
            Shape (n,), arcsec: see `skygal.morphology.conditions.measure_extent_bending`.
        bending : array_like, optional
            Shape (n,), radians, from the same place.
        """

    @abstractmethod
    def acceptance(self, latents: np.ndarray, fr_class: np.ndarray, extent: np.ndarray,
                   bending: np.ndarray | None = None) -> np.ndarray:
        """Return how likely draws from N(0, I) are to be kept, shape (n,); see `decode`."""

    def _check_latents(self, latents: np.ndarray) -> np.ndarray:
        latents = np.asarray(latents, np.float32)
        if latents.ndim != 2 or latents.shape[1] != self.latent_dim:
            raise ValueError(f"latents must have shape (n, {self.latent_dim}), got {latents.shape}")
        if not np.isfinite(latents).all():
            raise ValueError(f"latents must be finite, got {latents[~np.isfinite(latents)][0]}")
        return latents

    def _one_hot(self, fr_class: np.ndarray, n: int) -> np.ndarray:
        """Return which class each of ``n`` rows is of, shape (n, number of classes)."""
        fr_class = np.asarray(fr_class)
        if fr_class.shape != (n,):
            raise ValueError(f"fr_class must have shape ({n},), got {fr_class.shape}")
        one_hot = fr_class[:, None] == np.asarray(self.classes)[None, :]
        missed = ~one_hot.any(axis=1)
        if missed.any():
            check_choice("fr_class", str(fr_class[missed][0]), self.classes)
        return one_hot


class CvaeGenerator(Generator):
    """The generator of a conditional VAE with a learnt prior, `skygal.morphology.model.GalaxyModel`.

    Attributes
    ----------
    arch : Architecture
        The networks' shape.
    """

    def __init__(self, arch: Architecture, decoder: Decoder, flow: ConditionalFlow,
                 acceptance: Acceptance | None = None, *, name: str, sha256: str,
                 tables: dict[str, ConditionTable], metadata: dict, device: str) -> None:
        super().__init__(name=name, sha256=sha256, classes=arch.classes, latent_dim=arch.latent_dim, shape=arch.shape,
                         pixel_scale=arch.pixel_scale, beam_fwhm=arch.beam_fwhm, tables=tables, metadata=metadata,
                         device=device)
        self.arch = arch
        # the narrow layers, a tenth of the work, in double precision: what they round, the wide ones would enlarge
        self._decoder, self._flow = decoder.eval().to(device), flow.eval().double().to(device)
        self._decoder.body.double()
        self._acceptance = None if acceptance is None else acceptance.eval().double()

    def decode(self, latents: np.ndarray, fr_class: np.ndarray, extent: np.ndarray,
               bending: np.ndarray | None = None) -> np.ndarray:
        """Decode stamps.

        Parameters
        ----------
        latents : array_like
            Shape (n, latent_dim); the prior is N(0, I).
        fr_class : array_like of str
            Shape (n,); names out of `classes`.
        extent : array_like
            Shape (n,), arcsec: see `skygal.morphology.conditions.measure_extent_bending`, beam included. It
            conditions the decoder; a stamp's own may differ from it.
        bending : array_like, optional
            Shape (n,), radians, from the same place; 0, straight, if not given.

        Returns
        -------
        `~numpy.ndarray`
            Shape (n, ny, nx), float32, non-negative, peak about 1, the principal axis about along
            x, unclipped, at the resolution of the beam.

        Raises
        ------
        ValueError
            If an array has the wrong shape, a latent is not finite, a class is unknown, an extent
            is not positive and finite, or a bending not between -pi and pi.

        Notes
        -----
        Rows are decoded in blocks of 128, the last one filled up with zeros, each by one thread, so that a stamp's
        bits depend on its inputs and its place in the array alone, not on how many follow it.

        N(0, I) fills a shell of radius sqrt(latent_dim) and a scatter of 0.7, and the model learnt
        nothing outside it. Latents further out than sqrt(latent_dim) + 1 are drawn in along
        their own direction, to sqrt(latent_dim) + 1.6 at most: one in fourteen draws from the
        prior, by a little, and nearly all from a wide box.
        """
        import torch

        condition = self.condition(latents := np.asarray(latents, np.float32), fr_class, extent, bending)
        n = len(latents)
        out = np.empty((n, *self.shape), np.float32)

        def run(start: int) -> None:
            stop = min(start + DECODE_BLOCK, n)
            block = np.zeros((DECODE_BLOCK, self.latent_dim + condition.shape[1]))
            block[:stop - start, :self.latent_dim] = latents[start:stop]
            block[:stop - start, self.latent_dim:] = condition[start:stop]
            u, given = torch.from_numpy(block).to(self.device).split([self.latent_dim, condition.shape[1]], dim=1)
            stamps = self._decoder(self._flow(_pull_in(u), given), given)
            out[start:stop] = stamps[:stop - start].cpu().numpy()

        each_block(run, range(0, n, DECODE_BLOCK), device=self.device)
        return out

    def acceptance(self, latents: np.ndarray, fr_class: np.ndarray, extent: np.ndarray,
                   bending: np.ndarray | None = None) -> np.ndarray:
        """Return how likely draws from N(0, I) are to be kept.

        Parameters
        ----------
        latents, fr_class, extent, bending
            See `decode`.

        Returns
        -------
        `~numpy.ndarray`
            Shape (n,), 0 to 1. Kept draws are distributed as the model's resampled prior (2018arXiv181011428B); 1 for
            a model without one.
        """
        import torch

        condition = self.condition(latents := np.asarray(latents, np.float32), fr_class, extent, bending)
        if self._acceptance is None:
            return np.ones(len(latents))
        with torch.inference_mode(), one_thread():
            # in double precision, so that no draw's fate hangs on rounding, which depends on the other rows
            score = self._acceptance(torch.from_numpy(latents).double(), torch.from_numpy(condition).double())
            return torch.exp((score - self._acceptance.level).clamp_max(0.0)).numpy()

    def condition(self, latents: np.ndarray, fr_class: np.ndarray, extent: np.ndarray,
                  bending: np.ndarray | None) -> np.ndarray:
        """Return the checked condition, shape (n, number of classes + 2): see `Architecture.condition`."""
        import torch

        n = len(self._check_latents(latents))
        one_hot = self._one_hot(fr_class, n)
        extent = np.asarray(extent, float)
        bending = np.zeros(n) if bending is None else np.asarray(bending, float)
        for name, value in (("extent", extent), ("bending", bending)):
            if value.shape != (n,):
                raise ValueError(f"{name} must have shape ({n},), got {value.shape}")
        bad = ~(np.isfinite(extent) & (extent > 0))
        if bad.any():
            raise ValueError(f"extent must be positive and finite, got {extent[bad][0]} arcsec")
        bad = ~(np.abs(bending) <= np.pi)
        if bad.any():
            raise ValueError(f"bending must be between -pi and pi, got {bending[bad][0]}")
        parts = (torch.from_numpy(np.asarray(value, float)) for value in (one_hot, extent, bending))
        return self.arch.condition(*parts).numpy()
