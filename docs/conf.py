"""How the site is built: `make docs`. The pages are Markdown, and are read on GitHub as well.

The root of the repository is the source, so that a page's links to the README, to the results of
benchmarks and to files are the same here and on GitHub.
"""

import os
import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # softfold

project = "softfold"
author = "the softfold authors"
project_copyright = "the softfold authors, Apache-2.0"
version = release = version_of("softfold")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "benchmarks/results/*.md",
    "docs/**",
]
exclude_patterns = [
    ".*",
    "*/.*",
    "build",
    "dist",
    "docs/_build",
    "docs/_root",
    "docs/_static",
    "docs/_templates",
    "runs",
    "softfold-demo",
    "src",
    "tests",
]

# Strict: what would be a dead link or a half-read page stops the build.
nitpicky = True
# Types in signatures may be other projects' (the site is built without a network, so without their
# inventories) or have no page; roles for functions, methods, modules and pages must lead somewhere.
nitpick_ignore_regex = [(r"py:(class|obj|data|attr|exc)", r".*")]
suppress_warnings = ["config.cache"]
templates_path = [str(Path(__file__).parent / "_templates")]

myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 4
myst_dmath_allow_labels = False

# Tutorials are executed when the site is built; one that fails, complains or takes long stops it.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_execution_show_tb = True
nb_merge_streams = True
nb_output_stderr = "error"

EXECUTED = {"docs/annotators", "docs/frameworks", "docs/own-trainer"}
"""Pages whose Python blocks are run, one after the other, and shown with what they print."""

NOTEBOOK = """---
file_format: mystnb
kernelspec: {display_name: Python 3, language: python, name: python3}
mystnb: {output_stderr: remove}
---

"""

autosummary_generate = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "exclude-members": "set_fit_request, set_score_request",  # scikit-learn's own
}
python_use_unqualified_type_names = True
default_role = "code"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = "softfold"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_root"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0b5cad",
        "color-brand-content": "#0b5cad",
        "color-brand-visited": "#0b5cad",
    },
    "dark_css_variables": {
        "color-brand-primary": "#83bfff",
        "color-brand-content": "#83bfff",
        "color-brand-visited": "#83bfff",
    },
}
copybutton_exclude = ".linenos, .gp, .go"


def resolve_home(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """A type in a signature has the name of its module; its page has the public name."""
    target = str(node.get("reftarget", ""))
    if node.get("refdomain") != "py" or not target.startswith("softfold."):
        return None
    name = f"softfold.{target.rpartition('.')[2]}"
    if name == target:
        return None
    domain = env.get_domain("py")
    at = node.get("refdoc", root_doc)
    return domain.resolve_xref(env, at, app.builder, node["reftype"], name, node, contnode)


def run_blocks(app: Any, name: str, content: list[str]) -> None:
    """Python blocks of a plain page become cells: on GitHub they are read, here they run."""
    if name in EXECUTED:
        cells = re.sub(r"^```python$", "```{code-cell} python3", content[0], flags=re.MULTILINE)
        content[0] = NOTEBOOK + cells


def setup(app: Any) -> None:
    app.connect("source-read", run_blocks)
    app.connect("missing-reference", resolve_home)
