"""Pages of the API: own members in full, scikit-learn's by name, links to its site."""

import inspect
import re
from importlib import import_module

from docutils import nodes

#: Where scikit-learn documents an object of its public modules.
SKLEARN = "https://scikit-learn.org/stable/modules/generated/{}.html"


def members(cls):
    """Return names: our methods, our properties, and what scikit-learn adds."""
    found = {"methods": set(), "properties": set(), "theirs": set()}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if name.startswith("_") or not hasattr(value, "__get__"):
                continue
            for names in found.values():
                names.discard(name)
            routine = getattr(value, "fget", None) or getattr(value, "fn", value)
            home = getattr(routine, "__module__", None) or base.__module__
            if home.partition(".")[0] != "sktie":
                found["theirs"].add(name)
            else:
                own = "properties" if isinstance(value, property) else "methods"
                found[own].add(name)
    return {kind: sorted(names) for kind, names in found.items()}


def public_classes():
    """Return {full name: class}, for every module whose objects have pages."""
    modules = ["", ".datasets", ".exceptions", ".inspection", ".model_selection"]
    modules.append(".streams")
    return {
        f"sktie{module}.{name}": thing
        for module in modules
        for name in import_module(f"sktie{module}").__all__
        if inspect.isclass(thing := getattr(import_module(f"sktie{module}"), name))
    }


def link_to_sklearn(app, env, node, contnode):
    """Resolve :class:`sklearn.a.B` by the pattern of scikit-learn's addresses."""
    target = node.get("reftarget", "")
    if node.get("refdomain") == "py" and re.fullmatch(
        r"sklearn(\.[a-z]\w*)*\.\w+", target
    ):
        return nodes.reference(
            "", "", contnode, internal=False, refuri=SKLEARN.format(target)
        )
    return None


def keep_initials(app, what, name, obj, options, lines):
    """Let "K. Pearson" at the start of a line be a name and no item of a list."""
    for k, line in enumerate(lines):
        lines[k] = re.sub(r"^(\s*(?:\.\. \[[^\]]+\] )?)([A-Z]\. )", r"\1\\\2", line)


def setup(app):
    app.connect("missing-reference", link_to_sklearn)
    app.connect(
        "autodoc-process-docstring", keep_initials, priority=900
    )  # numpydoc: 500
    found = {name: members(cls) for name, cls in public_classes().items()}
    app.config.autosummary_context = {"members_of": found}
    return {"parallel_read_safe": True, "parallel_write_safe": True}
