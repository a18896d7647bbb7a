"""The cache gives back what was put in, or says that it cannot and lets it be made again."""

import numpy as np
import pytest

from softfold.machine import cache


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_checked", {})


KEYS = np.array([cache.content_key(bytes([i])) for i in range(20)], cache.KEY)
ROWS = np.random.default_rng(0).normal(size=(20, 7)).astype(np.float16)


def filled():
    store = cache.RowStore("features", {"size": 7})
    with store.writer(20, (7,), np.float16) as writer:
        writer.write(KEYS[:12], ROWS[:12])
        writer.write(KEYS[12:], ROWS[12:])
    return store, next(store.folder.glob("*.rows.npy")), next(store.folder.glob("*.keys.npy"))


def as_a_new_process(monkeypatch):
    monkeypatch.setattr(cache, "_checked", {})


def test_rows_come_back_in_any_order():
    store, _, _ = filled()
    rows, missing = store.find(KEYS[[5, 0, 5]])
    assert not missing.any() and np.array_equal(rows[np.arange(3)], ROWS[[5, 0, 5]])
    assert cache.cache_info()["entries"][0]["rows"] == 20


@pytest.mark.parametrize("damage", ["zeroed", "flipped", "moved"])
def test_damaged_rows_are_missing_and_said_and_the_others_stay(damage, monkeypatch):
    store, file, _ = filled()
    as_a_new_process(monkeypatch)
    content = np.load(file)
    if damage == "zeroed":
        content[3] = 0
    elif damage == "flipped":
        content.view(np.uint16)[3, 4] ^= 1 << 14
    else:
        content[3] = content[4]
    np.save(file, content)
    with pytest.warns(UserWarning, match="held 1 of 20 rows of features that are not what was wr"):
        rows, missing = store.find(KEYS)
    assert np.flatnonzero(missing).tolist() == [3]
    with store.writer(1, (7,), np.float16) as writer:
        writer.write(KEYS[3:4], ROWS[3:4])
    rows, missing = store.find(KEYS)
    assert not missing.any() and np.array_equal(rows[np.arange(20)], ROWS)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("left", [0, 1, 100, 200])
def test_a_file_cut_short_is_as_if_it_were_not_there(which, left, monkeypatch):
    store, *files = filled()
    as_a_new_process(monkeypatch)
    files[which].write_bytes(files[which].read_bytes()[:left])
    rows, missing = store.find(KEYS)
    assert rows is None and missing.all()


def test_any_flipped_byte_is_never_read_as_a_row(monkeypatch):
    store, rows_file, keys_file = filled()
    rng = np.random.default_rng(1)
    for file in (rows_file, keys_file):
        whole = file.read_bytes()
        for at in rng.integers(0, len(whole), 60):
            as_a_new_process(monkeypatch)
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
            with np.testing.suppress_warnings() as quiet:
                quiet.filter(UserWarning)
                rows, missing = store.find(KEYS)
            if rows is not None:
                there = np.flatnonzero(~missing)
                assert rows.shape != (7,) or np.array_equal(rows[there], ROWS[there])
                assert rows.dtype == ROWS.dtype
        file.write_bytes(whole)
