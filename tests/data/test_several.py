"""Labels that look like several, and names of classes that only have blanks in them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from softfold.data.reading import read_table
from softfold.data.several import SeveralLabels, about_several
from softfold.errors import InputError

DOGS = """Shih-Tzu; Rhodesian ridgeback; beagle; English foxhound; Australian terrier; dingo;
Border terrier; golden retriever; Old English sheepdog; Samoyed; Labrador retriever; retriever;
flat-coated retriever; terrier; black and tan coonhound; Irish water spaniel; Irish setter"""
CARS = """Audi A4 2008; Audi A4 2009; Audi S4 2009; BMW M3 2008; BMW X5 2009; Fiat 500; Ford GT;
Ford F-150"""
SPECIES = "Iris setosa; Iris versicolor; Iris virginica; Rosa canina; Rosa rubiginosa; Acer rubrum"
PHONES = "Phone 12; Phone 13; Phone 12 Pro; Phone 13 Pro; Phone 12 mini; Phone 13 mini"


@pytest.mark.parametrize("names", [DOGS, CARS, SPECIES, PHONES, "red; panda; red panda"])
def test_class_names_with_blanks_are_left_alone(names):
    names = [" ".join(name.split()) for name in names.split(";")]
    assert about_several(names, [5] * len(names)) is None


@pytest.mark.parametrize("delimiter", [" ", ",", ";", "|"])
def test_labels_made_of_others_are_named(delimiter):
    words = np.array(["clear", "cloudy", "primary", "water", "road"])
    rng = np.random.default_rng(0)
    rows = [words[rng.random(5) < 0.4] for _ in range(60)]
    labels = [delimiter.join(row) for row in rows if len(row)]
    frame = pd.DataFrame({"x": np.arange(len(labels)) + 0.5, "label": labels})
    with pytest.warns(SeveralLabels, match="softfold.multilabel.read_table"):
        table = read_table(frame)
    assert len(table) == len(labels), "it is read all the same"


def test_columns_of_0_and_1_are_named_where_there_is_no_label():
    frame = pd.DataFrame({"x": [0.5, 1.5], "sea": [0, 1], "sky": [1, 1]})
    with pytest.raises(InputError, match="columns of 0 and 1 such as 'sea' say which labels"):
        read_table(frame)
