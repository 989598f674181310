"""Mutants of the modules that do the arithmetic, drawn at random by a seed.

The changes are mutmut's (an operator swapped, a number plus one, an argument dropped
or None, ...). mutmut itself leaves out functions with decorators, for reasons of how it
puts mutants into a program; here a mutant is a file of its own, so that they take part.

A place is drawn first, then one of its changes: else calls, whose every argument may be
dropped, would be most of the sample. Places are drawn by a hash of what stands there,
so that an edit elsewhere leaves the sample as it was.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

import libcst as cst
from libcst.matchers import AnnAssign, Annotation, Name, matches
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.file_mutation import NEVER_MUTATE_FUNCTION_NAMES, MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

#: Losses, ties, solvers, layers, and the algebra below them.
MODULES = (
    "sktie/_loss.py",
    "sktie/_scalar_loss.py",
    "sktie/_tie.py",
    "sktie/_quadratic.py",
    "sktie/_shares.py",
    "sktie/_features.py",
    "sktie/_related.py",
    "sktie/_learned.py",
    "sktie/_graph.py",
    "sktie/_nesting.py",
    "sktie/_linalg.py",
    "sktie/_elimination.py",
    "sktie/_grams.py",
    "sktie/_moments.py",
    "sktie/_squares.py",
    "sktie/_posterior.py",
    "sktie/solvers/_[a-z]*.py",
    "sktie/nn/_[a-z]*.py",
)


@dataclass(frozen=True)
class Mutant:
    """One changed place of one module."""

    #: The same as long as the place and its change are.
    name: str
    path: str
    line: int
    #: The lines of its statement, up to a colon: a test must run one of them.
    lines: range
    #: The whole module, as it is and changed.
    source: str
    mutate: Callable[[], str]

    @property
    def difference(self) -> str:
        """The lines that differ, as ``diff`` writes them."""
        lines = unified_diff(
            self.source.splitlines(), self.mutate().splitlines(), lineterm="", n=0
        )
        return "\n".join(line[0] + line[1:].strip() for line in list(lines)[3:])


class _Places(MutationVisitor):
    """All changes of a module, those in functions with decorators among them."""

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef):
            return node.name.value in NEVER_MUTATE_FUNCTION_NAMES
        if matches(node, AnnAssign(annotation=Annotation(Name("TypeAlias")))):
            return True  # a type, as annotations are
        return bool(super()._skip_node_and_children(node))


def draw(root: Path, seed: int, n_mutants: int) -> list[Mutant]:
    """``n_mutants`` mutants of the tree at ``root``, in random order."""
    places: dict[str, tuple[_Module, str, cst.CSTNode, list[cst.CSTNode]]] = {}
    for pattern in MODULES:
        for path in sorted(root.glob(pattern)):
            module = _Module(root, path)
            for text, node, changes in module.places():
                places[_digest(f"{seed}\0{text}")] = module, text, node, changes
    drawn = []
    for digest in sorted(places)[:n_mutants]:
        module, text, node, changes = places[digest]
        # Other digits than those that sort: the change is independent of the place.
        index = int(digest[-8:], 16) % len(changes)
        drawn.append(module.mutant(f"{text}\0{index}", node, changes[index]))
    return drawn


class _Module:
    """A module, its places and their mutants."""

    def __init__(self, root: Path, path: Path) -> None:
        self.path = path.relative_to(root).as_posix()
        self.wrapper = MetadataWrapper(cst.parse_module(path.read_text()))
        self.tree = self.wrapper.module
        self.text = self.tree.code.splitlines()
        self.positions = self.wrapper.resolve(PositionProvider)
        self.parents = self.wrapper.resolve(ParentNodeProvider)

    def places(self) -> Iterator[tuple[str, cst.CSTNode, list[cst.CSTNode]]]:
        """What stands at each place, with its changes."""
        visitor = _Places(mutation_operators, IgnoredCode(set(), set(), set()))
        self.wrapper.visit(visitor)
        changes: dict[cst.CSTNode, list[cst.CSTNode]] = {}
        for mutation in visitor.mutations:
            changes.setdefault(mutation.original_node, []).append(mutation.mutated_node)
        seen: Counter[str] = Counter()
        for node, mutated in changes.items():
            lines = self.text[slice(*self._lines(node))]
            here = self.path, self._function(node), *lines, repr(self._columns(node))
            text = "\0".join(here)
            seen[text] += 1
            yield f"{text}\0{seen[text]}", node, mutated

    def mutant(self, text: str, node: cst.CSTNode, changed: cst.CSTNode) -> Mutant:
        """``changed`` in the place of ``node``."""
        return Mutant(
            name=f"{self.path}::{self._function(node)}::{_digest(text)[:8]}",
            path=self.path,
            line=self.positions[node].start.line,
            lines=range(*(line + 1 for line in self._lines(node))),
            source=self.tree.code,
            mutate=lambda: self.tree.deep_replace(node, changed).code,
        )

    def _above(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        while node is not self.tree:
            yield node
            node = self.parents[node]

    def _lines(self, node: cst.CSTNode) -> tuple[int, int]:
        """From where to where its statement goes; an if or a loop up to its body."""
        kinds = (cst.SimpleStatementLine, cst.BaseCompoundStatement)
        statement = next(
            above for above in self._above(node) if isinstance(above, kinds)
        )
        where = self.positions[statement]
        stop = where.end.line
        body = getattr(statement, "body", None)
        if isinstance(body, cst.IndentedBlock):
            stop = self.positions[body.body[0]].start.line - 1
        return where.start.line - 1, max(stop, where.start.line)

    def _columns(self, node: cst.CSTNode) -> tuple[int, ...]:
        """Where it is in its statement."""
        where, first = self.positions[node], self._lines(node)[0]
        start, end = where.start, where.end
        return start.line - first, start.column, end.line - first, end.column

    def _function(self, node: cst.CSTNode) -> str:
        kinds = (cst.FunctionDef, cst.ClassDef)
        names = [
            above.name.value for above in self._above(node) if isinstance(above, kinds)
        ]
        return ".".join(reversed(names)) or "module"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
