"""Tables of the stored results of the benchmarks, as pages show them.

``.. benchmark:: plain`` shows the table of ``tests/benchmarks/results/plain.json``, and
below it with what, and on which machine, it was measured; ``.. benchmark:: conv step``
one of several tables. ``.. benchmark-goals::`` shows every goal that was set, and what
was reached. The formats of the files are described in ``tests/benchmarks/_results.py``
and ``tests/benchmarks/_cells.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).parents[2] / "tests" / "benchmarks" / "results"


@dataclass(frozen=True)
class Table:
    """Texts in rows; the first row is the header."""

    rows: list[list[str]]

    def rst(self) -> list[str]:
        """The lines of a list-table."""
        lines = [".. list-table::", "   :header-rows: 1", ""]
        for row in self.rows:
            for i, text in enumerate(row):
                lines.append(f"   {'*' if i == 0 else ' '} - {text}")
        return lines


def load(name):
    """The content of a file of results."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


MINUS, SPACE = "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}"

# -- numbers ---------------------------------------------------------------------------


def number(value):
    """Three digits, and never a power of ten where it can be avoided."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def quantity(value, unit):
    """A measured median with its unit."""
    if unit == "B":
        text = f"{number(value * 1e-6)} MB"
    elif unit == "us/image":
        text = f"{number(value)} µs"
    else:
        text = f"{number(value)} s" if value >= 1 else f"{number(1e3 * value)} ms"
    return text.replace(" ", SPACE)


def quartiles(ratio):
    """A ratio with its quartiles; a list is median and quartiles."""
    if isinstance(ratio, list):
        ratio = dict(zip(("median", "q1", "q3"), ratio, strict=True))
    return "{median:.2f} ({q1:.2f} to {q3:.2f})".format(**ratio).replace(" ", SPACE)


def share(value):
    """A probability or accuracy, with three digits."""
    return f"{value:.3f}".removeprefix("0")


def plus_minus(entry, spread, signed=False):
    """A mean with its standard deviation or error."""
    mean = f"{entry['mean']:+.3f}" if signed else f"{entry['mean']:.3f}"
    sign = mean[0] if signed else ""
    digits = mean.removeprefix(sign).removeprefix("0")
    text = f"{sign.replace('-', MINUS)}{digits} ± {share(entry[spread])}"
    return text.replace(" ", SPACE)


# -- tables of times: rows as in _results.py -------------------------------------------


def timings(results, kind=None, peer="the best peer"):
    """Case, both sides and their ratio; rows of one kind, or all."""
    table = [["case", "sktie", peer, "ratio (quartiles)"]]
    for case, row in _timed(results):
        if kind is not None and row["facts"]["kind"] != kind:
            continue
        if row["ratio"] is None:
            table.append([case, "", row["reason"] or row["status"], ""])
            continue
        other = quantity(row["peer"]["median"], row["unit"])
        name = row["peer"]["name"].removeprefix("PyTorch ")
        table.append(
            [
                case.removeprefix(f"{kind}, ").replace("(", "").replace(")", ""),
                quantity(row["sktie"]["median"], row["unit"]),
                other if name == peer else f"{other}, {name}",
                quartiles(row["ratio"]),
            ]
        )
    return Table(table)


def out_of_memory(results):
    """Fits to rows in files that are larger than what they need."""
    table = [["rows in", "model", "data", "rows", "time", "a row", "peak memory"]]
    for row in results["rows"]:
        facts = row["facts"]
        if facts["kind"] != "memory":
            continue
        table.append(
            [
                facts["format"],
                facts["model"],
                f"{number(facts['GiB'])} GiB",
                number(facts["rows"]),
                quantity(facts["seconds"], "s"),
                quantity(facts["us a row"], "us/image"),
                quantity(row["sktie"]["median"], "B"),
            ]
        )
    return Table(table)


def _timed(results):
    if "rows" in results:
        return [(row["case"], row) for row in results["rows"]]
    return list(results["cells"].items())


def conv_step(results):
    """Steps of training beside PyTorch, with the share of the machine's products."""
    table = timings(results, "step", "PyTorch")
    table.rows[0].append("share of sgemm")
    rows = [row for row in results["rows"] if row["facts"]["kind"] == "step"]
    for line, row in zip(table.rows[1:], rows, strict=True):
        line.append(f"{row['facts']['share of sgemm']:.0%}")
    return table


