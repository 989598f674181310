"""How the pages are built: ``python -m sphinx -W docs docs/_build/html``.

Nothing is fetched. Links to scikit-learn follow the pattern of its addresses, formulas
become MathML, and the tables of benchmarks.rst are read from the stored results.
"""

import sys
from pathlib import Path

import sktie

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "sktie"
author = "The sktie developers"
project_copyright = author
version = release = sktie.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "api_pages",
    "benchmark_tables",
    "mathml",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "py:obj"
nitpicky = True
# Types in prose ("int or None") and names of other packages are not looked up.
nitpick_ignore_regex = [(r"py:.*", r"(?!sktie\.).*")]

# -- API ---------------------------------------------------------------------------
autodoc_default_options = {"member-order": "groupwise"}
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# -- Examples ----------------------------------------------------------------------
sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sktie",),
    "capture_repr": (),
    "remove_config_comments": True,
    "within_subsection_order": "gallery_order.StoryKey",
    "write_computation_times": False,
    "nested_sections": False,
    "copyfile_regex": r".*\.rst",
}

# -- Snippets ----------------------------------------------------------------------
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

# -- Looks -------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "sktie"
html_static_path = ["_static"]
html_css_files = ["sktie.css"]
html_theme_options = {
    "logo": {"text": "sktie"},
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"index": [], "start": [], "whats_new": [], "benchmarks": []}
html_show_sourcelink = False
