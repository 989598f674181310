"""Models of domains of which one contains the other: fits, and tests between them."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass

import numpy as np

from sktie._design import Design
from sktie._linalg import cholesky, lower_inverse
from sktie._loss import Loss, of_classes, probability
from sktie._problem import TiedCurvature, TiedProblem
from sktie._typing import Array, FloatArray
from sktie.solvers import SolverResult, Status, newton_from

#: Decay relative to the curvature at equal probabilities, which moves no statistic:
#: where no maximum exists it is what the descent ends at, before numbers underflow.
DECAY = 1e-12
#: Gap to the minimum at which a fit ends, in units of the log-likelihood.
GAP = 1e-9
MAX_ITER = 500
#: A direction counts as one of the rows where its share of the squares is above this.
RANK = 1e-12
#: Largest change of a log-odds by a Newton step where a maximum exists; 1 in theory.
MOVED = 0.5


def identified(matrix: FloatArray, scale: FloatArray) -> FloatArray:
    """Return a basis, in columns, of the directions that a Gram matrix identifies.

    Parameters
    ----------
    matrix : array of shape (n, n)
        Positive semidefinite.
    scale : array of shape (n,)
        Squares of the coefficients' units: what is far below these is rounding.
    """
    inverse = 1.0 / np.sqrt(np.where(scale > 0, scale, 1.0))
    values, vectors = np.linalg.eigh(inverse[:, np.newaxis] * matrix * inverse)
    kept = values > RANK * max(1, len(matrix))
    return np.asarray(inverse[:, np.newaxis] * vectors[:, kept] / np.sqrt(values[kept]))


def root(matrix: FloatArray, basis: FloatArray) -> FloatArray:
    """Return L with ``L L'`` the inverse of a matrix in the span of a basis."""
    return np.asarray(basis @ lower_inverse(cholesky(basis.T @ matrix @ basis)).T)


@dataclass(frozen=True)
class Blocks:
    """What a model says of one domain, split at what it shares.

    Attributes
    ----------
    own : ndarray of shape (n, n_own)
        ``own own'`` is the inverse information of the free coefficients.
    taken : ndarray of shape (n, n_shared)
        How all coefficients follow the shared ones.
    shared : ndarray of shape (n_shared, n_shared)
        What the domain says of the shared ones: their information, the free ones
        profiled out.
    """

    own: FloatArray
    taken: FloatArray
    shared: FloatArray


def profile(hessian: FloatArray, basis: FloatArray, shared: Array) -> Blocks:
    """Profile the free coefficients out of the information of a domain.

    Parameters
    ----------
    hessian : array of shape (n, n)
        The information.
    basis : array of shape (n_free, n_own)
        What is identified of the free coefficients.
    shared : array of shape (n,)
        Which coefficients are shared.
    """
    n = len(hessian)
    own = np.zeros((n, basis.shape[1]))
    own[~shared] = root(hessian[np.ix_(~shared, ~shared)], basis)
    taken = np.eye(n)[:, shared]
    taken = taken - own @ (own.T @ hessian[:, shared])
    return Blocks(own, taken, taken.T @ hessian @ taken)


class Hypothesis:
    """Which coefficients are shared by all domains, and what that forbids.

    Parameters
    ----------
    grams : array of shape (n_members, n, n)
        Information of every domain where all classes are equally probable.
    shared : array of shape (n,)
        Which coefficients are shared.
    """

    def __init__(self, grams: FloatArray, shared: Array) -> None:
        self.shared = shared
        free = np.ix_(~shared, ~shared)
        scales = np.einsum("tii->ti", grams)
        pairs = list(zip(grams, scales, strict=True))
        #: What each domain identifies of its free coefficients,
        self.free = [identified(gram[free], scale[~shared]) for gram, scale in pairs]
        blocks = [
            profile(gram, basis, shared).shared
            for gram, basis in zip(grams, self.free, strict=True)
        ]
        #: of the shared ones when they are not, and all domains together.
        self.apart = [
            identified(block, scale[shared])
            for block, (_, scale) in zip(blocks, pairs, strict=True)
        ]
        together = np.sum(blocks, axis=0)
        self.together = identified(together, scales[:, shared].sum(axis=0))
        #: Degrees of freedom of the test.
        self.df = sum(b.shape[1] for b in self.apart) - self.together.shape[1]

    def information(self, hessians: FloatArray) -> Information:
        """Return the information of the model at Hessians of all domains."""
        return Information(self, hessians)