def conv_memory(results):
    """The peak of memory, and how far it rises."""
    kinds = {kind: {} for kind in ("memory", "memory beyond")}
    for row in results["rows"]:
        if row["facts"]["kind"] in kinds:
            kinds[row["facts"]["kind"]][row["facts"]["input"]] = row
    table = [["input", "sktie", "PyTorch", "sktie, beyond", "PyTorch, beyond"]]
    for name in kinds["memory"]:
        line = [name]
        for rows in kinds.values():
            line += [quantity(rows[name][s]["median"], "B") for s in ("sktie", "peer")]
        table.append(line)
    return Table(table)


# -- tables of accuracies and others: cells as in _cells.py ----------------------------


def few_labels(results, data, show):
    """A line for each method, a column for each number of labels."""
    entries = [entry for entry in results["summary"] if entry["data"] == data]
    entries.sort(key=lambda entry: entry["labels"])
    first, parts = show(entries)
    table = [[first, *(str(entry["labels"]) for entry in entries)]]
    return Table(table + parts)


def accuracies(entries):
    """Every method, mean and standard deviation."""
    return "labels", [
        [name, *(plus_minus(entry["accuracy"][name], "sd") for entry in entries)]
        for name in entries[0]["accuracy"]
    ]


def advantages(model):
    """Paired differences of a model from every rival."""

    def show(entries):
        return "minus", [
            [
                rival,
                *(
                    plus_minus(entry["difference"][model][rival], "error", signed=True)
                    for entry in entries
                ),
            ]
            for rival in entries[0]["difference"][model]
        ]

    return show


TIED = "TiedLogisticRegression, KMeansPrior"
NETWORK = "TiedMLPClassifier, KMeansPrior, tied output"


def few_labels_small(results):
    """Small data sets: the plain model, and differences from it."""
    models = [TIED, "TiedLogisticRegression, AutoencoderPrior", NETWORK]
    table = [["data, labels", "LogisticRegression", *models]]
    for entry in results["summary"]:
        if entry["data"] in ("digits", "mnist"):
            continue
        plain = share(entry["accuracy"]["LogisticRegression"]["mean"])
        line = [f"{entry['data']},{SPACE}{entry['labels']}", plain]
        for model in models:
            difference = entry["difference"][model]["LogisticRegression"]
            line.append(plus_minus(difference, "error", signed=True))
        table.append(line)
    return Table(table)


def _cells(results, prefix):
    return [
        (key.removeprefix(prefix), cell)
        for key, cell in results["cells"].items()
        if key.startswith(prefix)
    ]


def cv_speed(results):
    """What a path of ties costs."""
    ties = results["settings"]["ties"]
    head = ["problem", "one fit", f"{ties} ties, leave-one-out", "by one fit"]
    table = [[*head, "GridSearchCV by it"]]
    for name, cell in _cells(results, "speed/"):
        seconds = cell["median_seconds"]
        times = [quantity(seconds[side], "s") for side in ("fit", "cv")]
        ratio, grid = quartiles(cell["cv by fit"]), number(cell["grid by cv"])
        table.append([name, *times, ratio, grid])
    return Table(table)


def cv_exact(results):
    """How exact the leave-one-out scores are."""
    table = [["problem", "largest difference", "own fits"]]
    for name, cell in _cells(results, "exact/"):
        largest = f"{cell['largest relative difference']:.3%}".replace("%", " %")
        table.append([name, largest, f"{cell['refitted']} of {cell['rows']}"])
    return Table(table)


def ridge(results):
    """Ratios of times to those of Ridge and of RidgeCV."""
    plain, cv = (dict(_cells(results, prefix)) for prefix in ("plain/", "cv/"))
    table = [["rows, features", "by Ridge", "by RidgeCV"]]
    for name, cell in plain.items():
        ratios = cell["ratios"]["cholesky"], cv[name]["ratios"]["RidgeCV"]
        table.append([name, *map(quartiles, ratios)])
    return Table(table)


