"""Configuration of Sphinx: ``make docs``."""

import re
import shutil
import sys
from pathlib import Path

here = Path(__file__).parent
root = here.parent
sys.path.insert(0, str(root))
# The notebooks of examples/ become pages, with their stored output. The tests run them.
notebooks = here / "notebooks"
shutil.rmtree(notebooks, ignore_errors=True)
shutil.copytree(root / "examples", notebooks, ignore=lambda _, names: [n for n in names if not n.endswith(".ipynb")])

project = "Arignote"
author = copyright = "the authors of Arignote"
release = re.search(r'__version__ = "(.+)"', (root / "arignote/__init__.py").read_text()).group(1)

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_nb",
]
exclude_patterns = ["build"]
nb_execution_mode = "off"
myst_heading_anchors = 3

napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "member-order": "bysource",
    "ignore-module-all": True,  # names are documented where they are defined, except with imported-members
    "exclude-members": "set_score_request, set_fit_request",  # scikit-learn's own
}
autodoc_typehints = "none"  # the docstrings have types and shapes

html_theme = "furo"
html_title = f"Arignote {release}"