class Information:
    """Information of a model that shares coefficients, and of one that does not.

    Parameters
    ----------
    hypothesis : Hypothesis
        What is shared.
    hessians : array of shape (n_members, n, n)
        Hessians of the losses of all domains.
    """

    def __init__(self, hypothesis: Hypothesis, hessians: FloatArray) -> None:
        self.hypothesis = hypothesis
        shared = hypothesis.shared
        self.blocks = [
            profile(hessian, basis, shared)
            for hessian, basis in zip(hessians, hypothesis.free, strict=True)
        ]
        #: Roots of the inverse information of the coefficients in question: in every
        #: domain where they are free, and where they are shared.
        self.apart = [
            root(block.shared, basis)
            for block, basis in zip(self.blocks, hypothesis.apart, strict=True)
        ]
        total = np.sum([block.shared for block in self.blocks], axis=0)
        self.together = root(total, hypothesis.together)

    def step(self, gradient: FloatArray) -> FloatArray:
        """Return the Newton step of the model that shares, (n_members, n)."""
        parts = list(zip(self.blocks, gradient, strict=True))
        force = sum(block.taken.T @ part for block, part in parts)
        common = self.together @ (self.together.T @ force)
        return np.stack(
            [
                -(block.own @ (block.own.T @ part) + block.taken @ common)
                for block, part in parts
            ]
        )

    def score(self, gradient: FloatArray) -> float:
        """Return the score statistic, ``U' K^-1 U``, at the minimum of what shares.

        K is the information of the model that shares nothing. The gradient of the
        free coefficients is 0 at that minimum: the rest is that of the shared ones.
        """
        parts = zip(self.blocks, self.apart, gradient, strict=True)
        return sum(
            float(np.sum(np.square(apart.T @ (block.taken.T @ part))))
            for block, apart, part in parts
        )


@dataclass(frozen=True)
class Fit:
    """The minimum of a model.

    Attributes
    ----------
    members : ndarray of shape (n_members, n_outputs, n_coefs)
        The parameters.
    value : float
        Minus the log-likelihood.
    gradient : ndarray of shape (n_members, n)
        Its gradient, of the model that shares nothing.
    hessians : ndarray of shape (n_members, n, n)
        Its Hessian, likewise.
    information : Information
        Of the model and of the one that shares nothing.
    exists : bool
        Whether there is a minimum; otherwise the numbers are near the infimum.
    apart : tuple of int
        Domains in which there is none.
    """

    members: FloatArray
    value: float
    gradient: FloatArray
    hessians: FloatArray
    information: Information
    exists: bool
    apart: tuple[int, ...]