def mixed(results):
    """Strengths beside those of a mixed model, and times."""
    head = ["random", "tie, sktie and MixedLM", "largest difference of a domain"]
    table = [[*head, "sktie", "MixedLM", "ratio (quartiles)"]]
    for name, cell in results["cells"].items():
        ties = [
            cell["tie"],
            *([cell["tie of slopes"]] if "tie of slopes" in cell else []),
        ]
        ties = "; ".join(f"{ours:.4g}, {theirs:.4g}" for ours, theirs in ties)
        times = [quantity(seconds, "s") for seconds in cell["median_seconds"]]
        names = {"intercept": "intercepts", "slope": "intercepts and slopes"}
        largest, ratio = f"{cell['largest difference']:.0e}", quartiles(cell["ratio"])
        table.append([names[name], ties, largest, *times, ratio])
    return Table(table)


def graph(results):
    """Multiples of a pooled fit, by the graph and the strength."""
    return _graph(results, lambda size, tie: tie if size == "5000" else None, "tie=")


def graph_sizes(results):
    """Multiples of a pooled fit, by the graph and the number of domains."""
    return _graph(results, lambda size, tie: size if tie == "1" else None, "T=")


def _graph(results, column, label):
    """A line for each graph, a column for each of what `column` names."""
    lines, columns = {}, set()
    for key, ratio in results["summary"]["ratios"].items():
        name, size, tie = re.fullmatch(r"(.+) T=(.+) tie=(.+)", key).groups()
        place = column(size, tie)
        if place is not None:
            lines.setdefault(name, {})[place] = f"{ratio:.0f}"
            columns.add(place)
    ordered = sorted(columns, key=float)
    rows = [
        [name, *(line.get(place, "") for place in ordered)]
        for name, line in lines.items()
        if len(line) > 1 or label == "T="
    ]
    return Table([["graph", *(label + place for place in ordered)], *rows])


def peers(results):
    """A line for each problem and each library that minimises the same."""
    table = [["problem", "peer", "sktie", "peer's time", "ratio (quartiles)"]]
    for key, cell in results["cells"].items():
        problem, library, *way = key.split(" | ")
        name = ", ".join([f"{library} {cell['version']}", *way])
        if cell["ratio"] is None:
            table.append([problem, name, "", cell["reason"], ""])
            continue
        times = [quantity(cell[side]["median"], "s") for side in ("sktie", "peer")]
        table.append([problem, name, *times, quartiles(cell["ratio"])])
    return Table([*table, *_peers_elsewhere()])


def _peers_elsewhere():
    """The lines of peers that other benchmarks have met, as medians over cases."""
    rows = load("conv")["rows"]
    names = {
        "step": ("convolutions, a step of training", "PyTorch, the fastest form"),
        "predict": ("convolutions, predictions", "PyTorch, the fastest form"),
        "skorch": ("convolutions, a step of training", "skorch"),
    }
    for kind, (problem, name) in names.items():
        ratios = [
            row["ratio"]["median"]
            for row in rows
            if row["facts"]["kind"] == kind and row["ratio"]
        ]
        text = (
            f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f} "
            f"in {len(ratios)} cases)"
        )
        yield [problem, name, "", "", text.replace(" ", SPACE)]
    for name, cell in load("mixed")["cells"].items():
        ours, theirs = cell["median_seconds"]
        yield [
            f"mixed model of 65 schools, random {name}",
            f"statsmodels {cell['statsmodels']}, MixedLM",
            quantity(ours, "s"),
            quantity(theirs, "s"),
            quartiles(cell["ratio"]),
        ]


def scaling(results):
    """Exponents of the cost curves, of both sides, and the largest size."""
    table = [["curve", "sktie", "peer's exponent", "peer", "largest", "seconds"]]

    def text(fit):
        return f"{fit['exponent']:.2f} ± {fit['error']:.2f}".replace(" ", SPACE)

    for key, found in results["summary"]["exponents"].items():
        cell = results["cells"][key]
        ours, *others = found
        size, seconds, *_ = cell["points"][ours][-1]
        other = others[0] if others else None
        table.append(
            [
                key,
                text(found[ours]),
                text(found[other]) if other else "",
                other or "",
                f"{cell['size']}{SPACE}={SPACE}{size:,.0f}",
                quantity(seconds, "s"),
            ]
        )
    return Table(table)


