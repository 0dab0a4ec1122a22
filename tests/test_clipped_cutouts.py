"""The noise of cutouts whose clip was subtracted."""

import numpy as np
import pytest
from training_stamps import blob

from skygal.stamps.survey_view import sample_noise
from skygal.training.data.clipped_cutouts import estimate_clipped_noise, has_clip_subtracted, restore_clip


def cutout(rms, seed):
    """Return the sky and what is published of it."""
    noise = sample_noise(1, (200, 200), beam_sigma=1.274, rng=np.random.default_rng(seed))[0]
    sky = blob(14, 5, 1.0, 200) + blob(-14, -5, 0.8, 200) + rms * noise
    return sky, np.clip(np.floor(255 * (sky - 3 * rms) / (sky.max() - 3 * rms)), 0, 255)


@pytest.mark.parametrize("rms", [0.01, 0.02, 0.05])
def test_noise_is_estimated_from_specks(rms):
    found = [estimate_clipped_noise(cutout(rms, seed)[1]) / (rms / cutout(rms, seed)[0].max()) for seed in range(6)]
    # its scatter is 0.3 in ln, and it allows for more specks than pure noise has
    assert 0.5 < np.exp(np.mean(np.log(found))) < 1.5


def test_the_pedestal_is_put_back():
    sky, published = cutout(0.02, 0)
    back = restore_clip(published, 0.02 / sky.max())
    lit = published > 0
    assert back[lit] == pytest.approx(sky[lit] / sky.max(), abs=1 / 255)
    assert not back[~lit].any() and back.max() == pytest.approx(1)


def test_which_cutouts_have_it_removed():
    sky, published = cutout(0.02, 0)
    assert has_clip_subtracted(published)
    assert not has_clip_subtracted(np.where(sky > 0.06, np.floor(255 * sky / sky.max()), 0))
    assert not has_clip_subtracted(published / 255)
    assert not has_clip_subtracted(np.zeros((8, 8)))


def test_bad_input():
    with pytest.raises(ValueError, match="image must be brightest between 0 and 255, got 0.0"):
        estimate_clipped_noise(np.zeros((8, 8)))
    with pytest.raises(ValueError, match="image must be brightest between 0 and 255, got 300.0"):
        estimate_clipped_noise(np.full((8, 8), 300))
    with pytest.raises(ValueError, match=r"noise must be in \[0, 1/3\), got 0.4"):
        restore_clip(np.zeros((8, 8)), 0.4)
