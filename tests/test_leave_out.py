"""Sources that another set of stamps does not show."""

import numpy as np

from skygal.training.data.cross_match import leave_out
from skygal.training.data.cutouts import make_cutouts, select_cutouts


def at(ra, dec, name):
    images = np.random.default_rng(0).random((len(ra), 5, 5))
    return make_cutouts(images, np.full(len(ra), "FRI"), ra=np.array(ra, float), dec=np.array(dec, float),
                       name=np.array(name))


def test_only_the_others_stay():
    stamps = at([10, 20, 30, np.nan, 40], [0, 60, 0, np.nan, 0], ["a MiraBest", "b MiraBest", "c Gendre", "d MiraBest",
                                                                    "e MiraBest"])
    # 0.012 degrees of right ascension are 43 arcsec on the equator, and half of that at 60 degrees
    known = at([10.012, 20.024, 45], [0, 60, 0], list("xyz"))
    assert leave_out(stamps, known).name.tolist() == ["c Gendre", "e MiraBest"]
    assert leave_out(stamps, known, name="MiraBest").name.tolist() == ["e MiraBest"]


def test_nothing_known():
    stamps = at([10, 20], [0, 0], ["a", "b"])
    assert len(leave_out(stamps, at([np.nan], [np.nan], ["x"]))) == 2
    assert len(leave_out(stamps, stamps)) == 0


def test_select():
    stamps = at([1, 2, 3], [0, 0, 0], list("abc"))
    assert select_cutouts(stamps, np.array([True, False, True])).name.tolist() == ["a", "c"]
    picked = select_cutouts(stamps, np.array([2, 0]))
    assert picked.ra.tolist() == [3, 1] and np.array_equal(picked.images[0], stamps.images[2])