class Nested:
    """Fits of models to the same rows: which coefficients domains share.

    Parameters
    ----------
    problem : TiedProblem
        The rows, as float64, all of positive weight. Decay and tie do not count.
    """

    def __init__(self, problem: TiedProblem) -> None:
        self.problem = problem
        self.shape = problem.coordinates.shape
        self.origin = np.zeros(self.shape)
        self.grams = problem.hessians(self.origin)
        value, _ = problem.sums.value_gradient(self.origin)
        self.tol = GAP / max(value, 1.0)
        scale = np.einsum("tii->i", self.grams) / len(self.grams)
        self.decay = DECAY * scale.reshape(self.shape[1:]).mean(axis=0)

    def hypothesis(self, shared: Array) -> Hypothesis:
        """Return the hypothesis that some of the n_coefs coefficients are shared."""
        return Hypothesis(self.grams, np.tile(shared, self.shape[1]))

    def fit(self, hypothesis: Hypothesis, start: Fit | None = None) -> Fit:
        """Return the fit under a hypothesis, from a fit nearby."""
        _, n_outputs, n_coefs = self.shape
        shared = hypothesis.shared[:n_coefs]
        strengths = np.where(shared, np.inf, 0.0)
        problem = self.problem.retied(strengths, self.decay)
        members = self.origin if start is None else start.members
        hessians = self.grams if start is None else start.hessians
        result = newton_from(
            problem,
            problem.coordinates.locate(members),
            TiedCurvature(problem, hessians),
            tol=self.tol,
            max_iter=MAX_ITER,
        )
        members = problem.members(result.theta)
        value, gradient = problem.sums.value_gradient(members)
        gradient = gradient.reshape(len(gradient), n_outputs * n_coefs)
        hessians = problem.hessians(members)
        information = hypothesis.information(hessians)
        moved = self._moved(information.step(gradient))
        apart = tuple(np.flatnonzero(~(moved < MOVED)).tolist())
        exists = not apart and self._found(result)
        return Fit(members, value, gradient, hessians, information, exists, apart)

    def _found(self, result: SolverResult) -> bool:
        return result.status.success or (
            result.status is not Status.UNBOUNDED and result.gap < 1e3 * self.tol
        )

    def _moved(self, step: FloatArray) -> FloatArray:
        """Return by how much a step changes log-odds, at most, in every domain.

        The probabilities that a Newton step predicts to first order satisfy the
        equations of a maximum exactly. If they are positive, and they are where no
        log-odds changes by 1, no direction separates the classes (Stiemke's lemma):
        a maximum exists. Where one does not, no step is ever so short.
        """
        members = step.reshape(self.shape)
        design, loss = self.problem.design, of_classes(self.problem.loss)
        slopes, intercepts = design.widen(members)
        found = np.zeros(len(members))
        for domain in range(len(members)):
            for block in design.blocks_of(domain, loss.n_classes):
                raw = design.raw(block, design.rows(block), slopes, intercepts)
                scores = all_scores(loss, raw)
                found[domain] = max(found[domain], float(np.ptp(scores, axis=1).max()))
        return found

    def draws(
        self, fit: Fit, n_draws: int, rng: np.random.RandomState
    ) -> Iterator[Nested]:
        """Yield the same rows with classes drawn from a fit.

        A row of weight 2 is two rows, which may differ in class.
        """
        problem = self.problem
        if problem.rows.weight is not None:
            problem = _repeated(problem)
        design, loss = problem.design, of_classes(problem.loss)
        slopes, intercepts = design.widen(fit.members)
        raw = [
            design.raw(block, design.rows(block), slopes, intercepts)
            for domain in range(design.n_domains)
            for block in design.blocks_of(domain, loss.n_classes)
        ]
        chance = probability(loss.expand(np.concatenate(raw).T).T)
        steps = np.cumsum(chance, axis=1)[:, :-1]
        for _ in range(n_draws):
            index = (rng.random_sample((len(steps), 1)) >= steps).sum(axis=1)
            drawn = copy(self)
            drawn.problem = problem.of_rows(y=loss.encode(index, design.dtype))
            yield drawn


def _repeated(problem: TiedProblem) -> TiedProblem:
    """Return the problem in which rows stand for themselves alone."""
    design = problem.design
    assert problem.rows.weight is not None
    counts = problem.rows.weight.astype(np.intp)
    order = np.arange(design.n_rows) if design.order is None else design.order
    repeated = Design(
        design.X,
        np.concatenate([[0], np.cumsum(counts)])[design.bounds],
        order=np.repeat(order, counts),
        skip=design.skip,
        fit_intercept=design.fit_intercept,
    )
    y = np.repeat(problem.rows.y, counts, axis=0)
    return problem.of_rows(design=repeated, y=y, weight=None)


def all_scores(loss: Loss, raw: FloatArray) -> FloatArray:
    """Return log-odds of all classes against the first, or centred: (n, n_classes)."""
    scores = loss.expand(raw.T).T
    if scores.shape[1] > 1:
        return scores
    return np.hstack([np.zeros_like(scores), scores])
