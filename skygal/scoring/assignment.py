"""One-to-one assignment of the greatest total gain, of pairs that are each worth more than none."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

__all__ = ["assign"]

#: elements of a table of gains that is solved whole; larger groups are solved as sparse graphs
MOST_DENSE = 4_000_000


def assign(left: np.ndarray, right: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Return which pairs are taken, so that no two share a member and their gains' sum is greatest.

    Parameters
    ----------
    left, right : ndarray of int, shape (pairs,)
        The members of each pair, numbers from 0; no pair is there twice.
    gain : ndarray, shape (pairs,)
        Above 0, which is the gain of leaving both members alone.

    Returns
    -------
    ndarray of int
        Numbers of the pairs, in rising order.

    Notes
    -----
    Pairs that share members, directly or through others, make groups, and each group is solved exactly by itself: those
    of one pair and those in which all pairs share one member at once, others by the algorithm of Crouse (2016,
    doi:10.1109/TAES.2016.140952) as SciPy has it, and large ones by that of Jonker & Volgenant (1987,
    doi:10.1007/BF02278710) on the sparse graph, with a partner for each left member that stands for none. Of several
    optima it is the one that follows from the order of the numbers.
    """
    if not len(gain):
        return np.empty(0, np.int64)
    ids, one = np.unique(left, return_inverse=True)
    others, two = np.unique(right, return_inverse=True)
    graph = coo_array((np.ones(len(gain), np.int8), (one, two + len(ids))), shape=(len(ids) + len(others),) * 2)
    n_groups, label = connected_components(graph, directed=False)
    group = label[one]
    n_left, n_right = (np.bincount(label[part], minlength=n_groups)
                       for part in (np.arange(len(ids)), len(ids) + np.arange(len(others))))
    star = (np.minimum(n_left, n_right) == 1)[group]
    taken = [_best_of_each(np.flatnonzero(star), group, one, two, gain)]
    rest = np.flatnonzero(~star)
    rest = rest[np.lexsort((two[rest], one[rest], group[rest]))]
    for pairs in np.split(rest, np.flatnonzero(np.diff(group[rest])) + 1) if rest.size else ():
        rows, columns = (np.unique(side[pairs], return_inverse=True)[1] for side in (one, two))
        taken.append(pairs[_solve(rows, columns, gain[pairs])])
    return np.sort(np.concatenate(taken))


def _best_of_each(pairs: np.ndarray, group: np.ndarray, one: np.ndarray, two: np.ndarray, gain: np.ndarray
                  ) -> np.ndarray:
    """Return of each group the pair of the greatest gain."""
    order = pairs[np.lexsort((two[pairs], one[pairs], -gain[pairs], group[pairs]))]
    return order[np.r_[True, np.diff(group[order]) > 0]] if order.size else order


def _solve(rows: np.ndarray, columns: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Return which pairs of one group are taken."""
    high, wide = int(rows.max()) + 1, int(columns.max()) + 1
    if high * wide <= MOST_DENSE:
        table, number = np.zeros((high, wide)), np.full((high, wide), -1)
        table[rows, columns], number[rows, columns] = gain, np.arange(len(gain))
        which = number[linear_sum_assignment(table, maximize=True)]
        return which[which >= 0]
    # all weights above 0, which would be no pair; each row has a partner of its own that stands for none
    none, alone = 1 + gain.max(), np.arange(high)
    weight = csr_array((np.r_[none - gain, np.full(high, none)], (np.r_[rows, alone], np.r_[columns, wide + alone])),
                       shape=(high, wide + high))
    row, column = min_weight_full_bipartite_matching(weight)
    partner = np.full(high, -1)
    partner[row] = column
    return np.flatnonzero(partner[rows] == columns)