def instructions(results):
    """Instructions of the hot paths, and how far counts were apart."""
    table = [["path", "instructions", "apart"]]
    for key, cell in results["cells"].items():
        millions = f"{number(cell['instructions'] / 1e6)} million"
        table.append([key, millions.replace(" ", SPACE), f"{cell['spread']:.3%}"])
    return Table(table)


def cluster_row(results):
    """What one core does with a row."""
    table = [["rows of a chunk", "value and gradient", "Hessian", "survey"]]
    for layout, cell in _cells(results, "row "):
        costs = (cell[kind] for kind in ("gradient", "Hessian", "survey"))
        table.append([layout, *(f"{number(1e6 * own)} µs a row" for own in costs)])
    return Table(table)


def cluster_passes(results):
    """Passes of fits over all rows, and over a sample."""
    head = ["solver", "rows", "rows in the sample"]
    head += ["all rows: gradients, Hessians", "sample: gradients, Hessians"]
    table = [head]
    for name, cell in _cells(results, "passes "):
        counts = (
            f"{cell[kind]}, {cell[f'Hessian{part}']}"
            for kind, part in (("gradient", ""), ("gradient of sample", " of sample"))
        )
        rows = number(cell["rows"]), number(cell["sample"])
        table.append([name.split()[0], *rows, *counts])
    return Table(table)


def cluster_plan(results):
    """Seconds and bytes of passes, and seconds of fits."""
    head = ["solver", "chunks", "passes", "computing", "a pass", "one of 20 takes"]
    table = [[*head, "into the busiest worker", "whole fit"]]
    for name, cell in _cells(results, "plan "):
        solver, layout = name.split()
        fit = quantity(cell["fit s"], "s")
        for kind, own in cell.items():
            if not isinstance(own, dict):
                continue
            times = own["compute s"], own["s"]["median"], own["s"]["p95"]
            what = f"{own['passes']} times {kind}"
            line = [solver, layout, what, *(quantity(t, "s") for t in times)]
            table.append(
                [*line, quantity(own["bytes into the busiest worker"], "B"), fit]
            )
            solver = layout = fit = ""
    return Table(table)


def cluster_here(results):
    """Passes that were measured, beside the model."""
    table = [["workers", "a pass for", "measured", "modelled", "without rows"]]
    for name, cell in _cells(results, "cluster workers="):
        for kind in ("gradient", "Hessian"):
            if kind in cell:
                own = cell[kind]
                kinds = ("measured s", "modelled s", "without rows s")
                table.append(
                    [name, f"{kind}s", *(quantity(own[k], "s") for k in kinds)]
                )
    return Table(table)


def esl(results):
    """The five networks of the book."""
    names = {
        "Net-1": "1, no hidden layer",
        "Net-2": "2, 12 hidden units",
        "Net-3": "3, two local layers",
        "Net-4": "4, first layer shared",
        "Net-5": "5, both shared",
    }
    summary = results["summary"]
    table = [["network", "links", "weights", "printed", "centred", "moved"]]
    for net, name in names.items():
        own = [summary[data]["accuracy"][net] for data in ("centred", "moved")]
        counts = [str(own[0]["links"]), str(own[0]["weights"])]
        found = [f"{100 * a['mean']:.1f} % ± {100 * a['sd']:.1f}" for a in own]
        table.append([name, *counts, f"{100 * own[0]['printed']:.1f} %", *found])
    return Table(table)


def dial(results):
    """Accuracy against the tie, for both networks and both kinds of data."""
    entries = results["summary"]
    head = [f"{entry['net']} network, {entry['data']}" for entry in entries]
    table = [["tie", *head]]
    for tie in entries[0]["accuracy"]:
        found = (plus_minus(entry["accuracy"][tie], "error") for entry in entries)
        table.append([tie, *found])
    return Table(table)


