"""Near copies of texts: what is nearly the same text, and nothing else."""

import numpy as np

from softfold.data.texts import near_texts


def test_near_copies_are_found_and_others_are_not():
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(400)])
    texts = [" ".join(rng.choice(words, 40)) for _ in range(300)]
    near = {(3, 120): 0, (7, 250): 20}
    for (first, second), at in near.items():
        parts = texts[first].split()
        parts[at] = "another"
        texts[second] = " ".join(parts).upper() + "!"
    texts[9] = texts[8]  # an exact copy, which is no near one
    pairs, similarity = near_texts(texts)
    assert {tuple(p) for p in pairs.tolist()} == set(near)
    assert (np.diff(similarity) <= 0).all() and similarity.min() > 0.8


def test_short_and_empty_texts_are_read_too():
    pairs, _ = near_texts(["", "good film", "Good film!", "bad film", "  ", "?"])
    assert pairs.tolist() == [[1, 2]]
    assert near_texts([])[0].shape == (0, 2)
