"""Groups that are given and groups of copies become one."""

import numpy as np

from softfold.data.grouping import merge_groups


def test_chains_of_groups_are_one_group():
    first = np.array(["a", "a", "b", "b", "c", None, None], dtype=object)
    second = np.array([0, 1, 1, 2, 3, 4, 5])
    assert merge_groups(first, second, n=7).tolist() == [0, 0, 0, 0, 4, 5, 6]
    assert merge_groups(n=3).tolist() == [0, 1, 2]
