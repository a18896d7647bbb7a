"""Errors that a user can act on."""

import pytest

from softfold.errors import InputError, MissingDependency, count_of, require


def test_a_package_that_is_missing_is_named_with_the_extra_that_brings_it():
    with pytest.raises(MissingDependency) as error:
        require("no_such_package.part", extra="bench")
    assert str(error.value) == (
        "no_such_package.part is not installed: pip install 'softfold[bench]'"
    )
    with pytest.raises(MissingDependency, match=r"not installed: pip install no_such_package$"):
        require("no_such_package", extra=None)
    # `except ImportError` catches it, and the command line says it in one line
    assert isinstance(error.value, ImportError) and isinstance(error.value, InputError)


def test_a_package_that_is_there_but_broken_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError) as error:
        require("half_installed", extra="bench")
    assert error.value.name == "no_such_package"
    assert not isinstance(error.value, MissingDependency)


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 classes"), (1, "1 class"), (12_345, "12,345 classes")]
)
def test_counts_read_well(count, said):
    assert count_of(count, "class", "classes") == said