def choice(results):
    """Log-loss of ties by the evidence and by leave-one-out, and of both ends."""
    names = {
        "family/identical": "identical",
        "family/near": "deviations 0.3",
        "family/far": "deviations 1",
        "family/unrelated": "unrelated",
        "heart": "hospitals",
    }
    sides = {"auto": "evidence", "separate": "", "pooled": "", "loo": "leave-one-out"}
    head = ["domains", *(name or side for side, name in sides.items())]
    minus = {"better end": "the better end", "loo": "leave-one-out"}
    table = [head + [f"evidence minus {name}" for name in minus.values()]]
    for key, name in names.items():
        cell = results["summary"]["loss"][key]
        means = [f"{cell['mean'][side]:.3f}" for side in sides]
        paired = (cell[f"auto minus {side}"] for side in minus)
        differences = [plus_minus(each, "error", signed=True) for each in paired]
        table.append([name, *means, *differences])
    return Table(table)


def worth(results):
    """Log-loss on new rows of a chosen tie and of its rivals, set by set."""
    arms = {"tied": "", "coarse": "ties=10", "separate": "", "pooled": ""}
    arms |= {"EasyAdapt": "", "mixed": ""}
    names = {"heart": "hospitals", "exam": "schools"}
    head = ["set", "draws", *(name or arm for arm, name in arms.items())]
    table = [[*head, "tied minus the better end"]]
    for key, cell in results["summary"]["sets"].items():
        means = (cell["mean"].get(arm) for arm in arms)
        shown = ["" if value is None else f"{value:.3f}" for value in means]
        difference = plus_minus(cell["minus better end"], "error", signed=True)
        table.append([names.get(key, key), str(cell["n"]), *shown, difference])
    return Table(table)


def coverage(results):
    """How often intervals of 95 % hold what they should, with known strengths."""
    return _coverage(results, lambda case: case not in CHOSEN)


def coverage_chosen(results):
    """The same with strengths that the same rows have chosen."""
    return _coverage(results, lambda case: case in CHOSEN)


CHOSEN = ("evidence", "leave-one-out")


def _coverage(results, wanted):
    shown = {
        "coefficient": "coefficients",
        "probability": "probabilities",
        "unseen coefficient": "coefficients, domain not seen",
        "unseen probability": "probabilities, domain not seen",
    }
    table = [["domains", *shown.values()]]
    for key, cell in results["summary"]["table"].items():
        classes, _, case = key.partition("/")
        if wanted(case):
            found = (cell["coverage"].get(name) for name in shown)
            cells = ["" if value is None else f"{100 * value:.1f} %" for value in found]
            table.append([f"{case}, {classes}", *cells])
    return Table(table)


def compatibility(results):
    """How often true hypotheses are rejected at the level of 5 %."""
    ways = {"pvalue": "corrected", "plain likelihood ratio": "", "score": "score test"}
    names = [name or way for way, name in ways.items()]
    head = [f"{which}, {name}" for name in names for which in ("all", "each")]
    table = [["domains", *head]]
    for case, cell in results["summary"].items():
        if "pvalue" not in cell:
            continue
        rates = [cell[way][rate] for way in ways for rate in ("5%", "mean 5%")]
        table.append([case, *(f"{100 * rate:.1f} %" for rate in rates)])
    return Table(table)


