"""From a stamp to the sky: how far it is zoomed to have the size asked for, and turned."""

from __future__ import annotations

import numpy as np

__all__ = ["stamp_affines", "stamp_scale"]


def stamp_scale(las: np.ndarray, stamp_las: np.ndarray) -> np.ndarray:
    """Return how many arcsec one stamp pixel takes on the sky, so that each source has its largest angular size.

    Parameters
    ----------
    las : ndarray, shape (n,)
        Asked for, arcsec.
    stamp_las : ndarray, shape (n,)
        Of the stamp, in its pixels.
    """
    return las / stamp_las


def stamp_affines(jacobian: np.ndarray, turn: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return, for each source, the map from stamp pixels to image pixels.

    Parameters
    ----------
    jacobian : ndarray, shape (n, 2, 2)
        Pixels per arcsec (east, north) at each source, see `skygal.wcs.pixel_affine`.
    turn : ndarray, shape (n,)
        How far the stamp is turned on the sky, radians, north through east.
    scale : ndarray, shape (n,)
        Arcsec that one stamp pixel takes on the sky.
    """
    cos, sin = np.cos(turn), np.sin(turn)
    # a stamp's x runs to the west, its y to the north
    on_sky = np.stack([np.stack([-cos, sin], axis=-1), np.stack([sin, cos], axis=-1)], axis=-2)
    return jacobian @ (on_sky * scale[:, None, None])
