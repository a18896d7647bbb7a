"""Near copies among texts: those that share most of their words in the same order."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from softfold.data.grouping import first_rows

WORDS = 3
"""Words in a row that are compared together; of shorter texts all there are."""

_BANDS, _ROWS = 12, 4
_WORD = re.compile(r"\w+")


def near_texts(texts: Iterable[str], threshold: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of near copies, the most alike first; exact copies count once, with their first.

    Texts are compared by their runs of `WORDS` words, capitals and signs left aside: the
    similarity of two texts is the share of runs that both have among those that either has
    (Broder 1997). Pairs are looked for by MinHash, which finds one of similarity 0.8 with a
    chance of 99.8%, and counted exactly. Time grows with the number of words, not of pairs.

    Returns:
        pairs int64 (P, 2) with first < second, each text with the first of its like, and their
        similarity float32 (P,).

    >>> near_texts(["The good film I saw today.", "the good film I saw today!", "a bad one"])[0]
    array([[0, 1]])
    """
    texts = [str(t).strip() for t in texts]
    first = first_rows(texts) if texts else np.arange(0)
    rows = np.flatnonzero(first == np.arange(len(texts)))
    runs = [_runs(texts[i]) for i in rows]
    pairs: dict[tuple[int, int], float] = {}
    for a, b in _candidates(runs):
        if (a, b) not in pairs:
            both = len(np.intersect1d(runs[a], runs[b], assume_unique=True))
            pairs[a, b] = both / (len(runs[a]) + len(runs[b]) - both)
    kept = sorted((-value, a, b) for (a, b), value in pairs.items() if value >= threshold)
    found = np.array([(rows[a], rows[b]) for _, a, b in kept], dtype=np.int64).reshape(-1, 2)
    return found, np.array([-value for value, _, _ in kept], dtype=np.float32)


def _runs(text: str) -> np.ndarray:
    """Sorted unique hashes uint32 of a text's runs of words; one of it whole where it has none."""
    words = _WORD.findall(text.casefold())
    n = min(WORDS, max(1, len(words) - 1))
    runs = [" ".join(words[i : i + n]) for i in range(max(0, len(words) - n + 1))]
    return np.unique(np.array([zlib.crc32(r.encode()) for r in runs or [text]], dtype=np.uint32))


def _candidates(runs: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs that agree in a band of minimal hashes, each with the first of its bucket."""
    rng = np.random.default_rng(0)
    factors = rng.integers(1, 1 << 61, _BANDS * _ROWS, dtype=np.uint64) | np.uint64(1)
    shifts = rng.integers(0, 1 << 61, _BANDS * _ROWS, dtype=np.uint64)
    least = np.empty((len(runs), _BANDS * _ROWS), np.uint64)
    for i, hashes in enumerate(runs):
        # multiplication overflows as it should: hashing modulo 2**64 (Dietzfelbinger et al. 1997)
        least[i] = (hashes.astype(np.uint64) * factors[:, None] + shifts[:, None]).min(axis=1)
    found = set()
    for band in range(_BANDS):
        part = np.ascontiguousarray(least[:, band * _ROWS : (band + 1) * _ROWS])
        same = first_rows([row.tobytes() for row in part]) if len(part) else np.arange(0)
        found |= {(int(same[i]), int(i)) for i in np.flatnonzero(same != np.arange(len(same)))}
    return sorted(found)