#: Name of a directive: file of results, and what makes a table of it.
TABLES: dict[str, tuple[str, Callable[[dict], Table]]] = {
    name: (name.partition(" ")[0], make)
    for name, make in {
        "plain": timings,
        "domains": timings,
        "sparse": timings,
        "priors": timings,
        "poisson": timings,
        "memory": timings,
        "out_of_memory speed": lambda r: timings(r, "speed", "rows in memory"),
        "out_of_memory memory": out_of_memory,
        "conv step": conv_step,
        "conv skorch": lambda results: timings(results, "skorch", "skorch"),
        "conv predict": lambda results: timings(results, "predict", "PyTorch"),
        "conv memory": conv_memory,
        "few_labels digits": lambda r: few_labels(r, "digits", accuracies),
        "few_labels mnist": lambda r: few_labels(r, "mnist", accuracies),
        "few_labels digits tied": lambda r: few_labels(r, "digits", advantages(TIED)),
        "few_labels mnist tied": lambda r: few_labels(r, "mnist", advantages(TIED)),
        "few_labels digits network": lambda r: few_labels(
            r, "digits", advantages(NETWORK)
        ),
        "few_labels mnist network": lambda r: few_labels(
            r, "mnist", advantages(NETWORK)
        ),
        "few_labels small": few_labels_small,
        "cv speed": cv_speed,
        "cv exact": cv_exact,
        "ridge": ridge,
        "mixed": mixed,
        "graph": graph,
        "graph sizes": graph_sizes,
        "choice": choice,
        "worth": worth,
        "coverage": coverage,
        "coverage chosen": coverage_chosen,
        "compatibility": compatibility,
        "peers": peers,
        "scaling": scaling,
        "instructions": instructions,
        "cluster row": cluster_row,
        "cluster passes": cluster_passes,
        "cluster plan": cluster_plan,
        "cluster here": cluster_here,
        "esl": esl,
        "dial": dial,
    }.items()
}


def table(name):
    """The table that ``.. benchmark:: name`` shows."""
    file, make = TABLES[name]
    return make(load(file))


def machine(name):
    """With what, and where, a file of results was measured."""
    results = load(name)
    environments = list(results.get("environments", {}).values())
    environments = environments or [results["environment"]]

    def all_of(describe):
        return " and ".join(dict.fromkeys(describe(own) for own in environments))

    where = all_of(lambda own: f"{own['cores']} cores of {own['cpu']}")
    system = all_of(lambda own: own["system"])
    versions = ", ".join(
        f"{label} {all_of(lambda own, key=key: own[key])}"
        for label, key in (
            ("Python", "python"),
            ("NumPy", "numpy"),
            ("SciPy", "scipy"),
            ("scikit-learn", "sklearn"),
        )
    )
    return f"``{results['command']}``, on {where}, {system}; {versions}."


def goals():
    """Every goal of every benchmark, what was reached, and whether that is enough."""
    rows = [["benchmark", "goal", "reached", "met"]]
    for path in sorted(RESULTS.glob("*.json")):
        for goal in _goals(load(path.stem)["summary"]):
            if goal.get("met") is None:
                continue
            reached = _reached(goal.get("value"))
            met = "yes" if goal["met"] else "**no**"
            rows.append([path.stem, goal["goal"].replace("*", r"\*"), reached, met])
    return Table(rows)


def _reached(value):
    """A number, the sets that a list names, or nothing."""
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return "" if value is None else number(value)


def _goals(summary):
    """The goals of a summary, wherever a benchmark has put them."""
    if isinstance(summary, dict):
        if "goal" in summary and "met" in summary:
            yield summary
        else:
            for part in summary.values():
                yield from _goals(part)
    elif isinstance(summary, list):
        for part in summary:
            yield from _goals(part)


def setup(app):
    """Sphinx's entry to this file."""
    from docutils import nodes
    from sphinx.util.docutils import SphinxDirective

    class Shown(SphinxDirective):
        def show(self, table, *sources):
            self.env.note_dependency(str(Path(__file__)))
            for source in sources:
                self.env.note_dependency(str(RESULTS / f"{source}.json"))
            return self.parse_text_to_nodes("\n".join(table.rst()))

    class Benchmark(Shown):
        required_arguments = 1
        final_argument_whitespace = True

        def run(self):
            name = self.arguments[0]
            if name not in TABLES:
                raise self.error(f"no table {name!r}; there are {', '.join(TABLES)}")
            source = TABLES[name][0]
            found = self.show(table(name), source)
            told = self.env.temp_data.setdefault("benchmark machines", set())
            if source not in told:  # once on a page
                told.add(source)
                note = nodes.container(classes=["measured"])
                note += self.parse_text_to_nodes(machine(source))
                found.append(note)
            return found

    class Goals(Shown):
        def run(self):
            return self.show(goals(), *(path.stem for path in RESULTS.glob("*.json")))

    app.add_directive("benchmark", Benchmark)
    app.add_directive("benchmark-goals", Goals)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
