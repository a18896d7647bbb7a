"""What a cell of a notebook shows: facts in one line, tables, pictures; hostile text stays text."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import softfold
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.noise.model import as_noise_model
from softfold.pixels.images import Images

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>\x1b[2J\u202e"
KEYS = ("a.png", f"dir/{EVIL}.png", "c.png")
VOCAB = ("cat", EVIL)


class Tags(HTMLParser):
    def __init__(self, markup):
        super().__init__()
        self.tags, self.pictures, self.text = set(), [], ""
        self.feed(markup)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        assert {name for name, _ in attributes} <= {"style", "title", "src", "alt"}
        self.pictures += [value for name, value in attributes if name == "src"]

    def handle_data(self, data):
        self.text += data


def table(data=None, **more):
    valid, given = np.array([False, False, True]), np.array([0, 1, 1])
    return LabelTable(np.array(KEYS, dtype=object), given, VOCAB, valid, data=data, **more)


def made():
    probabilities = np.array([[0.2, 0.8], [0.7, 0.3]], np.float32)
    oof = softfold.OutOfFold(table().train.item, probabilities, np.array([[0], [1]]), VOCAB)
    noise = as_noise_model(np.array([[0.8, 0.2], [0.1, 0.9]]), 2)
    return [table(), oof, softfold.soften(table(), oof, "blend"), noise]


def test_reprs_are_one_line_with_the_facts_that_matter():
    said = [repr(each) for each in made()]
    assert said[0] == (
        "LabelTable('labels': 2 training items, 1 in the hold-out, 2 classes, labels alone)"
    )
    assert said[1] == "OutOfFold(2 items, 2 classes, 2 folds, 1 repeat)"
    assert said[2] == "SoftLabels(2 items, 2 classes, strategy 'blend')"
    assert said[3].startswith("NoiseModel(2 classes, 15.0% to 15.0% of labels wrong, best guess")


@pytest.mark.parametrize("which", range(4))
def test_html_is_made_of_tables_and_holds_no_foreign_markup(which):
    page = Tags(made()[which]._repr_html_())
    assert "table" in page.tags and page.tags <= {"div", "table", "tr", "td", "th", "bdi", "span"}
    assert which == 3 or "alert('x')" in page.text


def test_the_noise_model_is_a_heat_map_with_class_names_and_few_pairs_of_many_classes():
    noise = made()[3]
    page = Tags(noise.html(VOCAB))
    assert "80" in page.text and "20" in page.text and EVIL in page.text
    matrix = np.eye(100) * 0.9
    matrix[:, 7] += 0.1
    many = as_noise_model(matrix, 100)._repr_html_()
    assert "largest mistakes" in many and len(many) < 10_000


def test_issues_show_pictures_found_by_key_or_by_row_of_the_training_part():
    pytest.importorskip("PIL")
    from pictures import encode

    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    images = Images(encoded=[encode(np.full((20, 20, 3), c, np.uint8)) for c in colours])
    # the hold-out comes first: rows of the training part are not those of the table
    whole = table(images, names={"cat": "Cat & co"}).take(np.array([2, 0, 1]))
    issues = pd.DataFrame({"index": [1, 0], "given": [1, 0], "suggested": [0, 1]})
    issues["suspicion"] = [0.9, 0.5]
    by_key = issues.assign(item=[KEYS[1], KEYS[0]]).drop(columns="index")
    for frame in (issues, by_key):
        shown = softfold.show_issues(whole, frame, size=16)
        page = Tags(shown._repr_html_())
        assert page.tags <= {"div", "img", "bdi", "span"}
        assert [middle(uri) for uri in page.pictures] == [colours[1], colours[0]]
        assert "Cat & co" in page.text and "90%" in page.text
        first, second, third = repr(shown).splitlines()
        assert first == "2 of 2 suspicious labels" and "\x1b" not in second
        assert third.startswith("a.png: given Cat & co, suggested <script>")
    assert len(Tags(softfold.show_issues(whole, issues, top=1)._repr_html_()).pictures) == 1


def middle(uri):
    """The colour of a picture, as far as its compression keeps it: full or none."""
    import base64
    import io

    from PIL import Image

    head, _, data = uri.partition(",")
    assert head == "data:image/webp;base64"
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
    return tuple(250 if value > 125 else 0 for value in picture[8, 8].tolist())


def test_issues_of_texts_and_rows_show_them_and_other_frames_are_refused():
    issues = pd.DataFrame({"item": [KEYS[1]], "given": ["cat"], "suggested": [EVIL]})
    issues["suspicion"] = 0.7
    texts = pd.DataFrame({"text": ["one word", f"two {EVIL}", "three words"]})
    assert f"two {EVIL}" in Tags(softfold.show_issues(table(texts), issues)._repr_html_()).text
    rows = pd.DataFrame({"width": [1.5, 2.5, 3.5], EVIL: [1, 2, 3]})
    page = Tags(softfold.show_issues(table(rows), issues)._repr_html_())
    assert "width: 2.5" in page.text and page.tags <= {"div", "bdi", "span", "br"}
    with pytest.raises(InputError, match="issues: no column 'suspicion'"):
        softfold.show_issues(table(), issues.drop(columns="suspicion"))
    with pytest.raises(InputError, match="not in the table"):
        softfold.show_issues(table(), issues.assign(item="elsewhere"))
    numbered = issues.drop(columns="item").assign(index=2)
    with pytest.raises(InputError, match="row 2 is none of labels's 2 training items"):
        softfold.show_issues(table(), numbered)
    other = issues.drop(columns="item").assign(index=1, given="dog")
    for given, said in (("cat", "cat"), (0, "cat"), (7, "7")):
        with pytest.raises(InputError, match=f"row 1 is given as '{said}'.*of another table"):
            softfold.show_issues(table(), other.assign(given=given))
