"""Class names that look alike are told, and stay the classes that they are written as."""

import pytest

from softfold.data.lookalikes import about_names, look_alikes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cat", "Cat"),
        ("cat", " cat "),
        ("maine coon", "maine  coon"),
        ("maine-coon", "maine_coon"),
        ("maine coon", "Maine-Coon"),
        ("cat", "ca\u200bt"),  # a space of no width
        ("cat", "\ufeffcat"),
        ("cat", "сat"),  # a Cyrillic letter
        ("o", "ο"),  # a Greek one
        ("straße", "STRASSE"),
        ("ﬁsh", "fish"),
        ("7", "07"),
        ("7", "7.0"),
        ("0", "00"),
    ],
)
def test_names_that_may_be_one_class_are_told(one, other):
    lines = look_alikes([one, other, "dog"], [3, 2, 9])
    assert len(lines) == 1
    assert repr(one) in lines[0] and repr(other) in lines[0] and "dog" not in lines[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cat", "cats"),
        ("7", "70"),
        ("7", "-7"),
        ("1.5", "15"),
        ("0", ""),
        ("c", "c++"),
        ("a.b", "ab"),
        ("10", "1"),
        ("-", "_"),
        ("resume", "résumé"),
    ],
)
def test_names_that_differ_are_not(one, other):
    assert look_alikes([one, other], [1, 1]) == []


def test_most_items_come_first_within_a_set_and_among_sets():
    names = ["cat", "Cat", "dog", "DOG", " dog"]
    assert look_alikes(names, [1, 2, 30, 1000, 30]) == [
        "'DOG' (1,000), ' dog' (30), 'dog' (30)",
        "'Cat' (2), 'cat' (1)",
    ]


def test_letters_of_other_scripts_are_told_by_their_code_points():
    assert look_alikes(["cat", "сat"], [5, 1]) == ["'cat' (5), 'сat' with U+0441 (1)"]


def test_nothing_is_said_where_all_is_well():
    assert about_names(["cat", "dog", "nothing"], [1, 2, 3]) == []
    assert about_names([], []) == []


def test_of_many_sets_the_largest_are_named():
    names = [name for i in range(8) for name in (f"class{i}", f"CLASS{i}")]
    (line,) = about_names(names, range(16))
    assert line.startswith("8 classes are written in several ways, and each counts as its own: ")
    assert line.endswith("; and 3 more")
    assert "'CLASS7' (15), 'class7' (14)" in line and "class2" not in line


def test_words_for_a_missing_label_are_asked_about():
    (line,) = about_names(["cat", "NA", " none"], [9, 1200, 3])
    assert line.startswith("'NA' (1,200), ' none' (3): taken for the name of a class; if it means")


def test_errors_of_spreadsheets_are_asked_about():
    names = ["cat", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#BEZUG!", "#¡REF!", "Err:502"]
    (line,) = about_names(["dog", *names[1:5]], [9, 4, 3, 2, 1])
    assert line.startswith("'#REF!' (4), '#VALUE!' (3), '#DIV/0!' (2), '#NAME?' (1): what a spread")
    assert all(about_names([name], [1]) for name in names[1:])
    assert about_names(["#1", "#cat", "#", "C#", "#hashtag!"], [1] * 5) == []


def test_a_name_that_is_not_seen_is_asked_about():
    (line,) = about_names(["cat", "\u200b"], [9, 3])
    assert line.startswith(
        "'\\u200b' (3): taken for the name of a class, and nothing of it is seen"
    )


def test_quotes_that_a_blank_kept_in_the_name_are_asked_about():
    alike, quoted = about_names(["cat", ' "cat"'], [9, 3])
    assert "'cat' (9), ' \"cat\"' (3)" in alike
    assert quoted.startswith("' \"cat\"' (3): the quotes are part of the name")
