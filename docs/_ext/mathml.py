"""Formulas as MathML: no script, nothing to fetch, and the colour of the text."""

import re

from docutils import nodes
from latex2mathml.converter import convert


def mathml(formula, display):
    """Return the markup of a formula in LaTeX."""
    # Browsers know no monospaced letters in MathML: names of parameters are text.
    name = re.compile(r"\\math(?:tt|rm)\{([^}]*)\}")
    formula = name.sub(
        lambda found: rf"\text{{{found[1]}}}".replace(r"\_", "_"), formula
    )
    return convert(formula, display=display)


def _inline(translator, node):
    translator.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _display(translator, node):
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    translator.body.append(mathml(node.astext(), "block"))
    translator.body.append("</div>")
    raise nodes.SkipNode


def setup(app):
    """Sphinx's entry to this file."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
