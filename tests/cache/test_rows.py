"""Rows come back as they were put in, or are said not to and made again."""

import numpy as np
import pytest

from softfold.cache import folder
from softfold.cache import rows as rows_module
from softfold.errors import InputError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(rows_module, "_checked", {})


KEYS = np.array([rows_module.content_key(bytes([i])) for i in range(20)], rows_module.KEY)
ROWS = np.random.default_rng(0).normal(size=(20, 7)).astype(np.float16)


def filled():
    store = rows_module.RowStore("features", {"size": 7})
    with store.writer(20, (7,), np.float16) as writer:
        writer.write(KEYS[:12], ROWS[:12])
        writer.write(KEYS[12:], ROWS[12:])
    return store, next(store.folder.glob("*.rows.npy")), next(store.folder.glob("*.keys"))


def as_a_new_process(monkeypatch):
    monkeypatch.setattr(rows_module, "_checked", {})


def test_rows_come_back_in_any_order():
    store, _, _ = filled()
    rows, missing = store.find(KEYS[[5, 0, 5]])
    assert not missing.any() and np.array_equal(rows[np.arange(3)], ROWS[[5, 0, 5]])
    assert folder.cache_info()["entries"][0]["rows"] == 20


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
def test_a_file_cut_short_gives_the_rows_that_it_still_has(which, left, monkeypatch):
    store, *files = filled()
    as_a_new_process(monkeypatch)
    files[which].write_bytes(files[which].read_bytes()[:left])
    rows, missing = store.find(KEYS)
    header = 128 if which == 0 else 0
    whole = max(0, left - header) // (14 if which == 0 else 20)
    assert np.flatnonzero(~missing).tolist() == list(range(whole))
    if whole:
        assert np.array_equal(rows[np.arange(whole)], ROWS[:whole])


def test_what_was_finished_before_a_kill_is_there(monkeypatch):
    store = rows_module.RowStore("features", {"size": 7})
    monkeypatch.setattr(rows_module, "_COMMIT_ROWS", 5)
    with pytest.raises(KeyboardInterrupt), store.writer(20, (7,), np.float16) as writer:
        for start in (0, 4, 8, 12):  # a multiple of 5 is passed at 8 and at 16
            writer.write(KEYS[start : start + 4], ROWS[start : start + 4])
            if start == 8:
                raise KeyboardInterrupt
    rows, missing = store.find(KEYS)
    assert np.flatnonzero(~missing).tolist() == list(range(8))
    assert np.array_equal(rows[np.arange(8)], ROWS[:8])


def test_a_writer_may_be_asked_for_at_most_so_many_rows():
    store = rows_module.RowStore("scans", {"version": 1})
    with store.writer(20, (7,), np.float16, exactly=False) as writer:
        writer.write(KEYS[:0], ROWS[:0])
        writer.write(KEYS[:3], ROWS[:3])
    assert np.flatnonzero(~store.find(KEYS)[1]).tolist() == [0, 1, 2]
    two = store.writer(2, (7,), np.float16, exactly=False)
    with pytest.raises(RuntimeError, match="3 of 2 rows"), two as writer:
        writer.write(KEYS[:3], ROWS[:3])


def test_a_writer_that_wrote_nothing_leaves_nothing():
    store = rows_module.RowStore("features", {"size": 7})
    with pytest.raises(RuntimeError, match="0 of 3 rows"), store.writer(3, (7,), np.float16):
        pass
    assert [file.name for file in store.folder.iterdir()] == ["settings.json"]


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path / "file"))
    store = rows_module.RowStore("features", {"size": 7})
    wanted = "the cache folder .*file cannot be written: .*SOFTFOLD_CACHE"
    with pytest.raises(InputError, match=wanted), store.writer(1, (7,), np.float16):
        pass


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
