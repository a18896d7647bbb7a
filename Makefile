# Everything runs in .venv in this folder; the first target that needs it makes it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test fuzz lint format docs bench clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/softfold demo

# Two processes share the files of tests, each with one thread an operation: there are two cores.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# Ten thousand mutated tables, and other files, runs and requests in proportion: most of an hour.
# SOFTFOLD_FUZZ=1000 make fuzz tries a tenth. The table goes to benchmarks/results/fuzz.md.
fuzz: install
	$(BIN)/python benchmarks/fuzz.py $${SOFTFOLD_FUZZ:-10000}

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The site, in docs/_build/html. Its tutorials run; a warning, a dead link or a failing cell is an error.
docs: install
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m softfold.cli.reference > docs/settings.md
	rm -rf docs/_build docs/api
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --jobs 2 --conf-dir docs --doctree-dir docs/_build/doctrees . docs/_build/html

# Speed and accuracy, as tables under benchmarks/results. See benchmarks/README.md.
bench: install
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[dev,bench]'
	$(BIN)/python benchmarks/accuracy.py
	$(BIN)/python benchmarks/speed.py

clean:
	rm -rf .venv .pytest_cache .ruff_cache .import_linter_cache softfold-demo
