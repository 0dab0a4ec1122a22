"""What octaves learn the structure of an atlas by: distances between patches, and between powers."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy import ndimage  # noqa: E402

from skygal.morphology.octave_seeing import smooth  # noqa: E402
from skygal.training.octave_patches import patch_distance, patch_places, spectrum_distance  # noqa: E402

SIDE = 48


def maps(n, width, seed=0, grain=0.0):
    """Return blobs, twice as wide as a beam or wider, and with grains one beam wide."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((SIDE, SIDE)) - SIDE / 2
    out = []
    for _ in range(n):
        image = np.exp(-0.5 * ((x - rng.uniform(-6, 6))**2 + (y - rng.uniform(-6, 6))**2) / (width * 6)**2)
        noise = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 1.5)
        out.append(image * np.exp(grain * noise / noise.std()))
    return torch.from_numpy((np.array(out) / np.max(out)).astype(np.float32))[:, None]


def distance(drawn, real):
    torch.manual_seed(0)
    at = [patch_places(smooth(part), SIDE) for part in (drawn, real)]
    return float(patch_distance(drawn, real, *at))


def test_places_are_where_the_coarse_map_is_bright():
    torch.manual_seed(0)
    coarse = torch.zeros(2, 1, SIDE // 2, SIDE // 2)
    coarse[:, :, 4:8, 10:12], coarse[:, :, 5, 10] = 0.1, 10.0
    y, x = np.divmod(patch_places(coarse, SIDE).numpy(), SIDE)
    assert ((y >= 8) & (y < 16) & (x >= 20) & (x < 24)).all()
    at_peak = ((y // 2 == 5) & (x // 2 == 10)).mean()
    assert 0.45 < at_peak < 0.7   # half of them by brightness, the others anywhere


def test_patches_of_equals_are_near_and_grain_is_far():
    real = maps(8, 1.0)
    same, grainy, sharper = (distance(part, real) for part in (maps(8, 1.0, 1), maps(8, 1.0, 1, 0.2), maps(8, 0.5, 1)))
    assert distance(real, real) < same < 0.5 * grainy and same < 0.5 * sharper


def test_powers_are_compared_band_by_band():
    real = maps(6, 1.0)
    assert float(spectrum_distance(real, real, paired=True)) == 0
    # another brightness changes nothing of the map itself, and what is known of no pair needs no order
    assert float(spectrum_distance(real.flip(0), real, paired=False)) == pytest.approx(0, abs=1e-5)
    assert float(spectrum_distance(real.flip(0), real, paired=True)) > 0.01
    known = maps(6, 1.0, 1, 0.1)
    less, more = (float(spectrum_distance(maps(6, 1.0, 2, grain), known, paired=False)) for grain in (0.1, 0.4))
    assert less < 0.5 * more


def test_a_map_learns_to_be_like_another():
    """The slope leads there: a smooth map becomes as grainy as those that it is held beside."""
    torch.manual_seed(0)
    real = maps(4, 1.0, 0, 0.3)
    logarithm = maps(4, 1.0, 0).log().clamp_min(-6).requires_grad_(True)
    optimizer = torch.optim.Adam([logarithm], 0.02)
    found = []
    for _ in range(40):
        drawn = logarithm.exp()
        at = patch_places(smooth(real), SIDE)
        loss = patch_distance(drawn, real, at, at) + 0.3 * spectrum_distance(drawn, real, paired=True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    assert np.mean(found[-5:]) < 0.6 * np.mean(found[:3])
