"""Folders of class folders: what is an item, and what is left out and said."""

import warnings

import pytest

from softfold.data.folders import image_files, scan_folder
from softfold.errors import InputError


@pytest.fixture
def write(tmp_path):
    def files(*paths):
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(b"")
        return tmp_path

    return files


def quietly(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return scan_folder(folder)


def said(folder):
    with pytest.warns(UserWarning) as warned:
        frame = scan_folder(folder)
    assert len(warned) == 1
    return frame, str(warned[0].message).removeprefix(f"{folder}: ")


def test_classes_are_the_folders_and_items_come_in_the_order_of_their_names(write):
    frame = quietly(write("dog/2.JPG", "cat/b/1.png", "cat/a.webp", "dog/10.jpeg"))
    assert frame["path"].tolist() == ["cat/a.webp", "cat/b/1.png", "dog/10.jpeg", "dog/2.JPG"]
    assert frame["label"].tolist() == ["cat", "cat", "dog", "dog"]
    assert "is_valid" not in frame


@pytest.mark.parametrize("name", ["valid", "Val", "test", "TEST", "hold-out", "dev"])
def test_a_train_folder_makes_a_split_and_its_neighbour_the_hold_out(write, name):
    frame = quietly(write("Train/cat/1.png", "Train/dog/1.png", f"{name}/cat/1.png"))
    held = dict(zip(frame["path"], frame["is_valid"]))
    assert held == {"Train/cat/1.png": False, "Train/dog/1.png": False, f"{name}/cat/1.png": True}
    assert set(frame["label"]) == {"cat", "dog"}


def test_without_a_train_folder_a_class_may_be_called_test(write):
    frame = quietly(write("test/1.png", "cat/1.png"))
    assert frame["label"].tolist() == ["cat", "test"] and "is_valid" not in frame


def test_other_folders_beside_the_split_are_left_out(write):
    frame, line = said(
        write("train/cat/1.png", "train/dog/1.png", "notes/cat/1.png", "train/x.png")
    )
    assert frame["label"].tolist() == ["cat", "dog"]
    assert line == "2 files were left out: 2 in no class folder"


def test_hidden_folders_are_no_classes_and_unread_files_are_counted(write):
    folder = write(
        "train/cat/1.jpg", "train/dog/1.jpg", "valid/cat/1.jpg",
        ".thumbs/1.jpg", "train/.thumbs/1.jpg", "train/cat/.1.jpg", "train/cat/._0.jpg",
        "train/cat/a.heic", "train/cat/b.HEIC", "train/emu/c.heic", "train/cat/n.txt", "stray.png",
    )  # fmt: skip
    frame, line = said(folder)
    assert len(frame) == 3 and set(frame["label"]) == {"cat", "dog"}
    assert line == (
        "9 files were left out: 4 hidden, 3 .heic, 1 in no class folder, 1 .txt (save such photos "
        "as JPEG or PNG); 1 class folder has no image that can be read and is no class; the first "
        "is 'emu'"
    )


def test_what_systems_leave_behind_is_no_item_and_not_worth_a_word(write):
    frame = quietly(write("cat/1.png", "dog/1.png", "cat/Thumbs.db", "desktop.ini", "dog/Icon\r"))
    assert len(frame) == 2
    _, line = said(write("__MACOSX/cat/1.png"))
    assert line == "1 file was left out: 1 hidden"


def test_many_kinds_are_counted_together(write):
    names = [f"cat/{i}.{kind}" for i, kind in enumerate("aaabbccddef")]
    _, line = said(write("cat/1.png", "dog/1.png", *names, "dog/README"))
    assert line.startswith("12 files were left out: 3 .a, 2 .b, 2 .c, 2 .d, 3 others")


@pytest.mark.parametrize(
    ("paths", "rest"),
    [
        ((), ""),
        (("1.png", "2.png"), "; left out: 2 in no class folder"),
        (("cat/1.heic",), "; left out: 1 .heic"),
        ((".git/cat/1.png",), "; left out: 1 hidden"),
        (("train/1.png",), "; left out: 1 in no class folder"),
    ],
)
def test_a_folder_without_images_in_class_folders_is_refused(write, paths, rest):
    folder = write(*paths)
    with pytest.raises(InputError) as error:
        scan_folder(folder)
    assert str(error.value) == (
        f"{folder}: no images in class folders (want {folder}/CLASS/image.jpg){rest}"
    )


def test_image_files_are_all_that_are_not_hidden_in_order(write):
    folder = write("b/1.png", "a.JPG", "b/.1.png", ".c/1.png", "b/notes.txt", "b/c/2.tif")
    with pytest.warns(UserWarning, match="3 files were left out: 2 hidden, 1 .txt"):
        names = [path.relative_to(folder).as_posix() for path in image_files(folder)]
    assert names == ["a.JPG", "b/1.png", "b/c/2.tif"]
